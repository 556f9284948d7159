drop index payments_ledger_by_status_and_type;
drop index payments_ledger_by_type;
drop index payments_ledger_by_status;
create index payments_ledger_by_status on payments_ledger (agency_id, status, payment_type, id desc);
