//! Agencies and tokens, as operators see them: of all agencies.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, VERSION};
use crate::{
    ledger::tables::{AgencyRow, TokenRow},
    schema::{agencies::dsl, tokens},
};

pub async fn agency_named(conn: &mut Conn, name: &str) -> QueryResult<Option<AgencyRow>> {
    let query = dsl::agencies.filter(dsl::name.eq(name)).select(AgencyRow::as_select());
    query.order(dsl::id).first(conn).await.optional()
}

pub async fn tokens(conn: &mut Conn) -> QueryResult<Vec<TokenRow>> {
    tokens::table.select(TokenRow::as_select()).order(tokens::id).load(conn).await
}

pub async fn ping(conn: &mut Conn) -> QueryResult<()> {
    diesel::select(1.into_sql::<diesel::sql_types::Integer>()).execute(conn).await.map(drop)
}

pub async fn database_version(conn: &mut Conn) -> QueryResult<String> {
    diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>(VERSION)).get_result(conn).await
}
