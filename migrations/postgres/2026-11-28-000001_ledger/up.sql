-- The ledger of Quittance. Every rule the program keeps is repeated here under a name of its own, so that
-- neither a bug nor a person with psql can write a row that breaks it. Pence are whole pence; times are UTC.
-- The SQLite migration of the same name makes the same tables.
--
-- Every row carries its agency, and keys and foreign keys begin with it, so that the ledger can be distributed by
-- agency. tests/it/ledger_agencies.rs lists the exceptions: ids that the provider gives out (intents, sessions, events)
-- and ids by which an event finds its payment are unique over all agencies, and `tokens` and `jobs` belong to the
-- installation.

-- A letting agency: the owner of every other row. A token says which one a caller works for.
create table agencies (
  id uuid not null constraint agencies_key primary key,
  name text not null constraint agencies_name_length check (char_length(name) between 1 and 200),
  -- The most it takes by card; above it payments are forced to Pay by Bank. Null is no limit, 0 is no cards.
  max_card_payment_pence bigint default 200000
    constraint agencies_card_limit_range check (max_card_payment_pence between 0 and 99999999),
  created_at timestamptz not null
);

-- Bearer tokens. Only the SHA-256 of a token is kept; the token itself was shown once.
create table tokens (
  id uuid not null constraint tokens_key primary key,
  agency_id uuid not null constraint tokens_agency references agencies,
  role text not null constraint tokens_role_known check (role in ('viewer', 'agent', 'admin')),
  actor text not null constraint tokens_actor_length check (char_length(actor) between 1 and 200),
  sha256 bytea not null constraint tokens_sha256_unique unique
    constraint tokens_sha256_length check (octet_length(sha256) = 32),
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz
);

-- Todos of the host platform, mirrored here so that a payment completes one in its own transaction.
create table todos (
  agency_id uuid not null constraint todos_agency references agencies,
  id text not null constraint todos_id_form check (id ~ '^[A-Za-z0-9_-]{1,64}$'),
  title text not null constraint todos_title_length check (char_length(title) between 1 and 200),
  tenancy_id text constraint todos_tenancy_form check (tenancy_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  status text not null constraint todos_status_known check (status in ('open', 'complete')),
  completed_at timestamptz,
  completed_by text,
  created_at timestamptz not null,
  constraint todos_key primary key (agency_id, id),
  constraint todos_complete_has_time_and_actor check (
    (status = 'complete') = (completed_at is not null) and (completed_at is null) = (completed_by is null))
);
create index todos_newest_first on todos (agency_id, created_at desc, id desc);

-- One-off charges an agent drew up: paid by at most one payment at a time.
create table custom_payment_tasks (
  agency_id uuid not null constraint custom_payment_tasks_agency references agencies,
  id text not null constraint custom_payment_tasks_id_form check (id ~ '^[A-Za-z0-9_-]{1,64}$'),
  title text not null constraint custom_payment_tasks_title_length check (char_length(title) between 1 and 200),
  amount_pence bigint
    constraint custom_payment_tasks_amount_range check (amount_pence between 1 and 99999999),
  tenancy_id text constraint custom_payment_tasks_tenancy_form check (tenancy_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  status text not null constraint custom_payment_tasks_status_known check (status in ('pending', 'paid')),
  paid_at timestamptz,
  -- The payment whose first proof paid it.
  paid_by_payment_id uuid,
  created_at timestamptz not null,
  constraint custom_payment_tasks_key primary key (agency_id, id),
  constraint custom_payment_tasks_paid_has_time_and_payment check (
    (status = 'paid') = (paid_at is not null) and (paid_at is null) = (paid_by_payment_id is null))
);
create index custom_payment_tasks_newest_first on custom_payment_tasks (agency_id, created_at desc, id desc);

-- One row per payment asked for. `status` is a function of the facts (this row's marks, its sessions, its
-- intents); it is stored so that reading needs no fold, and written in one place together with `version`.
create table payments_ledger (
  agency_id uuid not null constraint payments_ledger_agency references agencies,
  -- UUIDv7, so descending by id is newest first. Unique over all agencies: an event may name nothing else.
  id uuid not null constraint payments_ledger_id_unique unique,
  -- Counts the audit rows of this payment: +1 with each, under the row's lock.
  version bigint not null constraint payments_ledger_version_positive check (version >= 1),
  status text not null constraint payments_ledger_status_known
    check (status in ('pending', 'processing', 'succeeded', 'failed', 'refunded', 'cancelled')),
  payment_type text not null constraint payments_ledger_type_known
    check (payment_type in ('holding_deposit', 'move_in_balance', 'renewal_fee', 'custom')),
  method text not null constraint payments_ledger_method_known check (method in ('card', 'open_banking')),
  method_forced boolean not null,
  -- The agency's card limit at the moment the method was decided.
  limit_applied_pence bigint,
  amount_pence bigint not null
    constraint payments_ledger_amount_range check (amount_pence between 1 and 99999999),
  currency text not null constraint payments_ledger_currency_is_gbp check (currency = 'GBP'),
  description text not null
    constraint payments_ledger_description_length check (char_length(description) between 1 and 500),
  tenancy_id text constraint payments_ledger_tenancy_form check (tenancy_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  todo_id text,
  custom_payment_task_id text,
  -- The caller's key and the SHA-256 of what was asked under it.
  idempotency_key text
    constraint payments_ledger_idempotency_key_length check (char_length(idempotency_key) between 1 and 64),
  params_sha256 bytea constraint payments_ledger_params_sha256_length check (octet_length(params_sha256) = 32),
  -- Number of the newest checkout session.
  latest_attempt integer not null constraint payments_ledger_attempt_positive check (latest_attempt >= 1),
  -- Marks by people. How often it was marked as paid (`manual_payments`, which is read only where this is not 0).
  manual_payments integer not null constraint payments_ledger_manual_payments_not_negative check (manual_payments >= 0),
  cancelled_at timestamptz,
  cancelled_by text,
  refund_marked_at timestamptz,
  refund_marked_by text,
  refund_reference text
    constraint payments_ledger_refund_reference_length check (char_length(refund_reference) between 1 and 200),
  refund_reason text
    constraint payments_ledger_refund_reason_length check (char_length(refund_reason) between 1 and 500),
  -- What followed. Of the newest manual payment that was not withdrawn.
  manually_paid boolean not null,
  manual_payment_reference text constraint payments_ledger_manual_reference_length
    check (char_length(manual_payment_reference) between 1 and 200),
  -- Of the first success.
  payment_intent_id text,
  paid_at timestamptz,
  failure_reason text,
  refunded_pence bigint not null default 0
    constraint payments_ledger_refunded_not_negative check (refunded_pence >= 0),
  refunded_at timestamptz,
  open_anomalies integer not null default 0
    constraint payments_ledger_anomalies_not_negative check (open_anomalies >= 0),
  created_by text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint payments_ledger_key primary key (agency_id, id),
  constraint payments_ledger_todo foreign key (agency_id, todo_id) references todos,
  constraint payments_ledger_task foreign key (agency_id, custom_payment_task_id) references custom_payment_tasks,
  constraint payments_ledger_idempotency_whole check ((idempotency_key is null) = (params_sha256 is null)),
  constraint payments_ledger_cancel_mark_whole check ((cancelled_at is null) = (cancelled_by is null)),
  constraint payments_ledger_manual_mark_whole check (manually_paid or manual_payment_reference is null),
  constraint payments_ledger_manual_was_marked check (not manually_paid or manual_payments > 0),
  constraint payments_ledger_refund_mark_whole check (
    (refund_marked_at is null) = (refund_marked_by is null)
    and (refund_marked_at is null) = (refund_reference is null)
    and (refund_marked_at is not null or refund_reason is null)),
  constraint payments_ledger_paid_has_time check (status not in ('succeeded', 'refunded') or paid_at is not null),
  constraint payments_ledger_refunded_has_time check (status <> 'refunded' or refunded_at is not null),
  constraint payments_ledger_reason_only_when_failed check (failure_reason is null or status = 'failed'),
  constraint payments_ledger_forced_is_bank check (not method_forced or method = 'open_banking'),
  constraint payments_ledger_card_within_limit check (
    method <> 'card' or limit_applied_pence is null or amount_pence <= limit_applied_pence),
  constraint payments_ledger_manual_counts check (
    not manually_paid or status in ('succeeded', 'refunded')),
  constraint payments_ledger_cancelled_by_mark check (status <> 'cancelled' or cancelled_at is not null),
  constraint payments_ledger_refund_of_proof check (
    refunded_pence = 0 or status in ('succeeded', 'refunded'))
);
-- A list that is filtered by nothing reads the key itself, backwards. For each other way to filter `payment.list` there
-- is an index with exactly the rows of the list in its order; each costs a write a few microseconds.
create index payments_ledger_by_status on payments_ledger (agency_id, status, id desc);
create index payments_ledger_by_type on payments_ledger (agency_id, payment_type, id desc);
create index payments_ledger_by_status_and_type on payments_ledger (agency_id, status, payment_type, id desc);
create index payments_ledger_by_tenancy on payments_ledger (agency_id, tenancy_id, id desc)
  where tenancy_id is not null;
create index payments_ledger_by_todo on payments_ledger (agency_id, todo_id, id desc) where todo_id is not null;
create index payments_ledger_by_task on payments_ledger (agency_id, custom_payment_task_id, id desc)
  where custom_payment_task_id is not null;
create unique index payments_ledger_idempotency on payments_ledger (agency_id, idempotency_key)
  where idempotency_key is not null;
-- A custom payment task has at most one payment under way.
create unique index payments_ledger_one_open_per_task on payments_ledger (agency_id, custom_payment_task_id)
  where custom_payment_task_id is not null and status in ('pending', 'processing');

-- Payments that people confirmed by hand, numbered from 1 for each payment. One stands until it is withdrawn or covered
-- by a refund mark; a withdrawn one proves nothing.
create table manual_payments (
  agency_id uuid not null,
  payment_id uuid not null,
  number integer not null constraint manual_payments_number_positive check (number >= 1),
  reference text constraint manual_payments_reference_length check (char_length(reference) between 1 and 200),
  marked_at timestamptz not null,
  marked_by text not null,
  -- A refund mark was set while it stood.
  refund_marked boolean not null,
  withdrawn_at timestamptz,
  withdrawn_by text,
  withdrawal_reason text
    constraint manual_payments_reason_length check (char_length(withdrawal_reason) between 1 and 500),
  constraint manual_payments_key primary key (agency_id, payment_id, number),
  constraint manual_payments_payment foreign key (agency_id, payment_id) references payments_ledger (agency_id, id),
  constraint manual_payments_withdrawal_whole check (
    (withdrawn_at is null) = (withdrawn_by is null) and (withdrawn_at is null) = (withdrawal_reason is null)),
  constraint manual_payments_refunded_stays check (withdrawn_at is null or not refund_marked)
);

-- One row per checkout session: an attempt of a payment. The row is there before the provider is asked, under a key that
-- follows from payment and attempt, so that an answer lost on the way can be fetched again under the same key.
create table checkout_sessions (
  agency_id uuid not null,
  payment_id uuid not null,
  attempt integer not null constraint checkout_sessions_attempt_positive check (attempt >= 1),
  -- Where the provider sends the tenant: what is asked for under one key never changes, whatever is configured meanwhile.
  success_url text not null,
  cancel_url text not null,
  state text not null constraint checkout_sessions_state_known
    check (state in ('creating', 'open', 'dead', 'rejected')),
  -- The best reported for it, in the order pending < processing < failed.
  best text not null constraint checkout_sessions_best_known check (best in ('pending', 'processing', 'failed')),
  failure_reason text,
  -- When money was first reported to be on its way.
  processing_since timestamptz,
  session_id text constraint checkout_sessions_session_unique unique,
  url text,
  expires_at timestamptz,
  -- While somebody is asking the provider: nobody else does.
  leased_until timestamptz,
  tries integer not null default 0,
  -- When the janitor next asks the provider how it stands.
  next_read_at timestamptz,
  created_at timestamptz not null,
  constraint checkout_sessions_key primary key (agency_id, payment_id, attempt),
  constraint checkout_sessions_payment foreign key (agency_id, payment_id) references payments_ledger (agency_id, id),
  constraint checkout_sessions_open_is_known check (
    state <> 'open' or (session_id is not null and url is not null and expires_at is not null)),
  constraint checkout_sessions_processing_since check (best <> 'processing' or processing_since is not null),
  constraint checkout_sessions_reason_only_when_failed check (failure_reason is null or best = 'failed'),
  constraint checkout_sessions_session_whole check ((session_id is null) = (url is null))
);
create index checkout_sessions_due on checkout_sessions (next_read_at) where next_read_at is not null;

-- One row per provider intent: the first event or read-back that names an intent and a payment decides which
-- payment it belongs to. The key is what makes two events for one intent one payment.
create table payment_intents (
  intent_id text not null constraint payment_intents_key primary key,
  agency_id uuid not null,
  payment_id uuid not null,
  attempt integer,
  state text not null constraint payment_intents_state_known check (state in ('seen', 'succeeded', 'rejected')),
  -- As first reported; null where the report named none.
  amount_pence bigint constraint payment_intents_amount_not_negative check (amount_pence >= 0),
  currency text,
  -- The largest figure seen.
  refunded_pence bigint not null
    constraint payment_intents_refunded_not_negative check (refunded_pence >= 0),
  refund_marked boolean not null,
  recorded_at timestamptz not null,
  -- When its money came, by the provider's word where that can be right.
  succeeded_at timestamptz,
  constraint payment_intents_payment foreign key (agency_id, payment_id) references payments_ledger (agency_id, id),
  constraint payment_intents_success_has_time check ((state = 'succeeded') = (succeeded_at is not null)),
  constraint payment_intents_mark_of_proof check (state = 'succeeded' or not refund_marked),
  constraint payment_intents_refund_decides check (refunded_pence = 0 or state <> 'seen')
);
create index payment_intents_by_payment on payment_intents (agency_id, payment_id);

-- The webhook inbox: every authentic event, for ever, with its facts as columns and what was concluded. The body
-- is kept only while it may be needed again (parked, quarantined).
create table processed_events (
  event_id text not null constraint processed_events_key primary key,
  event_type text not null,
  event_created_at timestamptz,
  object_id text,
  intent_id text,
  session_id text,
  amount_pence bigint,
  currency text,
  payment_status text,
  refunded_pence bigint,
  verdict text not null constraint processed_events_verdict_known
    check (verdict in ('applied', 'stale', 'ignored', 'parked', 'dead', 'quarantined')),
  reason text,
  -- Whose it is, once that is known.
  agency_id uuid,
  payment_id uuid,
  tries integer not null,
  -- Tries that failed, as opposed to those that found no payment.
  failures integer not null default 0,
  due_at timestamptz,
  leased_until timestamptz,
  -- When the id came again with other facts.
  reused_at timestamptz,
  body bytea,
  received_at timestamptz not null,
  concluded_at timestamptz,
  -- Still to be sent to Inngest. Set by the insert itself, in the transaction that accepts the event, so that no event
  -- that commits late is passed over; never set where Inngest is not configured, and then its index stays empty.
  unsent boolean not null,
  constraint processed_events_payment foreign key (agency_id, payment_id)
    references payments_ledger (agency_id, id),
  constraint processed_events_payment_whole check ((agency_id is null) = (payment_id is null)),
  constraint processed_events_parked_is_due check ((verdict = 'parked') = (due_at is not null)),
  constraint processed_events_applied_to_payment check (verdict <> 'applied' or payment_id is not null),
  constraint processed_events_parked_has_body check (verdict <> 'parked' or body is not null)
);
create index processed_events_due on processed_events (due_at) where due_at is not null;
create index processed_events_parked_intent on processed_events (intent_id) where due_at is not null;
create index processed_events_parked_session on processed_events (session_id) where due_at is not null;
create index processed_events_unsent on processed_events (received_at) where unsent;
-- Bodies that are kept though nobody waits for them: of dead and quarantined events. They go after 30 days.
create index processed_events_old_bodies on processed_events (received_at)
  where body is not null and due_at is null;

-- What is strange about a payment, for a person to settle. One per payment, kind and thing it is about.
create table payment_anomalies (
  agency_id uuid not null,
  id uuid not null,
  payment_id uuid not null,
  kind text not null constraint payment_anomalies_kind_known check (kind in (
    'double_payment', 'paid_after_cancelled', 'amount_mismatch', 'currency_mismatch', 'reference_conflict',
    'stuck_processing', 'event_id_reuse')),
  reference text not null,
  detail text not null,
  status text not null constraint payment_anomalies_status_known check (status in ('open', 'resolved')),
  resolution text constraint payment_anomalies_resolution_known
    check (resolution in ('refunded', 'accepted', 'other')),
  note text constraint payment_anomalies_note_length check (char_length(note) between 1 and 500),
  created_at timestamptz not null,
  resolved_at timestamptz,
  resolved_by text,
  constraint payment_anomalies_key primary key (agency_id, id),
  constraint payment_anomalies_payment foreign key (agency_id, payment_id) references payments_ledger (agency_id, id),
  constraint payment_anomalies_one_each unique (agency_id, payment_id, kind, reference),
  constraint payment_anomalies_resolved_whole check (
    (status = 'resolved') = (resolution is not null) and (resolution is null) = (note is null)
    and (resolution is null) = (resolved_at is null) and (resolution is null) = (resolved_by is null))
);
create index payment_anomalies_open on payment_anomalies (kind) where status = 'open';

-- The audit log: one row per change, written in the transaction of the change. Append-only: the only later write is
-- the sequence, once.
create table audit_log (
  -- Numbered under the payment's lock, so that a payment's rows have rising numbers.
  entry bigint generated always as identity,
  id uuid not null,
  agency_id uuid not null constraint audit_log_agency references agencies,
  -- Null where the resource is the agency or a token.
  payment_id uuid,
  version bigint,
  action text not null constraint audit_log_action_known check (action in (
    'payment.created', 'payment.processing', 'payment.succeeded', 'payment.failed', 'payment.refunded',
    'payment.manually_paid', 'payment.manual_payment_withdrawn', 'payment.cancelled', 'payment.checkout_renewed',
    'payment.card_limit_updated', 'payment.anomaly', 'payment.anomaly_resolved', 'token.issued', 'token.revoked')),
  from_status text,
  to_status text,
  amount_pence bigint,
  actor text not null,
  at timestamptz not null,
  request_id text,
  changes jsonb not null,
  -- Dense per agency, in an order that agrees with each payment's versions; null until the sequencer has come by.
  sequence bigint,
  constraint audit_log_key primary key (agency_id, entry),
  constraint audit_log_payment foreign key (agency_id, payment_id) references payments_ledger (agency_id, id),
  constraint audit_log_statuses_known check (
    from_status in ('pending', 'processing', 'succeeded', 'failed', 'refunded', 'cancelled')
    and to_status in ('pending', 'processing', 'succeeded', 'failed', 'refunded', 'cancelled')),
  constraint audit_log_payment_whole check (
    (payment_id is null) = (to_status is null) and (payment_id is null) = (amount_pence is null)),
  constraint audit_log_from_unless_created check (
    payment_id is null or (from_status is null) = (action = 'payment.created')),
  constraint audit_log_anomaly_moves_nothing check (
    action not in ('payment.anomaly', 'payment.anomaly_resolved') or from_status = to_status),
  constraint audit_log_version_unique unique (agency_id, payment_id, version),
  constraint audit_log_version_whole check ((payment_id is null) = (version is null)),
  constraint audit_log_created_comes_first check (
    (action = 'payment.created') = (version is not null and version = 1))
);
create unique index audit_log_sequence on audit_log (agency_id, sequence) where sequence is not null;
-- Only changes of a status are numbered: what a subscriber sees is then dense.
create index audit_log_unnumbered on audit_log (agency_id, entry)
  where sequence is null and from_status is distinct from to_status;

create function audit_log_refuse() returns trigger language plpgsql as $$
begin
  raise exception 'audit_log is append-only' using errcode = 'restrict_violation';
end $$;
create trigger audit_log_no_delete before delete on audit_log for each row execute function audit_log_refuse();
create trigger audit_log_no_truncate before truncate on audit_log execute function audit_log_refuse();
create trigger audit_log_no_update before update on audit_log for each row
  when (not (old.sequence is null and new.sequence is not null
    and row (new.entry, new.id, new.agency_id, new.payment_id, new.version, new.action, new.from_status, new.to_status,
             new.amount_pence, new.actor, new.at, new.request_id, new.changes)
        is not distinct from
        row (old.entry, old.id, old.agency_id, old.payment_id, old.version, old.action, old.from_status, old.to_status,
             old.amount_pence, old.actor, old.at, old.request_id, old.changes)))
  execute function audit_log_refuse();

-- What the numbered rows of the audit log add up to: how many payments an agency has in each status, and their total.
-- Together with the rows that have no number yet it is exact at every moment, and no payment ever locks it.
create table agency_totals (
  agency_id uuid not null constraint agency_totals_agency references agencies,
  status text not null constraint agency_totals_status_known
    check (status in ('pending', 'processing', 'succeeded', 'failed', 'refunded', 'cancelled')),
  payments bigint not null constraint agency_totals_payments_not_negative check (payments >= 0),
  total_pence bigint not null constraint agency_totals_pence_not_negative check (total_pence >= 0),
  constraint agency_totals_key primary key (agency_id, status)
);

-- Background work that one instance at a time does, under a lease.
create table jobs (
  kind text not null,
  key text not null,
  due_at timestamptz not null,
  leased_until timestamptz,
  tries integer not null default 0,
  constraint jobs_key primary key (kind, key)
);
create index jobs_due on jobs (due_at);

-- How far each agency's audit log has been sent to Inngest: the sequence of the last row. No rows where Inngest is not
-- configured.
create table inngest_cursors (
  agency_id uuid not null constraint inngest_cursors_key primary key
    constraint inngest_cursors_agency references agencies,
  sequence bigint not null constraint inngest_cursors_sequence_not_negative check (sequence >= 0),
  -- Whoever has waited longest goes first.
  moved_at timestamptz not null
);
