//! Who gets a connection: the pool, from which a job takes one for itself.
//!
//! Whoever waits for one waits 2 s at most and is then told `BUSY`. Connecting may take longer, where the first hosts of
//! the URL don't answer: it goes on, and whoever comes next finds the connection made.

use std::time::Duration;

use diesel_async::{AnsiTransactionManager, TransactionManager};

use super::{
    connection::{ServerConnection, within_bounds},
    connector::Connector,
};
use crate::{
    error::Error,
    ledger::{Tx, TxFuture, panic::catch_panic, waiting::MAX_WAIT},
};

/// Connections in the pool, besides those of the batches. Two cores keep no more than that busy, and a server has about
/// 100 to give.
const POOL_SIZE: u32 = 16;
/// A transaction that loses a race is run again this often.
const MAX_TRIES: u32 = 5;

/// A connection taken from the pool; it goes back by itself, unless it broke.
pub type PooledConnection = bb8::PooledConnection<'static, Manager>;

/// Makes the pool's connections.
pub struct Manager(Connector);

impl bb8::ManageConnection for Manager {
    type Connection = ServerConnection;
    type Error = Error;

    async fn connect(&self) -> Result<ServerConnection, Error> {
        self.0.connect().await
    }

    /// Asks nothing: a server that has gone says so by itself, and one that is silent is found out by the job.
    async fn is_valid(&self, connection: &mut ServerConnection) -> Result<(), Error> {
        if connection.is_broken() { Err(Error::busy()) } else { Ok(()) }
    }

    fn has_broken(&self, connection: &mut ServerConnection) -> bool {
        connection.is_broken()
    }
}

/// Connections for whoever needs one to himself.
#[derive(Clone)]
pub struct Pool(bb8::Pool<Manager>);

impl Pool {
    /// An empty pool; connections are made when they are first needed.
    pub fn new(connector: &Connector) -> Self {
        let builder =
            bb8::Pool::builder().max_size(POOL_SIZE).connection_timeout(MAX_WAIT).test_on_check_out(true);
        Self(builder.build_unchecked(Manager(connector.clone())))
    }

    /// Waits for a connection.
    pub async fn connection(&self) -> Result<PooledConnection, Error> {
        // Why there is none is in the log once, from whoever tried to connect.
        self.0.get_owned().await.map_err(|_| Error::busy())
    }

    /// Runs one job as a transaction; again where it lost a race.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
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
        let begun = within_bounds(AnsiTransactionManager::begin_transaction(&mut **connection)).await;
        connection.conclude(begun)?;
        let mut tx = Tx::Postgres(connection.into());
        let out = catch_panic(async { work(&mut tx).await }).await;
        let Tx::Postgres(connection) = tx else {
            return Err(Error::internal("a job put another connection in place of its own"));
        };
        let mut connection = connection.into_inner();
        match &out {
            Ok(_) => {
                connection.check_usable()?;
                let committed =
                    within_bounds(AnsiTransactionManager::commit_transaction(&mut **connection)).await;
                connection.conclude_commit(committed)?;
            }
            Err(_) => roll_back(&mut connection).await,
        }
        out
    }
}

/// A connection that can't even roll back is thrown away by the pool, and the server rolls back.
async fn roll_back(connection: &mut ServerConnection) {
    if connection.check_usable().is_ok() {
        let made = within_bounds(AnsiTransactionManager::rollback_transaction(&mut **connection)).await;
        if let Err(error) = connection.conclude(made) {
            tracing::debug!(cause = error.story(), "rollback failed");
        }
    }
}
