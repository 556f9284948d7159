//! A job's side of its batch: where it leaves what it wants done, and waits.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{
    awaited::{AnyAsk, Ask},
    database::Database,
    deferred_writes::{self, AnyRow},
    statement::{DeferredWrite, Statement},
};
use crate::error::Error;

/// What a job may leave undone before it waits for the end of a round.
const MAX_PENDING: usize = 256;

/// Something that a job wants done.
pub enum Pending<D: Database> {
    /// It waits for the answer.
    Ask(Box<dyn AnyAsk<D>>),
    /// It does not wait.
    Write(Box<dyn AnyRow<D>>),
}

/// What a job and its batch share.
pub struct JobState<D: Database> {
    /// What it wants done, in the order in which it asked.
    pub pending: VecDeque<Pending<D>>,
    /// Who waits for nothing but the end of this round.
    pub end_of_round: Vec<oneshot::Sender<()>>,
    /// It can't go on in a batch.
    pub wants_to_leave: bool,
    /// Nothing will be done for it any more.
    pub ended: bool,
}

impl<D: Database> Default for JobState<D> {
    fn default() -> Self {
        Self { pending: VecDeque::new(), end_of_round: Vec::new(), wants_to_leave: false, ended: false }
    }
}

/// A [`JobState`], shared.
pub type SharedState<D> = Arc<Mutex<JobState<D>>>;

/// The state, for a moment.
pub fn lock<D: Database>(state: &SharedState<D>) -> MutexGuard<'_, JobState<D>> {
    // Nothing in here can be left half done by a panic.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A job's part in the transaction of its batch.
pub struct BatchTx<D: Database> {
    state: SharedState<D>,
}

impl<D: Database> BatchTx<D> {
    /// Of the job with this state.
    pub(super) fn new(state: SharedState<D>) -> Self {
        Self { state }
    }

    /// Asks, and waits for the answer. It is done after all that this job has asked for or left to be written before; asked
    /// for at once with others (`try_join!`) it shares a round with them.
    pub async fn ask<S: Statement<D>>(&self, ask: S::Ask) -> Result<S::Answer, Error> {
        let (reply, replied) = oneshot::channel();
        self.leave_undone(Pending::Ask(Box::new(Ask::<D, S>::new(ask, reply)?))).await?;
        // Dropped only with its batch, and then nobody asks for the reason any more.
        replied.await.unwrap_or_else(|_| Err(batch_is_over()))
    }

    /// Leaves a row to be written. It is written before anything that this job asks for later, and before it is done.
    pub async fn defer<W: DeferredWrite<D>>(&self, row: W::Row) -> Result<(), Error> {
        self.leave_undone(Pending::Write(deferred_writes::row::<D, W>(row))).await
    }

    /// Takes the job out of its batch, to be run by itself: what it needs next can't be batched. Never comes back.
    pub async fn leave(&self) -> Infallible {
        lock(&self.state).wants_to_leave = true;
        std::future::pending().await
    }

    async fn leave_undone(&self, what: Pending<D>) -> Result<(), Error> {
        loop {
            let (reply, end_of_round) = oneshot::channel();
            {
                let mut state = lock(&self.state);
                if state.ended {
                    return Err(batch_is_over());
                }
                if state.pending.len() < MAX_PENDING {
                    state.pending.push_back(what);
                    return Ok(());
                }
                state.end_of_round.push(reply);
            }
            end_of_round.await.map_err(|_| batch_is_over())?;
        }
    }
}

fn batch_is_over() -> Error {
    Error::internal("the batch is over")
}
