//! The rounds of a batch: every job goes on until it waits, then what they wait for is done, and so on until all are done.
//! What becomes of the transaction is not here (`batcher`).

use std::any::TypeId;

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};

use super::{
    awaited::{self, AnyBatched, StatementId},
    connection::{Failure, Open, WorkerConnection},
    database::Database,
    deferred_writes::DeferredWrites,
    job::{AnyJob, Progress},
    locks::Locks,
    statement::Kind,
    tx::{BatchTx, JobState, Pending, SharedState, lock},
};
use crate::error::Error;

/// A job as part of a batch.
pub struct Member<'j, D: Database> {
    job: &'j mut AnyJob<D>,
    state: SharedState<D>,
    stage: Stage,
    /// Whether anything of it stands in the database.
    wrote: bool,
    /// Whether it was taken out of the batch.
    pub left: bool,
}

/// Where a job stands in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    /// It has come to its end, but for what it left to be written.
    Writing,
    /// Nothing more is done for it, and what it had locked is free.
    Done,
}

impl<'j, D: Database> Member<'j, D> {
    /// Starts the job.
    pub fn start(job: &'j mut AnyJob<D>) -> Self {
        let state = SharedState::default();
        job.start(BatchTx::new(SharedState::clone(&state)));
        Self { job, state, stage: Stage::Running, wrote: false, left: false }
    }

    /// Goes on until it waits or ends.
    fn advance(&mut self) -> Result<(), Error> {
        let progress = self.job.advance();
        let mut state = lock(&self.state);
        match progress {
            Progress::Waits if !state.wants_to_leave => return Ok(()),
            Progress::Succeeded => state.pending.retain(|pending| matches!(pending, Pending::Write(_))),
            Progress::Waits if self.wrote => {
                return Err(Error::internal("a job left the batch after it had written"));
            }
            Progress::Failed if self.wrote => {
                return Err(Error::internal("a job failed after it had written"));
            }
            // Nothing of it stands, and now nothing will.
            Progress::Failed => state.pending.clear(),
            Progress::Waits => {
                state.pending.clear();
                self.left = true;
            }
        }
        state.ended = true;
        self.stage = Stage::Writing;
        drop(state);
        self.job.stop();
        Ok(())
    }

    fn end_round(&self) {
        for waiting in lock(&self.state).end_of_round.drain(..) {
            // Fails only where nobody waits any more.
            let _ = waiting.send(());
        }
    }
}

impl<D: Database> Drop for Member<'_, D> {
    fn drop(&mut self) {
        self.job.stop();
        let mut state = lock(&self.state);
        state.ended = true;
        state.pending.clear();
        state.end_of_round.clear();
    }
}

/// How far the transaction of a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// There is none: nothing was asked yet.
    None,
    /// It has been begun, or that was tried.
    Begun,
}

/// One round after another, until all jobs have come to their ends and all that they left to be written is.
pub async fn run<D: Database>(
    members: &mut [Member<'_, D>],
    worker: &WorkerConnection<D>,
    open: &mut Open<D>,
    transaction: &mut Transaction,
) -> Result<(), Failure> {
    let mut locks = Locks::default();
    loop {
        for (index, member) in members.iter_mut().enumerate() {
            if member.stage == Stage::Running {
                member.advance().map_err(Failure::Failed)?;
            }
            if member.stage == Stage::Writing && lock(&member.state).pending.is_empty() {
                member.stage = Stage::Done;
                locks.release(index);
            }
        }
        let round = Round::of(members, &mut locks);
        if round.is_empty() {
            if members.iter().all(|member| member.stage == Stage::Done) {
                return Ok(());
            }
            let stuck = "jobs of a batch wait for each other, or for something other than the database";
            return Err(Failure::Failed(Error::internal(stuck)));
        }
        let begins = *transaction == Transaction::None;
        *transaction = Transaction::Begun;
        for index in worker.answer(round.send(open, begins)).await? {
            members[index].wrote = true;
        }
        for member in members.iter() {
            member.end_round();
        }
    }
}

/// What is done in one go.
struct Round<D: Database> {
    statements: Vec<Box<dyn AnyBatched<D>>>,
    writes: DeferredWrites<D>,
}

impl<D: Database> Round<D> {
    /// Takes from each job as much as can be done now, in the order in which it asked.
    fn of(members: &[Member<'_, D>], locks: &mut Locks) -> Self {
        let mut round = Self { statements: Vec::new(), writes: DeferredWrites::default() };
        for (index, member) in members.iter().enumerate() {
            round.take(index, &mut lock(&member.state), locks);
        }
        // Statements of a kind stay in the order of the first ask.
        round.statements.sort_by_key(|statement| {
            let StatementId { kind, lock_order, .. } = statement.statement();
            (kind, lock_order)
        });
        round
    }

    fn take(&mut self, index: usize, state: &mut JobState<D>, locks: &mut Locks) {
        let mut before = Before::default();
        while let Some(next) = state.pending.pop_front() {
            let fits = match &next {
                Pending::Ask(ask) if ask.is_abandoned() => continue,
                Pending::Ask(ask) => {
                    before.lets(ask.statement()) && ask.lock().is_none_or(|key| locks.take(key, index))
                }
                Pending::Write(row) => before.lets_write(row.table()),
            };
            if !fits {
                // What was asked for later waits, too.
                state.pending.push_front(next);
                return;
            }
            match next {
                Pending::Ask(ask) => awaited::add(&mut self.statements, index, ask),
                Pending::Write(row) => self.writes.add(index, row),
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.writes.is_empty()
    }

    /// Sends it all at once and waits for all of it; says whose writes changed something.
    async fn send(self, open: &mut Open<D>, begins: bool) -> Result<Vec<usize>, Error> {
        let Self { mut statements, writes } = self;
        let Open { connection, made_before } = open;
        let connection = &*connection;
        let asked: Vec<StatementId> = statements.iter().map(|statement| statement.statement()).collect();
        let mut sent: Vec<BoxFuture<'_, Result<Vec<usize>, Error>>> = Vec::new();
        if begins {
            let begin = D::begin(connection);
            // Should it fail alone, what is sent along is done outside of any transaction.
            if !writes.is_empty() || asked.iter().any(|statement| statement.kind == Kind::Write) {
                begin.await?;
            } else {
                sent.push(begin.map(|begun| begun.map(|()| Vec::new())).boxed());
            }
        }
        sent.extend(statements.iter_mut().map(|statement| statement.run(connection)));
        if !writes.is_empty() {
            sent.push(writes.run(connection).boxed());
        }
        // A statement may take more than one exchange when it is made on a connection for the first time (it is
        // prepared), and what was sent after it would overtake it.
        let done = if asked.iter().all(|statement| made_before.contains(&statement.id)) {
            // All come to their ends, so that nothing is under way when it is rolled back.
            join_all(sent).await
        } else {
            let mut done = Vec::new();
            for statement in sent {
                done.push(Ok(statement.await?));
            }
            done
        };
        made_before.extend(asked.iter().map(|statement| statement.id));
        let mut wrote = Vec::new();
        for writers in done {
            wrote.extend(writers?);
        }
        Ok(wrote)
    }
}

/// What of a job is done in a round already, and so what may still be. A round is sent as locks, reads, writes, deferred
/// writes; a job's next ask fits into it only if that order is the job's own.
#[derive(Default)]
struct Before {
    last: Option<Kind>,
    write: Option<TypeId>,
    tables: Vec<&'static str>,
}

impl Before {
    fn lets(&mut self, next: StatementId) -> bool {
        let in_order = self.last.is_none_or(|last| last <= next.kind) && self.tables.is_empty();
        let is_other_write = next.kind == Kind::Write && self.write.is_some_and(|write| write != next.id);
        if !in_order || is_other_write {
            return false;
        }
        self.last = Some(next.kind);
        self.write = (next.kind == Kind::Write).then_some(next.id);
        true
    }

    fn lets_write(&mut self, table: &'static str) -> bool {
        let is_first = !self.tables.contains(&table);
        self.tables.push(table);
        is_first
    }
}
