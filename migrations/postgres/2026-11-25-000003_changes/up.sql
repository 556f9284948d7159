-- Only changes of a status are numbered: what a subscriber sees is then dense. The journal's other rows (an anomaly, a
-- renewed link, an agency's card limit) change no status and add nothing to the totals, so they wait for no sealer.
drop index audit_log_unsealed;
create index audit_log_unsealed on audit_log (agency_id, entry)
  where sequence is null and from_status is distinct from to_status;
