//! Every statement, once: the one list of them. A statement of one of the forms of `form.rs` is a line here; what is no form
//! (pages, totals, leases, the numbering) is a line here and a function in `statements/`.
//!
//! Statements that do not depend on each other are best asked for at once, with `try_join!`: where they are made for many
//! jobs together they share a round trip, and elsewhere they come one after another. They are done in the order in which
//! they were asked for. What was asked for and is dropped before it is answered, is not done.

use diesel::{OptionalExtension, QueryResult, pg::Pg, query_builder::QueryFragment, sql_types::Untyped};
use diesel_async::RunQueryDsl;

use super::{
    AnomalyPage, ChangesAfter, HostPage, PaymentPage,
    batch::{Kind, LockKey},
    form::{
        Changed, DeferredWrite, Statement, alone, insert, insert_unless_taken, lock, read, set, update,
        update_and_wait,
    },
    postgres,
    sql_types::Sha256,
    sqlite,
    table::{Column, Table},
    tables::*,
    tx::Tx,
};
use crate::{domain::*, error::Error};

// Agencies and tokens.
read! { /// One agency.
one agency(id: AgencyId) -> AgencyRow of agencies }
lock! { 0: /// One agency, locked.
lock_agency(id: AgencyId) -> AgencyRow of agencies }
insert! { /// Adds an agency.
insert_agency(AgencyRow) }
update! { /// Writes an agency's card limit.
update_agency(AgencyRow) }
read! { /// The token with this hash.
one token_by_hash(sha256: Sha256) -> TokenRow of tokens }
lock! { 1: /// One token, locked.
lock_token(id: TokenId) -> TokenRow of tokens }
insert! { /// Adds a token.
insert_token(TokenRow) }
update! { /// Writes when a token was revoked.
update_token(TokenRow) }

// Todos and custom payment tasks.
read! { /// One todo.
one todo(agency_id: AgencyId, id: HostId) -> TodoRow of todos }
lock! { 3: /// One todo, locked.
lock_todo(agency_id: AgencyId, id: HostId) -> TodoRow of todos }
insert_unless_taken! { /// Adds a todo unless its id is taken; says whether it did.
insert_todo(TodoRow) }
update! { /// Writes whether a todo is complete, and by whom.
update_todo(TodoRow) }
read! { /// One custom payment task.
one task(agency_id: AgencyId, id: HostId) -> TaskRow of custom_payment_tasks }
lock! { 2: /// One custom payment task, locked.
lock_task(agency_id: AgencyId, id: HostId) -> TaskRow of custom_payment_tasks }
insert_unless_taken! { /// Adds a custom payment task unless its id is taken; says whether it did.
insert_task(TaskRow) }
update! { /// Writes whether a custom payment task is paid, and by which payment.
update_task(TaskRow) }

// Payments.
read! { /// One payment of an agency, as it is shown.
one payment(agency_id: AgencyId, id: PaymentId) -> ShownPayment of payments_ledger }
read! { /// One payment of an agency, not locked.
one payment_row(agency_id: AgencyId, id: PaymentId) -> PaymentRow of payments_ledger }
read! { /// What a payment of an agency is linked to.
one payment_links(agency_id: AgencyId, id: PaymentId) -> PaymentLinks of payments_ledger }
read! { /// As `payment_links`, of any agency: whose is it?
one links_of_any_agency(id: PaymentId) -> PaymentLinks of payments_ledger }
read! { /// The payments of a task that have a proof of payment and were not cancelled.
all paid_payments_of_task(agency_id: AgencyId, custom_payment_task_id: HostId) -> PaymentRow of payments_ledger,
" and row.status in ('succeeded', 'refunded') and row.cancelled_at is null order by row.id" }
read! { /// As `paid_payments_of_task`, of a todo.
all paid_payments_of_todo(agency_id: AgencyId, todo_id: HostId) -> PaymentRow of payments_ledger,
" and row.status in ('succeeded', 'refunded') and row.cancelled_at is null order by row.id" }
lock! { 4: /// One payment, locked.
lock_payment(agency_id: AgencyId, id: PaymentId) -> PaymentRow of payments_ledger }
read! { /// The payment made under an idempotency key.
one payment_by_key(agency_id: AgencyId, idempotency_key: IdempotencyKey) -> PaymentRow of payments_ledger }
// Literal, so that the planner sees that the partial index `payments_ledger_one_open_per_task` answers it.
read! { /// The payment of a task that is under way.
one open_payment_of_task(agency_id: AgencyId, custom_payment_task_id: HostId) -> PaymentRow of payments_ledger,
" and row.status in ('pending', 'processing')" }
insert_unless_taken! { /// Adds a payment unless its idempotency key or its task's only place is taken; says whether it did.
insert_payment(PaymentRow) }
update! { /// Writes the changing columns of a payment. Only `audit.rs` calls it.
update_payment(PaymentRow) }
read! { /// Every manual payment of a payment, by number.
all manual_payments_of(agency_id: AgencyId, payment_id: PaymentId) -> ManualPaymentRow of manual_payments,
" order by row.number" }
insert! { /// Adds a manual payment.
insert_manual_payment(ManualPaymentRow) }
update! { /// Writes that a manual payment was withdrawn, or covered by a refund mark.
update_manual_payment(ManualPaymentRow) }

// Checkout sessions.
read! { /// One attempt's session.
one session(agency_id: AgencyId, payment_id: PaymentId, attempt: i32) -> SessionRow of checkout_sessions }
read! { /// Every session of a payment, by attempt.
all sessions_of(agency_id: AgencyId, payment_id: PaymentId) -> SessionRow of checkout_sessions,
" order by row.attempt" }
read! { /// The session with the provider's id, of any agency: whose is it?
one session_by_id(session_id: SessionId) -> SessionRow of checkout_sessions }
insert! { /// Adds a checkout session.
insert_session(SessionRow) }
update! { /// Writes how a session stands with the provider: state, id, link, lease.
update_session(SessionRow): state, session_id, url, expires_at, leased_until, next_read_at }
update! { /// Writes that a session's link is dead.
close_session(SessionRow): state }
update! { /// Writes how far a session got.
update_attempt(SessionRow): best, failure_reason, processing_since, next_read_at }

// Payment intents.
read! { /// One intent, of any agency: whose is it?
one intent(intent_id: IntentId) -> IntentRow of payment_intents }
read! { /// Every intent of a payment.
all intents_of(agency_id: AgencyId, payment_id: PaymentId) -> IntentRow of payment_intents, "" }
insert! { /// Adds an intent that was not there when this transaction looked.
insert_intent(IntentRow) }
update! { /// Writes the changing columns of an intent.
update_intent(IntentRow) }

// The webhook inbox.
read! { /// One event.
one event(event_id: EventId) -> EventRow of processed_events }
lock! { 5: /// One event, locked.
lock_event(event_id: EventId) -> EventRow of processed_events }
insert_unless_taken! { /// Adds an event unless its id is known; says whether it did.
insert_event_unless_known(EventRow) }
insert! { /// Adds an event whose id was looked for under its payment's lock.
insert_event(EventRow) }
update_and_wait! { /// Writes what was concluded about a known event, which is locked.
update_event(EventRow) }
set! { /// Makes parked events due that wait for this intent.
wake_events_of_intent of processed_events where (intent_id: IntentId) set (due_at: Option<Timestamp>),
" and row.due_at is not null" }
set! { /// Makes parked events due that wait for this session.
wake_events_of_session of processed_events where (session_id: SessionId) set (due_at: Option<Timestamp>),
" and row.due_at is not null" }

// Anomalies.
read! { /// One anomaly.
one anomaly(agency_id: AgencyId, id: AnomalyId) -> AnomalyRow of payment_anomalies }
read! { /// Every anomaly of a payment.
all anomalies_of(agency_id: AgencyId, payment_id: PaymentId) -> AnomalyRow of payment_anomalies, " order by row.id" }
insert! { /// Adds an anomaly that the payment, which is locked, does not have.
insert_anomaly(AnomalyRow) }
update! { /// Writes how an anomaly was settled.
update_anomaly(AnomalyRow) }

// The audit log.
insert! { /// Adds a row to the audit log.
insert_audit(AuditRow) }

alone! {
    agencies {
        /// The oldest agency of this name.
        agency_named(name: &str) -> Option<AgencyRow>;
        /// Whether the database answers.
        ping() -> ();
        /// The version of the database.
        database_version() -> String;
        /// All tokens, oldest first.
        tokens() -> Vec<TokenRow>;
    }
    tasks {
        /// A page of todos, newest first.
        todo_page(page: &HostPage<TodoStatus>) -> Vec<TodoRow>;
        /// A page of custom payment tasks, newest first.
        task_page(page: &HostPage<TaskStatus>) -> Vec<TaskRow>;
    }
    sessions {
        /// Takes the right to ask the provider for this session; says whether it got it.
        lease_session(agency: AgencyId, payment: PaymentId, attempt: i32, now: Timestamp, until: Timestamp) -> bool;
        /// Whether the janitor has a session to look at.
        has_due_sessions(now: Timestamp) -> bool;
        /// Takes sessions the janitor is to look at, and leases them: creates of unknown outcome first, then longest due.
        lease_due_sessions(now: Timestamp, until: Timestamp, limit: i64) -> Vec<SessionRow>;
    }
    events {
        /// Whether any parked event is due and not leased.
        has_due_events(now: Timestamp) -> bool;
        /// Takes due parked events, oldest first, and leases them.
        lease_events(now: Timestamp, until: Timestamp, limit: i64) -> Vec<EventRow>;
        /// A page of the inbox, newest first.
        event_page(verdict: Option<Verdict>, limit: i64) -> Vec<EventRow>;
        /// Forgets the bodies of dead and quarantined events that came before this; says how many.
        drop_old_bodies(before: Timestamp, limit: i64) -> usize;
    }
    outbox {
        /// Begins to send to Inngest, from what is in the audit log now; once begun it changes nothing.
        begin_outbox(now: Timestamp) -> ();
        /// Forgets what is still to be sent, and how far it got.
        forget_outbox() -> ();
        /// Whether anything is to be sent.
        has_unsent() -> bool;
        /// Takes the right to send until then; how often it failed in a row, `None` where it is not one's turn.
        lease_outbox(now: Timestamp, until: Timestamp) -> Option<i32>;
        /// Events to be sent, oldest first.
        unsent_events(limit: i64) -> Vec<UnsentEvent>;
        /// Rows of the audit log to be sent, each agency's in order, of those agencies that have waited longest.
        unsent_changes(agencies: i64, of_each: i64, now: Timestamp) -> Vec<UnsentChange>;
        /// These events and changes are sent.
        note_sent(events: &[EventId], changes: &[UnsentChange], now: Timestamp) -> ();
        /// Lets go of the right to send, until it is due again.
        release_outbox(tries: i32, due_at: Timestamp) -> ();
    }
    anomalies {
        /// How many anomalies are open, by kind.
        open_anomalies() -> Vec<(AnomalyKind, i64)>;
        /// A page of anomalies, newest first.
        anomaly_page(page: &AnomalyPage) -> Vec<AnomalyRow>;
    }
    audit {
        /// A page of one payment's trail, in order of version.
        payment_trail(agency: AgencyId, payment: PaymentId, after: i64, limit: i64) -> Vec<AuditRow>;
        /// A page of an agency's trail, oldest first.
        agency_trail(agency: AgencyId, after: i64, limit: i64) -> Vec<(i64, AuditRow)>;
        /// Numbered changes of statuses in their order, each with its payment as it now stands.
        changes_after(after: &ChangesAfter) -> Vec<(ChangeRow, ShownPayment)>;
        /// The last change of a payment's status, numbered or not yet, with the payment as it now stands.
        latest_change(agency: AgencyId, payment: PaymentId) -> Option<(ChangeRow, ShownPayment)>;
    }
    sequencing {
        /// Takes the right to do a kind of work until the transaction ends; says whether it got it.
        lock_job(kind: &str, now: Timestamp) -> bool;
        /// Whether any change of a status has no number yet.
        has_unnumbered() -> bool;
        /// The entries of an agency's changes that have no number yet.
        unnumbered_entries(agency: AgencyId) -> Vec<i64>;
        /// Changes of statuses that have no number yet, in their order.
        unnumbered(limit: i64) -> Vec<UnnumberedRow>;
        /// The last number given in each agency's audit log; 0 where there is none.
        last_sequences(agencies: &[AgencyId]) -> Vec<(AgencyId, i64)>;
        /// Gives rows of the audit log their numbers.
        write_sequences(rows: &[Numbered]) -> ();
        /// Adds to agencies' totals.
        add_to_totals(changes: &[TotalRow]) -> ();
    }
}

/// A page of payments as they are shown, newest first. Each filter has an index of its own, so there is no statement for
/// many; they share the way there and back.
#[derive(Clone, Debug)]
pub struct ListPayments(PaymentPage);

impl Statement for ListPayments {
    type Answer = Vec<ShownPayment>;
    const NAME: &'static str = "payment_page";
    const KIND: Kind = Kind::Read;

    async fn on_sqlite(&self, connection: &mut sqlite::Conn) -> QueryResult<Self::Answer> {
        sqlite::statements::payments::ShownPage(&self.0).load(connection).await
    }

    async fn on_postgres(connection: &postgres::Conn, asks: &[Self]) -> QueryResult<Vec<Self::Answer>> {
        let each = asks.iter().map(|ListPayments(page)| async move {
            postgres::statements::payments::ShownPage(page).load(&mut &*connection).await
        });
        futures_util::future::try_join_all(each).await
    }
}

/// Count and total of an agency's payments by status.
#[derive(Clone, Copy, Debug)]
pub struct Totals(AgencyId);

impl Statement for Totals {
    type Answer = Vec<(PaymentStatus, i64, i64)>;
    const NAME: &'static str = "payment_totals";
    const KIND: Kind = Kind::Read;

    async fn on_sqlite(&self, connection: &mut sqlite::Conn) -> QueryResult<Self::Answer> {
        let rows: Vec<(AgencyId, PaymentStatus, i64, i64)> =
            sqlite::statements::totals::TotalsOf(&[self.0]).load(connection).await?;
        Ok(rows.into_iter().map(|(_, status, payments, pence)| (status, payments, pence)).collect())
    }

    async fn on_postgres(mut connection: &postgres::Conn, asks: &[Self]) -> QueryResult<Vec<Self::Answer>> {
        let agencies: Vec<AgencyId> = asks.iter().map(|Totals(agency)| *agency).collect();
        let rows: Vec<(AgencyId, PaymentStatus, i64, i64)> =
            postgres::statements::totals::TotalsOf(&agencies).load(&mut connection).await?;
        let of = |agency: &AgencyId| {
            let own = rows.iter().filter(|row| row.0 == *agency);
            own.map(|(_, status, payments, pence)| (*status, *payments, *pence)).collect()
        };
        Ok(agencies.iter().map(of).collect())
    }
}

impl Tx {
    /// One event, locked, in a transaction of its own: jobs that share one do not wait for each other's row locks, and what
    /// `update_event` writes would undo another's `wake_events_of_*`. Nothing may be asked before it.
    pub async fn hold_event(&self, id: &EventId) -> Result<Option<EventRow>, Error> {
        if let Self::Batch(batch) = self {
            match batch.leave().await {}
        }
        self.lock_event(id).await
    }

    /// A page of payments as they are shown, newest first.
    pub async fn payment_page(&self, page: PaymentPage) -> Result<Vec<ShownPayment>, Error> {
        self.list(ListPayments(page)).await
    }

    /// Count and total of an agency's payments by status, exact at this moment.
    pub async fn payment_totals(&self, agency: AgencyId) -> Result<Vec<(PaymentStatus, i64, i64)>, Error> {
        self.read(Totals(agency)).await
    }
}
