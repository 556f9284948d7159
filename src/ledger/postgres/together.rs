//! Jobs that queue up share a connection: one transaction, one commit, and one statement where several jobs ask
//! the same kind of question.
//!
//! The jobs of a group run in step, in rounds. Each is polled until it waits for a statement; what they wait for is then
//! sent to the database in one go, all statements of one kind as one (`sets`), and everybody goes on with their answers.
//! Nobody waits for a write that has nothing to tell; it goes with the next round, in one statement with those of all others
//! (`posts`). The jobs themselves know nothing of this: alone or together they are the same code. A statement without a
//! form for sets is made by its job alone, on the connection it is lent for that moment.
//!
//! Within a group a row lock can't keep two jobs apart, since the transaction is theirs both. So the group keeps
//! its own: a job that asks for a row another job has locked waits until that one is done, its last writes included.
//!
//! A group stands or falls as a whole. If a statement fails, or a job that has written something does, all is
//! rolled back and every job runs again by itself, as if it had never been in a group.

mod desk;
mod job;
mod queue;

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use diesel_async::{SimpleAsyncConnection, pooled_connection::PoolableConnection};
use futures_util::FutureExt;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

pub use desk::{LockKey, Locks, Seat};

use desk::Desk;
use job::{Alone, Ended, Job, Running, Task};
use queue::Queue;

use super::{Conn, Pool};
use crate::{
    error::Error,
    ledger::{
        Tx, TxFuture, secret,
        waiting::{self, Claim},
    },
};

/// How long a group waits for a row: longer than any other group holds one. Its jobs had better run apart then, so that
/// the others need not wait for it.
const LOCK_WAIT: Duration = Duration::from_secs(1);

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
    /// Starts so many workers, each with a connection of its own. Those that write have a thread of their own, too: such a
    /// group waits for its database many times, and waking a thread of the shared runtime each time would take longer than
    /// most statements. Those that read wait once, and would only add a thread to be woken.
    pub fn start(url: &secret::Url, pool: &Pool, purpose: Purpose, workers: usize) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel(waiting::QUEUE);
        let queue = Arc::new(Queue::new(queue));
        let failed = |error: std::io::Error| Error::internal(format!("a worker's thread: {error}"));
        for _ in 0..workers {
            let line = Line { url: url.clone(), connection: None, purpose };
            let alone = Alone { pool: pool.clone(), purpose, runtime: Handle::current() };
            let work = work(Arc::clone(&queue), alone, line);
            if purpose == Purpose::Read {
                tokio::spawn(work);
                continue;
            }
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
            let thread = std::thread::Builder::new().name("postgres-group".into());
            thread.spawn(move || runtime.block_on(work)).map_err(failed)?;
        }
        Ok(Self { jobs })
    }

    /// Queues a job and waits for its answer.
    pub async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + Sync + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let claim = Claim::default();
        let task = Task::new(work, answer, claim.clone());
        waiting::queued(&self.jobs, Box::new(task), &claim, answered).await
    }
}

/// A worker's connection, made when first needed and again after it broke.
struct Line {
    url: secret::Url,
    connection: Option<Conn>,
    purpose: Purpose,
}

impl Line {
    /// Takes the connection; whoever is done with it in good order puts it back.
    async fn take(&mut self) -> Result<Conn, Error> {
        if let Some(mut connection) = self.connection.take()
            && !connection.is_broken()
        {
            return Ok(connection);
        }
        let connect = async {
            let mut connection = super::connect(&self.url).await?;
            let lock_wait = format!("set lock_timeout = {}", LOCK_WAIT.as_millis());
            connection.batch_execute(&lock_wait).await?;
            Ok(connection)
        };
        // Something may accept connections there and never say a word.
        let connected = tokio::time::timeout(waiting::MAX_WAIT, connect).await;
        connected.unwrap_or_else(|_| Err(Error::internal("PostgreSQL does not answer")))
    }

    /// What the first round of a group begins with.
    fn begin(&self) -> Option<&'static str> {
        (self.purpose == Purpose::Write).then_some("begin")
    }
}

async fn work(queue: Arc<Queue>, alone: Alone, mut line: Line) {
    while let Some(mut group) = queue.next_group().await {
        let jobs = group.len();
        group.retain(|job| job.claim());
        // A worker that is gone would be missed by all.
        if AssertUnwindSafe(run_group(group, &alone, &mut line)).catch_unwind().await.is_err() {
            tracing::error!("a group panicked; its jobs are told so");
        }
        queue.is_done(jobs);
    }
}

async fn run_group(mut group: Vec<Box<dyn Job>>, alone: &Alone, line: &mut Line) {
    if group.is_empty() {
        return;
    }
    let connection = match line.take().await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::warn!(cause = error.story(), "no database connection");
            return group.into_iter().for_each(|job| job.answer(Err(Error::busy())));
        }
    };
    match in_step(&mut group, connection, line).await {
        Ok(mut connection) => {
            if line.purpose == Purpose::Write
                && let Err(error) = connection.batch_execute("commit").await
            {
                // Whether it stands is not known, so it must not be run again.
                let error = Error::from(error);
                tracing::error!(
                    cause = error.story(),
                    "could not commit; {} writes are in doubt",
                    group.len()
                );
                let in_doubt = || Err(Error::internal("the commit is in doubt"));
                return group.into_iter().for_each(|job| job.answer(in_doubt()));
            }
            line.connection = Some(connection);
            group.into_iter().for_each(|job| job.answer(Ok(())));
        }
        Err(error) => {
            metrics::counter!("quittance_groups_apart_total").increment(1);
            tracing::debug!(cause = error.story(), jobs = group.len(), "a group comes apart");
            group.into_iter().for_each(|job| job.alone(alone));
        }
    }
}

/// Runs the jobs to their ends; gives the connection back, or the reason why the group comes apart. What was written is
/// rolled back then.
async fn in_step(group: &mut [Box<dyn Job>], connection: Conn, line: &mut Line) -> Result<Conn, Error> {
    let desk = Arc::new(Mutex::new(Desk::default()));
    let mut members: Vec<Member> = (0..)
        .zip(group)
        .map(|(index, job)| Member {
            running: Some(job.begin(Tx::Together(Seat { index, desk: Arc::clone(&desk) }))),
            wrote: false,
        })
        .collect();
    let mut connection = Some(connection);
    let out = rounds(&mut members, &desk, &mut connection, line.begin()).await;
    // Whoever is lent the connection gives it back.
    drop(members);
    let connection = connection.or_else(|| take_up(&desk).returned.take());
    let mut connection = connection.ok_or_else(|| Error::internal("a job kept the connection"))?;
    match out {
        Ok(()) => Ok(connection),
        Err(error) => {
            // One that can't even roll back is not used again.
            if line.purpose == Purpose::Read || connection.batch_execute("rollback").await.is_ok() {
                line.connection = Some(connection);
            }
            Err(error)
        }
    }
}

/// One round after another: everybody goes on until they wait, then what they wait for is done.
async fn rounds(
    members: &mut [Member],
    desk: &Mutex<Desk>,
    connection: &mut Option<Conn>,
    mut begin: Option<&'static str>,
) -> Result<(), Error> {
    let mut locks = Locks::default();
    loop {
        let mut waiting = false;
        for (index, member) in members.iter_mut().enumerate() {
            // Woken by nobody: whatever they wait for comes from here.
            match member.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(ended) => member.conclude(index, ended, desk, &mut locks)?,
                Poll::Pending => waiting = true,
            }
        }
        if take_up(desk).spoilt {
            return Err(Error::internal("a statement failed"));
        }
        if !waiting && take_up(desk).requests.is_empty() {
            return Ok(());
        }
        let out = || Error::internal("the connection is out");
        let alone = take_up(desk).alone.pop_front();
        if let Some((index, lend)) = alone {
            let member = &mut members[index];
            member.wrote = true;
            let mut lent = connection.take().ok_or_else(out)?;
            if let Some(begin) = begin.take() {
                lent.batch_execute(begin).await?;
            }
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
                member.conclude(index, ended, desk, &mut locks)?;
            }
            continue;
        }
        let mut requests = std::mem::take(&mut take_up(desk).requests);
        let connection = connection.as_ref().ok_or_else(out)?;
        let done = requests.serve(connection, begin.take(), &mut locks).await?;
        locks.end_round();
        if done.served == 0 {
            return Err(Error::internal("a transaction waited for something else"));
        }
        for index in done.wrote {
            members[index].wrote = true;
        }
        take_up(desk).requests = requests;
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

    fn conclude(
        &self,
        index: usize,
        ended: Ended,
        desk: &Mutex<Desk>,
        locks: &mut Locks,
    ) -> Result<(), Error> {
        // Posted, or left behind.
        let has_more = take_up(desk).requests.has_any_of(index);
        match ended {
            Ended::Before => {}
            Ended::Stood if has_more => locks.release_after_round(index),
            Ended::Stood => locks.release(index),
            Ended::Failed if !self.wrote && !has_more => locks.release(index),
            Ended::Failed => return Err(Error::internal("a job failed that had written something")),
        }
        Ok(())
    }
}

/// A poisoned mutex here holds nothing that a panic could have left half done.
fn take_up<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
