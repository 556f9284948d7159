//! Whether the database serves, as those who ask it find out: told to the log when that changes, and to the metrics.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::failure::Failure;

/// An answer counts as a recovery only so long after the last fault: while some get through and others don't, the log is
/// not to be told each time.
const CALM: Duration = Duration::from_secs(1);

/// A commit that got no answer counts for so long; then others are let try.
const HUNG_FOR: Duration = Duration::from_secs(10);

/// What is known of one database.
#[derive(Debug, Default)]
pub struct Health {
    away: AtomicBool,
    outage: Mutex<Option<Outage>>,
    /// When a commit was given up, if none has come through since.
    commit_hung: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    since: Instant,
    last_fault: Instant,
}

impl Health {
    /// Notes a failure, and says so in the log if it is the first of an outage.
    pub fn failed(&self, failure: Failure, cause: &dyn std::fmt::Display) {
        metrics::counter!("quittance_database_failures_total", "failure" => failure.as_str()).increment(1);
        if !failure.is_outage() {
            return;
        }
        let now = Instant::now();
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outage) = &mut *outage {
            outage.last_fault = now;
            return;
        }
        *outage = Some(Outage { since: now, last_fault: now });
        self.away.store(true, Ordering::Release);
        metrics::gauge!("quittance_database_up").set(0);
        tracing::error!(%cause, failure = failure.as_str(), "the database does not serve");
    }

    /// Notes that a commit got no answer. A server may answer everything else: it waits for its standby.
    pub fn commit_hung(&self) {
        *self.commit_hung.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Notes that a commit came through.
    pub fn committed(&self) {
        *self.commit_hung.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether commits got no answer lately.
    pub fn commits_hang(&self) -> bool {
        let hung = *self.commit_hung.lock().unwrap_or_else(PoisonError::into_inner);
        hung.is_some_and(|at| at.elapsed() < HUNG_FOR)
    }

    /// Notes an answer, and says so in the log if it ends an outage.
    pub fn answered(&self) {
        if !self.away.load(Ordering::Acquire) {
            return;
        }
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Outage { since, .. }) = outage.take_if(|outage| outage.last_fault.elapsed() > CALM) {
            self.away.store(false, Ordering::Release);
            metrics::gauge!("quittance_database_up").set(1);
            tracing::warn!(after_ms = since.elapsed().as_millis(), "the database serves again");
        }
    }
}
