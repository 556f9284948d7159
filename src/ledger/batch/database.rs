//! What the engine needs of a database. Which statements there are is not here (`statement`).

use std::future::Future;

use crate::error::Error;

/// A database that takes several statements at once over one connection and makes them in the order in which they were
/// sent. A future of these that is dropped, as happens when its time is up, takes its connection with it.
pub trait Database: Send + Sync + 'static {
    /// A connection. It is shared by all statements of a round, so it takes them by reference.
    type Connection: Send + Sync + 'static;
    /// The rows of one deferred write, ready to be made a part of a statement with others.
    type Part: Send + 'static;

    /// Makes a connection.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Error>> + Send;

    /// Whether nothing more can be asked over this connection.
    fn is_broken(connection: &mut Self::Connection) -> bool;

    /// Begins a transaction.
    fn begin(connection: &Self::Connection) -> impl Future<Output = Result<(), Error>> + Send;

    /// Commits it. An error leaves open whether it stands.
    fn commit(connection: &Self::Connection) -> impl Future<Output = Result<(), Error>> + Send;

    /// Rolls it back.
    fn rollback(connection: &Self::Connection) -> impl Future<Output = Result<(), Error>> + Send;

    /// Makes all parts as one statement. Their order is always the same for the same kinds of parts.
    fn write(
        connection: &Self::Connection,
        parts: Vec<Self::Part>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}
