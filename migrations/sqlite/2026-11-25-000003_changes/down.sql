drop index audit_log_unsealed;
create index audit_log_unsealed on audit_log (agency_id, entry) where sequence is null;
