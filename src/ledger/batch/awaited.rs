//! Asks that somebody waits for, whatever statement they are for, and the statement that is made for all of a kind.

use std::{any::Any, any::TypeId, marker::PhantomData};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::{
    database::Database,
    statement::{Kind, LockKey, Statement},
};
use crate::{error::Error, ledger::panic::catch_panic};

/// Which statement, and what the engine has to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementId {
    /// The statement.
    pub id: TypeId,
    /// What it does.
    pub kind: Kind,
    /// When it locks, beside others that lock.
    pub lock_order: u8,
}

impl StatementId {
    fn of<D: Database, S: Statement<D>>() -> Self {
        Self { id: TypeId::of::<S>(), kind: S::KIND, lock_order: S::lock_order() }
    }
}

type Reply<A> = oneshot::Sender<Result<A, Error>>;

/// An ask for a statement `S`.
pub struct Ask<D: Database, S: Statement<D>> {
    ask: S::Ask,
    lock: Option<LockKey>,
    reply: Reply<S::Answer>,
}

impl<D: Database, S: Statement<D>> Ask<D, S> {
    /// The answer will come through `reply`.
    pub fn new(ask: S::Ask, reply: Reply<S::Answer>) -> Result<Self, Error> {
        let lock = S::lock_key(&ask);
        if S::KIND == Kind::Lock && lock.is_none() {
            return Err(Error::internal(format!("{} locks a row and does not say which", S::NAME)));
        }
        Ok(Self { ask, lock, reply })
    }
}

/// An ask for any statement.
pub trait AnyAsk<D: Database>: Any + Send {
    /// For which.
    fn statement(&self) -> StatementId;
    /// The row it locks.
    fn lock(&self) -> Option<&LockKey>;
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    /// The statement, made for nobody yet.
    fn batched(&self) -> Box<dyn AnyBatched<D>>;
}

impl<D: Database, S: Statement<D>> AnyAsk<D> for Ask<D, S> {
    fn statement(&self) -> StatementId {
        StatementId::of::<D, S>()
    }

    fn lock(&self) -> Option<&LockKey> {
        self.lock.as_ref()
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn batched(&self) -> Box<dyn AnyBatched<D>> {
        Box::new(Batched::<D, S> { asks: Vec::new(), askers: Vec::new(), database: PhantomData })
    }
}

/// Adds an ask to the statement of its kind, which may be new.
pub fn add<D: Database>(statements: &mut Vec<Box<dyn AnyBatched<D>>>, asker: usize, ask: Box<dyn AnyAsk<D>>) {
    let id = ask.statement().id;
    let known = statements.iter().position(|statement| statement.statement().id == id);
    let index = known.unwrap_or_else(|| {
        statements.push(ask.batched());
        statements.len() - 1
    });
    statements[index].add(asker, ask);
}

/// A statement `S`, made once for several.
struct Batched<D: Database, S: Statement<D>> {
    asks: Vec<S::Ask>,
    /// Whose each is, in the same order; fewer once some are answered.
    askers: Vec<(usize, Reply<S::Answer>)>,
    database: PhantomData<fn(D)>,
}

/// Any statement, made once for several.
pub trait AnyBatched<D: Database>: Send {
    /// Which.
    fn statement(&self) -> StatementId;
    /// Adds an ask, which is for this statement.
    fn add(&mut self, asker: usize, ask: Box<dyn AnyAsk<D>>);
    /// Makes it for all and answers them; says who has changed something by it. Where it fails nobody is answered.
    fn run<'c>(&'c mut self, connection: &'c D::Connection) -> BoxFuture<'c, Result<Vec<usize>, Error>>;
    /// Whether nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    /// Takes it apart, to be made for each by itself.
    fn split(self: Box<Self>) -> Vec<Box<dyn AnyBatched<D>>>;
    /// Tells everybody who is not answered yet.
    fn fail(&mut self, why: fn() -> Error);
    /// Tells the only one who asks.
    fn fail_one(&mut self, error: Error);
}

impl<D: Database, S: Statement<D>> AnyBatched<D> for Batched<D, S> {
    fn statement(&self) -> StatementId {
        StatementId::of::<D, S>()
    }

    fn add(&mut self, asker: usize, ask: Box<dyn AnyAsk<D>>) {
        let ask: Box<dyn Any> = ask;
        let Ok(ask) = ask.downcast::<Ask<D, S>>() else {
            unreachable!("an ask is added to the statement of its own type");
        };
        self.asks.push(ask.ask);
        self.askers.push((asker, ask.reply));
    }

    fn run<'c>(&'c mut self, connection: &'c D::Connection) -> BoxFuture<'c, Result<Vec<usize>, Error>> {
        Box::pin(async move {
            let answers = catch_panic(async { S::run(connection, &self.asks).await }).await?;
            if answers.len() != self.asks.len() {
                let counts = format!("{} answered {} of {}", S::NAME, answers.len(), self.asks.len());
                return Err(Error::internal(counts));
            }
            let mut wrote = Vec::new();
            for ((asker, reply), answer) in self.askers.drain(..).zip(answers) {
                wrote.extend((S::KIND == Kind::Write && S::wrote(&answer)).then_some(asker));
                // Fails only where nobody waits any more.
                let _ = reply.send(Ok(answer));
            }
            Ok(wrote)
        })
    }

    fn is_abandoned(&self) -> bool {
        self.askers.iter().all(|(_, reply)| reply.is_closed())
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn AnyBatched<D>>> {
        let one = |(ask, asker)| -> Box<dyn AnyBatched<D>> {
            Box::new(Self { asks: vec![ask], askers: vec![asker], database: PhantomData })
        };
        self.asks.into_iter().zip(self.askers).map(one).collect()
    }

    fn fail(&mut self, why: fn() -> Error) {
        for (_, reply) in self.askers.drain(..) {
            let _ = reply.send(Err(why()));
        }
    }

    fn fail_one(&mut self, error: Error) {
        if let Some((_, reply)) = self.askers.pop() {
            let _ = reply.send(Err(error));
        }
    }
}
