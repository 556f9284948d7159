//! How a connection is opened, and the threads that hold one. Not here: who holds it (`writer`, `readers`).

use std::{path::Path, time::Duration};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection};
use futures_util::FutureExt;

use super::Conn;
use crate::error::Error;

/// Pages each connection keeps. The operating system keeps the file's anyway, and copying one from there is quick.
const CACHE_KIB: u32 = 2 * 1024;
/// How long a statement waits for another process's lock before it gives up; then the caller is told `BUSY`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map(drop)
        .map_err(|error| Error::internal(format!("{name}: {error}")))
}

/// The result of a transaction's future, which has waited for nothing but statements.
pub fn at_once<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
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
