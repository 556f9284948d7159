//! The readers: threads beside the writer, each with a connection of its own, that take what has queued up.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::sync::{mpsc, oneshot};

use super::connection::{at_once, connect, spawn};
use crate::{
    error::Error,
    ledger::{
        Tx, TxFuture,
        panic::catch_panic,
        waiting::{self, Claim},
    },
};

/// At least so many: a reader may wait for the disk.
const MIN_READERS: usize = 4;
/// More than this would mostly wait for each other.
const MAX_READERS: usize = 16;

/// Given a connection, or the reason why there is none.
type Job = Box<dyn FnOnce(Result<&mut Tx, Error>) + Send>;
type Queue = Arc<Mutex<mpsc::Receiver<Job>>>;

/// A handle to the reader threads, which end when the last handle is gone.
#[derive(Clone)]
pub struct Readers {
    jobs: mpsc::Sender<Job>,
}

impl Readers {
    /// Starts as many as there are cores, within reason. Each connects when it is first needed.
    pub fn start(path: &Path) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::channel(waiting::QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let cores = thread::available_parallelism().map_or(MIN_READERS, usize::from);
        for _ in 0..cores.clamp(MIN_READERS, MAX_READERS) {
            let (path, queue) = (path.to_owned(), Arc::clone(&queue));
            spawn("sqlite-reader", move || look_on(path, queue))?;
        }
        Ok(Self { jobs })
    }

    /// Queues a job and waits for its answer.
    pub async fn read<T, F>(&self, look: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let span = tracing::Span::current();
        let claim = Claim::default();
        let claimed = claim.clone();
        let job: Job = Box::new(move |tx| {
            if claimed.take() {
                let out = tx.and_then(|tx| span.in_scope(|| at_once(catch_panic(async { look(tx).await }))));
                // The caller may have stopped waiting.
                let _ = answer.send(out);
            }
        });
        waiting::queued(&self.jobs, job, &claim, answered).await
    }
}

fn look_on(path: PathBuf, queue: Queue) {
    let mut tx = None;
    loop {
        // The lock is held while waiting: whoever has it gets the next job, and the others queue for the lock.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = next else { return };
        let tx = match &mut tx {
            Some(tx) => Ok(tx),
            none => connect(&path).map(|connection| none.insert(Tx::Sqlite(connection.into()))),
        };
        job(tx);
    }
}
