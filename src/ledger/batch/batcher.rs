//! The front door for writes: jobs that queue up share a connection, a transaction and its commit.

use std::{future::Future, sync::Arc};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{
    connection::{Failure, Open, Options, WorkerConnection},
    database::Database,
    job::{AnyJob, TypedJob},
    queue::{Queue, Worker},
    rounds::{self, Member, Transaction},
    tx::BatchTx,
};
use crate::{
    error::Error,
    ledger::waiting::{self, Claim},
};

/// A queue of jobs, and workers who take from it whatever has queued up. They end when the last handle is gone.
pub struct Batcher<D: Database> {
    jobs: mpsc::Sender<AnyJob<D>>,
}

impl<D: Database> Clone for Batcher<D> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone() }
    }
}

impl<D: Database> Batcher<D> {
    /// Starts the workers, each with a connection and a thread of its own: a batch waits for its database many times,
    /// and waking a thread of the shared runtime each time would take longer than most statements. Jobs that run by
    /// themselves run on the current runtime.
    pub fn start(database: Arc<D>, options: &Options) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::internal(format!("a worker's thread: {error}"));
        let mut runtimes = Vec::new();
        for _ in 0..options.workers {
            runtimes
                .push(tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?);
        }
        let (batcher, workers) = Self::new(&database, options);
        for (runtime, worker) in runtimes.into_iter().zip(workers) {
            let thread = std::thread::Builder::new().name("batch".into());
            thread.spawn(move || runtime.block_on(worker)).map_err(failed)?;
        }
        Ok(batcher)
    }

    /// The queue, and workers that nobody has started yet.
    pub(super) fn new(
        database: &Arc<D>,
        options: &Options,
    ) -> (Self, Vec<impl Future<Output = ()> + Send + use<D>>) {
        let (jobs, waiting) = mpsc::channel(waiting::QUEUE);
        let queue = Arc::new(Queue::new(waiting));
        let worker = || BatchWorker {
            connection: WorkerConnection::new(Arc::clone(database), options.clone()),
            runtime: Handle::current(),
        };
        let workers = (0..options.workers).map(|_| Arc::clone(&queue).serve(worker())).collect();
        (Self { jobs }, workers)
    }

    /// Queues a job and waits for its answer. It is run `in_batch` with others or, where that can't be, as `alone` does:
    /// outside of the engine, on another connection and within bounds of its own. Only one of the two counts, but both may
    /// be run, so neither may have an effect but its statements. Once begun it runs to its end, even if the caller stops
    /// waiting.
    pub async fn run<T, InBatch, Alone>(
        &self,
        in_batch: impl FnOnce(BatchTx<D>) -> InBatch + Send + 'static,
        alone: impl FnOnce() -> Alone + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        InBatch: Future<Output = Result<T, Error>> + Send + 'static,
        Alone: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let claim = Claim::default();
        let job = TypedJob::new(in_batch, alone, answer, claim.clone());
        waiting::queued(&self.jobs, Box::new(job), &claim, answered).await
    }
}

/// What became of a batch.
enum Outcome {
    /// It stands.
    Committed,
    /// Nothing of it stands, and its jobs can be run by themselves.
    Split(Error),
    /// Nothing of it stands, and the database does not answer.
    Unanswered,
    /// Whether it stands is not known.
    InDoubt,
}

struct BatchWorker<D: Database> {
    connection: WorkerConnection<D>,
    /// Where jobs run by themselves.
    runtime: Handle,
}

impl<D: Database> Worker for BatchWorker<D> {
    type Item = AnyJob<D>;

    async fn work(&mut self, mut batch: Vec<AnyJob<D>>) {
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        metrics::histogram!("quittance_batch_jobs").record(batch.len() as f64);
        let Ok(open) = self.connection.take().await else {
            return batch.into_iter().for_each(|job| job.finish(Err(Error::busy())));
        };
        let (outcome, left) = self.transaction(&mut batch, open).await;
        if let Outcome::Split(cause) = &outcome {
            metrics::counter!("quittance_batches_split_total").increment(1);
            tracing::debug!(cause = cause.story(), jobs = batch.len(), "a batch is split");
        }
        for (job, left) in batch.into_iter().zip(left) {
            match outcome {
                Outcome::Committed if !left => job.finish(Ok(())),
                Outcome::Committed | Outcome::Split(_) => job.run_alone(&self.runtime),
                Outcome::InDoubt if !left => job.finish(Err(Error::internal("the commit is in doubt"))),
                Outcome::Unanswered | Outcome::InDoubt => job.finish(Err(Error::busy())),
            }
        }
    }
}

impl<D: Database> BatchWorker<D> {
    /// Runs the jobs as one transaction; says what became of it, and which of them left.
    async fn transaction(&mut self, jobs: &mut [AnyJob<D>], mut open: Open<D>) -> (Outcome, Vec<bool>) {
        let mut members: Vec<Member<'_, D>> = jobs.iter_mut().map(Member::start).collect();
        let mut transaction = Transaction::None;
        let ran = rounds::run(&mut members, &self.connection, &mut open, &mut transaction).await;
        let left = members.iter().map(|member| member.left).collect();
        drop(members);
        let outcome = match (ran, transaction) {
            (Ok(()), Transaction::None) => {
                self.connection.put_back(open);
                Outcome::Committed
            }
            (Ok(()), Transaction::Begun) => self.commit(open, jobs.len()).await,
            (Err(Failure::Failed(cause)), Transaction::None) => {
                self.connection.put_back(open);
                Outcome::Split(cause)
            }
            (Err(Failure::Failed(cause)), Transaction::Begun) => self.roll_back(open, cause).await,
            (Err(Failure::Unanswered), _) => Outcome::Unanswered,
        };
        (outcome, left)
    }

    async fn commit(&mut self, open: Open<D>, jobs: usize) -> Outcome {
        let cause = match self.connection.answer(D::commit(&open.connection)).await {
            Ok(()) => {
                self.connection.put_back(open);
                return Outcome::Committed;
            }
            Err(Failure::Failed(error)) => error.story(),
            Err(Failure::Unanswered) => "no answer".to_owned(),
        };
        tracing::error!(cause, jobs, "a commit is in doubt: it is not known whether these jobs stand");
        Outcome::InDoubt
    }

    async fn roll_back(&mut self, open: Open<D>, cause: Error) -> Outcome {
        match self.connection.answer(D::rollback(&open.connection)).await {
            Ok(()) => self.connection.put_back(open),
            // One that can't even roll back is not used again; dropped, it can't commit either.
            Err(Failure::Failed(error)) => tracing::debug!(cause = error.story(), "could not roll back"),
            Err(Failure::Unanswered) => return Outcome::Unanswered,
        }
        Outcome::Split(cause)
    }
}
