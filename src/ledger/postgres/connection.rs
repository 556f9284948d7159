//! A connection to PostgreSQL: it knows the host it goes to, waits for no statement without a bound, and sees by what
//! comes back whether it, or its host, is worth keeping.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{QueryResult, sql_types::Text};
use diesel_async::pooled_connection::PoolableConnection;
use tokio::time::timeout;

use super::{Conn, errors, host::Host};
use crate::{
    error::Error,
    ledger::{
        failure::{Failure, in_doubt},
        health::Health,
    },
};

/// A statement is given up when nothing has come for so long. The server gives up itself after 5 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
/// How much sooner than after [`ANSWER_TIMEOUT`] a statement may be dropped for its time.
const SLACK: Duration = Duration::from_millis(100);
/// Said of a server from which nothing comes.
const SILENT: &str = "the database does not answer";

/// A connection, with the host it goes to.
pub struct ServerConnection {
    connection: Conn,
    host: Arc<Host>,
    /// How often the host had been left when this was made.
    times_left: u64,
    health: Arc<Health>,
    /// It was given up in the middle of a statement.
    is_silent: AtomicBool,
}

impl ServerConnection {
    /// A connection that was made when its host had been left so often.
    pub fn new(connection: Conn, host: Arc<Host>, times_left: u64, health: Arc<Health>) -> Self {
        Self { connection, host, times_left, health, is_silent: AtomicBool::new(false) }
    }

    /// In which language the server reports errors, where that is not English.
    pub async fn foreign_language(&mut self) -> Result<Option<String>, Error> {
        #[derive(diesel::QueryableByName)]
        struct Setting {
            #[diesel(sql_type = Text)]
            lc_messages: String,
        }
        let question = diesel::sql_query("select current_setting('lc_messages') as lc_messages");
        let answer = diesel_async::RunQueryDsl::get_result::<Setting>(question, &mut self.connection);
        let answered = within_bounds(answer).await;
        let Setting { lc_messages } = self.conclude(answered)?;
        let is_english = ["", "C", "POSIX"].contains(&lc_messages.as_str())
            || ["C.", "en", "En"].iter().any(|start| lc_messages.starts_with(start));
        Ok((!is_english).then_some(lc_messages))
    }

    /// Whether it must not be used again.
    pub fn is_broken(&mut self) -> bool {
        self.is_silent.load(Ordering::Acquire)
            || self.host.times_left() != self.times_left
            || self.connection.is_broken()
    }

    /// An error where nothing more may be asked over it.
    pub fn check_usable(&self) -> Result<(), Error> {
        if self.is_silent.load(Ordering::Acquire) { Err(Failure::Away.told(SILENT)) } else { Ok(()) }
    }

    /// What came of a statement that was sent [`within_bounds`].
    pub fn conclude<T>(&self, made: Option<QueryResult<T>>) -> Result<T, Error> {
        match made {
            Some(Ok(out)) => {
                self.health.answered();
                Ok(out)
            }
            Some(Err(error)) => Err(self.note(&error).told(error)),
            None => {
                self.give_up();
                // The server would have given up by itself, and said so; the others wait in vain as well.
                self.host.leave(self.times_left);
                Err(Failure::Away.told(SILENT))
            }
        }
    }

    /// What came of a commit that was sent [`within_bounds`].
    pub fn conclude_commit(&self, made: Option<QueryResult<()>>) -> Result<(), Error> {
        match made {
            Some(Err(error)) if errors::leaves_in_doubt(&error) => {
                self.note(&error);
                Err(in_doubt(error))
            }
            // A server may well wait with commits alone, for a standby.
            None => {
                self.give_up();
                self.health.commit_hung();
                Err(in_doubt(SILENT))
            }
            Some(Ok(())) => {
                self.health.committed();
                self.conclude(Some(Ok(())))
            }
            made => self.conclude(made),
        }
    }

    /// Makes a statement, by itself and within bounds.
    pub async fn ask<T>(&mut self, made: impl AsyncFnOnce(&Conn) -> QueryResult<T>) -> Result<T, Error> {
        self.check_usable()?;
        let made = within_bounds(made(&self.connection)).await;
        self.conclude(made)
    }

    /// As [`ServerConnection::ask`], where the statement wants the connection to itself.
    pub async fn ask_mut<T>(
        &mut self,
        made: impl AsyncFnOnce(&mut Conn) -> QueryResult<T>,
    ) -> Result<T, Error> {
        self.check_usable()?;
        let made = within_bounds(made(&mut self.connection)).await;
        self.conclude(made)
    }

    /// Makes a statement beside others, whose bound is somebody else's: where it is dropped after so long, the server is
    /// left.
    pub async fn watch<'c, T, M>(&'c self, made: impl FnOnce(&'c Conn) -> M) -> Result<T, Error>
    where
        M: Future<Output = QueryResult<T>>,
    {
        let watch = Watch::over(self, |connection| {
            connection.health.failed(Failure::Away, &SILENT);
            // The others wait in vain as well.
            connection.host.leave(connection.times_left);
        });
        let made = made(&self.connection).await;
        watch.end();
        match made {
            Ok(out) => {
                self.health.answered();
                Ok(out)
            }
            Err(error) => Err(self.note(&error).told(error)),
        }
    }

    /// As [`ServerConnection::watch`], a commit.
    pub async fn watch_commit<'c, M>(&'c self, made: impl FnOnce(&'c Conn) -> M) -> Result<(), Error>
    where
        M: Future<Output = QueryResult<()>>,
    {
        // A server may well wait with commits alone, for a standby.
        let watch = Watch::over(self, |connection| connection.health.commit_hung());
        let made = made(&self.connection).await;
        watch.end();
        match made {
            Ok(()) => {
                self.health.committed();
                self.health.answered();
                Ok(())
            }
            Err(error) => {
                self.note(&error);
                Err(in_doubt(error))
            }
        }
    }

    fn note(&self, error: &diesel::result::Error) -> Failure {
        let failure = errors::failure(error);
        self.health.failed(failure, error);
        if failure == Failure::ReadOnly {
            self.host.leave(self.times_left);
        }
        failure
    }

    fn give_up(&self) {
        self.is_silent.store(true, Ordering::Release);
        self.health.failed(Failure::Away, &SILENT);
    }
}

/// Notices that a statement is dropped because no answer came.
struct Watch<'c, F: FnOnce(&ServerConnection)> {
    connection: &'c ServerConnection,
    since: Instant,
    silent: Option<F>,
}

impl<'c, F: FnOnce(&ServerConnection)> Watch<'c, F> {
    fn over(connection: &'c ServerConnection, silent: F) -> Self {
        Self { connection, since: Instant::now(), silent: Some(silent) }
    }

    /// It was answered.
    fn end(mut self) {
        self.silent = None;
    }
}

impl<F: FnOnce(&ServerConnection)> Drop for Watch<'_, F> {
    fn drop(&mut self) {
        // A statement is also dropped, much sooner, where another one of its round fails.
        if let Some(silent) = self.silent.take().filter(|_| self.since.elapsed() + SLACK >= ANSWER_TIMEOUT) {
            silent(self.connection);
        }
    }
}

/// Waits for a statement, but not for ever; `None` is no answer.
pub async fn within_bounds<T>(statement: impl Future<Output = QueryResult<T>>) -> Option<QueryResult<T>> {
    timeout(ANSWER_TIMEOUT, statement).await.ok()
}

impl Deref for ServerConnection {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.connection
    }
}

impl DerefMut for ServerConnection {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.connection
    }
}
