//! A database in memory: one table of numbers, transactions that see what is committed and what they wrote themselves, row
//! locks that wait, and faults at any step. What it must never be asked for is noted as a violation.

mod statements;

use std::{
    collections::{BTreeMap, HashSet},
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::sync::Notify;

use super::super::Database;
use crate::error::Error;
pub use statements::*;

/// How long a statement waits for a row.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Where a fault can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Connect,
    Begin,
    Statement,
    Write,
    /// Before it is committed.
    Commit,
    /// When it is committed already.
    AfterCommit,
    Rollback,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Error,
    /// An error, and the connection is of no use any more.
    Break,
    Hang,
    Panic,
}

/// The server.
#[derive(Default)]
pub struct Model {
    inner: Mutex<Inner>,
    released: Notify,
    /// Answers nothing any more, to anybody.
    pub silent: AtomicBool,
    connections: AtomicUsize,
    /// Takes this long at random for each statement, in milliseconds.
    delays: Option<Mutex<SmallRng>>,
}

#[derive(Default)]
struct Inner {
    committed: BTreeMap<String, i64>,
    open: BTreeMap<usize, Transaction>,
    locks: BTreeMap<String, usize>,
    faults: Vec<(Point, usize, Fault)>,
    violations: Vec<String>,
    log: Vec<(usize, String)>,
    /// Of each connection, whether it is broken.
    broken: Vec<Arc<AtomicBool>>,
}

#[derive(Default)]
struct Transaction {
    written: BTreeMap<String, i64>,
    failed: bool,
}

impl Model {
    /// Takes its time at random.
    pub fn slow(seed: u64) -> Self {
        Self { delays: Some(Mutex::new(SmallRng::seed_from_u64(seed))), ..Self::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At this point, when it has been passed `skip` times, this goes wrong, once.
    pub fn plan(&self, point: Point, skip: usize, fault: Fault) {
        self.inner().faults.push((point, skip, fault));
    }

    /// Faults that have not happened.
    pub fn faults_left(&self) -> usize {
        self.inner().faults.len()
    }

    /// What is committed.
    pub fn committed(&self) -> BTreeMap<String, i64> {
        self.inner().committed.clone()
    }

    /// Sets a row.
    pub fn set(&self, key: &str, value: i64) {
        self.inner().committed.insert(key.to_owned(), value);
    }

    /// Breaks all connections that there are.
    pub fn break_connections(&self) {
        for broken in self.inner().broken.drain(..) {
            broken.store(true, Ordering::Relaxed);
        }
    }

    /// What it was asked, by connection.
    pub fn log(&self) -> Vec<(usize, String)> {
        self.inner().log.clone()
    }

    /// Asserts that it was never asked for what makes no sense, and that nothing is left behind.
    pub fn assert_sound(&self) {
        let inner = self.inner();
        assert!(inner.violations.is_empty(), "{:?}", inner.violations);
        assert!(inner.open.is_empty(), "a transaction was left open");
        assert!(inner.locks.is_empty(), "rows were left locked: {:?}", inner.locks);
    }

    async fn reach(&self, point: Point, broken: Option<&AtomicBool>) -> Result<(), Error> {
        let delay = self.delays.as_ref().map(|rng| {
            let mut rng = rng.lock().unwrap_or_else(PoisonError::into_inner);
            rng.random_range(0..4)
        });
        if let Some(delay) = delay {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if self.silent.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
        let fault = {
            let mut inner = self.inner();
            match inner.faults.iter().position(|planned| planned.0 == point) {
                Some(index) if inner.faults[index].1 == 0 => Some(inner.faults.remove(index).2),
                Some(index) => {
                    inner.faults[index].1 -= 1;
                    None
                }
                None => None,
            }
        };
        match fault {
            None => Ok(()),
            Some(Fault::Error) => Err(Error::internal("planned")),
            Some(Fault::Break) => {
                if let Some(broken) = broken {
                    broken.store(true, Ordering::Relaxed);
                }
                Err(Error::internal("planned: the connection breaks"))
            }
            Some(Fault::Hang) => pending().await,
            Some(Fault::Panic) => panic!("planned"),
        }
    }

    fn end(&self, connection: usize, commits: bool) {
        let mut inner = self.inner();
        if let Some(ended) = inner.open.remove(&connection)
            && commits
        {
            inner.committed.extend(ended.written);
        }
        inner.locks.retain(|_, holder| *holder != connection);
        drop(inner);
        self.released.notify_waiters();
    }
}

/// A connection.
pub struct Connection {
    id: usize,
    model: Arc<Model>,
    broken: Arc<AtomicBool>,
    /// Statements are made one after another, in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    prepared: Mutex<HashSet<&'static str>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.model.end(self.id, false);
    }
}

impl Connection {
    /// Waits for the statement's turn. One that is new on this connection is prepared first, which takes an exchange.
    async fn turn(&self, name: &'static str, what: String) -> Result<tokio::sync::MutexGuard<'_, ()>, Error> {
        let is_new = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        if is_new {
            tokio::task::yield_now().await;
        }
        let turn = self.turn.lock().await;
        if self.broken.load(Ordering::Relaxed) {
            return Err(Error::internal("the connection is broken"));
        }
        let mut inner = self.model.inner();
        inner.log.push((self.id, format!("{name} {what}")));
        if inner.open.get(&self.id).is_some_and(|open| open.failed) {
            return Err(Error::internal("the transaction has failed"));
        }
        Ok(turn)
    }

    /// Whatever fails, fails the transaction.
    async fn statement<T>(
        &self,
        name: &'static str,
        what: String,
        needs_transaction: bool,
        point: Point,
        make: impl AsyncFnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _turn = self.turn(name, what).await?;
        if needs_transaction && !self.model.inner().open.contains_key(&self.id) {
            self.model.inner().violations.push(format!("{name} outside of a transaction"));
        }
        let made = match self.model.reach(point, Some(&self.broken)).await {
            Ok(()) => make(self).await,
            Err(error) => Err(error),
        };
        if made.is_err()
            && let Some(open) = self.model.inner().open.get_mut(&self.id)
        {
            open.failed = true;
        }
        made
    }

    async fn lock_row(&self, key: &str) -> Result<(), Error> {
        let wait = async {
            loop {
                let mut released = std::pin::pin!(self.model.released.notified());
                released.as_mut().enable();
                if *self.model.inner().locks.entry(key.to_owned()).or_insert(self.id) == self.id {
                    return;
                }
                released.await;
            }
        };
        tokio::time::timeout(LOCK_WAIT, wait).await.map_err(|_| Error::internal("lost a race"))
    }

    fn value(&self, key: &str) -> Option<i64> {
        let inner = self.model.inner();
        let own = inner.open.get(&self.id).and_then(|open| open.written.get(key));
        own.or_else(|| inner.committed.get(key)).copied()
    }

    fn write_value(&self, key: &str, value: i64) {
        if let Some(open) = self.model.inner().open.get_mut(&self.id) {
            open.written.insert(key.to_owned(), value);
        }
    }
}

impl Database for Arc<Model> {
    type Connection = Connection;
    type Part = Part;

    async fn connect(&self) -> Result<Connection, Error> {
        self.reach(Point::Connect, None).await?;
        let broken = Arc::<AtomicBool>::default();
        self.inner().broken.push(Arc::clone(&broken));
        Ok(Connection {
            id: self.connections.fetch_add(1, Ordering::Relaxed),
            model: Arc::clone(self),
            broken,
            turn: tokio::sync::Mutex::default(),
            prepared: Mutex::default(),
        })
    }

    fn is_broken(connection: &mut Connection) -> bool {
        connection.broken.load(Ordering::Relaxed)
    }

    async fn begin(connection: &Connection) -> Result<(), Error> {
        let _turn = connection.turn("begin", String::new()).await?;
        connection.model.reach(Point::Begin, Some(&connection.broken)).await?;
        let before = connection.model.inner().open.insert(connection.id, Transaction::default());
        if before.is_some() {
            connection.model.inner().violations.push("begun twice".to_owned());
        }
        Ok(())
    }

    async fn commit(connection: &Connection) -> Result<(), Error> {
        let model = &connection.model;
        let _turn = connection.turn("commit", String::new()).await.inspect_err(|_| {
            model.inner().violations.push("a transaction was to be committed that had failed".to_owned());
        })?;
        model.reach(Point::Commit, Some(&connection.broken)).await?;
        if !model.inner().open.contains_key(&connection.id) {
            model.inner().violations.push("nothing to commit".to_owned());
        }
        model.end(connection.id, true);
        model.reach(Point::AfterCommit, Some(&connection.broken)).await
    }

    async fn rollback(connection: &Connection) -> Result<(), Error> {
        let _turn = connection.turn.lock().await;
        connection.model.reach(Point::Rollback, Some(&connection.broken)).await?;
        connection.model.inner().log.push((connection.id, "rollback".to_owned()));
        connection.model.end(connection.id, false);
        Ok(())
    }

    async fn write(connection: &Connection, parts: Vec<Part>) -> Result<(), Error> {
        let rows: Vec<String> = parts.iter().map(|part| format!("{part:?}")).collect();
        let make = async |connection: &Connection| {
            let mut seen = HashSet::new();
            for Part { table, adds, rows } in parts {
                for (key, value) in rows {
                    if !seen.insert((table, key.clone())) {
                        connection
                            .model
                            .inner()
                            .violations
                            .push(format!("{table} {key} written twice at once"));
                    }
                    connection.lock_row(&key).await?;
                    let before = if adds { connection.value(&key).unwrap_or(0) } else { 0 };
                    connection.write_value(&key, before + value);
                }
            }
            Ok(())
        };
        connection.statement("write", rows.join(" "), true, Point::Write, make).await
    }
}
