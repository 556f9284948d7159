//! The index of statements: each is one line here and one function in `ledger/statements`.

use diesel_async::pooled_connection::bb8::PooledConnection;

use super::{postgres, rows::*, sql_types::Sha256, sqlite, statements_input::*};
use crate::{domain::*, error::Error};

/// A connection, inside a transaction where [`super::Ledger::write`] lent it. Its methods are the statements.
#[allow(clippy::large_enum_variant, reason = "few exist, and each is used hot")]
pub enum Tx {
    /// Embedded.
    Sqlite(sqlite::Conn),
    /// Taken from the pool.
    Postgres(PooledConnection<'static, postgres::Conn>),
    /// None: every statement fails.
    Closed,
}

macro_rules! statements {
    ($($subject:ident { $($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)* })*) => {
        impl Tx {
            $($(
                $(#[$doc])*
                pub async fn $name(&mut self, $($arg: $type),*) -> Result<$out, Error> {
                    match self {
                        Self::Sqlite(c) => Ok(sqlite::statements::$subject::$name(c, $($arg),*).await?),
                        Self::Postgres(c) => Ok(postgres::statements::$subject::$name(c, $($arg),*).await?),
                        Self::Closed => Err(Error::busy()),
                    }
                }
            )*)*
        }
    };
}

statements! {
    agencies {
        /// Adds an agency.
        insert_agency(row: &AgencyRow) -> ();
        /// One agency.
        agency(id: AgencyId) -> Option<AgencyRow>;
        /// The oldest agency of this name.
        agency_named(name: &str) -> Option<AgencyRow>;
        /// One agency, locked.
        lock_agency(id: AgencyId) -> Option<AgencyRow>;
        /// Sets an agency's card limit.
        set_card_limit(id: AgencyId, limit: Option<Pence>) -> ();
        /// Whether the database answers.
        ping() -> ();
    }
    tokens {
        /// Adds a token.
        insert_token(row: &TokenRow) -> ();
        /// The token with this hash.
        token_by_hash(sha256: Sha256) -> Option<TokenRow>;
        /// All tokens, oldest first.
        tokens() -> Vec<TokenRow>;
        /// Revokes a token, of one agency or of any; `None` where there is none. A second time keeps the first.
        revoke_token(id: TokenId, agency: Option<AgencyId>, at: Timestamp) -> Option<TokenRow>;
    }
    todos {
        /// Adds a todo unless its id is taken; says whether it did.
        insert_todo(row: &TodoRow) -> bool;
        /// One todo.
        todo(agency: AgencyId, id: &HostId) -> Option<TodoRow>;
        /// A page of todos, newest first.
        todo_page(page: &HostPage<TodoStatus>) -> Vec<TodoRow>;
        /// Completes a todo unless it is complete; says whether it did.
        complete_todo(agency: AgencyId, id: &HostId, by: &str, at: Timestamp) -> bool;
    }
    tasks {
        /// Adds a custom payment task unless its id is taken; says whether it did.
        insert_task(row: &TaskRow) -> bool;
        /// One custom payment task.
        task(agency: AgencyId, id: &HostId) -> Option<TaskRow>;
        /// One custom payment task, locked.
        lock_task(agency: AgencyId, id: &HostId) -> Option<TaskRow>;
        /// A page of custom payment tasks, newest first.
        task_page(page: &HostPage<TaskStatus>) -> Vec<TaskRow>;
        /// Marks a custom payment task paid unless it is; says whether it did.
        pay_task(agency: AgencyId, id: &HostId, payment: PaymentId, at: Timestamp) -> bool;
    }
    payments {
        /// Adds a payment unless its idempotency key or its task's only place is taken; says whether it did.
        insert_payment(row: &PaymentRow) -> bool;
        /// One payment of an agency, with its newest session.
        payment(agency: AgencyId, id: PaymentId) -> Option<(PaymentRow, Option<SessionRow>)>;
        /// One payment of any agency.
        payment_by_id(id: PaymentId) -> Option<PaymentRow>;
        /// One payment, locked.
        lock_payment(id: PaymentId) -> Option<PaymentRow>;
        /// The payment made under an idempotency key.
        payment_by_key(agency: AgencyId, key: &IdempotencyKey) -> Option<PaymentRow>;
        /// The payment of a task that is under way.
        open_payment_of_task(agency: AgencyId, task: &HostId) -> Option<PaymentId>;
        /// A page of payments with their newest sessions, newest first.
        payment_page(page: &PaymentPage) -> Vec<(PaymentRow, Option<SessionRow>)>;
        /// Writes the changing columns of a payment. Only the journal calls it.
        update_payment(row: &PaymentRow) -> ();
    }
    sessions {
        /// Adds a checkout session.
        insert_session(row: &SessionRow) -> ();
        /// One attempt's session.
        session(payment: PaymentId, attempt: i32) -> Option<SessionRow>;
        /// Every session of a payment.
        sessions_of(payment: PaymentId) -> Vec<SessionRow>;
        /// The session with the provider's id.
        session_by_id(id: &SessionId) -> Option<SessionRow>;
        /// Takes the right to ask the provider for this session; says whether it got it.
        lease_session(payment: PaymentId, attempt: i32, now: Timestamp, until: Timestamp) -> bool;
        /// Whether the janitor has a session to look at.
        has_due_sessions(now: Timestamp) -> bool;
        /// Takes sessions the janitor is to look at, longest due first, and leases them.
        lease_due_sessions(now: Timestamp, until: Timestamp, limit: i64) -> Vec<SessionRow>;
        /// Writes how a session stands with the provider: state, id, link, lease.
        update_session(row: &SessionRow) -> ();
        /// Writes how far a session got.
        set_attempt_best(row: &SessionRow) -> ();
    }
    intents {
        /// One intent.
        intent(id: &IntentId) -> Option<IntentRow>;
        /// Every intent of a payment.
        intents_of(payment: PaymentId) -> Vec<IntentRow>;
        /// Writes an intent, new or known; `false` where another payment has it.
        put_intent(row: &IntentRow) -> bool;
    }
    events {
        /// One event.
        event(id: &EventId) -> Option<EventRow>;
        /// One event, locked.
        lock_event(id: &EventId) -> Option<EventRow>;
        /// Notes that an event's id came again with other facts.
        note_reused(id: &EventId, at: Timestamp) -> ();
        /// Adds an event unless its id is known; says whether it did.
        insert_event(row: &EventRow) -> bool;
        /// Writes the verdict, and what goes with it, of a known event.
        conclude_event(row: &EventRow) -> ();
        /// Makes parked events due that wait for this intent or session; says how many.
        wake_events(intent: Option<&IntentId>, session: Option<&SessionId>, now: Timestamp) -> usize;
        /// Whether any parked event is due and not leased.
        has_due_events(now: Timestamp) -> bool;
        /// Takes due parked events, oldest first, and leases them.
        lease_events(now: Timestamp, until: Timestamp, limit: i64) -> Vec<EventRow>;
        /// A page of the inbox, newest first.
        event_page(verdict: Option<Verdict>, limit: i64) -> Vec<EventRow>;
    }
    anomalies {
        /// Adds an anomaly unless the payment has it; says whether it did.
        insert_anomaly(row: &AnomalyRow) -> bool;
        /// One anomaly.
        anomaly(id: AnomalyId) -> Option<AnomalyRow>;
        /// Writes how an open anomaly was settled.
        resolve_anomaly(row: &AnomalyRow) -> ();
        /// Whether a payment has an open anomaly of this kind.
        has_open_anomaly(payment: PaymentId, kind: AnomalyKind) -> bool;
        /// How many anomalies are open, by kind.
        open_anomalies() -> Vec<(AnomalyKind, i64)>;
        /// A page of anomalies, newest first.
        anomaly_page(page: &AnomalyPage) -> Vec<AnomalyRow>;
    }
    audit {
        /// Adds a row to the journal.
        insert_audit(row: &AuditRow) -> ();
        /// A page of one payment's trail, in order of version.
        payment_trail(payment: PaymentId, after: i64, limit: i64) -> Vec<AuditRow>;
        /// A page of an agency's trail, oldest first.
        agency_trail(agency: AgencyId, after: i64, limit: i64) -> Vec<(i64, AuditRow)>;
        /// Numbered changes of statuses in their order, each with its payment as it now stands.
        changes_after(after: &ChangesAfter) -> Vec<(ChangeRow, PaymentRow, Option<SessionRow>)>;
        /// The last change of a payment's status, numbered or not yet, with the payment as it now stands.
        latest_change(payment: PaymentId) -> Option<(ChangeRow, PaymentRow, Option<SessionRow>)>;
    }
    totals {
        /// Takes the right to do a kind of work until the transaction ends; says whether it got it.
        lock_job(kind: &str, now: Timestamp) -> bool;
        /// Whether any change of a status has no number yet.
        has_unsealed() -> bool;
        /// The entries of an agency's changes that have no number yet.
        unsealed_entries(agency: AgencyId) -> Vec<i64>;
        /// Changes of statuses that have no number yet, in their order.
        unsealed(limit: i64) -> Vec<UnsealedRow>;
        /// The last number given in an agency's journal; 0 where there is none.
        last_sequence(agency: AgencyId) -> i64;
        /// Gives a row of the journal its number.
        seal(entry: i64, sequence: i64) -> ();
        /// Adds to an agency's totals of one status.
        add_to_totals(agency: AgencyId, status: PaymentStatus, payments: i64, pence: i64) -> ();
        /// Count and total of an agency's payments by status, exact at this moment.
        payment_totals(agency: AgencyId) -> Vec<(PaymentStatus, i64, i64)>;
    }
}
