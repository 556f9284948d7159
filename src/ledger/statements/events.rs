//! The webhook inbox.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{EventId, IntentId, SessionId, Timestamp, Verdict},
    ledger::rows::EventRow,
    schema::processed_events::dsl,
};

pub async fn event(conn: &mut Conn, id: &EventId) -> QueryResult<Option<EventRow>> {
    dsl::processed_events.find(id).select(EventRow::as_select()).first(conn).await.optional()
}

pub async fn lock_event(conn: &mut Conn, id: &EventId) -> QueryResult<Option<EventRow>> {
    let query = for_update!(dsl::processed_events.find(id).select(EventRow::as_select()));
    query.first(conn).await.optional()
}

pub async fn note_reused(conn: &mut Conn, id: &EventId, at: Timestamp) -> QueryResult<()> {
    let event = dsl::processed_events.find(id);
    fixed!(diesel::update(event).set(dsl::reused_at.eq(at))).execute(conn).await.map(drop)
}

pub async fn insert_event_unless_known(conn: &mut Conn, row: &EventRow) -> QueryResult<bool> {
    let insert = fixed!(diesel::insert_into(dsl::processed_events).values(row).on_conflict_do_nothing());
    Ok(insert.execute(conn).await? == 1)
}

pub async fn insert_event(conn: &mut Conn, row: &EventRow) -> QueryResult<()> {
    fixed!(diesel::insert_into(dsl::processed_events).values(row)).execute(conn).await.map(drop)
}

pub async fn conclude_event(conn: &mut Conn, row: &EventRow) -> QueryResult<()> {
    let change = (
        dsl::verdict.eq(row.verdict),
        dsl::reason.eq(&row.reason),
        dsl::payment_id.eq(row.payment_id),
        dsl::tries.eq(row.tries),
        dsl::failures.eq(row.failures),
        dsl::due_at.eq(row.due_at),
        dsl::leased_until.eq(row.leased_until),
        dsl::body.eq(&row.body),
        dsl::concluded_at.eq(row.concluded_at),
    );
    // A conclusion stands; only what was parked or given up may get another one.
    let open = dsl::verdict.eq(Verdict::Parked).or(dsl::verdict.eq(Verdict::Dead));
    let event = dsl::processed_events.find(&row.event_id).filter(open);
    fixed!(diesel::update(event).set(change)).execute(conn).await.map(drop)
}

pub async fn wake_events_of_intent(conn: &mut Conn, intent: &IntentId, now: Timestamp) -> QueryResult<()> {
    let waiting = dsl::processed_events.filter(dsl::due_at.is_not_null()).filter(dsl::intent_id.eq(intent));
    fixed!(diesel::update(waiting).set(dsl::due_at.eq(now))).execute(conn).await.map(drop)
}

pub async fn wake_events_of_session(conn: &mut Conn, session: &SessionId, now: Timestamp) -> QueryResult<()> {
    let waiting = dsl::processed_events.filter(dsl::due_at.is_not_null()).filter(dsl::session_id.eq(session));
    fixed!(diesel::update(waiting).set(dsl::due_at.eq(now))).execute(conn).await.map(drop)
}

pub async fn has_due_events(conn: &mut Conn, now: Timestamp) -> QueryResult<bool> {
    let due = dsl::processed_events
        .filter(dsl::due_at.le(now))
        .filter(dsl::leased_until.is_null().or(dsl::leased_until.lt(now)));
    diesel::select(diesel::dsl::exists(due)).get_result(conn).await
}

pub async fn lease_events(
    conn: &mut Conn,
    now: Timestamp,
    until: Timestamp,
    limit: i64,
) -> QueryResult<Vec<EventRow>> {
    let due = for_update_skip_locked!(
        dsl::processed_events
            .filter(dsl::due_at.le(now))
            .filter(dsl::leased_until.is_null().or(dsl::leased_until.lt(now)))
            .order(dsl::due_at)
            .limit(limit)
            .select(EventRow::as_select())
    )
    .load(conn)
    .await?;
    for event in &due {
        let row = dsl::processed_events.find(&event.event_id);
        fixed!(diesel::update(row).set(dsl::leased_until.eq(until))).execute(conn).await?;
    }
    Ok(due)
}

pub async fn event_page(conn: &mut Conn, verdict: Option<Verdict>, limit: i64) -> QueryResult<Vec<EventRow>> {
    let mut query = dsl::processed_events
        .select(EventRow::as_select())
        .order((dsl::received_at.desc(), dsl::event_id.desc()))
        .limit(limit)
        .into_boxed::<Db>();
    if let Some(verdict) = verdict {
        query = query.filter(dsl::verdict.eq(verdict));
    }
    query.load(conn).await
}

pub async fn drop_old_bodies(conn: &mut Conn, before: Timestamp, limit: i64) -> QueryResult<usize> {
    // A parked event's body is still needed, however old it is.
    let kept_for_nobody = || dsl::body.is_not_null().and(dsl::due_at.is_null());
    let old = dsl::processed_events
        .filter(kept_for_nobody())
        .filter(dsl::received_at.lt(before))
        .order(dsl::received_at)
        .limit(limit)
        .select(dsl::event_id)
        .load::<EventId>(conn)
        .await?;
    let rows = dsl::processed_events.filter(dsl::event_id.eq_any(&old)).filter(kept_for_nobody());
    diesel::update(rows).set(dsl::body.eq(None::<Vec<u8>>)).execute(conn).await
}
