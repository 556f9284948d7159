//! Jobs that queue up share a connection: one transaction, one commit, and one statement where several jobs ask
//! the same kind of question.
//!
//! The jobs of a group run in step. Each is polled until it waits for a statement; what they wait for is then
//! sent to the database, all statements of one kind as one (`sets`), and everybody goes on with their answers.
//! The jobs themselves know nothing of this: alone or together they are the same code. A statement without a form
//! for sets is made by its job alone, on the connection it is lent for that moment.
//!
//! Within a group a row lock can't keep two jobs apart, since the transaction is theirs both. So the group keeps
//! its own: a job that asks for a row another job has locked waits until that one is done.
//!
//! A group stands or falls as a whole. If a statement fails, or a job that has written something does, all is
//! rolled back and every job runs again in a transaction of its own, as if it had never been in a group.

mod desk;

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use diesel_async::pooled_connection::bb8::PooledConnection;
use futures_util::FutureExt;
use tokio::sync::{
    mpsc::{self, error::SendTimeoutError},
    oneshot,
};
use tracing::Instrument;

pub use desk::{LockKey, Locks, Seat};

use desk::Desk;

use super::{Conn, POOL_WAIT, Pool};
use crate::{
    error::Error,
    ledger::{Tx, TxFuture, catch_panic},
};

/// Jobs of one group at most: bounds how long the first of them waits for the last.
const MAX_GROUP: usize = 64;
/// Jobs that may wait; past it callers wait for room.
const QUEUE: usize = 4_096;

/// A connection of the pool.
pub type Pooled = PooledConnection<'static, Conn>;

/// Whether a group is a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// No: its jobs only look.
    Read,
    /// Yes.
    Write,
}

/// A queue of jobs, and workers who take from it whatever has queued up. They end when the last handle is gone.
#[derive(Clone)]
pub struct Together {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Together {
    /// Starts so many workers; each has one connection at a time.
    pub fn start(pool: &Pool, purpose: Purpose, workers: usize) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        for _ in 0..workers {
            tokio::spawn(work(Arc::clone(&queue), pool.clone(), purpose));
        }
        Self { jobs }
    }

    /// Queues a job and waits for its answer.
    pub async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + Sync + 'static,
    {
        let (answer, mut answered) = oneshot::channel();
        let span = tracing::Span::current();
        let claimed = Arc::new(AtomicBool::new(false));
        let task = Task { work, out: Arc::default(), answer, span, claimed: Arc::clone(&claimed) };
        self.jobs.send_timeout(Box::new(task), POOL_WAIT).await.map_err(|error| match error {
            SendTimeoutError::Timeout(_) => Error::busy(),
            SendTimeoutError::Closed(_) => Error::internal("the workers have stopped"),
        })?;
        let answer = match tokio::time::timeout(POOL_WAIT, &mut answered).await {
            Ok(answer) => answer,
            // Nobody has begun it, and now nobody will.
            Err(_) if !claimed.swap(true, Ordering::AcqRel) => return Err(Error::busy()),
            Err(_) => answered.await,
        };
        answer.map_err(|_| Error::internal("a worker dropped a job"))?
    }
}

async fn work(queue: Arc<tokio::sync::Mutex<mpsc::Receiver<Box<dyn Job>>>>, pool: Pool, purpose: Purpose) {
    loop {
        let mut group = Vec::new();
        if queue.lock().await.recv_many(&mut group, MAX_GROUP).await == 0 {
            return;
        }
        group.retain(|job| job.claim());
        if group.is_empty() {
            continue;
        }
        // A worker that is gone would be missed by all.
        if AssertUnwindSafe(run_group(group, &pool, purpose)).catch_unwind().await.is_err() {
            tracing::error!("a group panicked; its jobs are told so");
        }
    }
}

async fn run_group(mut group: Vec<Box<dyn Job>>, pool: &Pool, purpose: Purpose) {
    let mut connection = match pool.connection().await {
        Ok(connection) => connection,
        Err(_) => return group.into_iter().for_each(|job| job.answer(Err(Error::busy()))),
    };
    let done = match purpose {
        Purpose::Read => in_step(&mut group, connection, purpose).await.map(drop),
        Purpose::Write => match super::begin_group(&mut connection).await {
            Err(error) => Err(error),
            Ok(()) => match in_step(&mut group, connection, purpose).await {
                Ok(mut connection) => match super::commit(&mut connection).await {
                    Ok(()) => Ok(()),
                    // Whether it stands is not known, so it must not be run again.
                    Err(error) => {
                        tracing::error!(
                            cause = error.story(),
                            "could not commit; {} writes are in doubt",
                            group.len()
                        );
                        let in_doubt = || Err(Error::internal("the commit is in doubt"));
                        return group.into_iter().for_each(|job| job.answer(in_doubt()));
                    }
                },
                Err(error) => Err(error),
            },
        },
    };
    match done {
        Ok(()) => group.into_iter().for_each(|job| job.answer(Ok(()))),
        Err(error) => {
            metrics::counter!("quittance_groups_apart_total").increment(1);
            tracing::debug!(cause = error.story(), jobs = group.len(), "a group comes apart");
            group.into_iter().for_each(|job| job.alone(pool.clone()));
        }
    }
}

/// Runs the jobs to their ends; gives the connection back, or the reason why the group comes apart. A write's
/// connection is rolled back then.
async fn in_step(group: &mut [Box<dyn Job>], connection: Pooled, purpose: Purpose) -> Result<Pooled, Error> {
    let desk = Arc::new(Mutex::new(Desk::default()));
    let mut members: Vec<Member> = (0..)
        .zip(group)
        .map(|(index, job)| Member {
            running: Some(job.begin(Tx::Together(Seat { index, desk: Arc::clone(&desk) }))),
            wrote: false,
        })
        .collect();
    let mut connection = Some(connection);
    let out = rounds(&mut members, &desk, &mut connection).await;
    // Whoever is lent the connection gives it back.
    drop(members);
    let connection = connection.or_else(|| take_up(&desk).returned.take());
    let mut connection = connection.ok_or_else(|| Error::internal("a job kept the connection"))?;
    match out {
        Ok(()) => Ok(connection),
        Err(error) => {
            if purpose == Purpose::Write {
                super::roll_back(&mut connection).await;
            }
            Err(error)
        }
    }
}

/// One round after another: everybody goes on until they wait, then what they wait for is done.
async fn rounds(
    members: &mut [Member],
    desk: &Mutex<Desk>,
    connection: &mut Option<Pooled>,
) -> Result<(), Error> {
    let mut locks = Locks::default();
    loop {
        let mut waiting = false;
        for (index, member) in members.iter_mut().enumerate() {
            // Woken by nobody: whatever they wait for comes from here.
            match member.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(ended) => member.conclude(index, ended, &mut locks)?,
                Poll::Pending => waiting = true,
            }
        }
        if !waiting {
            return Ok(());
        }
        let alone = take_up(desk).alone.pop_front();
        if let Some((index, lend)) = alone {
            let member = &mut members[index];
            member.wrote = true;
            let lent = connection.take().ok_or_else(|| Error::internal("the connection is out"))?;
            if let Err(lent) = lend.send(lent) {
                *connection = Some(lent);
                return Err(Error::internal("a job left a statement half way"));
            }
            let ended = poll_fn(|context| match member.poll(context) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if take_up(desk).returned.is_some() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await;
            *connection = take_up(desk).returned.take();
            if let Some(ended) = ended {
                member.conclude(index, ended, &mut locks)?;
            }
            continue;
        }
        let mut requests = std::mem::take(&mut take_up(desk).requests);
        let connection = connection.as_mut().ok_or_else(|| Error::internal("the connection is out"))?;
        let served = requests.serve(connection, &mut locks, |index| members[index].wrote = true).await?;
        take_up(desk).requests = requests;
        if served == 0 {
            return Err(Error::internal("a transaction waited for something else"));
        }
    }
}

/// One job on its way.
struct Member {
    /// `None` once it has ended.
    running: Option<Running>,
    /// Whether anything of it stands in the database.
    wrote: bool,
}

impl Member {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        let Some(running) = &mut self.running else { return Poll::Ready(Ended::Before) };
        let ended = std::task::ready!(running.as_mut().poll(context));
        self.running = None;
        Poll::Ready(ended)
    }

    fn conclude(&self, index: usize, ended: Ended, locks: &mut Locks) -> Result<(), Error> {
        match ended {
            Ended::Before => {}
            Ended::Stood => locks.release(index),
            Ended::Failed if !self.wrote => locks.release(index),
            Ended::Failed => return Err(Error::internal("a job failed that had written something")),
            Ended::Raced => return Err(Error::internal("a job lost a race")),
        }
        Ok(())
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// In an earlier round.
    Before,
    /// With a result.
    Stood,
    /// With an error.
    Failed,
    /// With an error that may not come again.
    Raced,
}

type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A job, whatever its answer is.
trait Job: Send {
    /// Starts it on a shared connection; its result is kept.
    fn begin(&self, tx: Tx) -> Running;
    /// Hands the kept result over, or the reason why nothing came of it.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
    /// Runs it in a transaction of its own, in a task of its own.
    fn alone(self: Box<Self>, pool: Pool);
    /// Whether it is to be run: its caller may have given up before anybody began it.
    fn claim(&self) -> bool;
}

struct Task<T, F> {
    work: F,
    out: Arc<Mutex<Option<Result<T, Error>>>>,
    answer: oneshot::Sender<Result<T, Error>>,
    span: tracing::Span,
    claimed: Arc<AtomicBool>,
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
                Err(error) if error.lost_a_race() => Ended::Raced,
                Err(_) => Ended::Failed,
            };
            *take_up(&kept) = Some(out);
            ended
        };
        run.instrument(self.span.clone()).boxed()
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let out = take_up(&self.out).take().unwrap_or_else(|| Err(Error::internal("a job that did not run")));
        // The caller may have stopped waiting; a write stands all the same.
        let _ = self.answer.send(committed.and(out));
    }

    fn alone(self: Box<Self>, pool: Pool) {
        let Self { work, answer, span, .. } = *self;
        let run = async move { answer.send(pool.write(work).await) };
        tokio::spawn(run.map(drop).instrument(span));
    }

    fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }
}

/// A poisoned mutex here holds nothing that a panic could have left half done.
fn take_up<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
