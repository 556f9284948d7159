//! What the jobs of a group want done: the statements that have a form for sets, one line each.
//!
//! A line gives the statement's name, what it is asked with and what it answers, and says whether it only looks,
//! locks the row it is asked for, or writes. The forms themselves are in `sets`.

use diesel::QueryResult;
use tokio::sync::oneshot;

use super::{
    Conn, sets,
    together::{LockKey, Locks, Pooled, Seat},
};
use crate::{
    domain::*,
    error::Error,
    ledger::{rows::*, sql_types::Sha256},
};

/// One job's request.
struct Asked<A, O> {
    index: usize,
    with: A,
    reply: oneshot::Sender<O>,
}

/// Those that can be done now, and those that must wait.
type Sorted<A, O> = (Vec<Asked<A, O>>, Vec<Asked<A, O>>);

macro_rules! requests {
    ($($effect:ident $name:ident($with:ty) -> $out:ty;)*) => {
        /// What is wanted, by kind, in the order it was asked for.
        #[derive(Default)]
        pub struct Requests {
            $($name: Vec<Asked<$with, $out>>,)*
        }

        impl Seat {
            $(pub async fn $name(&self, with: $with) -> Result<$out, Error> {
                let index = self.index;
                self.ask(|requests, reply| requests.$name.push(Asked { index, with, reply })).await
            })*
        }

        impl Requests {
            /// Does what can be done, one statement for each kind; says how many requests that were. Those for rows
            /// that another job has locked stay.
            pub async fn serve(
                &mut self,
                connection: &mut Pooled,
                locks: &mut Locks,
                mut wrote: impl FnMut(usize),
            ) -> QueryResult<usize> {
                let mut served = 0;
                $(if !self.$name.is_empty() {
                    let (ready, others) = $effect::ready(std::mem::take(&mut self.$name), locks);
                    self.$name = others;
                    served += ready.len();
                    let write = async |connection: &mut Conn, with: &[$with]| sets::$name(connection, with).await;
                    answer(connection, ready, write, |index, out| {
                        if $effect::changes(out) {
                            wrote(index);
                        }
                    })
                    .await?;
                })*
                Ok(served)
            }
        }
    };
}

async fn answer<A, O>(
    connection: &mut Conn,
    asked: Vec<Asked<A, O>>,
    make: impl AsyncFnOnce(&mut Conn, &[A]) -> QueryResult<Vec<O>>,
    mut note: impl FnMut(usize, &O),
) -> QueryResult<()> {
    if asked.is_empty() {
        return Ok(());
    }
    let mut with = Vec::with_capacity(asked.len());
    let mut askers = Vec::with_capacity(asked.len());
    for Asked { index, with: one, reply } in asked {
        with.push(one);
        askers.push((index, reply));
    }
    let outs = make(connection, &with).await?;
    for ((index, reply), out) in askers.into_iter().zip(outs) {
        note(index, &out);
        // Fails only where the job was dropped with its group.
        let _ = reply.send(out);
    }
    Ok(())
}

/// Statements that only look.
mod look {
    use super::{Asked, Locks, Sorted};

    pub fn ready<A, O>(asked: Vec<Asked<A, O>>, _: &Locks) -> Sorted<A, O> {
        (asked, Vec::new())
    }

    pub fn changes<O>(_: &O) -> bool {
        false
    }
}

/// Statements that lock the row they look at.
mod lock {
    pub use super::look::changes;
    use super::{Asked, Lockable, Locks, Sorted};

    pub fn ready<A: Lockable, O>(asked: Vec<Asked<A, O>>, locks: &mut Locks) -> Sorted<A, O> {
        asked.into_iter().partition(|one| locks.take(one.with.key(), one.index))
    }
}

/// Statements that write.
mod write {
    use super::Change;
    pub use super::look::ready;

    pub fn changes<O: Change>(out: &O) -> bool {
        out.is_change()
    }
}

/// What a row can be locked by.
trait Lockable {
    fn key(&self) -> LockKey;
}

impl Lockable for PaymentId {
    fn key(&self) -> LockKey {
        LockKey("payment", self.to_string())
    }
}

impl Lockable for (AgencyId, HostId) {
    fn key(&self) -> LockKey {
        LockKey("task", format!("{}/{}", self.0, self.1))
    }
}

/// Whether the answer to a write says that something was written.
trait Change {
    fn is_change(&self) -> bool;
}

impl Change for () {
    fn is_change(&self) -> bool {
        true
    }
}

impl Change for bool {
    fn is_change(&self) -> bool {
        *self
    }
}

requests! {
    look token_by_hash(Sha256) -> Option<TokenRow>;
    look event(EventId) -> Option<EventRow>;
    look intent(IntentId) -> Option<IntentRow>;
    look session_by_id(SessionId) -> Option<SessionRow>;
    look payment_by_key((AgencyId, IdempotencyKey)) -> Option<PaymentRow>;
    look todo((AgencyId, HostId)) -> Option<TodoRow>;
    look agency(AgencyId) -> Option<AgencyRow>;
    look payment((AgencyId, PaymentId)) -> Option<(PaymentRow, Option<SessionRow>)>;
    look payment_totals(AgencyId) -> Vec<(PaymentStatus, i64, i64)>;
    lock lock_payment(PaymentId) -> Option<PaymentRow>;
    look session((PaymentId, i32)) -> Option<SessionRow>;
    look sessions_of(PaymentId) -> Vec<SessionRow>;
    look intents_of(PaymentId) -> Vec<IntentRow>;
    lock lock_task((AgencyId, HostId)) -> Option<TaskRow>;
    look open_payment_of_task((AgencyId, HostId)) -> Option<PaymentId>;
    write put_intent(IntentRow) -> bool;
    write complete_todo((AgencyId, HostId, String, Timestamp)) -> bool;
    write pay_task((AgencyId, HostId, PaymentId, Timestamp)) -> bool;
    write insert_payment(PaymentRow) -> bool;
    write update_payment(PaymentRow) -> ();
    write insert_session(SessionRow) -> ();
    write update_session(SessionRow) -> ();
    write insert_audit(AuditRow) -> ();
    write wake_events_of_intent((IntentId, Timestamp)) -> ();
    write wake_events_of_session((SessionId, Timestamp)) -> ();
    write insert_event(EventRow) -> bool;
}
