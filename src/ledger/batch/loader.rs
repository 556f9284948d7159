//! The front door for reads: what is asked at the same moment by whomever goes as one statement of each kind.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use super::{
    awaited::{self, AnyAsk, AnyBatched, Ask},
    connection::{Failure, Options, WorkerConnection},
    database::Database,
    queue::{Queue, Queued, Worker},
    statement::{Kind, Statement},
};
use crate::{
    error::Error,
    ledger::waiting::{self, Claim},
};

/// How often a batch of reads is made: once more where its connection turns out to be broken.
const MAX_TRIES: usize = 2;

/// A queue of asks, and workers who take from it whatever has queued up. They end when the last handle is gone.
pub struct Loader<D: Database> {
    asks: mpsc::Sender<QueuedAsk<D>>,
}

impl<D: Database> Clone for Loader<D> {
    fn clone(&self) -> Self {
        Self { asks: self.asks.clone() }
    }
}

impl<D: Database> Loader<D> {
    /// Starts the workers, each with a connection of its own, on the current runtime: such a batch waits for its database
    /// once, and a thread would only have to be woken.
    pub fn start(database: &Arc<D>, options: &Options) -> Self {
        let (asks, waiting) = mpsc::channel(waiting::QUEUE);
        let queue = Arc::new(Queue::new(waiting));
        for _ in 0..options.workers {
            let connection = WorkerConnection::new(Arc::clone(database), options.clone());
            tokio::spawn(Arc::clone(&queue).serve(LoadWorker { connection }));
        }
        Self { asks }
    }

    /// Asks, outside of any transaction, and waits for the answer.
    pub async fn ask<S: Statement<D>>(&self, ask: S::Ask) -> Result<S::Answer, Error> {
        const { assert!(matches!(S::KIND, Kind::Read), "what locks or writes needs a transaction") };
        let (reply, replied) = oneshot::channel();
        let claim = Claim::default();
        let ask = QueuedAsk { ask: Box::new(Ask::<D, S>::new(ask, reply)?), claim: claim.clone() };
        waiting::queued(&self.asks, ask, &claim, replied).await
    }
}

struct QueuedAsk<D: Database> {
    ask: Box<dyn AnyAsk<D>>,
    claim: Claim,
}

impl<D: Database> Queued for QueuedAsk<D> {
    fn claim(&self) -> bool {
        !self.ask.is_abandoned() && self.claim.take()
    }
}

struct LoadWorker<D: Database> {
    connection: WorkerConnection<D>,
}

impl<D: Database> Worker for LoadWorker<D> {
    type Item = QueuedAsk<D>;

    async fn work(&mut self, batch: Vec<QueuedAsk<D>>) {
        let mut statements = Vec::new();
        for (asker, queued) in batch.into_iter().enumerate() {
            awaited::add(&mut statements, asker, queued.ask);
        }
        self.load(&mut statements).await;
        // Where nobody could be asked.
        for mut statement in statements {
            statement.fail(Error::busy);
        }
    }
}

impl<D: Database> LoadWorker<D> {
    /// Makes the statements; leaves those that could not be made.
    async fn load(&mut self, statements: &mut Vec<Box<dyn AnyBatched<D>>>) {
        for _ in 0..MAX_TRIES {
            let Ok(mut open) = self.connection.take().await else { return };
            match self.connection.answer(answer_all::<D>(&mut open.connection, statements)).await {
                Ok(()) => return self.connection.put_back(open),
                Err(Failure::Failed(error)) => {
                    tracing::debug!(cause = error.story(), "a connection broke while it was read from");
                }
                Err(Failure::Unanswered) => return,
            }
        }
    }
}

/// Makes the statements and answers whoever asks, with an error where a statement fails for one alone. Fails itself only
/// where the connection breaks, and leaves what is not answered then.
async fn answer_all<D: Database>(
    connection: &mut D::Connection,
    statements: &mut Vec<Box<dyn AnyBatched<D>>>,
) -> Result<(), Error> {
    let made = join_all(statements.iter_mut().map(|statement| statement.run(connection))).await;
    let mut made = made.into_iter();
    let mut failed = Ok(());
    statements.retain(|_| match made.next() {
        Some(Err(error)) => {
            failed = Err(error);
            true
        }
        Some(Ok(_)) | None => false,
    });
    if failed.is_err() && D::is_broken(connection) {
        return failed;
    }
    // One ask that can't be answered is not to harm the others.
    *statements = std::mem::take(statements).into_iter().flat_map(AnyBatched::split).collect();
    while let Some(mut one) = statements.pop() {
        if one.is_abandoned() {
            continue;
        }
        if let Err(error) = one.run(connection).await {
            if D::is_broken(connection) {
                statements.push(one);
                return Err(error);
            }
            one.fail_one(error);
        }
    }
    Ok(())
}
