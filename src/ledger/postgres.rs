//! PostgreSQL: a pool of connections, read committed with row locks, and whole-transaction retry; and, for what
//! comes in crowds, transactions that run together.

mod bulk;
mod posts;
mod requests;
mod sealing;
mod sets;
mod together;

use std::{sync::Arc, time::Duration};

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, bb8, bb8::PooledConnection,
    },
};
use futures_util::FutureExt;
use tracing::Instrument;

pub use together::Seat;
use together::{Purpose, Together};

use super::{Crowd, Tx, TxFuture, catch_panic, secret, waiting::MAX_WAIT};
use crate::error::Error;

/// A connection.
pub type Conn = AsyncPgConnection;
/// The database, to diesel.
pub type Db = diesel::pg::Pg;

/// What it calls its version.
const VERSION: &str = "current_setting('server_version')";

/// Locks the rows until the transaction ends, so that changes to one payment happen one after another. No key
/// that is referred to ever changes, so PostgreSQL's checks of foreign keys need not wait.
macro_rules! for_update {
    ($query:expr) => {
        $query.for_no_key_update()
    };
}
/// As `for_update`, leaving out rows that another instance holds.
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

#[path = "statements/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled once for each database")]
pub mod statements;

/// What each connection is set to. Every statement of ours is answered by an index and prepared once, and is to be
/// planned so from the first row on: a plan that was made while the tables were small would otherwise be kept.
const SESSION: &str = "
    set statement_timeout = '5s'; set idle_in_transaction_session_timeout = '15s';
    set plan_cache_mode = force_generic_plan; set jit = off;
    set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off";

/// Connections in the pool, besides those of the groups. Two cores keep no more than that busy, and a server has about
/// 100 to give.
const POOL_SIZE: u32 = 16;
/// A transaction that loses a race is run again this often.
const MAX_TRIES: u32 = 5;

/// Groups that look at once, and groups that write at once. While they are at work the next ones gather, so fewer
/// workers make larger groups; these are enough to keep the database busy while a group is between two statements.
const READERS_TOGETHER: usize = 2;
const WRITERS_TOGETHER: usize = 2;
/// A connection is given up when the server has not confirmed what was sent for so long.
const PEER_SILENCE_MAX: Duration = Duration::from_secs(10);

/// The ledger on a PostgreSQL server.
#[derive(Clone)]
pub struct PostgresLedger {
    pool: Pool,
    look_ups: Together,
    lists: Together,
    writes: Together,
}

impl PostgresLedger {
    /// Connects once, so that a wrong address or password is known at once, and makes the pool.
    pub async fn open(url: &secret::Url) -> Result<Self, Error> {
        drop(connect(url).await?);
        let mut config = ManagerConfig::<Conn>::default();
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(|url| establish(url.to_owned()).boxed());
        let manager = AsyncDieselConnectionManager::new_with_config(&url.0, config);
        let pool = bb8::Pool::builder()
            .max_size(POOL_SIZE)
            .connection_timeout(MAX_WAIT)
            .test_on_check_out(false)
            .build(manager)
            .await
            .map_err(|error| Error::internal(format!("PostgreSQL: {error}")))?;
        let pool = Pool(pool);
        let look_ups = Together::start(url, &pool, Purpose::Read, READERS_TOGETHER)?;
        let lists = Together::start(url, &pool, Purpose::Read, READERS_TOGETHER)?;
        let writes = Together::start(url, &pool, Purpose::Write, WRITERS_TOGETHER)?;
        Ok(Self { pool, look_ups, lists, writes })
    }

    /// See [`super::Ledger::read`].
    pub async fn read<T, F>(&self, look: F) -> Result<T, Error>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T>,
    {
        self.pool.read(look).await
    }

    /// See [`super::Ledger::write`]. In a task of its own: a transaction whose future is dropped would stay open.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + Sync + 'static,
    {
        let pool = self.pool.clone();
        let task = async move { pool.write(work).await };
        tokio::spawn(task.in_current_span()).await.map_err(|_| Error::internal("a transaction panicked"))?
    }

    /// See [`super::Ledger::together`].
    pub async fn together<T, F>(&self, crowd: Crowd, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + Sync + 'static,
    {
        let queue = match crowd {
            Crowd::LookUps => &self.look_ups,
            Crowd::Lists => &self.lists,
            Crowd::Writes => &self.writes,
        };
        queue.run(job).await
    }
}

/// The connections.
#[derive(Clone)]
pub struct Pool(bb8::Pool<Conn>);

impl Pool {
    async fn connection(&self) -> Result<PooledConnection<'static, Conn>, Error> {
        self.0.get_owned().await.map_err(|error| {
            tracing::warn!(%error, "no database connection");
            Error::busy()
        })
    }

    /// Runs one job that looks.
    async fn read<T, F>(&self, look: F) -> Result<T, Error>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T>,
    {
        let mut tx = Tx::Postgres(self.connection().await?.into());
        catch_panic(async { look(&mut tx).await }).await
    }

    /// Runs one job as a transaction; again where it lost a race.
    async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone,
    {
        let mut tries = 1;
        loop {
            match self.transaction(work.clone()).await {
                Err(error) if error.lost_a_race() && tries < MAX_TRIES => {
                    tracing::debug!(tries, %error, "transaction runs again");
                    tokio::time::sleep(Duration::from_millis(rand::random_range(1..=5 << tries))).await;
                    tries += 1;
                }
                out => return out,
            }
        }
    }

    async fn transaction<T, F>(&self, work: F) -> Result<T, Error>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T>,
    {
        let mut connection = self.connection().await?;
        begin(&mut connection).await?;
        let mut tx = Tx::Postgres(connection.into());
        let out = catch_panic(async { work(&mut tx).await }).await;
        let Tx::Postgres(connection) = tx else { return Err(Error::busy()) };
        let mut connection = connection.into_inner();
        match &out {
            Ok(_) => commit(&mut connection).await?,
            Err(_) => roll_back(&mut connection).await,
        }
        out
    }
}

async fn begin(connection: &mut Conn) -> Result<(), Error> {
    Ok(AnsiTransactionManager::begin_transaction(connection).await?)
}

async fn commit(connection: &mut Conn) -> Result<(), Error> {
    Ok(AnsiTransactionManager::commit_transaction(connection).await?)
}

async fn roll_back(connection: &mut Conn) {
    // A connection that can't even roll back is thrown away by the pool.
    if let Err(failed) = AnsiTransactionManager::rollback_transaction(connection).await {
        tracing::warn!(error = %failed, "rollback failed");
    }
}

/// One connection outside any pool.
pub async fn connect(url: &secret::Url) -> Result<Conn, Error> {
    establish(url.0.clone()).await.map_err(|error| Error::internal(format!("PostgreSQL: {error}")))
}

/// Connects with TLS where the URL's `sslmode` asks for it, trusting the system's certificates.
async fn establish(url: String) -> ConnectionResult<Conn> {
    let bad = |error: &dyn std::fmt::Display| ConnectionError::BadConnection(error.to_string());
    let mut config: tokio_postgres::Config =
        url.parse().map_err(|error: tokio_postgres::Error| bad(&error))?;
    config.application_name("quittance").connect_timeout(MAX_WAIT);
    // Else a server that fell silent would hold a worker for a quarter of an hour.
    config.tcp_user_timeout(PEER_SILENCE_MAX).keepalives_idle(PEER_SILENCE_MAX);
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (client, connection) = config
        .connect(tokio_postgres_rustls::MakeRustlsConnect::new(tls))
        .await
        .map_err(|error| bad(&chain(&error)))?;
    let mut connection = AsyncPgConnection::try_from_client_and_connection(client, connection).await?;
    connection.batch_execute(SESSION).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// The message with its causes; the driver's own says only "db error".
fn chain(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}
