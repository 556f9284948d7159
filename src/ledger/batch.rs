//! The batch engine: what many callers want of a database at the same moment is asked once.
//!
//! Most of what a statement costs does not depend on how many rows it is about: exchanges with the server, a process that
//! is woken, a plan that is started, a transaction and its commit. So jobs that wait at the same moment share them. The engine
//! knows no statement, no payment and no database: it is generic over the traits in `database` and `statement`, and
//! whoever has statements implements those. Which statements there are, and how one is made for many rows, is not here.
//!
//! # Words
//!
//! - A **job** is a plain `async` function that asks for statements; it is written once and does not know whether others
//!   run beside it. A **batch** is the jobs that share a connection and a transaction; it is committed or not as a whole.
//! - A batch runs in **rounds**. Each job is polled until it waits; then all that they wait for is sent at once, every
//!   kind of [`Statement`] as one, and everybody goes on with their answers.
//! - An **ask** is what one job asks one statement with. A [`DeferredWrite`] is a write with nothing to tell: the job goes on
//!   at once, and with the next round it becomes a part of one statement with those of all others.
//! - A **lock** keeps a row for one job of a batch until that one is done. The database can't, since the transaction is
//!   theirs both; from other transactions it does.
//! - A batch is **split** when it can't be committed as a whole: it is rolled back and each of its jobs runs by itself, as if
//!   there had never been a batch. A job **leaves** when it needs a statement that can't be batched.
//!
//! [`Batcher`] is for jobs that write. [`Loader`] is for reads that belong to no transaction: the asks of whoever asks at
//! the same moment, one statement of each kind, no jobs and no locks.
//!
//! # What is guaranteed
//!
//! 1. *A job that is told it succeeded has been committed, once. Of one that is told otherwise nothing stands*, but where
//!    the commit failed or was not answered: then each job of the batch is told `INTERNAL`, and none is ever run again.
//! 2. *Each job fails by itself.* One that fails or panics before anything of it was written is simply not part of what is
//!    committed. If it has written, or a statement fails, the batch is split.
//! 3. *What a job asks for is done in the order in which it asked.* A round is sent as locks, reads, writes and deferred
//!    writes, and of each job it takes asks from the front as long as they stand in that order and can be done. The first
//!    that can't, since another job has the lock, holds up all behind it. So `try_join!(lock, read)` never reads before it
//!    has the lock, and a job sees what it has written.
//! 4. *Batches are as good as their jobs one after another*, as far as rows are locked before they are changed and what is
//!    inserted names the row it would conflict with as its lock: locks are held until the job's last write is made.
//!    What is read without a lock may have been written by another job of the batch; should that come to nothing, so does
//!    whatever was made of it.
//! 5. *All batches lock tables in one order* ([`Statement::lock_order`]) within a round. Batches may still wait for each other,
//!    since one locks in several rounds; the database is to end that, by a bound on waiting for a row that
//!    [`Database::connect`] sets, and the batch it ends is split.
//! 6. *Nothing waits for ever*, whatever the database does; see below.
//!
//! # Why that is safe
//!
//! Jobs are polled by the worker alone, and only between rounds, when no statement is under way. So whatever ends a job
//! between two rounds finds its asks either done or not begun, and a job that was dropped with asks not begun leaves no trace.
//! Answers are told to nobody outside before the commit is answered. A connection is put back only by whoever has come
//! to a good end with it; on every other way it is dropped, and with it whatever was begun. The connection makes statements
//! in the order in which they were sent. A statement that is new on a connection may take an exchange more (it is
//! prepared), so a round with such a one is made one after another.
//!
//! # Bounds
//!
//! | what | bound | then |
//! |---|---|---|
//! | room in the queue, and a job's turn, together | 2 s | `BUSY`; the job is not run |
//! | connecting | [`Options::connect_wait`] | `BUSY` for the batch |
//! | a round, a rollback, a batch of reads | [`Options::answer_wait`] | `BUSY` for the batch; the connection is dropped, nothing stands, and nothing is run again: the database does not answer |
//! | a commit | [`Options::answer_wait`] | `INTERNAL`; the connection is dropped |
//! | jobs of a batch | 64 | the others wait for the next |
//! | what one job may leave undone | 256 | it waits for the end of the round |
//!
//! A batch of reads is made once more where its connection broke, and then each failed ask once by itself. What a job that
//! runs by itself may take is its closure's own matter. [`Health`] says whether the database was last found to answer.
//!
//! # What it brings
//!
//! Measured on PostgreSQL, two cores for server, database and driver: a new webhook that comes alone takes 0.75 ms of the
//! database's processor time; in batches, at the peak, 0.28 ms in all, 0.19 of them the database's. docs/performance.md,
//! "Beside a tRPC server and PostgreSQL itself", has it beside a server that makes one statement after another. A batch
//! costs much the same however small it is; so a worker waits a little, 5 ms at most, for half as many as are under way
//! already (`queue`).

mod awaited;
mod batcher;
mod connection;
mod database;
mod deferred_writes;
mod job;
mod loader;
mod locks;
mod queue;
mod rounds;
mod statement;
mod tx;

pub use batcher::Batcher;
pub use connection::{Health, Options};
pub use database::Database;
pub use loader::Loader;
pub use statement::{DeferredWrite, Kind, LockKey, Statement};
pub use tx::BatchTx;
#[cfg(test)]
mod tests;
