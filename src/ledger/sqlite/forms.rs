//! The forms of statements, each for one: in process a statement costs no round trip, so many are one after another.
//!
//! `ledger/postgres/forms.rs` has the same forms for many. Which statements there are stands in `ledger/statements.rs`.

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sqlite::Sqlite,
};

use crate::ledger::table::{Column, Selected, Table};

/// `select … from <table>` by the keys of one asker. `S` names the statement, for the cache.
pub struct Select<'a, S: 'static, V> {
    table: &'static str,
    by: &'static [Column<S>],
    asker: &'a S,
    after: &'static str,
    view: PhantomData<fn() -> V>,
}

impl<'a, S, V: Selected> Select<'a, S, V> {
    /// The rows of `table` whose columns `by` are those of the asker. `after` follows the text.
    pub fn new(table: &'static str, by: &'static [Column<S>], asker: &'a S, after: &'static str) -> Self {
        Self { table, by, asker, after, view: PhantomData }
    }
}

impl<S: 'static, V: 'static> QueryId for Select<'_, S, V> {
    type QueryId = Select<'static, S, V>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S, V: Selected> Query for Select<'_, S, V> {
    type SqlType = V::SqlType;
}

impl<S, V: Selected> QueryFragment<Sqlite> for Select<'_, S, V> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("select ");
        out.push_sql(V::LIST);
        out.push_sql(" from ");
        out.push_sql(self.table);
        out.push_sql(" as row where ");
        equal(self.by, self.asker, &mut out)?;
        out.push_sql(self.after);
        Ok(())
    }
}

/// `insert into <table> …`, every column of the row.
pub struct Insert<'a, S, R> {
    row: &'a R,
    /// Does nothing where the row's place is taken.
    unless_taken: bool,
    name: PhantomData<fn() -> S>,
}

impl<'a, S, R: Table> Insert<'a, S, R> {
    /// Adds the row.
    pub fn new(row: &'a R) -> Self {
        Self { row, unless_taken: false, name: PhantomData }
    }

    /// Adds the row if its place is not taken.
    pub fn unless_taken(row: &'a R) -> Self {
        Self { row, unless_taken: true, name: PhantomData }
    }
}

impl<S: 'static, R: 'static> QueryId for Insert<'_, S, R> {
    type QueryId = Insert<'static, S, R>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S, R: Table> QueryFragment<Sqlite> for Insert<'_, S, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("insert into ");
        out.push_sql(R::NAME);
        out.push_sql(" (");
        for (number, column) in R::COLUMNS.iter().enumerate() {
            out.push_sql(if number == 0 { "" } else { ", " });
            out.push_sql(column.name);
        }
        out.push_sql(") values (");
        for (number, column) in R::COLUMNS.iter().enumerate() {
            out.push_sql(if number == 0 { "" } else { ", " });
            (column.bind)(self.row, &mut out)?;
        }
        out.push_sql(if self.unless_taken { ") on conflict do nothing" } else { ")" });
        Ok(())
    }
}

/// `update <table> …`: columns of one row, found by its key. Only the columns whose values changed are named, since SQLite
/// writes every index anew that has a column of those named. So there are several texts, each prepared once.
pub struct Update<'a, R: 'static> {
    table: &'static str,
    by: &'static [Column<R>],
    set: Vec<&'static Column<R>>,
    and: &'static str,
    row: &'a R,
}

impl<'a, R> Update<'a, R> {
    /// Sets the columns `set` of the rows that have the columns `by` of this one, those that `before` has already left
    /// out; `None` where it has them all. `and` ends the condition.
    pub fn new(
        table: &'static str,
        by: &'static [Column<R>],
        set: &'static [Column<R>],
        and: &'static str,
        before: Option<&R>,
        row: &'a R,
    ) -> Option<Self> {
        let is_new = |column: &&Column<R>| before.is_none_or(|before| !(column.same)(before, row));
        let set: Vec<_> = set.iter().filter(is_new).collect();
        (!set.is_empty()).then_some(Self { table, by, set, and, row })
    }
}

impl<R> QueryId for Update<'_, R> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<R> QueryFragment<Sqlite> for Update<'_, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("update ");
        out.push_sql(self.table);
        out.push_sql(" as row set ");
        for (number, column) in self.set.iter().enumerate() {
            out.push_sql(if number == 0 { "" } else { ", " });
            out.push_sql(column.name);
            out.push_sql(" = ");
            (column.bind)(self.row, &mut out)?;
        }
        out.push_sql(" where ");
        equal(self.by, self.row, &mut out)?;
        out.push_sql(self.and);
        Ok(())
    }

    fn is_safe_to_cache_prepared(&self, _: &Sqlite) -> QueryResult<bool> {
        Ok(true)
    }
}

fn equal<'b, R>(columns: &[Column<R>], row: &'b R, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
    for (number, column) in columns.iter().enumerate() {
        out.push_sql(if number == 0 { "row." } else { " and row." });
        out.push_sql(column.name);
        out.push_sql(" = ");
        (column.bind)(row, out)?;
    }
    Ok(())
}
