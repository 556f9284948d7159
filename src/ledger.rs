//! The ledger: the only room that knows SQL.
//!
//! Chosen at run time by `DATABASE_URL`, it offers two ways in. [`Ledger::read`] lends a connection for looking;
//! [`Ledger::write`] runs a closure as one transaction, all of it or nothing, and answers when it is durable.
//! Both hand the closure a [`Tx`], whose methods are the statements; a closure can't wait for anything else, so no
//! transaction is ever open across a call to the provider.
//!
//! The statements are written once, in `ledger/statements`, and compiled twice: diesel's types name the database,
//! so the same text is mounted from `sqlite.rs` and from `postgres.rs`, where `super::{Conn, Db}` mean different
//! things. What one database lacks stands in that file. Who decides *what* to write is not here: that is
//! `payment_sync`, `checkout` and the procedures.

#[macro_use]
mod fixed;
mod journal;
mod migrate;
mod postgres;
pub mod rows;
pub mod sql_types;
mod sqlite;
mod statements_input;
mod tx;
mod waiting;

use std::{future::Future, panic::AssertUnwindSafe, pin::Pin};

use futures_util::FutureExt;

pub use journal::{AuditEntry, Change, card_limit_changed};
pub use migrate::migrate;
pub use sqlite::ServerLock;
pub use statements_input::{AnomalyPage, ChangesAfter, HostPage, PaymentPage};
pub use tx::Tx;

use crate::error::Error;

/// What a closure given to [`Ledger::read`] or [`Ledger::write`] returns: `async move { … }.boxed()`.
pub type TxFuture<'t, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 't>>;

/// The database, whichever it is. Cheap to clone.
#[derive(Clone)]
pub enum Ledger {
    /// Embedded: one writer thread, readers beside it.
    Sqlite(sqlite::SqliteLedger),
    /// A pool of connections to a server.
    Postgres(postgres::PostgresLedger),
}

impl Ledger {
    /// Opens the database that `url` names: `sqlite://PATH` or `postgres://…`. Its migrations must have run.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, Error> {
        match url {
            DatabaseUrl::Sqlite(path) => sqlite::SqliteLedger::open(path).map(Self::Sqlite),
            DatabaseUrl::Postgres(url) => postgres::PostgresLedger::open(url).await.map(Self::Postgres),
        }
    }

    /// Runs `look` on a connection of its own. No transaction: each statement sees what is committed when it runs.
    pub async fn read<T, F>(&self, look: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Send + 'static,
    {
        match self {
            Self::Sqlite(ledger) => ledger.read(look).await,
            Self::Postgres(ledger) => ledger.read(look).await,
        }
    }

    /// Runs `work` as one transaction. An error of any kind rolls all of it back. It may be run more than once, each time
    /// from the start (PostgreSQL: a race was lost; SQLite: another job of its batch failed), so it must have no effect
    /// but its statements; what it logs and counts may be told twice. Once begun it runs to its end, even if the caller
    /// stops waiting.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + Sync + 'static,
    {
        match self {
            Self::Sqlite(ledger) => ledger.write(work).await,
            Self::Postgres(ledger) => ledger.write(work).await,
        }
    }

    /// As [`Ledger::read`] or [`Ledger::write`], for what comes in crowds: jobs of a kind that wait at the same moment may
    /// share a connection and ask as one, and writers a transaction and its commit. Each is still kept apart from the
    /// others, and fails alone. `job` may be run more than once.
    pub async fn together<T, F>(&self, crowd: Crowd, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + Sync + 'static,
    {
        match (self, crowd) {
            (Self::Sqlite(ledger), Crowd::LookUps | Crowd::Lists) => ledger.read(job).await,
            (Self::Sqlite(ledger), Crowd::Writes) => ledger.write(job).await,
            (Self::Postgres(ledger), crowd) => ledger.together(crowd, job).await,
        }
    }
}

/// Who shares with whom in [`Ledger::together`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowd {
    /// Those who look for a row or few.
    LookUps,
    /// Those who list: a page that has to be read from the disk holds up no look-up.
    Lists,
    /// Those who write.
    Writes,
}

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(std::path::PathBuf),
    /// A connection string, password included.
    Postgres(secret::Url),
}

/// A connection string may hold a password, so it does not show itself.
pub mod secret {
    /// A URL whose `Debug` prints nothing.
    #[derive(Clone, PartialEq, Eq)]
    pub struct Url(pub(super) String);

    impl std::fmt::Debug for Url {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Url(..)")
        }
    }
}

impl std::str::FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("sqlite", rest)) => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                let path = path.split_once('?').map_or(path, |(path, _)| path);
                if path.is_empty() || path == ":memory:" {
                    return Err("sqlite:// needs the path of a file, as in sqlite://quittance.db".into());
                }
                Ok(Self::Sqlite(path.into()))
            }
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(secret::Url(text.to_owned()))),
            _ => Err("must begin with sqlite:// or postgres://".into()),
        }
    }
}

/// Runs a future to its end and turns a panic in it into an error.
async fn catch_panic<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    AssertUnwindSafe(future)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(Error::internal("a panic inside a transaction")))
}
