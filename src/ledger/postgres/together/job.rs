//! A job of a group: what was asked for, and whom to tell.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use futures_util::FutureExt;
use tokio::{runtime::Handle, sync::oneshot};
use tracing::Instrument;

use super::{super::Pool, Purpose, take_up};
use crate::{
    error::Error,
    ledger::{Tx, TxFuture, catch_panic, waiting::Claim},
};

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// In an earlier round.
    Before,
    /// With a result.
    Stood,
    /// With an error.
    Failed,
}

/// A job on its way.
pub type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A job, whatever its answer is.
pub trait Job: Send {
    /// Starts it on a shared connection; its result is kept.
    fn begin(&self, tx: Tx) -> Running;
    /// Hands the kept result over, or the reason why nothing came of it.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
    /// Runs it by itself, in a task of its own.
    fn alone(self: Box<Self>, how: &Alone);
    /// Whether it is to be run: its caller may have given up before anybody began it.
    fn claim(&self) -> bool;
}

/// Where jobs run whose group came apart.
pub struct Alone {
    pub(super) pool: Pool,
    pub(super) purpose: Purpose,
    pub(super) runtime: Handle,
}

/// A job whose answer is a `T`.
pub struct Task<T, F> {
    work: F,
    out: Arc<Mutex<Option<Result<T, Error>>>>,
    answer: oneshot::Sender<Result<T, Error>>,
    span: tracing::Span,
    claim: Claim,
}

impl<T, F> Task<T, F> {
    /// Runs within the current span.
    pub fn new(work: F, answer: oneshot::Sender<Result<T, Error>>, claim: Claim) -> Self {
        Self { work, out: Arc::default(), answer, span: tracing::Span::current(), claim }
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + Sync + 'static,
{
    fn begin(&self, mut tx: Tx) -> Running {
        let (work, kept) = (self.work.clone(), Arc::clone(&self.out));
        let run = async move {
            let out = catch_panic(async { work(&mut tx).await }).await;
            let ended = match &out {
                Ok(_) => Ended::Stood,
                Err(_) => Ended::Failed,
            };
            *take_up(&kept) = Some(out);
            ended
        };
        // What they wait for is there when they are polled, however much that is.
        tokio::task::unconstrained(run.instrument(self.span.clone())).boxed()
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let out = take_up(&self.out).take().unwrap_or_else(|| Err(Error::internal("a job that did not run")));
        // The caller may have stopped waiting; a write stands all the same.
        let _ = self.answer.send(committed.and(out));
    }

    fn alone(self: Box<Self>, how: &Alone) {
        let Self { work, answer, span, .. } = *self;
        let pool = how.pool.clone();
        let purpose = how.purpose;
        let run = async move {
            answer.send(match purpose {
                Purpose::Read => pool.read(work).await,
                Purpose::Write => pool.write(work).await,
            })
        };
        how.runtime.spawn(run.map(drop).instrument(span));
    }

    fn claim(&self) -> bool {
        self.claim.take()
    }
}
