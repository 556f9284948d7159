//! PostgreSQL: read committed with row locks. What comes in together is asked together: writes share a transaction and its
//! commit, reads a round trip (`ledger/batch`). What can't be, and what lost a race, runs on a connection of the pool, as a
//! whole transaction that is tried again. How a connection is made is in `connector`, who gets one in `pool`.

mod connection;
mod connector;
mod database;
pub mod errors;
pub mod forms;
mod host;
mod pool;
mod sequencing;
mod tls;

use std::sync::Arc;

use diesel_async::AsyncPgConnection;

pub use connector::Connector;
pub use database::{Database, Deferred, write_one};
pub use pool::PooledConnection;

use pool::Pool;

use super::{
    Tx, TxFuture,
    batch::{self, Batcher, Loader, Options},
    health::Health,
    secret,
};
use crate::error::Error;

/// A connection.
pub type Conn = AsyncPgConnection;
/// The database, to diesel.
pub type Db = diesel::pg::Pg;

/// What it calls its version.
const VERSION: &str = "current_setting('server_version')";

/// Locks the rows until the transaction ends, leaving out rows that another instance holds. No key that is referred to
/// ever changes, so PostgreSQL's checks of foreign keys need not wait.
macro_rules! for_update_skip_locked {
    ($query:expr) => {
        $query.for_no_key_update().skip_locked()
    };
}

/// Pushes `= any($1)`.
macro_rules! is_one_of {
    ($out:ident, $sql_type:ty, $ids:expr) => {
        $out.push_sql("= any(");
        $out.push_bind_param::<diesel::sql_types::Array<$sql_type>, _>(&$ids)?;
        $out.push_sql(")");
    };
}

#[path = "statements/per_database.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled once for each database")]
pub mod statements;

/// Batches of reads and of writes at once. While they are at work the next ones gather, so fewer workers make larger
/// batches; these are enough to keep the database busy while a batch is between two statements.
const WORKERS: usize = 2;

/// The ledger on a PostgreSQL server.
#[derive(Clone)]
pub struct PostgresLedger {
    writes: Batcher<Database>,
    reads: Reads,
    health: Arc<Health>,
    batches: Arc<batch::Health>,
}

/// What reads outside of transactions are asked through.
#[derive(Clone)]
pub struct Reads {
    /// For a row or a few.
    pub(super) look_up: Loader<Database>,
    /// For pages: one that has to be read from the disk holds up no look-up.
    pub(super) list: Loader<Database>,
    pool: Pool,
}

impl Reads {
    /// A connection for a statement that is made by itself.
    pub(super) async fn connection(&self) -> Result<PooledConnection, Error> {
        self.pool.connection().await
    }
}

impl PostgresLedger {
    /// Connects once, so that a wrong address or password is known at once, and makes the pool.
    pub async fn open(url: &secret::Url) -> Result<Self, Error> {
        let connector = Connector::new(url)?;
        if let Some(language) = connector.connect().await?.foreign_language().await? {
            tracing::warn!(
                lc_messages = language,
                "the server reports errors in another language, so deadlocks are not tried again: as superuser, \
                 `alter role … set lc_messages = 'C'`"
            );
        }
        let health = Arc::clone(connector.health());
        let pool = Pool::new(&connector);
        let batches = Arc::<batch::Health>::default();
        let options = Options { workers: WORKERS, health: Arc::clone(&batches), ..Options::default() };
        let database = Arc::new(Database::new(connector));
        let reads = Reads {
            look_up: Loader::start(&database, &options),
            list: Loader::start(&database, &options),
            pool,
        };
        Ok(Self { writes: Batcher::start(database, &options)?, reads, health, batches })
    }

    /// Whether the batches are answered, and their commits.
    pub fn is_answering(&self) -> bool {
        self.batches.is_answering() && !self.health.commits_hang()
    }

    /// See [`super::Ledger::read`].
    pub async fn read<T, F>(&self, look: F) -> Result<T, Error>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T>,
    {
        let mut tx = Tx::Reads(self.reads.clone());
        look(&mut tx).await
    }

    /// See [`super::Ledger::write`].
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + Sync + 'static,
    {
        let (in_batch, pool) = (work.clone(), self.reads.pool.clone());
        let in_batch = move |batch| async move { in_batch(&mut Tx::Batch(batch)).await };
        self.writes.run(in_batch, move || async move { pool.write(work).await }).await
    }
}
