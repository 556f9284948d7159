//! PostgreSQL as the batch engine asks it.

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection;
use futures_util::{FutureExt, future::BoxFuture};

use super::{Conn, connection::ServerConnection, connector::Connector, forms};
use crate::{
    error::Error,
    ledger::{
        batch::{self, Kind, LockKey},
        form::{DeferredWrite, Statement},
    },
};

/// How long a batch waits for a row: longer than any other batch holds one. Its jobs had better run apart then, so that
/// the others need not wait for it.
const LOCK_WAIT: &str = "lock_timeout=1s";

/// The database, to the batches.
pub struct Database {
    connector: Connector,
}

impl Database {
    /// Connects later.
    pub fn new(connector: Connector) -> Self {
        Self { connector }
    }
}

impl batch::Database for Database {
    type Connection = ServerConnection;
    type Part = Box<dyn forms::Write>;

    async fn connect(&self) -> Result<ServerConnection, Error> {
        self.connector.connect_with(&[LOCK_WAIT]).await
    }

    fn is_broken(connection: &mut ServerConnection) -> bool {
        connection.is_broken()
    }

    async fn begin(connection: &ServerConnection) -> Result<(), Error> {
        connection.watch(async |mut connection| connection.batch_execute("begin").await).await
    }

    async fn commit(connection: &ServerConnection) -> Result<(), Error> {
        connection.watch_commit(async |mut connection| connection.batch_execute("commit").await).await
    }

    async fn rollback(connection: &ServerConnection) -> Result<(), Error> {
        connection.watch(async |mut connection| connection.batch_execute("rollback").await).await
    }

    async fn write(connection: &ServerConnection, parts: Vec<Box<dyn forms::Write>>) -> Result<(), Error> {
        connection.watch(async |connection| forms::write(connection, &parts).await).await
    }
}

impl<S: Statement> batch::Statement<Database> for S {
    type Ask = S;
    type Answer = <S as Statement>::Answer;
    const NAME: &'static str = <S as Statement>::NAME;
    const KIND: Kind = <S as Statement>::KIND;

    fn lock_key(ask: &S) -> Option<LockKey> {
        ask.lock_key()
    }

    fn lock_order() -> u8 {
        <S as Statement>::lock_order()
    }

    fn wrote(answer: &Self::Answer) -> bool {
        <S as Statement>::wrote(answer)
    }

    fn run<'c>(
        connection: &'c ServerConnection,
        asks: &'c [S],
    ) -> BoxFuture<'c, Result<Vec<Self::Answer>, Error>> {
        connection.watch(|connection| S::on_postgres(connection, asks)).boxed()
    }
}

/// A deferred write, to the batches.
pub struct Deferred<W>(std::marker::PhantomData<fn() -> W>);

impl<W: DeferredWrite> batch::DeferredWrite<Database> for Deferred<W> {
    type Row = W::Row;
    const NAME: &'static str = W::NAME;
    const TABLE: &'static str = W::ROWS;

    fn part(rows: Vec<W::Row>) -> Box<dyn forms::Write> {
        Box::new(forms::Rows::<W>(rows))
    }
}

/// Makes a deferred write at once.
pub async fn write_one<W: DeferredWrite>(connection: &Conn, row: W::Row) -> QueryResult<()> {
    forms::write(connection, &[Box::new(forms::Rows::<W>(vec![row]))]).await
}
