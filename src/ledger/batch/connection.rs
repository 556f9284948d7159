//! A worker's connection: made when first needed and again after it broke, and no wait for it without a bound. Also how a
//! database is known to have stopped answering.

use std::{
    any::TypeId,
    collections::HashSet,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::database::Database;
use crate::{error::Error, ledger::panic::catch_panic};

/// How a database is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many connections, each with a worker.
    pub workers: usize,
    /// How long connecting may take.
    pub connect_wait: Duration,
    /// How long the database may take to answer all that was sent at once.
    pub answer_wait: Duration,
    /// Told how the database answers. May be shared.
    pub health: Arc<Health>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 2,
            connect_wait: Duration::from_secs(2),
            answer_wait: Duration::from_secs(8),
            health: Arc::default(),
        }
    }
}

/// Whether the database answers, as far as is known.
#[derive(Debug, Default)]
pub struct Health(AtomicBool);

impl Health {
    /// Whether the last that is known of the database is that it answers; so also where nothing was asked yet.
    pub fn is_answering(&self) -> bool {
        !self.0.load(Ordering::Acquire)
    }

    fn answered(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn did_not_answer(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Why something asked of the database has no answer.
#[derive(Debug)]
pub enum Failure {
    /// It failed.
    Failed(Error),
    /// The database did not answer in time. What it still makes of it is not known.
    Unanswered,
}

/// An open connection.
pub struct Open<D: Database> {
    /// The connection.
    pub connection: D::Connection,
    /// The statements that were made on it before.
    pub made_before: HashSet<TypeId>,
}

/// A worker's connection. It is taken out while it is used, so that it is gone if that never comes to its end.
pub struct WorkerConnection<D: Database> {
    database: Arc<D>,
    options: Options,
    open: Option<Open<D>>,
}

impl<D: Database> WorkerConnection<D> {
    /// Makes no connection yet.
    pub fn new(database: Arc<D>, options: Options) -> Self {
        Self { database, options, open: None }
    }

    /// Takes the connection, or makes one.
    pub async fn take(&mut self) -> Result<Open<D>, Error> {
        if let Some(mut open) = self.open.take()
            && !D::is_broken(&mut open.connection)
        {
            return Ok(open);
        }
        // Something may accept connections there and never say a word.
        match bounded(self.options.connect_wait, self.database.connect()).await {
            Ok(connection) => Ok(Open { connection, made_before: HashSet::new() }),
            Err(failure) => {
                self.options.health.did_not_answer();
                let cause = match failure {
                    Failure::Failed(error) => error.story(),
                    Failure::Unanswered => format!("no answer within {:?}", self.options.connect_wait),
                };
                tracing::warn!(cause, "could not connect to the database");
                Err(Error::busy())
            }
        }
    }

    /// Gives it back in good order.
    pub fn put_back(&mut self, open: Open<D>) {
        self.open = Some(open);
    }

    /// Waits for an answer of the database, no longer than it may take.
    pub async fn answer<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        let answered = bounded(self.options.answer_wait, asked).await;
        match &answered {
            Ok(_) => self.options.health.answered(),
            // It may have been the connection that failed, or the database that said so.
            Err(Failure::Failed(_)) => {}
            Err(Failure::Unanswered) => {
                self.options.health.did_not_answer();
                tracing::warn!(
                    waited = ?self.options.answer_wait,
                    "the database does not answer; its connection is dropped",
                );
            }
        }
        answered
    }
}

async fn bounded<T>(wait: Duration, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(wait, catch_panic(asked)).await {
        Ok(answered) => answered.map_err(Failure::Failed),
        Err(_) => Err(Failure::Unanswered),
    }
}
