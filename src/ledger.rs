//! The ledger: the only room that knows SQL.
//!
//! Chosen at run time by `DATABASE_URL`, it offers two ways in. [`Ledger::read`] lends a connection for looking;
//! [`Ledger::write`] runs a closure as one transaction, all of it or nothing, and answers when it is durable.
//! Both hand the closure a [`Tx`], whose methods are the statements; a closure can't wait for anything else, so no
//! transaction is ever open across a call to the provider.
//!
//! Each statement is one line of `ledger/statements.rs`, most of a form that both databases have (`ledger/form.rs`). What
//! is no form is written once, in `ledger/statements/`, and compiled twice: diesel's types name the database, so the same
//! text is mounted from `sqlite.rs` and from `postgres.rs`, where `super::{Conn, Db}` mean different
//! things. What one database lacks stands in that file. Who decides *what* to write is not here: that is
//! `payment_sync`, `checkout` and the procedures.

mod audit;
mod batch;
mod diesel_error;
mod failure;
#[macro_use]
mod fixed;
mod form;
mod health;
mod migrate;
mod pages;
mod panic;
mod postgres;
pub mod sql_types;
mod sqlite;
mod statements;
mod table;
pub mod tables;
mod tx;
mod waiting;

use std::{future::Future, pin::Pin};

use futures_util::FutureExt;

pub use audit::{AuditEntry, Change, card_limit_changed};
pub use migrate::migrate;
pub use pages::{AnomalyPage, ChangesAfter, HostPage, PaymentPage};
pub use sqlite::ServerLock;
pub use tx::Tx;

use crate::{domain::AgencyId, error::Error};

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

    /// Whether it can serve now: asks over every kind of connection that serves, whether there is one, whether the
    /// database answers, and whether it takes writes.
    pub async fn check(&self) -> Result<(), Error> {
        // Nobody has this id. To lock a row is what a server that takes no writes refuses.
        const NOBODY: AgencyId = AgencyId(uuid::Uuid::nil());
        let asked = futures_util::try_join!(
            self.read(|tx| async move { tx.ping().await }.boxed()),
            self.read(|tx| async move { tx.agency(NOBODY).await.map(drop) }.boxed()),
            self.write(|tx| async move { tx.lock_agency(NOBODY).await.map(drop) }.boxed())
        );
        let answered = match (asked, self) {
            (Ok(_), Self::Postgres(ledger)) if !ledger.is_answering() => Err(Error::busy()),
            (asked, _) => asked.map(drop),
        };
        metrics::gauge!("quittance_database_up").set(if answered.is_ok() { 1 } else { 0 });
        answered
    }
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
