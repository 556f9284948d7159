//! What a closure given to [`super::Ledger::read`] or [`super::Ledger::write`] asks: its methods are the statements
//! (`statements.rs`).

use futures_util::lock::Mutex;

use super::{
    batch::BatchTx,
    form::{DeferredWrite, Statement},
    postgres, sqlite,
};
use crate::error::Error;

/// A connection or a part in one that is shared, inside a transaction where [`super::Ledger::write`] lent it.
#[allow(clippy::large_enum_variant, reason = "few exist, and each is used hot")]
pub enum Tx {
    /// Embedded.
    Sqlite(Mutex<sqlite::Conn>),
    /// A PostgreSQL connection of its own.
    Postgres(Mutex<postgres::PooledConnection>),
    /// A transaction on PostgreSQL that is shared with other jobs.
    Batch(BatchTx<postgres::Database>),
    /// No transaction: each statement is made on PostgreSQL together with what others ask at the same moment.
    Reads(postgres::Reads),
}

impl Tx {
    /// Asks a statement that reads.
    pub(super) async fn read<S: Statement>(&self, ask: S) -> Result<S::Answer, Error> {
        match self {
            Self::Reads(reads) => reads.look_up.ask::<S>(ask).await,
            _ => self.ask(ask).await,
        }
    }

    /// As [`Tx::read`], a page: one that has to be read from the disk holds up no look-up.
    pub(super) async fn list<S: Statement>(&self, ask: S) -> Result<S::Answer, Error> {
        match self {
            Self::Reads(reads) => reads.list.ask::<S>(ask).await,
            _ => self.ask(ask).await,
        }
    }

    /// Asks a statement that locks or writes.
    pub(super) async fn ask<S: Statement>(&self, ask: S) -> Result<S::Answer, Error> {
        match self {
            Self::Sqlite(connection) => Ok(ask.on_sqlite(&mut *connection.lock().await).await?),
            Self::Postgres(connection) => {
                let mut connection = connection.lock().await;
                let answers =
                    connection.ask(async |connection| S::on_postgres(connection, &[ask]).await).await?;
                answers.into_iter().next().ok_or_else(|| Error::internal("a statement that has no answer"))
            }
            Self::Batch(batch) => batch.ask::<S>(ask).await,
            Self::Reads(_) => Err(needs_transaction(S::NAME)),
        }
    }

    /// Leaves a row to be written: before anything that is asked later, and at the latest with the commit.
    pub(super) async fn defer<W: DeferredWrite>(&self, row: W::Row) -> Result<(), Error> {
        match self {
            Self::Sqlite(connection) => Ok(W::on_sqlite(&mut *connection.lock().await, &row).await?),
            Self::Postgres(connection) => {
                let mut connection = connection.lock().await;
                connection.ask(async |connection| postgres::write_one::<W>(connection, row).await).await
            }
            Self::Batch(batch) => batch.defer::<postgres::Deferred<W>>(row).await,
            Self::Reads(_) => Err(needs_transaction(W::NAME)),
        }
    }
}

fn needs_transaction(statement: &str) -> Error {
    Error::internal(format!("{statement} needs a transaction: it was asked within Ledger::read"))
}
