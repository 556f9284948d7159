//! The webhook inbox: what is due in it, and its pages.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{EventId, Timestamp, Verdict},
    ledger::tables::EventRow,
    schema::processed_events::dsl,
};

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
