//! Writes that nobody waits for, whatever they write, and the one statement that is made of those of a round.

use std::{
    any::{Any, TypeId},
    marker::PhantomData,
};

use super::{database::Database, statement::DeferredWrite};
use crate::error::Error;

/// A row to be written by `W`.
struct Row<D: Database, W: DeferredWrite<D>> {
    row: W::Row,
    database: PhantomData<fn(D)>,
}

/// A row to be written by any deferred write.
pub trait AnyRow<D: Database>: Any + Send {
    /// The table it is written to.
    fn table(&self) -> &'static str;
    /// By which deferred write.
    fn write(&self) -> TypeId;
    /// That deferred write, of no rows yet.
    fn rows(&self) -> Box<dyn AnyRows<D>>;
}

/// A row to be written by `W`.
pub fn row<D: Database, W: DeferredWrite<D>>(row: W::Row) -> Box<dyn AnyRow<D>> {
    Box::new(Row::<D, W> { row, database: PhantomData })
}

impl<D: Database, W: DeferredWrite<D>> AnyRow<D> for Row<D, W> {
    fn table(&self) -> &'static str {
        W::TABLE
    }

    fn write(&self) -> TypeId {
        TypeId::of::<W>()
    }

    fn rows(&self) -> Box<dyn AnyRows<D>> {
        Box::new(Rows::<D, W>(Vec::new()))
    }
}

/// The rows that a deferred write is made of.
struct Rows<D: Database, W: DeferredWrite<D>>(Vec<W::Row>);

/// The rows that any deferred write is made of.
pub trait AnyRows<D: Database>: Send {
    /// Of which.
    fn write(&self) -> TypeId;
    /// Its name.
    fn name(&self) -> &'static str;
    /// Adds a row, which is for this write.
    fn add(&mut self, row: Box<dyn AnyRow<D>>);
    /// Makes a part of them.
    fn part(self: Box<Self>) -> D::Part;
}

impl<D: Database, W: DeferredWrite<D>> AnyRows<D> for Rows<D, W> {
    fn write(&self) -> TypeId {
        TypeId::of::<W>()
    }

    fn name(&self) -> &'static str {
        W::NAME
    }

    fn add(&mut self, row: Box<dyn AnyRow<D>>) {
        let row: Box<dyn Any> = row;
        let Ok(row) = row.downcast::<Row<D, W>>() else {
            unreachable!("a row is added to the rows of its own type");
        };
        self.0.push(row.row);
    }

    fn part(self: Box<Self>) -> D::Part {
        W::part(self.0)
    }
}

/// What is written in one round without anybody waiting for it.
pub struct DeferredWrites<D: Database> {
    rows: Vec<Box<dyn AnyRows<D>>>,
    writers: Vec<usize>,
}

impl<D: Database> Default for DeferredWrites<D> {
    fn default() -> Self {
        Self { rows: Vec::new(), writers: Vec::new() }
    }
}

impl<D: Database> DeferredWrites<D> {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a job's row.
    pub fn add(&mut self, job: usize, row: Box<dyn AnyRow<D>>) {
        let write = row.write();
        let known = self.rows.iter().position(|rows| rows.write() == write);
        let index = known.unwrap_or_else(|| {
            self.rows.push(row.rows());
            self.rows.len() - 1
        });
        self.rows[index].add(row);
        self.writers.push(job);
    }

    /// Writes it all as one statement; says whose it was.
    pub async fn run(mut self, connection: &D::Connection) -> Result<Vec<usize>, Error> {
        // Always in the same order, so that the database sees few different statements.
        self.rows.sort_unstable_by_key(|rows| rows.name());
        let parts = self.rows.into_iter().map(AnyRows::part).collect();
        D::write(connection, parts).await?;
        Ok(self.writers)
    }
}
