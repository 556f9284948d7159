//! What the jobs of a group ask and wait for: the statements that have a form for sets, one line each.
//!
//! A line gives the statement's name, what it is asked with and what it answers, and says whether it only looks,
//! locks the row it is asked for, or writes and tells how that went. The forms themselves are in `sets`; what is written
//! without an answer is in `posts`.

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection;
use futures_util::{
    FutureExt,
    future::{BoxFuture, try_join_all},
};
use tokio::sync::oneshot;

use super::{
    Conn,
    posts::Posts,
    sets,
    together::{LockKey, Locks, Seat},
};
use crate::{
    domain::*,
    error::Error,
    ledger::{PaymentPage, rows::*, sql_types::Sha256},
};

/// One job's request.
struct Asked<A, O> {
    index: usize,
    with: A,
    reply: oneshot::Sender<O>,
}

/// Those that can be done now, and those that must wait.
type Sorted<A, O> = (Vec<Asked<A, O>>, Vec<Asked<A, O>>);

/// What a round has done.
pub struct Done {
    /// How many requests.
    pub served: usize,
    /// Whose writes changed something.
    pub wrote: Vec<usize>,
}

macro_rules! requests {
    ($($effect:ident $name:ident($with:ty) -> $out:ty;)*) => {
        /// What is wanted, by kind, in the order it was asked for.
        #[derive(Default)]
        pub struct Requests {
            $($name: Vec<Asked<$with, $out>>,)*
            /// What nobody waits for.
            pub posts: Posts,
            /// Who waits for nothing but that all of this is done.
            pub end_of_round: Vec<oneshot::Sender<()>>,
        }

        impl Seat {
            $(pub async fn $name(&self, with: $with) -> Result<$out, Error> {
                let index = self.index;
                self.ask(|requests, reply| requests.$name.push(Asked { index, with, reply })).await
            })*
        }

        impl Requests {
            /// Whether anything of this job's is not done yet.
            pub fn has_any_of(&self, index: usize) -> bool {
                self.posts.has_any_of(index) $(|| self.$name.iter().any(|one| one.index == index))*
            }

            /// Whether everything is done.
            pub fn is_empty(&self) -> bool {
                self.posts.is_empty() && self.end_of_round.is_empty() $(&& self.$name.is_empty())*
            }

            /// Does what can be done, after `begin` where that is still to be done: one statement for each kind, and one for
            /// what was posted, all sent at once. They answer for different jobs, or for one that said it does not matter
            /// which comes first. Requests for rows that another job has locked stay.
            pub async fn serve(
                &mut self,
                connection: &Conn,
                begin: Option<&'static str>,
                locks: &mut Locks,
            ) -> QueryResult<Done> {
                let mut served = self.end_of_round.len();
                let mut sent: Vec<BoxFuture<'_, QueryResult<Vec<usize>>>> = Vec::new();
                if let Some(begin) = begin {
                    let begin = async move { (&mut &*connection).batch_execute(begin).await.map(|()| Vec::new()) };
                    let writes = !self.posts.is_empty() $(|| $effect::WRITES && !self.$name.is_empty())*;
                    // Should it fail alone, what is sent along is done outside of any transaction.
                    if writes {
                        begin.await?;
                    } else {
                        sent.push(begin.boxed());
                    }
                }
                $(if !self.$name.is_empty() {
                    let waits = self.$name.len();
                    self.$name.retain(|one| !one.reply.is_closed());
                    served += waits - self.$name.len();
                    let (ready, others) = $effect::ready(stringify!($name), std::mem::take(&mut self.$name), locks);
                    self.$name = others;
                    served += ready.len();
                    if !ready.is_empty() {
                        let make = async |connection: &Conn, with: &[$with]| sets::$name(&mut &*connection, with).await;
                        sent.push(answer(connection, ready, make, $effect::changes).boxed());
                    }
                })*
                let posts = std::mem::take(&mut self.posts);
                if !posts.is_empty() {
                    served += 1;
                    sent.push(posts.write(connection).boxed());
                }
                let wrote = try_join_all(sent).await?.concat();
                for reply in self.end_of_round.drain(..) {
                    // Fails only where the job was dropped with its group.
                    let _ = reply.send(());
                }
                Ok(Done { served, wrote })
            }
        }
    };
}

/// Makes one statement for all who asked; says whose request changed something.
async fn answer<A, O>(
    connection: &Conn,
    asked: Vec<Asked<A, O>>,
    make: impl AsyncFnOnce(&Conn, &[A]) -> QueryResult<Vec<O>>,
    changes: fn(&O) -> bool,
) -> QueryResult<Vec<usize>> {
    let mut with = Vec::with_capacity(asked.len());
    let mut askers = Vec::with_capacity(asked.len());
    for Asked { index, with: one, reply } in asked {
        with.push(one);
        askers.push((index, reply));
    }
    let mut wrote = Vec::new();
    for ((index, reply), out) in askers.into_iter().zip(make(connection, &with).await?) {
        wrote.extend(changes(&out).then_some(index));
        // Fails only where the job was dropped with its group.
        let _ = reply.send(out);
    }
    Ok(wrote)
}

/// Statements that only look.
mod look {
    pub const WRITES: bool = false;

    use super::{Asked, Locks, Sorted};

    pub fn ready<A, O>(_: &str, asked: Vec<Asked<A, O>>, _: &Locks) -> Sorted<A, O> {
        (asked, Vec::new())
    }

    pub fn changes<O>(_: &O) -> bool {
        false
    }
}

/// Statements that lock the row they look at.
mod lock {
    pub use super::look::{WRITES, changes};
    use super::{Asked, LockKey, Lockable, Locks, Sorted};

    pub fn ready<A: Lockable, O>(
        name: &'static str,
        asked: Vec<Asked<A, O>>,
        locks: &mut Locks,
    ) -> Sorted<A, O> {
        asked.into_iter().partition(|one| locks.take(LockKey(name, one.with.key()), one.index))
    }
}

/// Statements that write, and tell whether they did.
mod write {
    pub const WRITES: bool = true;
    pub use super::look::ready;

    pub fn changes(out: &bool) -> bool {
        *out
    }
}

/// What a row can be locked by.
trait Lockable {
    fn key(&self) -> String;
}

impl Lockable for PaymentId {
    fn key(&self) -> String {
        self.to_string()
    }
}

impl Lockable for (AgencyId, HostId) {
    fn key(&self) -> String {
        format!("{}/{}", self.0, self.1)
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
    look payment((AgencyId, PaymentId)) -> Option<ShownPayment>;
    look payment_page(PaymentPage) -> Vec<ShownPayment>;
    look payment_totals(AgencyId) -> Vec<(PaymentStatus, i64, i64)>;
    lock lock_payment(PaymentId) -> Option<PaymentRow>;
    look session((PaymentId, i32)) -> Option<SessionRow>;
    look sessions_of(PaymentId) -> Vec<SessionRow>;
    look intents_of(PaymentId) -> Vec<IntentRow>;
    lock lock_task((AgencyId, HostId)) -> Option<TaskRow>;
    lock lock_todo((AgencyId, HostId)) -> Option<TodoRow>;
    look open_payment_of_task((AgencyId, HostId)) -> Option<PaymentId>;
    write insert_payment(PaymentRow) -> bool;
    write insert_event_unless_known(EventRow) -> bool;
}
