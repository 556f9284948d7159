//! SQLite: a writer thread that commits in groups, and readers beside it.
//!
//! `SyncConnectionWrapper` takes a `SpawnBlocking` of ours that runs in place, so the async statements complete at
//! their first poll and a whole transaction runs on one thread without a hop per statement.
//!
//! Durability: WAL with `synchronous=FULL`, so an answered write survives loss of power.

mod lock;
mod readers;
mod sealing;
mod writer;

use std::{path::Path, pin::Pin, time::Duration};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use futures_util::FutureExt;

pub use lock::ServerLock;
use readers::Readers;
use writer::Writer;

use super::{Tx, TxFuture, catch_panic};
use crate::error::Error;

/// A connection whose every future is ready at its first poll.
pub type Conn = SyncConnectionWrapper<SqliteConnection, InPlace>;
/// The database, to diesel.
pub type Db = diesel::sqlite::Sqlite;

/// What it calls its version.
const VERSION: &str = "sqlite_version()";

/// `begin immediate` has taken the only write lock there is, so rows need none of their own.
macro_rules! for_update {
    ($query:expr) => {
        $query
    };
}
/// As [`for_update`]: with one writer there is nothing to skip.
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

#[path = "statements/mod.rs"]
pub mod statements;

/// Pages each connection keeps. The operating system keeps the file's anyway, and copying one from there is quick.
const CACHE_KIB: u32 = 2 * 1024;
/// How long a statement waits for another process's lock before it gives up; then the caller is told `BUSY`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

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
        Ok(Self { writer: Writer::start(path)?, readers: Readers::start(path)? })
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

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map(drop)
        .map_err(|error| Error::internal(format!("{name}: {error}")))
}

/// The result of a transaction's future, which has waited for nothing but statements.
fn at_once<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    future.now_or_never().unwrap_or_else(|| Err(Error::internal("a transaction waited for something else")))
}

/// A connection with our settings.
pub fn connect(path: &Path) -> Result<Conn, Error> {
    connect_blocking(path).map(Conn::new)
}

/// As [`connect`], unwrapped.
pub fn connect_blocking(path: &Path) -> Result<SqliteConnection, Error> {
    let url = path.to_str().ok_or_else(|| Error::internal("the database's path is not UTF-8"))?;
    let mut connection =
        SqliteConnection::establish(url).map_err(|error| Error::internal(format!("{url}: {error}")))?;
    connection.batch_execute(&format!(
        "pragma busy_timeout = {}; pragma journal_mode = wal; pragma synchronous = full;
         pragma foreign_keys = on; pragma cache_size = -{CACHE_KIB}; pragma temp_store = memory;",
        BUSY_TIMEOUT.as_millis()
    ))?;
    Ok(connection)
}
