drop index payments_ledger_by_status;
