//! Checkout sessions: the attempts of a payment.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::{
    domain::{PaymentId, SessionId, SessionState, Timestamp},
    ledger::rows::SessionRow,
    schema::checkout_sessions::dsl,
};

pub async fn insert_session(conn: &mut Conn, row: &SessionRow) -> QueryResult<()> {
    fixed!(diesel::insert_into(dsl::checkout_sessions).values(row)).execute(conn).await.map(drop)
}

pub async fn session(conn: &mut Conn, payment: PaymentId, attempt: i32) -> QueryResult<Option<SessionRow>> {
    let query = dsl::checkout_sessions.find((payment, attempt)).select(SessionRow::as_select());
    query.first(conn).await.optional()
}

pub async fn sessions_of(conn: &mut Conn, payment: PaymentId) -> QueryResult<Vec<SessionRow>> {
    dsl::checkout_sessions
        .filter(dsl::payment_id.eq(payment))
        .order(dsl::attempt)
        .select(SessionRow::as_select())
        .load(conn)
        .await
}

pub async fn session_by_id(conn: &mut Conn, id: &SessionId) -> QueryResult<Option<SessionRow>> {
    let query = dsl::checkout_sessions.filter(dsl::session_id.eq(id)).select(SessionRow::as_select());
    query.first(conn).await.optional()
}

pub async fn lease_session(
    conn: &mut Conn,
    payment: PaymentId,
    attempt: i32,
    now: Timestamp,
    until: Timestamp,
) -> QueryResult<bool> {
    let free = dsl::checkout_sessions
        .find((payment, attempt))
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
            .order(dsl::next_read_at)
            .limit(limit)
            .select(SessionRow::as_select())
    )
    .load::<SessionRow>(conn)
    .await?;
    for session in &due {
        let row = dsl::checkout_sessions.find((session.payment_id, session.attempt));
        let change = (dsl::leased_until.eq(until), dsl::tries.eq(dsl::tries + 1));
        fixed!(diesel::update(row).set(change)).execute(conn).await?;
    }
    Ok(due)
}

pub async fn update_session(conn: &mut Conn, row: &SessionRow) -> QueryResult<()> {
    let change = (
        dsl::state.eq(row.state),
        dsl::session_id.eq(&row.session_id),
        dsl::url.eq(&row.url),
        dsl::expires_at.eq(row.expires_at),
        dsl::leased_until.eq(row.leased_until),
        dsl::next_read_at.eq(row.next_read_at),
    );
    let target = dsl::checkout_sessions.find((row.payment_id, row.attempt));
    fixed!(diesel::update(target).set(change)).execute(conn).await.map(drop)
}

pub async fn set_attempt_best(conn: &mut Conn, row: &SessionRow) -> QueryResult<()> {
    let change = (
        dsl::best.eq(row.best),
        dsl::failure_reason.eq(&row.failure_reason),
        dsl::processing_since.eq(row.processing_since),
        dsl::next_read_at.eq(row.next_read_at),
    );
    let target = dsl::checkout_sessions.find((row.payment_id, row.attempt));
    fixed!(diesel::update(target).set(change)).execute(conn).await.map(drop)
}
