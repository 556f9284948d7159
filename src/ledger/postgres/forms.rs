//! The forms of statements, each for many at once: arrays as parameters, one a column, so that the text of a statement is
//! always the same and PostgreSQL prepares it once.
//!
//! `ledger/sqlite/forms.rs` has the same forms for one. Which statements there are stands in `ledger/statements.rs`.

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::ledger::{
    form::DeferredWrite,
    table::{Column, Selected, Table, Values},
};

/// `select … from <table>` by keys that are given side by side, each row beside the number of the asker. `S` names the
/// statement, for the cache.
pub struct Select<'a, S, V> {
    table: &'static str,
    keys: Vec<(&'static str, Values<'a>)>,
    after: &'static str,
    names: PhantomData<fn() -> (S, V)>,
}

impl<'a, S: 'static, V: Selected> Select<'a, S, V> {
    /// The rows of `table` whose columns `by` are those of one of the askers. `after` follows the text.
    pub fn new(table: &'static str, by: &[Column<S>], askers: &'a [S], after: &'static str) -> Self {
        let askers: Vec<&S> = askers.iter().collect();
        let keys = by.iter().map(|key| (key.name, (key.array)(&askers))).collect();
        Self { table, keys, after, names: PhantomData }
    }
}

impl<S: 'static, V: 'static> QueryId for Select<'_, S, V> {
    type QueryId = Select<'static, S, V>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S, V: Selected> Query for Select<'_, S, V> {
    type SqlType = (diesel::sql_types::BigInt, V::SqlType);
}

impl<S, V: Selected> QueryFragment<Pg> for Select<'_, S, V> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("select n.asker, ");
        out.push_sql(V::LIST);
        out.push_sql(" from ");
        unnest(&self.keys, &mut out)?;
        out.push_sql(" with ordinality as n (");
        for (key, _) in &self.keys {
            out.push_sql(key);
            out.push_sql(", ");
        }
        out.push_sql("asker) join ");
        out.push_sql(self.table);
        out.push_sql(" as row on ");
        equal(self.keys.iter().map(|(key, _)| *key), &mut out);
        out.push_sql(self.after);
        Ok(())
    }
}

/// For each asker the rows found for it, in their order.
pub fn each<R>(askers: usize, found: Vec<(i64, R)>) -> Vec<Vec<R>> {
    let mut rows: Vec<Vec<R>> = std::iter::repeat_with(Vec::new).take(askers).collect();
    for (asker, row) in found {
        let index = usize::try_from(asker - 1).ok().and_then(|index| rows.get_mut(index));
        index.expect("the database numbers the askers from 1").push(row);
    }
    rows
}

/// What a statement is kept under: its name, its rows, and what it returns.
type Names<S, R, K> = fn() -> (S, R, K);

/// `insert into <table> …`, every column of the rows.
pub struct Insert<'a, S, R, K> {
    columns: Vec<(&'static str, Values<'a>)>,
    /// Leaves out a row whose place is taken, and returns the keys of the others.
    unless_taken: bool,
    names: PhantomData<Names<S, R, K>>,
}

impl<'a, S, R: Table, K> Insert<'a, S, R, K> {
    /// Adds the rows, or nothing at all.
    pub fn new(rows: impl Iterator<Item = &'a R>) -> Self {
        Self::with(rows, false)
    }

    /// Adds the rows whose place is not taken.
    pub fn unless_taken(rows: impl Iterator<Item = &'a R>) -> Self {
        Self::with(rows, true)
    }

    fn with(rows: impl Iterator<Item = &'a R>, unless_taken: bool) -> Self {
        let rows: Vec<&R> = rows.collect();
        let columns = R::COLUMNS.iter().map(|column| (column.name, (column.array)(&rows))).collect();
        Self { columns, unless_taken, names: PhantomData }
    }
}

impl<S: 'static, R: 'static, K: 'static> QueryId for Insert<'_, S, R, K> {
    type QueryId = Insert<'static, S, R, K>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S, R, K> Query for Insert<'_, S, R, K> {
    type SqlType = K;
}

impl<S, R: Table, K> QueryFragment<Pg> for Insert<'_, S, R, K> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("insert into ");
        out.push_sql(R::NAME);
        out.push_sql(" (");
        list(self.columns.iter().map(|(column, _)| *column), "", &mut out);
        out.push_sql(") select * from ");
        unnest(&self.columns, &mut out)?;
        if self.unless_taken {
            out.push_sql(" on conflict do nothing returning ");
            list(R::KEY.iter().map(|key| key.name), "", &mut out);
        }
        Ok(())
    }
}

/// `update <table> …`: the same columns of many rows, found by their keys.
pub struct Update<'a, S, R> {
    table: &'static str,
    by: Vec<(&'static str, Values<'a>)>,
    set: Vec<(&'static str, Values<'a>)>,
    and: &'static str,
    names: PhantomData<fn() -> (S, R)>,
}

impl<'a, S, R: 'static> Update<'a, S, R> {
    /// Sets the columns `set` of the rows that have the columns `by` of one of those given. `and` ends the condition.
    pub fn new(
        table: &'static str,
        by: &[Column<R>],
        set: &[Column<R>],
        and: &'static str,
        rows: impl Iterator<Item = &'a R>,
    ) -> Self {
        let rows: Vec<&R> = rows.collect();
        let columns =
            |of: &[Column<R>]| of.iter().map(|column| (column.name, (column.array)(&rows))).collect();
        Self { table, by: columns(by), set: columns(set), and, names: PhantomData }
    }
}

impl<S: 'static, R: 'static> QueryId for Update<'_, S, R> {
    type QueryId = Update<'static, S, R>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S, R> Query for Update<'_, S, R> {
    type SqlType = diesel::sql_types::Untyped;
}

impl<S, R> QueryFragment<Pg> for Update<'_, S, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("update ");
        out.push_sql(self.table);
        out.push_sql(" as row set ");
        for (number, (column, _)) in self.set.iter().enumerate() {
            out.push_sql(if number == 0 { "" } else { ", " });
            out.push_sql(column);
            out.push_sql(" = n.set_");
            out.push_sql(column);
        }
        out.push_sql(" from unnest(");
        for (number, (_, values)) in self.by.iter().chain(&self.set).enumerate() {
            out.push_sql(if number == 0 { "" } else { ", " });
            values.bind(&mut out)?;
        }
        out.push_sql(") as n (");
        list(self.by.iter().map(|(column, _)| *column), "", &mut out);
        for (column, _) in &self.set {
            out.push_sql(", set_");
            out.push_sql(column);
        }
        out.push_sql(") where ");
        equal(self.by.iter().map(|(column, _)| *column), &mut out);
        out.push_sql(self.and);
        Ok(())
    }
}

/// A statement that writes and has a text that does not depend on its values, with the rows that it writes.
pub trait Write: Send + Sync {
    /// What it is called within a statement of many.
    fn name(&self) -> &'static str;
    /// The statement.
    fn fragment(&self) -> Box<dyn QueryFragment<Pg> + Send + '_>;
}

/// Rows that `W` writes.
pub struct Rows<W: DeferredWrite>(pub Vec<W::Row>);

impl<W: DeferredWrite> Write for Rows<W> {
    fn name(&self) -> &'static str {
        W::NAME
    }

    fn fragment(&self) -> Box<dyn QueryFragment<Pg> + Send + '_> {
        W::on_postgres(&self.0)
    }
}

/// Makes writes as parts of one statement. PostgreSQL makes the parts as if all at once: none sees what another has done,
/// so no two of them may change one row.
pub async fn write(mut connection: &Conn, parts: &[Box<dyn Write>]) -> QueryResult<()> {
    let parts = parts.iter().map(|part| (part.name(), part.fragment())).collect();
    Parts(parts).execute(&mut connection).await.map(drop)
}

/// Statements as parts of one, under their names. Its text, which says what is in it, is what it is prepared under.
struct Parts<'a>(Vec<(&'static str, Box<dyn QueryFragment<Pg> + Send + 'a>)>);

impl QueryId for Parts<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Parts<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some(((_, last), others)) = self.0.split_last() else { return Ok(()) };
        for (number, (name, part)) in others.iter().enumerate() {
            out.push_sql(if number == 0 { "with " } else { ", " });
            out.push_sql(name);
            out.push_sql(" as (");
            part.walk_ast(out.reborrow())?;
            out.push_sql(") ");
        }
        last.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        // No part has a text that depends on values.
        Ok(true)
    }
}

fn unnest<'b>(columns: &'b [(&'static str, Values<'_>)], out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    out.push_sql("unnest(");
    for (number, (_, values)) in columns.iter().enumerate() {
        out.push_sql(if number == 0 { "" } else { ", " });
        values.bind(out)?;
    }
    out.push_sql(")");
    Ok(())
}

fn list<'n>(names: impl Iterator<Item = &'n str>, before: &str, out: &mut AstPass<'_, '_, Pg>) {
    for (number, name) in names.enumerate() {
        out.push_sql(if number == 0 { "" } else { ", " });
        out.push_sql(before);
        out.push_sql(name);
    }
}

fn equal<'n>(columns: impl Iterator<Item = &'n str>, out: &mut AstPass<'_, '_, Pg>) {
    for (number, column) in columns.enumerate() {
        out.push_sql(if number == 0 { "row." } else { " and row." });
        out.push_sql(column);
        out.push_sql(" = n.");
        out.push_sql(column);
    }
}
