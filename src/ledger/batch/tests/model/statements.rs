//! The statements of the model.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};

use super::{
    super::super::{DeferredWrite, Kind, LockKey, Statement},
    Connection, Model, Point,
};
use crate::error::Error;

/// Rows to be written.
#[derive(Debug)]
pub struct Part {
    pub(super) table: &'static str,
    /// Whether it adds to what is there.
    pub(super) adds: bool,
    pub(super) rows: Vec<(String, i64)>,
}

/// Reads a row.
pub struct Read;
/// Says whether a row is there.
pub struct Exists;
/// Answers nobody.
pub struct Short;
/// Locks a row and reads it.
pub struct Lock;
/// Locks a row of a table that is to be locked first.
pub struct LockFirst;
/// Adds a row unless it is there; says whether it did.
pub struct Insert;
/// Sets a row if it is there; says whether it was.
pub struct Replace;
/// Sets a row, later.
pub struct Set;
/// Adds to a row that counts, later.
pub struct Count;

fn keys(asks: &[String]) -> String {
    asks.join(",")
}

impl Statement<Arc<Model>> for Read {
    type Ask = String;
    type Answer = Option<i64>;
    const NAME: &'static str = "read";
    const KIND: Kind = Kind::Read;

    fn run<'c>(
        connection: &'c Connection,
        asks: &'c [String],
    ) -> BoxFuture<'c, Result<Vec<Option<i64>>, Error>> {
        let make = async move |connection: &Connection| {
            if asks.iter().any(|key| key == "bad") {
                return Err(Error::internal("a bad key"));
            }
            assert!(!asks.iter().any(|key| key == "panic"), "planned");
            Ok(asks.iter().map(|key| connection.value(key)).collect())
        };
        connection.statement("read", keys(asks), false, Point::Statement, make).boxed()
    }
}

impl Statement<Arc<Model>> for Exists {
    type Ask = String;
    type Answer = bool;
    const NAME: &'static str = "exists";
    const KIND: Kind = Kind::Read;

    fn run<'c>(connection: &'c Connection, asks: &'c [String]) -> BoxFuture<'c, Result<Vec<bool>, Error>> {
        let make = async move |connection: &Connection| {
            Ok(asks.iter().map(|key| connection.value(key).is_some()).collect())
        };
        connection.statement("exists", keys(asks), false, Point::Statement, make).boxed()
    }
}

impl Statement<Arc<Model>> for Short {
    type Ask = String;
    type Answer = bool;
    const NAME: &'static str = "short";
    const KIND: Kind = Kind::Read;

    fn run<'c>(_: &'c Connection, _: &'c [String]) -> BoxFuture<'c, Result<Vec<bool>, Error>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

async fn lock_all(connection: &Connection, asks: &[String]) -> Result<Vec<Option<i64>>, Error> {
    let mut sorted: Vec<&String> = asks.iter().collect();
    sorted.sort();
    for key in sorted {
        connection.lock_row(key).await?;
    }
    Ok(asks.iter().map(|key| connection.value(key)).collect())
}

impl Statement<Arc<Model>> for Lock {
    type Ask = String;
    type Answer = Option<i64>;
    const NAME: &'static str = "lock";
    const KIND: Kind = Kind::Lock;

    fn lock_key(ask: &String) -> Option<LockKey> {
        Some(LockKey::new("rows", ask))
    }

    fn lock_order() -> u8 {
        2
    }

    fn run<'c>(
        connection: &'c Connection,
        asks: &'c [String],
    ) -> BoxFuture<'c, Result<Vec<Option<i64>>, Error>> {
        let make = async move |connection: &Connection| lock_all(connection, asks).await;
        connection.statement("lock", keys(asks), true, Point::Statement, make).boxed()
    }
}

impl Statement<Arc<Model>> for LockFirst {
    type Ask = String;
    type Answer = Option<i64>;
    const NAME: &'static str = "lock first";
    const KIND: Kind = Kind::Lock;

    fn lock_key(ask: &String) -> Option<LockKey> {
        // Another statement, but the same row.
        Some(LockKey::new("rows", ask))
    }

    fn lock_order() -> u8 {
        1
    }

    fn run<'c>(
        connection: &'c Connection,
        asks: &'c [String],
    ) -> BoxFuture<'c, Result<Vec<Option<i64>>, Error>> {
        let make = async move |connection: &Connection| lock_all(connection, asks).await;
        connection.statement("lock first", keys(asks), true, Point::Statement, make).boxed()
    }
}

impl Statement<Arc<Model>> for Insert {
    type Ask = (String, i64);
    type Answer = bool;
    const NAME: &'static str = "insert";
    const KIND: Kind = Kind::Write;

    fn lock_key((key, _): &(String, i64)) -> Option<LockKey> {
        Some(LockKey::new("rows", key))
    }

    fn wrote(answer: &bool) -> bool {
        *answer
    }

    fn run<'c>(
        connection: &'c Connection,
        asks: &'c [(String, i64)],
    ) -> BoxFuture<'c, Result<Vec<bool>, Error>> {
        let make = async move |connection: &Connection| {
            let mut inserted = Vec::new();
            for (key, value) in asks {
                connection.lock_row(key).await?;
                let is_new = connection.value(key).is_none();
                if is_new {
                    connection.write_value(key, *value);
                }
                inserted.push(is_new);
            }
            Ok(inserted)
        };
        let what = format!("{asks:?}");
        connection.statement("insert", what, true, Point::Statement, make).boxed()
    }
}

impl Statement<Arc<Model>> for Replace {
    type Ask = (String, i64);
    type Answer = bool;
    const NAME: &'static str = "replace";
    const KIND: Kind = Kind::Write;

    fn lock_key((key, _): &(String, i64)) -> Option<LockKey> {
        Some(LockKey::new("rows", key))
    }

    fn wrote(answer: &bool) -> bool {
        *answer
    }

    fn run<'c>(
        connection: &'c Connection,
        asks: &'c [(String, i64)],
    ) -> BoxFuture<'c, Result<Vec<bool>, Error>> {
        let make = async move |connection: &Connection| {
            let mut replaced = Vec::new();
            for (key, value) in asks {
                connection.lock_row(key).await?;
                let is_there = connection.value(key).is_some();
                if is_there {
                    connection.write_value(key, *value);
                }
                replaced.push(is_there);
            }
            Ok(replaced)
        };
        let what = format!("{asks:?}");
        connection.statement("replace", what, true, Point::Statement, make).boxed()
    }
}

impl DeferredWrite<Arc<Model>> for Set {
    type Row = (String, i64);
    const NAME: &'static str = "set";
    const TABLE: &'static str = "rows";

    fn part(rows: Vec<(String, i64)>) -> Part {
        Part { table: Self::TABLE, adds: false, rows }
    }
}

impl DeferredWrite<Arc<Model>> for Count {
    type Row = String;
    const NAME: &'static str = "count";
    const TABLE: &'static str = "counts";

    fn part(rows: Vec<String>) -> Part {
        Part { table: Self::TABLE, adds: true, rows: rows.into_iter().map(|key| (key, 1)).collect() }
    }
}
