//! Bearer tokens, known by their hashes.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AgencyId, Timestamp, TokenId},
    ledger::{rows::TokenRow, sql_types::Sha256},
    schema::tokens::dsl,
};

pub async fn insert_token(conn: &mut Conn, row: &TokenRow) -> QueryResult<()> {
    fixed!(diesel::insert_into(dsl::tokens).values(row)).execute(conn).await.map(drop)
}

pub async fn token_by_hash(conn: &mut Conn, sha256: Sha256) -> QueryResult<Option<TokenRow>> {
    dsl::tokens.filter(dsl::sha256.eq(sha256)).select(TokenRow::as_select()).first(conn).await.optional()
}

pub async fn tokens(conn: &mut Conn) -> QueryResult<Vec<TokenRow>> {
    dsl::tokens.select(TokenRow::as_select()).order(dsl::id).load(conn).await
}

pub async fn revoke_token(
    conn: &mut Conn,
    id: TokenId,
    agency: Option<AgencyId>,
    at: Timestamp,
) -> QueryResult<Option<TokenRow>> {
    let mut query = dsl::tokens.select(TokenRow::as_select()).filter(dsl::id.eq(id)).into_boxed::<Db>();
    if let Some(agency) = agency {
        query = query.filter(dsl::agency_id.eq(agency));
    }
    let Some(mut row) = query.first(conn).await.optional()? else { return Ok(None) };
    let unrevoked = dsl::tokens.find(id).filter(dsl::revoked_at.is_null());
    if fixed!(diesel::update(unrevoked).set(dsl::revoked_at.eq(at))).execute(conn).await? == 1 {
        row.revoked_at = Some(at);
    }
    Ok(Some(row))
}
