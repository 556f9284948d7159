//! Who may ask the provider for a checkout session, and which the janitor is to look at.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::{
    domain::{AgencyId, PaymentId, SessionState, Timestamp},
    ledger::tables::SessionRow,
    schema::checkout_sessions::dsl,
};

pub async fn lease_session(
    conn: &mut Conn,
    agency: AgencyId,
    payment: PaymentId,
    attempt: i32,
    now: Timestamp,
    until: Timestamp,
) -> QueryResult<bool> {
    let free = dsl::checkout_sessions
        .find((agency, payment, attempt))
        .filter(dsl::state.eq(SessionState::Creating))
        .filter(dsl::leased_until.is_null().or(dsl::leased_until.lt(now)));
    let change = (dsl::leased_until.eq(until), dsl::tries.eq(dsl::tries + 1));
    Ok(fixed!(diesel::update(free).set(change)).execute(conn).await? == 1)
}

pub async fn has_due_sessions(conn: &mut Conn, now: Timestamp) -> QueryResult<bool> {
    let due = dsl::checkout_sessions
        .filter(dsl::next_read_at.le(now))
        .filter(dsl::leased_until.is_null().or(dsl::leased_until.lt(now)));
    diesel::select(diesel::dsl::exists(due)).get_result(conn).await
}

pub async fn lease_due_sessions(
    conn: &mut Conn,
    now: Timestamp,
    until: Timestamp,
    limit: i64,
) -> QueryResult<Vec<SessionRow>> {
    let due = for_update_skip_locked!(
        dsl::checkout_sessions
            .filter(dsl::next_read_at.le(now))
            .filter(dsl::leased_until.is_null().or(dsl::leased_until.lt(now)))
            // Nobody knows yet what became of a create whose outcome is unknown; a read-back only confirms.
            .order((dsl::state.ne(SessionState::Creating), dsl::next_read_at))
            .limit(limit)
            .select(SessionRow::as_select())
    )
    .load::<SessionRow>(conn)
    .await?;
    for session in &due {
        let row = dsl::checkout_sessions.find((session.agency_id, session.payment_id, session.attempt));
        let change = (dsl::leased_until.eq(until), dsl::tries.eq(dsl::tries + 1));
        fixed!(diesel::update(row).set(change)).execute(conn).await?;
    }
    Ok(due)
}
