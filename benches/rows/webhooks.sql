-- {count} fresh payments that wait for the webhook of run {run}, the k-th of agency 1 + k % A, each with an open todo
-- and a pending custom payment task. Their intents will be pi_w{run}_<k>. The server's own sequencer numbers the audit
-- log.
create temporary table loading as
with recursive numbers (k) as (
  select cast(0 as bigint) union all select k + 1 from numbers where k < {count} - 1
), digests as (
  select k, 1 + k % {agencies} as a, {now_ms} as at_ms, digest('webhook-{run}-' || k) as hex from numbers
)
select k, at_ms, hex, 'w-{run}-' || k as link, uuid_v7(at_ms, substr(hex, 8)) as id,
  uuid_v7({agencies_at} + a, digest('agency-' || a)) as agency_id, 'admin-' || a as actor
from digests;

insert into todos (agency_id, id, title, status, created_at)
select agency_id, link, 'Collect payment ' || k, 'open', time_of(at_ms) from loading;

insert into custom_payment_tasks (agency_id, id, title, amount_pence, status, created_at)
select agency_id, link, 'Custom payment ' || k, 125000, 'pending', time_of(at_ms) from loading;

insert into payments_ledger (agency_id, id, version, status, payment_type, method, method_forced, limit_applied_pence,
  amount_pence, currency, description, todo_id, custom_payment_task_id, latest_attempt, manual_payments, manually_paid,
  created_by, created_at, updated_at)
select agency_id, id, 1, 'pending', 'custom', 'card', false, 200000, 125000, 'GBP', 'Webhook payment ' || k, link,
  link, 1, 0, false, actor, time_of(at_ms), time_of(at_ms)
from loading;

-- Read back only when they expire, so that the janitor keeps out of what is measured.
insert into checkout_sessions (agency_id, payment_id, attempt, success_url, cancel_url, state, best, session_id, url,
  expires_at, tries, next_read_at, created_at)
select agency_id, id, 1, 'https://pay.example.com/checkout/return?payment=' || text_of(id) || '&outcome=paid',
  'https://pay.example.com/checkout/return?payment=' || text_of(id) || '&outcome=left', 'open', 'pending',
  'cs_' || substr(hex, 33, 24), 'https://checkout.calmonypay.com/c/cs_' || substr(hex, 33, 24),
  time_of(at_ms + 86400000), 1, time_of(at_ms + 86400000), time_of(at_ms)
from loading;

insert into audit_log (agency_id, id, payment_id, version, action, to_status, amount_pence, actor, at, request_id, changes)
select agency_id, uuid_v7(at_ms, substr(hex, 10)), id, 1, 'payment.created', 'pending', 125000, actor, time_of(at_ms),
  text_of(id), json_of('{"amountPence":125000,"paymentType":"custom","method":"card","methodForced":false,'
    || '"limitAppliedPence":200000,"tenancyId":null,"todoId":"' || link || '","customPaymentTaskId":"' || link || '"}')
from loading;

drop table loading;
