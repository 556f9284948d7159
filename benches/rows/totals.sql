-- What the numbered audit log adds up to, once all payments are there.
insert into agency_totals (agency_id, status, payments, total_pence)
select agency_id, status, count(*), cast(sum(amount_pence) as bigint) from payments_ledger group by agency_id, status;
