-- An index for each way to filter `payment.list`, with exactly the rows of the list in its order. One index for all
-- three, out of which a list by status alone merged the newest of each type and a list by type alone the newest of each
-- status, cost these lists more than twice as much; each index costs a write a few microseconds.
drop index payments_ledger_by_status;
create index payments_ledger_by_status on payments_ledger (agency_id, status, id desc);
create index payments_ledger_by_type on payments_ledger (agency_id, payment_type, id desc);
create index payments_ledger_by_status_and_type on payments_ledger (agency_id, status, payment_type, id desc);
