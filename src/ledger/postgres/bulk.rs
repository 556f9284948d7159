//! Statements over sets of rows: arrays as parameters, one a column, so that their text is always the same and
//! PostgreSQL prepares each once.

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    expression::Expression,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::{Array, HasSqlType, SingleValue},
};

/// One column of the given rows.
pub struct Given<'a>(Box<dyn Bind + 'a>);

/// Something that can be a parameter.
trait Bind: Send + Sync {
    fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

struct Values<ST, U> {
    values: Vec<U>,
    sql_type: PhantomData<fn() -> ST>,
}

impl<ST, U> Bind for Values<ST, U>
where
    Pg: HasSqlType<ST>,
    ST: SingleValue + 'static,
    U: ToSql<ST, Pg> + Send + Sync,
    Vec<U>: ToSql<Array<ST>, Pg>,
{
    fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<Array<ST>, _>(&self.values)
    }
}

/// The values of one column; `C` is the column, or any expression of its type.
pub fn given<'a, C, U>(_: C, values: impl Iterator<Item = U>) -> Given<'a>
where
    C: Expression,
    C::SqlType: SingleValue + 'static,
    Pg: HasSqlType<C::SqlType>,
    U: ToSql<C::SqlType, Pg> + Send + Sync + 'a,
    Vec<U>: ToSql<Array<C::SqlType>, Pg>,
{
    Given(Box::new(Values::<C::SqlType, U> { values: values.collect(), sql_type: PhantomData }))
}

/// The columns of rows, by name: `a` and `b` of each row.
macro_rules! columns {
    ($rows:expr, $table:ident: $($column:ident),* $(,)?) => {
        vec![$(
            $crate::ledger::postgres::bulk::given($crate::schema::$table::$column, $rows.iter().map(|row| &row.$column))
        ),*]
    };
}
pub(super) use columns;

/// Inserts rows, all columns of them. `Row { a, b }` names them all, or this does not compile.
macro_rules! insert_rows {
    ($name:ident returns $returns:ty: $rows:expr, $table:ident from $row:ident { $first:ident $(, $column:ident)* $(,)? } $after:literal) => {{
        struct $name;
        let _complete = |$row { $first: _, $($column: _),* }: &$row| {};
        $crate::ledger::postgres::bulk::Bulk::<_, $returns>::new(
            $name,
            concat!(
                "insert into ", stringify!($table), " (", stringify!($first), $(", ", stringify!($column),)* ") select * from"
            ),
            $crate::ledger::postgres::bulk::columns!($rows, $table: $first, $($column),*),
            $after,
        )
    }};
}
pub(super) use insert_rows;

/// Updates rows, found by their keys.
macro_rules! update_rows {
    ($name:ident: $rows:expr, $table:ident by [$key:ident $(, $more_keys:ident)*]
        set [$first:ident $(, $column:ident)* $(,)?]) => {{
        struct $name;
        $crate::ledger::postgres::bulk::Bulk::<_, diesel::sql_types::Untyped>::new(
            $name,
            concat!(
                "update ", stringify!($table), " as row set ", stringify!($first), " = n.", stringify!($first),
                $(", ", stringify!($column), " = n.", stringify!($column),)* " from"
            ),
            $crate::ledger::postgres::bulk::columns!($rows, $table: $key, $($more_keys,)* $first, $($column),*),
            concat!(
                "as n (", stringify!($key), $(", ", stringify!($more_keys),)* ", ", stringify!($first),
                $(", ", stringify!($column),)* ") where row.", stringify!($key), " = n.", stringify!($key),
                $(" and row.", stringify!($more_keys), " = n.", stringify!($more_keys),)*
            ),
        )
    }};
}
pub(super) use update_rows;

/// A statement with `unnest(…)` over given columns in it. `Q` names the statement, for the cache; `R` are the types
/// it returns.
pub struct Bulk<'a, Q, R> {
    before: &'static str,
    given: Vec<Given<'a>>,
    after: &'static str,
    names: PhantomData<fn() -> (Q, R)>,
}

impl<'a, Q, R> Bulk<'a, Q, R> {
    /// `{before} unnest({given}) {after}`.
    pub fn new(_: Q, before: &'static str, given: Vec<Given<'a>>, after: &'static str) -> Self {
        Self { before, given, after, names: PhantomData }
    }
}

impl<Q: 'static, R: 'static> QueryId for Bulk<'_, Q, R> {
    type QueryId = Bulk<'static, Q, R>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Q, R> Query for Bulk<'_, Q, R> {
    type SqlType = R;
}

impl<Q, R> QueryFragment<Pg> for Bulk<'_, Q, R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.before);
        out.push_sql(" unnest(");
        for (number, given) in self.given.iter().enumerate() {
            if number > 0 {
                out.push_sql(", ");
            }
            given.0.bind(&mut out)?;
        }
        out.push_sql(") ");
        out.push_sql(self.after);
        Ok(())
    }
}
