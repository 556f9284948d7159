//! A job: how it runs in a batch, how by itself, and whom to tell.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{runtime::Handle, sync::oneshot};
use tracing::Instrument;

use super::{database::Database, queue::Queued, tx::BatchTx};
use crate::{
    error::Error,
    ledger::{panic::catch_panic, waiting::Claim},
};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It waits.
    Waits,
    /// It has come to its end.
    Succeeded,
    /// It has come to an error, or panicked.
    Failed,
}

/// A job, whatever its answer is.
pub trait Job<D: Database>: Queued {
    /// Starts it as part of a batch.
    fn start(&mut self, tx: BatchTx<D>);
    /// Goes on until it waits. It is woken by nobody: whatever it waits for comes from its batch. Once only where it
    /// does not wait any more.
    fn advance(&mut self) -> Progress;
    /// Ends it where it stands.
    fn stop(&mut self);
    /// Hands over what it came to, or why that does not count.
    fn finish(self: Box<Self>, committed: Result<(), Error>);
    /// Runs it by itself, in a task of its own.
    fn run_alone(self: Box<Self>, runtime: &Handle);
}

/// Any job.
pub type AnyJob<D> = Box<dyn Job<D>>;

impl<D: Database> Queued for AnyJob<D> {
    fn claim(&self) -> bool {
        (**self).claim()
    }
}

/// A job that answers a `T`.
pub struct TypedJob<T, B, A> {
    /// Until it starts.
    in_batch: Option<B>,
    alone: A,
    /// Until it has ended.
    running: Option<BoxFuture<'static, Result<T, Error>>>,
    /// What it came to.
    outcome: Option<Result<T, Error>>,
    answer: oneshot::Sender<Result<T, Error>>,
    claim: Claim,
    span: tracing::Span,
}

impl<T, B, A> TypedJob<T, B, A> {
    /// Runs within the current span.
    pub fn new(in_batch: B, alone: A, answer: oneshot::Sender<Result<T, Error>>, claim: Claim) -> Self {
        let span = tracing::Span::current();
        Self { in_batch: Some(in_batch), alone, running: None, outcome: None, answer, claim, span }
    }
}

impl<T: Send + 'static, B: Send + 'static, A: Send + 'static> Queued for TypedJob<T, B, A> {
    fn claim(&self) -> bool {
        !self.answer.is_closed() && self.claim.take()
    }
}

impl<D, T, B, A, InBatch, Alone> Job<D> for TypedJob<T, B, A>
where
    D: Database,
    T: Send + 'static,
    B: FnOnce(BatchTx<D>) -> InBatch + Send + 'static,
    InBatch: Future<Output = Result<T, Error>> + Send + 'static,
    A: FnOnce() -> Alone + Send + 'static,
    Alone: Future<Output = Result<T, Error>> + Send + 'static,
{
    fn start(&mut self, tx: BatchTx<D>) {
        let Some(in_batch) = self.in_batch.take() else { return };
        let run = async move { in_batch(tx).await }.instrument(self.span.clone());
        // What it waits for is there when it is polled, however much that is.
        self.running = Some(tokio::task::unconstrained(run).boxed());
    }

    fn advance(&mut self) -> Progress {
        let Some(running) = &mut self.running else { return Progress::Failed };
        let mut unwoken = Context::from_waker(Waker::noop());
        let outcome = match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut unwoken))) {
            Ok(Poll::Pending) => return Progress::Waits,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(_) => Err(Error::internal("a panic inside a transaction")),
        };
        let progress = if outcome.is_ok() { Progress::Succeeded } else { Progress::Failed };
        self.running = None;
        self.outcome = Some(outcome);
        progress
    }

    fn stop(&mut self) {
        self.running = None;
    }

    fn finish(self: Box<Self>, committed: Result<(), Error>) {
        let Self { outcome, answer, .. } = *self;
        let outcome = outcome.unwrap_or_else(|| Err(Error::internal("a job that did not run")));
        // The caller may have stopped waiting; a write stands all the same.
        let _ = answer.send(committed.and(outcome));
    }

    fn run_alone(self: Box<Self>, runtime: &Handle) {
        let Self { alone, answer, span, .. } = *self;
        let run = async move { answer.send(catch_panic(async { alone().await }).await) };
        runtime.spawn(run.map(drop).instrument(span));
    }
}
