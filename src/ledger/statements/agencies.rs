//! Agencies and their card limits.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, VERSION};
use crate::{
    domain::{AgencyId, Pence},
    ledger::rows::AgencyRow,
    schema::agencies::dsl,
};

pub async fn insert_agency(conn: &mut Conn, row: &AgencyRow) -> QueryResult<()> {
    fixed!(diesel::insert_into(dsl::agencies).values(row)).execute(conn).await.map(drop)
}

pub async fn agency(conn: &mut Conn, id: AgencyId) -> QueryResult<Option<AgencyRow>> {
    dsl::agencies.find(id).select(AgencyRow::as_select()).first(conn).await.optional()
}

pub async fn agency_named(conn: &mut Conn, name: &str) -> QueryResult<Option<AgencyRow>> {
    let query = dsl::agencies.filter(dsl::name.eq(name)).select(AgencyRow::as_select());
    query.order(dsl::id).first(conn).await.optional()
}

pub async fn lock_agency(conn: &mut Conn, id: AgencyId) -> QueryResult<Option<AgencyRow>> {
    for_update!(dsl::agencies.find(id).select(AgencyRow::as_select())).first(conn).await.optional()
}

pub async fn set_card_limit(conn: &mut Conn, id: AgencyId, limit: Option<Pence>) -> QueryResult<()> {
    let change = dsl::max_card_payment_pence.eq(limit);
    fixed!(diesel::update(dsl::agencies.find(id)).set(change)).execute(conn).await.map(drop)
}

pub async fn ping(conn: &mut Conn) -> QueryResult<()> {
    diesel::select(1.into_sql::<diesel::sql_types::Integer>()).execute(conn).await.map(drop)
}

pub async fn database_version(conn: &mut Conn) -> QueryResult<String> {
    diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>(VERSION)).get_result(conn).await
}
