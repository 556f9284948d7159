-- `payment.list` by status, by type or by both reads a page from here, however many rows the agency has and however
-- few of them match. One index for all three: a list by status alone reads the newest of each type and merges them,
-- a list by type alone the newest of each status (src/ledger/statements/payments.rs).
create index payments_ledger_by_status on payments_ledger (agency_id, status, payment_type, id desc);
