//! Statements whose text is the same each time, so that they are prepared once for a connection.
//!
//! diesel prepares an `UPDATE` anew each time, as well as whatever has a literal of SQL in it, since it can't know
//! whether their text depends on the values. `fixed!` says that it does not.

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
};

/// See `fixed!`; `Name` is what the statement is kept under.
pub struct Fixed<Name, Q> {
    query: Q,
    name: PhantomData<fn() -> Name>,
}

impl<Name, Q> Fixed<Name, Q> {
    /// The text of `query` must depend on nothing but where in the code this is.
    pub fn new(_: Name, query: Q) -> Self {
        Self { query, name: PhantomData }
    }
}

impl<Name: 'static, Q> QueryId for Fixed<Name, Q> {
    type QueryId = Fixed<Name, ()>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Name, Q: Query> Query for Fixed<Name, Q> {
    type SqlType = Q::SqlType;
}

impl<DB: Backend, Name, Q: QueryFragment<DB>> QueryFragment<DB> for Fixed<Name, Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.query.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

/// Marks a statement as one whose text never changes: every column it sets is always set, no list of values has a
/// length, nothing is left out.
macro_rules! fixed {
    ($query:expr) => {{
        struct Name;
        $crate::ledger::fixed::Fixed::new(Name, $query)
    }};
}
