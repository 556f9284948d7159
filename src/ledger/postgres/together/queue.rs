//! The queue that the workers of one purpose share, and how large a group they take from it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::{Mutex, Notify, mpsc};

use super::job::Job;

/// Jobs of one group at most: bounds how long the first of them waits for the last.
const MAX_GROUP: usize = 64;
/// How long a worker waits at most for a group to grow.
const LINGER: Duration = Duration::from_millis(5);

/// What the workers of one purpose share.
pub struct Queue {
    jobs: Mutex<mpsc::Receiver<Box<dyn Job>>>,
    /// Jobs in the hands of workers.
    under_way: AtomicUsize,
    /// Told when a worker is done.
    done: Notify,
}

impl Queue {
    /// Fed by this channel.
    pub fn new(jobs: mpsc::Receiver<Box<dyn Job>>) -> Self {
        Self { jobs: Mutex::new(jobs), under_way: AtomicUsize::new(0), done: Notify::new() }
    }

    /// The next group, or `None` when there will be none. Jobs cost less the more of them are in a group, so a worker
    /// does not rush off with the first that comes after a large group has left: it waits for half as many, or until
    /// that group is done, but not for long.
    pub async fn next_group(&self) -> Option<Vec<Box<dyn Job>>> {
        let mut jobs = self.jobs.lock().await;
        let mut group = Vec::new();
        if jobs.recv_many(&mut group, MAX_GROUP).await == 0 {
            return None;
        }
        let grown = async {
            loop {
                let done = self.done.notified();
                let room = MAX_GROUP - group.len();
                if room == 0 || group.len() * 2 >= self.under_way.load(Ordering::Acquire) {
                    return;
                }
                tokio::select! {
                    () = done => {}
                    more = jobs.recv_many(&mut group, room) => if more == 0 { return },
                }
            }
        };
        // However it ended, the group is as large as it is.
        let _ = tokio::time::timeout(LINGER, grown).await;
        self.under_way.fetch_add(group.len(), Ordering::AcqRel);
        Some(group)
    }

    /// A worker is done with so many jobs.
    pub fn is_done(&self, jobs: usize) {
        self.under_way.fetch_sub(jobs, Ordering::AcqRel);
        self.done.notify_one();
    }
}
