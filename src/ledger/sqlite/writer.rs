//! The one writer: a thread that takes what has queued up, runs it as one transaction, commits once, durably, and
//! only then answers everybody.
//!
//! A job that fails or panics is rolled back alone. That takes a savepoint for each, and savepoints cost as much again
//! as the jobs; so a batch first runs without, and where a job fails, everything is undone and run again with them. A
//! `begin` or `commit` that fails answers every job of its batch with an error, and the writer goes on.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use diesel::{
    connection::{AnsiTransactionManager as SyncManager, SimpleConnection, TransactionManager as _},
    prelude::*,
    sql_types::Integer,
};
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

use super::{
    connection::{at_once, connect, connect_blocking, spawn},
    errors,
};
use crate::{
    error::Error,
    ledger::{
        Tx, TxFuture,
        failure::in_doubt,
        health::Health,
        panic::catch_panic,
        waiting::{self, Claim, QUEUE},
    },
};

/// Jobs in one commit at most: bounds how long the first of them waits for the last.
const MAX_BATCH: usize = 64;
/// How often the log is copied into the database, off the writer's thread.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(200);
/// Log pages (of 4 KiB) past which the writer itself finishes the copying, so that the log can start over.
const RESTART_PAST_PAGES: i32 = 16_000;

/// A handle to the writer thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Starts the writer and its checkpointer.
    pub fn start(path: &Path, health: Arc<Health>) -> Result<Self, Error> {
        let mut connection = connect(path)?;
        let restart_due = Arc::new(AtomicBool::new(false));
        run(&mut connection, |c| c.batch_execute("pragma wal_autocheckpoint = 0"))?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        spawn("sqlite-checkpoint", {
            let (path, restart_due) = (path.to_owned(), Arc::clone(&restart_due));
            let writer_is_gone = jobs.downgrade();
            move || checkpoint(&path, &restart_due, || writer_is_gone.strong_count() == 0)
        })?;
        spawn("sqlite-writer", move || {
            write_batches(Tx::Sqlite(connection.into()), queue, &restart_due, &health)
        })?;
        Ok(Self { jobs })
    }

    /// Queues a job and waits until it is durable.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let claim = Claim::default();
        let task = Task { work, out: None, answer, span: tracing::Span::current(), claim: claim.clone() };
        waiting::queued(&self.jobs, Box::new(task), &claim, answered).await
    }
}

/// What the writer is given: a piece of work, and whom to tell.
trait Job: Send {
    /// Whether it is to be run: its caller may have given up before it was its turn.
    fn claim(&self) -> bool;
    /// Runs it, behind a savepoint or not; says whether it stands. A second time it starts over.
    fn run(&mut self, tx: &mut Tx, behind_savepoint: bool) -> bool;
    /// Hands over its result, or the reason why nothing came of it.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

struct Task<T, F> {
    work: F,
    out: Option<Result<T, Error>>,
    answer: oneshot::Sender<Result<T, Error>>,
    span: tracing::Span,
    claim: Claim,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send,
{
    fn claim(&self) -> bool {
        self.claim.take()
    }

    fn run(&mut self, tx: &mut Tx, behind_savepoint: bool) -> bool {
        let work = self.work.clone();
        let run = if behind_savepoint { in_savepoint } else { in_the_open };
        self.out.insert(self.span.in_scope(|| run(tx, work))).is_ok()
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let out = self.out.unwrap_or_else(|| Err(Error::internal("a job that did not run")));
        // The caller may have stopped waiting; the write stands all the same.
        let _ = self.answer.send(committed.and(out));
    }
}

fn write_batches(
    mut tx: Tx,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    restart_due: &AtomicBool,
    health: &Health,
) {
    while let Some(first) = queue.blocking_recv() {
        if !first.claim() {
            continue;
        }
        let mut batch = Vec::new();
        match write_batch(&mut tx, first, &mut queue, &mut batch) {
            Ok(()) => {
                health.answered();
                batch.into_iter().for_each(|job| job.answer(Ok(())));
            }
            Err(undone) => {
                let failure = errors::failure(&undone.error);
                health.failed(failure, &undone.error);
                roll_back(&mut tx);
                let doubtful = undone.at_commit && errors::leaves_in_doubt(&undone.error);
                tracing::debug!(error = %undone.error, doubtful, "{} writes could not be committed", batch.len());
                for job in batch {
                    let told = if doubtful { in_doubt(&undone.error) } else { failure.told(&undone.error) };
                    job.answer(Err(told));
                }
            }
        }
        if restart_due.swap(false, Ordering::AcqRel) {
            // PASSIVE alone never lets a busy log start over; between two batches the rest is small.
            let _ = run(connection(&mut tx), |c| c.batch_execute("pragma wal_checkpoint(restart)"));
        }
    }
}

/// Why nothing came of a batch.
struct Undone {
    error: diesel::result::Error,
    /// Whether it was the commit that failed.
    at_commit: bool,
}

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Self { error, at_commit: false }
    }
}

/// Runs what has queued up as one transaction. `batch` gets the jobs, to be answered whatever comes of it.
fn write_batch(
    tx: &mut Tx,
    first: Box<dyn Job>,
    queue: &mut mpsc::Receiver<Box<dyn Job>>,
    batch: &mut Vec<Box<dyn Job>>,
) -> Result<(), Undone> {
    batch.push(first);
    let mut next = || std::iter::from_fn(|| queue.try_recv().ok()).find(|job| job.claim());
    if let Err(error) = begin(tx) {
        // The others have waited along; one time-out each, after one another, would be many.
        batch.extend(std::iter::from_fn(next));
        return Err(error.into());
    }
    let mut behind_savepoints = false;
    let mut done = 0;
    while done < batch.len() {
        let stands = batch[done].run(tx, behind_savepoints);
        done += 1;
        if !stands && !behind_savepoints {
            roll_back(tx);
            begin(tx)?;
            behind_savepoints = true;
            // Nothing but its own was undone if it was the first.
            done = if done == 1 { 1 } else { 0 };
        }
        if done == batch.len() && done < MAX_BATCH {
            batch.extend(next());
        }
    }
    commit(tx).map_err(|error| Undone { error, at_commit: true })
}

/// Runs one job behind a savepoint; after an error or a panic nothing of it is left.
fn in_savepoint<T, F>(tx: &mut Tx, work: F) -> Result<T, Error>
where
    F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T>,
{
    run(connection(tx), SyncManager::begin_transaction)?;
    let out = in_the_open(tx, work);
    match &out {
        Ok(_) => run(connection(tx), SyncManager::commit_transaction)?,
        Err(_) => run(connection(tx), SyncManager::rollback_transaction)?,
    }
    out
}

/// Runs one job as a part of the transaction it finds.
fn in_the_open<T, F>(tx: &mut Tx, work: F) -> Result<T, Error>
where
    F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T>,
{
    at_once(catch_panic(async { work(tx).await }))
}

fn connection(tx: &mut Tx) -> &mut super::Conn {
    match tx {
        Tx::Sqlite(connection) => connection.get_mut(),
        Tx::Postgres(_) | Tx::Batch(_) | Tx::Reads(_) => {
            unreachable!("the writer was started with a SQLite connection")
        }
    }
}

fn begin(tx: &mut Tx) -> QueryResult<()> {
    run(connection(tx), |c| SyncManager::begin_transaction_sql(c, "begin immediate"))
}

fn commit(tx: &mut Tx) -> QueryResult<()> {
    run(connection(tx), SyncManager::commit_transaction)
}

/// After a failed commit the transaction may still be open; the next `begin` needs it closed.
fn roll_back(tx: &mut Tx) {
    let connection = connection(tx);
    while run(connection, SyncManager::rollback_transaction).is_ok() {}
    // If diesel and SQLite disagree by now, start over with what SQLite says.
    let _ = run(connection, |c| c.batch_execute("rollback"));
    let _ = run(connection, |c| {
        *SyncManager::transaction_manager_status_mut(c) = Default::default();
        Ok(())
    });
}

fn run<R: Send + 'static>(
    connection: &mut super::Conn,
    body: impl FnOnce(&mut SqliteConnection) -> QueryResult<R> + Send + 'static,
) -> QueryResult<R> {
    connection
        .spawn_blocking(body)
        .now_or_never()
        .unwrap_or(Err(diesel::result::Error::BrokenTransactionManager))
}

#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = Integer)]
    log: i32,
}

/// Copies the log into the database every little while, so that no commit ever pays for it.
fn checkpoint(path: &Path, restart_due: &AtomicBool, writer_is_gone: impl Fn() -> bool) {
    let mut connection = match connect_blocking(path) {
        Ok(connection) => connection,
        Err(error) => return tracing::error!(%error, "no checkpoints"),
    };
    while !writer_is_gone() {
        std::thread::sleep(CHECKPOINT_EVERY);
        match diesel::sql_query("pragma wal_checkpoint(passive)").get_result::<Checkpoint>(&mut connection) {
            Ok(done) => {
                _ = (done.log > RESTART_PAST_PAGES).then(|| restart_due.store(true, Ordering::Release))
            }
            Err(error) => tracing::warn!(%error, "checkpoint failed"),
        }
    }
}
