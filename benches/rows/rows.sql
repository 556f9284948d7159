-- Payments {from} to {to} of {rows}, and everything that a server would have written about them by now. Run in
-- slices, in order; the same text on both databases.
--
-- The n-th payment belongs to agency 1 + n % A, and there is a tenancy for every ten. 10% are pending, 2% processing,
-- 80% succeeded, 3% failed, 1% refunded and 4% cancelled, evenly over two years. Their links are long dead.
create temporary table loading as
with recursive numbers (n) as (
  select cast({from} as bigint) union all select n + 1 from numbers where n < {to}
), digests as (
  select n, 1 + n % {agencies} as a, {payments_at} + n * {span_ms} / {rows} as at_ms, digest('payment-' || n) as hex
  from numbers
), drawn as (
  select n, a, at_ms, hex, number(hex) % 100 as percent, number(hex) / 256 % 4 as kind,
    1000 + number(hex) / 8 % 300000 as amount_pence
  from digests
), decided as (
  select drawn.*,
    case when percent < 10 then 'pending' when percent < 12 then 'processing' when percent < 92 then 'succeeded'
      when percent < 95 then 'failed' when percent < 96 then 'refunded' else 'cancelled' end as status
  from drawn
)
select n, a, at_ms, hex, status, amount_pence,
  uuid_v7(at_ms, substr(hex, 8)) as id,
  uuid_v7({agencies_at} + a, digest('agency-' || a)) as agency_id,
  'admin-' || a as actor,
  'ten-' || (1 + (n - 1) % {tenancies}) as tenancy_id,
  case kind when 0 then 'holding_deposit' when 1 then 'move_in_balance' when 2 then 'renewal_fee' else 'custom' end
    as payment_type,
  case when amount_pence > 200000 then 'open_banking' else 'card' end as method,
  -- Rows of the audit log so far.
  case status when 'pending' then 1 when 'refunded' then 3 else 2 end as version,
  -- When the tenant, the agent or the bank acted; and when the last of them did.
  at_ms + 3600000 as acted_ms,
  case status when 'pending' then at_ms when 'refunded' then at_ms + 7200000 else at_ms + 3600000 end as updated_ms,
  case when status in ('processing', 'succeeded', 'failed', 'refunded') then 'pi_' || substr(hex, 30, 24) end as intent_id,
  case when status = 'failed' then 'card_declined' end as failure_reason,
  case when status = 'refunded' then amount_pence else 0 end as refunded_pence
from decided;

insert into payments_ledger (agency_id, id, version, status, payment_type, method, method_forced, limit_applied_pence,
  amount_pence, currency, description, tenancy_id, latest_attempt, manual_payments, cancelled_at, cancelled_by,
  manually_paid, payment_intent_id, paid_at, failure_reason, refunded_pence, refunded_at, created_by, created_at,
  updated_at)
select agency_id, id, version, status, payment_type, method, method = 'open_banking', 200000,
  amount_pence, 'GBP', 'Payment ' || n || ' for tenancy', tenancy_id, 1, 0,
  case when status = 'cancelled' then time_of(acted_ms) end, case when status = 'cancelled' then actor end, false,
  case when status in ('succeeded', 'refunded') then intent_id end,
  case when status in ('succeeded', 'refunded') then time_of(acted_ms) end,
  failure_reason, refunded_pence, case when status = 'refunded' then time_of(updated_ms) end,
  actor, time_of(at_ms), time_of(updated_ms)
from loading order by n;

insert into checkout_sessions (agency_id, payment_id, attempt, success_url, cancel_url, state, best, failure_reason,
  processing_since, session_id, url, expires_at, tries, created_at)
select agency_id, id, 1, 'https://pay.example.com/checkout/return?payment=' || text_of(id) || '&outcome=paid',
  'https://pay.example.com/checkout/return?payment=' || text_of(id) || '&outcome=left', 'dead',
  case when status in ('processing', 'failed') then status else 'pending' end, failure_reason,
  case when status = 'processing' then time_of(acted_ms) end,
  'cs_' || substr(hex, 33, 24), 'https://checkout.calmonypay.com/c/cs_' || substr(hex, 33, 24),
  time_of(at_ms + 86400000), 1, time_of(at_ms)
from loading order by n;

insert into payment_intents (intent_id, agency_id, payment_id, attempt, state, amount_pence, currency, refunded_pence,
  refund_marked, recorded_at, succeeded_at)
select intent_id, agency_id, id, 1, case when status in ('succeeded', 'refunded') then 'succeeded' else 'seen' end,
  amount_pence, 'gbp', refunded_pence, false, time_of(acted_ms),
  case when status in ('succeeded', 'refunded') then time_of(acted_ms) end
from loading where intent_id is not null order by n;

-- One event for what happened, and one more for a refund.
insert into processed_events (event_id, event_type, event_created_at, object_id, intent_id, amount_pence, currency,
  refunded_pence, verdict, agency_id, payment_id, tries, received_at, concluded_at, unsent)
select 'evt_' || substr(hex, 36, 24),
  case status when 'processing' then 'payment_intent.processing' when 'failed' then 'payment_intent.payment_failed'
    else 'payment_intent.succeeded' end,
  time_of(acted_ms), intent_id, intent_id, amount_pence, 'gbp', null, 'applied', agency_id, id, 1,
  time_of(acted_ms), time_of(acted_ms), false
from loading where intent_id is not null
union all
select 'evt_' || substr(hex, 20, 24), 'payment_intent.refunded', time_of(updated_ms), intent_id, intent_id, amount_pence,
  'gbp', refunded_pence, 'applied', agency_id, id, 1, time_of(updated_ms), time_of(updated_ms), false
from loading where status = 'refunded';

-- Numbered as the sequencer does it, densely per agency, after what earlier slices have numbered.
insert into audit_log (agency_id, id, payment_id, version, action, from_status, to_status, amount_pence, actor, at,
  request_id, changes, sequence)
with told as (
  select n, 1 as number, 'payment.created' as action, cast(null as text) as from_status, 'pending' as to_status,
    actor as who, at_ms as told_ms, substr(hex, 10) as bits, text_of(id) as request_id,
    '{"amountPence":' || amount_pence || ',"paymentType":"' || payment_type || '","method":"' || method
      || '","methodForced":' || case method when 'card' then 'false' else 'true' end
      || ',"limitAppliedPence":200000,"tenancyId":"' || tenancy_id || '","todoId":null,"customPaymentTaskId":null}'
      as changes
  from loading
  union all
  select n, 2, 'payment.' || case status when 'refunded' then 'succeeded' else status end, 'pending',
    case status when 'refunded' then 'succeeded' else status end,
    case status when 'cancelled' then actor else 'calmony-pay' end, acted_ms, substr(hex, 20),
    case status when 'cancelled' then text_of(id) end,
    case when status = 'cancelled' then '{}'
      when status = 'failed' then '{"paymentIntentId":"' || intent_id || '","attempt":1,"failureReason":"card_declined"}'
      else '{"paymentIntentId":"' || intent_id || '","attempt":1}' end
  from loading where version >= 2
  union all
  select n, 3, 'payment.refunded', 'succeeded', 'refunded', 'calmony-pay', updated_ms, substr(hex, 30), null,
    '{"paymentIntentId":"' || intent_id || '","attempt":1}'
  from loading where version = 3
), sequences as (
  select id as of_agency, coalesce((select max(sequence) from audit_log
    where agency_id = agencies.id and sequence is not null), 0) as numbered
  from agencies
)
select agency_id, uuid_v7(told_ms, bits), id, number, action, from_status, to_status, amount_pence, who,
  time_of(told_ms), request_id, json_of(changes),
  numbered + row_number() over (partition by agency_id order by loading.n, number)
from told join loading on loading.n = told.n join sequences on of_agency = agency_id
order by loading.n, number;

drop table loading;
