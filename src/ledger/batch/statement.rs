//! What can be batched: statements that are answered, and writes that nobody waits for. Neither knows the engine.

use futures_util::future::BoxFuture;

use super::database::Database;
use crate::error::Error;

/// What a statement does. In a round statements are sent in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Locks the row it is asked for until the transaction ends, and reads it.
    Lock,
    /// Reads.
    Read,
    /// Writes, and says whether it changed something.
    Write,
}

/// A statement that is made once for all who ask at the same moment.
pub trait Statement<D: Database>: Send + 'static {
    /// What one asks it with.
    type Ask: Send + Sync + 'static;
    /// What one is answered.
    type Answer: Send + 'static;
    /// Its name, for the log.
    const NAME: &'static str;
    /// What it does.
    const KIND: Kind;

    /// The row that an ask locks. Required of [`Kind::Lock`]; a write may lock, too.
    fn lock_key(_ask: &Self::Ask) -> Option<LockKey> {
        None
    }

    /// Of the locks of a round, those with lower numbers are taken first. One number for each table, so that all batches
    /// lock tables in one order; within a statement [`Statement::run`] sees to the order of the rows.
    fn lock_order() -> u8 {
        0
    }

    /// Whether this answer of [`Kind::Write`] says that something was changed.
    fn wrote(_answer: &Self::Answer) -> bool {
        false
    }

    /// Makes it for all of them, and answers in their order. One exchange with the database: a lock that takes two could be
    /// overtaken by what was sent after it.
    fn run<'c>(
        connection: &'c D::Connection,
        asks: &'c [Self::Ask],
    ) -> BoxFuture<'c, Result<Vec<Self::Answer>, Error>>;
}

/// A write that nobody waits for. It goes well, or the whole batch fails.
pub trait DeferredWrite<D: Database>: Send + 'static {
    /// What is written.
    type Row: Send + Sync + 'static;
    /// Its name. Parts of one statement stand in the order of their names.
    const NAME: &'static str;
    /// The table it writes. The parts of one statement do not see each other, and of two that change one row one would be
    /// lost; so a job's second write to a table waits for the next round. Locks keep jobs off each other's rows.
    const TABLE: &'static str;

    /// Makes a part of them.
    fn part(rows: Vec<Self::Row>) -> D::Part;
}

/// A row that can be locked: by whatever statement, it is the same row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockKey {
    table: &'static str,
    key: String,
}

impl LockKey {
    /// The row of this table with this key.
    pub fn new(table: &'static str, key: impl Into<String>) -> Self {
        Self { table, key: key.into() }
    }
}
