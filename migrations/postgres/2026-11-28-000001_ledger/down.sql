drop table inngest_cursors, jobs, agency_totals, audit_log, payment_anomalies, processed_events, payment_intents,
  checkout_sessions, manual_payments, payments_ledger, custom_payment_tasks, todos, tokens, agencies;
drop function audit_log_refuse();
