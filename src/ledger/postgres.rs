//! PostgreSQL: a pool of connections, read committed with row locks, and whole-transaction retry.

use std::{sync::Arc, time::Duration};

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, bb8},
};
use futures_util::FutureExt;
use tracing::Instrument;

use super::{Tx, TxFuture, catch_panic, secret};
use crate::error::Error;

/// A connection.
pub type Conn = AsyncPgConnection;
/// The database, to diesel.
pub type Db = diesel::pg::Pg;

/// What it calls its version.
const VERSION: &str = "current_setting('server_version')";

/// Locks the rows until the transaction ends, so that changes to one payment happen one after another.
macro_rules! for_update {
    ($query:expr) => {
        $query.for_update()
    };
}
/// As `for_update`, leaving out rows that another instance holds.
macro_rules! for_update_skip_locked {
    ($query:expr) => {
        $query.for_update().skip_locked()
    };
}

#[path = "statements/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled once for each database")]
pub mod statements;

/// Connections in the pool. Two cores keep no more than that busy, and a server has about 100 to give.
const POOL_SIZE: u32 = 16;
/// How long a request waits for a connection before it is told `BUSY`.
pub const POOL_WAIT: Duration = Duration::from_secs(2);
/// A transaction that loses a race is run again this often.
const MAX_TRIES: u32 = 5;

/// The ledger on a PostgreSQL server.
#[derive(Clone)]
pub struct PostgresLedger {
    pool: bb8::Pool<Conn>,
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
            .connection_timeout(POOL_WAIT)
            .test_on_check_out(false)
            .build(manager)
            .await
            .map_err(|error| Error::internal(format!("PostgreSQL: {error}")))?;
        Ok(Self { pool })
    }

    async fn connection(&self) -> Result<Tx, Error> {
        let connection = self.pool.get_owned().await.map_err(|error| {
            tracing::warn!(%error, "no database connection");
            Error::busy()
        })?;
        Ok(Tx::Postgres(connection))
    }

    /// See [`super::Ledger::read`].
    pub async fn read<T, F>(&self, look: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Send + 'static,
    {
        let mut tx = self.connection().await?;
        catch_panic(async { look(&mut tx).await }).await
    }

    /// See [`super::Ledger::write`]. In a task of its own: a transaction whose future is dropped would stay open.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T> + Clone + Send + Sync + 'static,
    {
        let ledger = self.clone();
        let task = async move {
            let mut tries = 1;
            loop {
                match ledger.transaction(work.clone()).await {
                    Err(error) if error.lost_a_race() && tries < MAX_TRIES => {
                        tracing::debug!(tries, %error, "transaction runs again");
                        tokio::time::sleep(Duration::from_millis(rand::random_range(1..=5 << tries))).await;
                        tries += 1;
                    }
                    out => break out,
                }
            }
        };
        tokio::spawn(task.in_current_span()).await.map_err(|_| Error::internal("a transaction panicked"))?
    }

    async fn transaction<T, F>(&self, work: F) -> Result<T, Error>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> TxFuture<'t, T>,
    {
        type Manager = AnsiTransactionManager;
        let mut tx = self.connection().await?;
        let Tx::Postgres(connection) = &mut tx else { return Err(Error::busy()) };
        Manager::begin_transaction(&mut **connection).await?;
        let out = catch_panic(async { work(&mut tx).await }).await;
        let Tx::Postgres(connection) = &mut tx else { return Err(Error::busy()) };
        match out {
            Ok(value) => {
                Manager::commit_transaction(&mut **connection).await?;
                Ok(value)
            }
            Err(error) => {
                // A connection that can't even roll back is thrown away by the pool.
                if let Err(failed) = Manager::rollback_transaction(&mut **connection).await {
                    tracing::warn!(error = %failed, "rollback failed");
                }
                Err(error)
            }
        }
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
    config.application_name("quittance").connect_timeout(POOL_WAIT);
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
    connection
        .batch_execute("set statement_timeout = '5s'; set idle_in_transaction_session_timeout = '15s'")
        .await
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// The message with its causes; the driver's own says only "db error".
fn chain(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}
