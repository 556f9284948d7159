//! The queue that workers share, and how much they take from it at once.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::sync::{Mutex, Notify, mpsc};

/// The most that goes as one batch: bounds how long the first of it waits for the last.
pub const MAX_BATCH: usize = 64;
/// How long a worker waits at most for a batch to grow.
const LINGER: Duration = Duration::from_millis(5);

/// Something that waits in a queue.
pub trait Queued: Send + 'static {
    /// Takes the right to do it; false where its caller has given up before anybody began it.
    fn claim(&self) -> bool;
}

/// Does what has queued up.
pub trait Worker: Send + 'static {
    /// What it does.
    type Item: Queued;

    /// Does all of it. There is at least one.
    fn work(&mut self, batch: Vec<Self::Item>) -> impl Future<Output = ()> + Send;
}

/// What workers share.
pub struct Queue<T> {
    waiting: Mutex<mpsc::Receiver<T>>,
    /// How many are in the hands of workers.
    under_way: AtomicUsize,
    /// Told when a worker is done.
    done: Notify,
}

impl<T: Queued> Queue<T> {
    /// Fed by this channel.
    pub fn new(waiting: mpsc::Receiver<T>) -> Self {
        Self { waiting: Mutex::new(waiting), under_way: AtomicUsize::new(0), done: Notify::new() }
    }

    /// Keeps a worker at work until the queue is closed and empty.
    pub async fn serve(self: Arc<Self>, mut worker: impl Worker<Item = T>) {
        while let Some(mut batch) = self.next_batch().await {
            let taken = batch.len();
            batch.retain(Queued::claim);
            // What a job or a row does when it is dropped is not ours; a worker that is gone would be missed by all.
            if !batch.is_empty() && AssertUnwindSafe(worker.work(batch)).catch_unwind().await.is_err() {
                tracing::error!("a worker panicked; those it worked for are told so");
            }
            self.under_way.fetch_sub(taken, Ordering::AcqRel);
            self.done.notify_one();
        }
    }

    /// The next batch, or `None` when there will be none. The more go together the less each costs. So a worker does not
    /// take the first that comes after a large batch has left: it waits for half as many, or until that batch is done, but
    /// not for long.
    async fn next_batch(&self) -> Option<Vec<T>> {
        let mut waiting = self.waiting.lock().await;
        let mut batch = Vec::new();
        if waiting.recv_many(&mut batch, MAX_BATCH).await == 0 {
            return None;
        }
        let grown = async {
            loop {
                let done = self.done.notified();
                let room = MAX_BATCH - batch.len();
                if room == 0 || batch.len() * 2 >= self.under_way.load(Ordering::Acquire) {
                    return;
                }
                tokio::select! {
                    () = done => {}
                    more = waiting.recv_many(&mut batch, room) => if more == 0 { return },
                }
            }
        };
        // However it ended, the batch is as large as it is.
        let _ = tokio::time::timeout(LINGER, grown).await;
        self.under_way.fetch_add(batch.len(), Ordering::AcqRel);
        Some(batch)
    }
}
