//! Waiting for a job that was queued for another thread: for room, for its turn, for its answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{
        mpsc::{self, error::SendTimeoutError},
        oneshot,
    },
    time::Instant,
};

use crate::error::Error;

/// Jobs that may wait; past it callers wait for room.
pub const QUEUE: usize = 4_096;
/// How long a caller waits for room and for its job's turn, together, before it is told `BUSY`.
pub const MAX_WAIT: Duration = Duration::from_secs(2);

/// The right to a job: whoever runs it takes it, or its caller, who gives up waiting.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Takes the right, if nobody has.
    pub fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Queues a job and waits for its answer; once it has begun, for as long as it takes.
pub async fn queued<J, T>(
    jobs: &mpsc::Sender<J>,
    job: J,
    claim: &Claim,
    mut answered: oneshot::Receiver<Result<T, Error>>,
) -> Result<T, Error> {
    let give_up = Instant::now() + MAX_WAIT;
    jobs.send_timeout(job, MAX_WAIT).await.map_err(|error| match error {
        SendTimeoutError::Timeout(_) => Error::busy(),
        SendTimeoutError::Closed(_) => Error::internal("the workers have stopped"),
    })?;
    let answer = match tokio::time::timeout_at(give_up, &mut answered).await {
        Ok(answer) => answer,
        // Nobody has begun it, and now nobody will.
        Err(_) if claim.take() => return Err(Error::busy()),
        Err(_) => answered.await,
    };
    answer.map_err(|_| Error::internal("a worker dropped a job"))?
}
