//! SQLite: a writer thread that commits in groups, and readers beside it.
//!
//! `SyncConnectionWrapper` takes a `SpawnBlocking` of ours that runs in place, so the async statements complete at
//! their first poll and a whole transaction runs on one thread without a hop per statement.
//!
//! Durability: WAL with `synchronous=FULL`, so an answered write survives loss of power.

mod connection;
pub mod errors;
pub mod forms;
mod lock;
mod readers;
mod sequencing;
mod writer;

use std::{path::Path, pin::Pin, sync::Arc};

use diesel::SqliteConnection;
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use futures_util::FutureExt;

pub use connection::connect_blocking;
pub use lock::ServerLock;
use readers::Readers;
use writer::Writer;

use super::{Tx, TxFuture};
use crate::error::Error;

/// A connection whose every future is ready at its first poll.
pub type Conn = SyncConnectionWrapper<SqliteConnection, InPlace>;
/// The database, to diesel.
pub type Db = diesel::sqlite::Sqlite;

/// What it calls its version.
const VERSION: &str = "sqlite_version()";

/// `begin immediate` has taken the only write lock there is, so there is nothing to lock or to skip.
macro_rules! for_update_skip_locked {
    ($query:expr) => {
        $query
    };
}

/// Pushes `in (…)`. SQLite has no arrays; it is asked for one at a time, so the text is the same each time.
macro_rules! is_one_of {
    ($out:ident, $sql_type:ty, $ids:expr) => {
        for (number, id) in $ids.iter().enumerate() {
            $out.push_sql(if number == 0 { "in (" } else { ", " });
            $out.push_bind_param::<$sql_type, _>(id)?;
        }
        $out.push_sql(")");
    };
}

#[path = "statements/per_database.rs"]
pub mod statements;

/// Runs blocking work in place.
pub struct InPlace;

impl SpawnBlocking for InPlace {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = Result<R, Box<dyn std::error::Error + Send + Sync>>> + Send + 'a>>
    where
        R: Send + 'static,
    {
        std::future::ready(Ok(task())).boxed()
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// The embedded ledger.
#[derive(Clone)]
pub struct SqliteLedger {
    writer: Writer,
    readers: Readers,
}

impl SqliteLedger {
    /// Opens the file, which must have been migrated.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { writer: Writer::start(path, Arc::default())?, readers: Readers::start(path)? })
    }

    /// See [`super::Ledger::read`].
    pub async fn read<T, F>(&self, look: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Send + 'static,
    {
        self.readers.read(look).await
    }

    /// See [`super::Ledger::write`]. What comes in a crowd is committed together in any case.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + 'static,
    {
        self.writer.write(work).await
    }
}
