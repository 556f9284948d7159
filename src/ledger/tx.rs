//! The index of statements: each is one line here and one function in `ledger/statements`.

use diesel_async::pooled_connection::bb8::PooledConnection;
use futures_util::lock::Mutex;

use super::{postgres, rows::*, sql_types::Sha256, sqlite, statements_input::*};
use crate::{domain::*, error::Error};

/// A connection, inside a transaction where [`super::Ledger::write`] lent it. Its methods are the statements. Those that
/// do not depend on each other are best asked for at once, with `try_join!`: where they are made for many jobs together
/// they share a round trip, and elsewhere they come one after another. What was asked for and is dropped before it is
/// answered, is not done.
#[allow(clippy::large_enum_variant, reason = "few exist, and each is used hot")]
pub enum Tx {
    /// Embedded.
    Sqlite(Mutex<sqlite::Conn>),
    /// Taken from the pool.
    Postgres(Mutex<PooledConnection<'static, postgres::Conn>>),
    /// Shared with others. Statements marked `=> together` are made for all who wait for one of the kind.
    Together(postgres::Seat),
}

macro_rules! statements {
    ($($subject:ident { $(
        $(#[$doc:meta])* $(=> $set:ident)? $name:ident($($arg:ident: $type:ty),*) -> $out:ty;
    )* })*) => {
        impl Tx {
            $($(
                $(#[$doc])*
                pub async fn $name(&self, $($arg: $type),*) -> Result<$out, Error> {
                    match self {
                        Self::Sqlite(connection) => {
                            Ok(sqlite::statements::$subject::$name(&mut *connection.lock().await, $($arg),*).await?)
                        }
                        Self::Postgres(connection) => {
                            Ok(postgres::statements::$subject::$name(&mut *connection.lock().await, $($arg),*).await?)
                        }
                        Self::Together(seat) => {
                            statements!(@together seat, $subject, $name($($arg),*) $(, $set)?)
                        }
                    }
                }
            )*)*
        }
    };
    (@together $seat:ident, $subject:ident, $name:ident($($arg:ident),*)) => {
        Ok($seat.note(postgres::statements::$subject::$name(&mut *$seat.borrow().await?, $($arg),*).await)?)
    };
    (@together $seat:ident, $subject:ident, $name:ident($($arg:ident),*), together) => {
        $seat.$name(($($arg.own()),*)).await
    };
}

/// What a statement is asked with, to be kept while it waits for its group.
trait Own {
    type Owned;
    fn own(self) -> Self::Owned;
}

impl<T: Clone> Own for &T {
    type Owned = T;

    fn own(self) -> T {
        self.clone()
    }
}

impl Own for &str {
    type Owned = String;

    fn own(self) -> String {
        self.to_owned()
    }
}

macro_rules! own_themselves {
    ($($type:ty),*) => { $(
        impl Own for $type {
            type Owned = Self;

            fn own(self) -> Self {
                self
            }
        }
    )* };
}
own_themselves!(AgencyId, PaymentId, Sha256, Timestamp, i32);

statements! {
    agencies {
        /// Adds an agency.
        insert_agency(row: &AgencyRow) -> ();
        /// One agency.
        => together agency(id: AgencyId) -> Option<AgencyRow>;
        /// The oldest agency of this name.
        agency_named(name: &str) -> Option<AgencyRow>;
        /// One agency, locked.
        lock_agency(id: AgencyId) -> Option<AgencyRow>;
        /// Sets an agency's card limit.
        set_card_limit(id: AgencyId, limit: Option<Pence>) -> ();
        /// Whether the database answers.
        ping() -> ();
        /// The version of the database.
        database_version() -> String;
    }
    tokens {
        /// Adds a token.
        insert_token(row: &TokenRow) -> ();
        /// The token with this hash.
        => together token_by_hash(sha256: Sha256) -> Option<TokenRow>;
        /// All tokens, oldest first.
        tokens() -> Vec<TokenRow>;
        /// Revokes a token, of one agency or of any; `None` where there is none. A second time keeps the first.
        revoke_token(id: TokenId, agency: Option<AgencyId>, at: Timestamp) -> Option<TokenRow>;
    }
    todos {
        /// Adds a todo unless its id is taken; says whether it did.
        insert_todo(row: &TodoRow) -> bool;
        /// One todo.
        => together todo(agency: AgencyId, id: &HostId) -> Option<TodoRow>;
        /// One todo, locked.
        => together lock_todo(agency: AgencyId, id: &HostId) -> Option<TodoRow>;
        /// A page of todos, newest first.
        todo_page(page: &HostPage<TodoStatus>) -> Vec<TodoRow>;
        /// Completes an open todo, which is locked.
        => together complete_todo(agency: AgencyId, id: &HostId, by: &str, at: Timestamp) -> ();
    }
    tasks {
        /// Adds a custom payment task unless its id is taken; says whether it did.
        insert_task(row: &TaskRow) -> bool;
        /// One custom payment task.
        task(agency: AgencyId, id: &HostId) -> Option<TaskRow>;
        /// One custom payment task, locked.
        => together lock_task(agency: AgencyId, id: &HostId) -> Option<TaskRow>;
        /// A page of custom payment tasks, newest first.
        task_page(page: &HostPage<TaskStatus>) -> Vec<TaskRow>;
        /// Marks a pending custom payment task paid, which is locked.
        => together pay_task(agency: AgencyId, id: &HostId, payment: PaymentId, at: Timestamp) -> ();
    }
    payments {
        /// Adds a payment unless its idempotency key or its task's only place is taken; says whether it did.
        => together insert_payment(row: &PaymentRow) -> bool;
        /// One payment of an agency, as it is shown.
        => together payment(agency: AgencyId, id: PaymentId) -> Option<ShownPayment>;
        /// One payment of any agency.
        payment_by_id(id: PaymentId) -> Option<PaymentRow>;
        /// One payment, locked.
        => together lock_payment(id: PaymentId) -> Option<PaymentRow>;
        /// The payment made under an idempotency key.
        => together payment_by_key(agency: AgencyId, key: &IdempotencyKey) -> Option<PaymentRow>;
        /// The payment of a task that is under way.
        => together open_payment_of_task(agency: AgencyId, task: &HostId) -> Option<PaymentId>;
        /// A page of payments as they are shown, newest first.
        => together payment_page(page: &PaymentPage) -> Vec<ShownPayment>;
        /// Writes the changing columns of a payment. Only the journal calls it.
        => together update_payment(row: &PaymentRow) -> ();
    }
    sessions {
        /// Adds a checkout session.
        => together insert_session(row: &SessionRow) -> ();
        /// One attempt's session.
        => together session(payment: PaymentId, attempt: i32) -> Option<SessionRow>;
        /// Every session of a payment.
        => together sessions_of(payment: PaymentId) -> Vec<SessionRow>;
        /// The session with the provider's id.
        => together session_by_id(id: &SessionId) -> Option<SessionRow>;
        /// Takes the right to ask the provider for this session; says whether it got it.
        lease_session(payment: PaymentId, attempt: i32, now: Timestamp, until: Timestamp) -> bool;
        /// Whether the janitor has a session to look at.
        has_due_sessions(now: Timestamp) -> bool;
        /// Takes sessions the janitor is to look at, longest due first, and leases them.
        lease_due_sessions(now: Timestamp, until: Timestamp, limit: i64) -> Vec<SessionRow>;
        /// Writes how a session stands with the provider: state, id, link, lease.
        => together update_session(row: &SessionRow) -> ();
        /// Writes how far a session got.
        set_attempt_best(row: &SessionRow) -> ();
    }
    intents {
        /// One intent.
        => together intent(id: &IntentId) -> Option<IntentRow>;
        /// Every intent of a payment.
        => together intents_of(payment: PaymentId) -> Vec<IntentRow>;
        /// Adds an intent that was not there when this transaction looked.
        => together insert_intent(row: &IntentRow) -> ();
        /// Writes the changing columns of an intent.
        => together update_intent(row: &IntentRow) -> ();
    }
    events {
        /// One event.
        => together event(id: &EventId) -> Option<EventRow>;
        /// One event, locked.
        lock_event(id: &EventId) -> Option<EventRow>;
        /// Notes that an event's id came again with other facts.
        note_reused(id: &EventId, at: Timestamp) -> ();
        /// Adds an event unless its id is known; says whether it did.
        => together insert_event_unless_known(row: &EventRow) -> bool;
        /// Adds an event whose id was looked for under its payment's lock.
        => together insert_event(row: &EventRow) -> ();
        /// Writes the verdict, and what goes with it, of a known event.
        conclude_event(row: &EventRow) -> ();
        /// Makes parked events due that wait for this intent.
        => together wake_events_of_intent(intent: &IntentId, now: Timestamp) -> ();
        /// Makes parked events due that wait for this session.
        => together wake_events_of_session(session: &SessionId, now: Timestamp) -> ();
        /// Whether any parked event is due and not leased.
        has_due_events(now: Timestamp) -> bool;
        /// Takes due parked events, oldest first, and leases them.
        lease_events(now: Timestamp, until: Timestamp, limit: i64) -> Vec<EventRow>;
        /// A page of the inbox, newest first.
        event_page(verdict: Option<Verdict>, limit: i64) -> Vec<EventRow>;
        /// Forgets the bodies of dead and quarantined events that came before this; says how many.
        drop_old_bodies(before: Timestamp, limit: i64) -> usize;
    }
    forwarding {
        /// Begins to send to Inngest, from what is in the journal now; once begun it changes nothing.
        begin_forwarding(now: Timestamp) -> ();
        /// Forgets what is still to be sent, and how far it got.
        forget_forwarding() -> ();
        /// Whether anything is to be sent.
        has_unsent() -> bool;
        /// Takes the right to send until then; how often it failed in a row, `None` where it is not one's turn.
        lease_forwarding(now: Timestamp, until: Timestamp) -> Option<i32>;
        /// Events to be sent, oldest first, with the agency of their payment.
        unsent_events(limit: i64) -> Vec<(UnsentEvent, Option<AgencyId>)>;
        /// Rows of the journals to be sent, each agency's in order, of those agencies that have waited longest.
        unsent_changes(agencies: i64, of_each: i64, now: Timestamp) -> Vec<UnsentChange>;
        /// These events and changes are sent.
        note_sent(events: &[EventId], changes: &[UnsentChange], now: Timestamp) -> ();
        /// Lets go of the right to send, until it is due again.
        release_forwarding(tries: i32, due_at: Timestamp) -> ();
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
        => together insert_audit(row: &AuditRow) -> ();
        /// A page of one payment's trail, in order of version.
        payment_trail(payment: PaymentId, after: i64, limit: i64) -> Vec<AuditRow>;
        /// A page of an agency's trail, oldest first.
        agency_trail(agency: AgencyId, after: i64, limit: i64) -> Vec<(i64, AuditRow)>;
        /// Numbered changes of statuses in their order, each with its payment as it now stands.
        changes_after(after: &ChangesAfter) -> Vec<(ChangeRow, ShownPayment)>;
        /// The last change of a payment's status, numbered or not yet, with the payment as it now stands.
        latest_change(payment: PaymentId) -> Option<(ChangeRow, ShownPayment)>;
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
        /// The last number given in each agency's journal; 0 where there is none.
        last_sequences(agencies: &[AgencyId]) -> Vec<(AgencyId, i64)>;
        /// Gives rows of the journal their numbers.
        seal(sealed: &[Sealed]) -> ();
        /// Adds to agencies' totals.
        add_to_totals(changes: &[TotalChange]) -> ();
        /// Count and total of an agency's payments by status, exact at this moment.
        => together payment_totals(agency: AgencyId) -> Vec<(PaymentStatus, i64, i64)>;
    }
}
