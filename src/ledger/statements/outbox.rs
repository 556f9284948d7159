//! What is still to be sent to Inngest, and who sends it.
//!
//! Two logs, read where they stand: events are marked unsent by the insert that accepts them; the audit log is read
//! past each agency's cursor, which is safe because the sequencer numbers an agency's rows in the order they commit.

use std::collections::BTreeMap;

use diesel::{
    dsl::{exists, max},
    prelude::*,
};
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::{
    domain::{AgencyId, EventId, Timestamp},
    ledger::tables::{UnsentChange, UnsentEvent},
    schema::{
        agencies::dsl as agencies, audit_log::dsl as audit, inngest_cursors::dsl as cursors,
        jobs::dsl as jobs, processed_events::dsl as events,
    },
};

/// The one row of `jobs` whose lease is the right to send. It is there while Inngest is configured.
const JOB: (&str, &str) = ("inngest", "");

/// The rows of the audit log past the cursor of the query around it.
macro_rules! past_cursor {
    () => {
        audit::audit_log
            .filter(audit::agency_id.eq(cursors::agency_id))
            .filter(audit::sequence.gt(cursors::sequence.nullable()))
    };
}

/// Agencies without a cursor: made since sending began.
macro_rules! new_agencies {
    () => {
        agencies::agencies
            .left_join(cursors::inngest_cursors)
            .filter(cursors::sequence.nullable().is_null())
            .select(agencies::id)
    };
}

pub async fn begin_outbox(conn: &mut Conn, now: Timestamp) -> QueryResult<()> {
    let row = (jobs::kind.eq(JOB.0), jobs::key.eq(JOB.1), jobs::due_at.eq(now), jobs::tries.eq(0));
    if fixed!(diesel::insert_into(jobs::jobs).values(row).on_conflict_do_nothing()).execute(conn).await? == 0
    {
        return Ok(());
    }
    for agency in agencies::agencies.select(agencies::id).load::<AgencyId>(conn).await? {
        let last = audit::audit_log
            .filter(audit::agency_id.eq(agency))
            .filter(audit::sequence.is_not_null())
            .select(max(audit::sequence));
        let last = last.first::<Option<i64>>(conn).await?.unwrap_or(0);
        add_cursor(conn, agency, last, now).await?;
    }
    Ok(())
}

pub async fn forget_outbox(conn: &mut Conn) -> QueryResult<()> {
    let unsent = events::processed_events.filter(events::unsent);
    fixed!(diesel::update(unsent).set(events::unsent.eq(false))).execute(conn).await?;
    fixed!(diesel::delete(cursors::inngest_cursors)).execute(conn).await?;
    fixed!(diesel::delete(jobs::jobs.find(JOB))).execute(conn).await.map(drop)
}

pub async fn has_unsent(conn: &mut Conn) -> QueryResult<bool> {
    let event = events::processed_events.filter(events::unsent);
    if diesel::select(exists(event).or(exists(new_agencies!()))).get_result(conn).await? {
        return Ok(true);
    }
    let behind = cursors::inngest_cursors.filter(exists(past_cursor!()));
    diesel::select(exists(behind)).get_result(conn).await
}

pub async fn lease_outbox(conn: &mut Conn, now: Timestamp, until: Timestamp) -> QueryResult<Option<i32>> {
    let free = jobs::jobs
        .find(JOB)
        .filter(jobs::due_at.le(now))
        .filter(jobs::leased_until.is_null().or(jobs::leased_until.lt(now)))
        .select(jobs::tries);
    let Some(tries) = for_update_skip_locked!(free).first(conn).await.optional()? else { return Ok(None) };
    let row = jobs::jobs.find(JOB);
    fixed!(diesel::update(row).set(jobs::leased_until.eq(until))).execute(conn).await?;
    Ok(Some(tries))
}

pub async fn unsent_events(conn: &mut Conn, limit: i64) -> QueryResult<Vec<UnsentEvent>> {
    events::processed_events
        .filter(events::unsent)
        .order(events::received_at)
        .limit(limit)
        .select(UnsentEvent::as_select())
        .load(conn)
        .await
}

pub async fn unsent_changes(
    conn: &mut Conn,
    agencies: i64,
    of_each: i64,
    now: Timestamp,
) -> QueryResult<Vec<UnsentChange>> {
    for agency in new_agencies!().load::<AgencyId>(conn).await? {
        add_cursor(conn, agency, 0, now).await?;
    }
    let behind = cursors::inngest_cursors
        .filter(exists(past_cursor!()))
        .order(cursors::moved_at)
        .limit(agencies)
        .select((cursors::agency_id, cursors::sequence))
        .load::<(AgencyId, i64)>(conn)
        .await?;
    let mut found = Vec::new();
    for (agency, sent) in behind {
        let rows = audit::audit_log
            .filter(audit::agency_id.eq(agency))
            .filter(audit::sequence.gt(sent))
            .order(audit::sequence)
            .limit(of_each)
            .select(UnsentChange::as_select());
        found.extend(rows.load(conn).await?);
    }
    Ok(found)
}

pub async fn note_sent(
    conn: &mut Conn,
    sent: &[EventId],
    changes: &[UnsentChange],
    now: Timestamp,
) -> QueryResult<()> {
    let rows = events::processed_events.filter(events::event_id.eq_any(sent));
    diesel::update(rows).set(events::unsent.eq(false)).execute(conn).await?;
    let mut last_of: BTreeMap<AgencyId, i64> = BTreeMap::new();
    for change in changes {
        let last = last_of.entry(change.agency_id).or_default();
        *last = change.sequence.unwrap_or_default().max(*last);
    }
    for (agency, last) in last_of {
        // A cursor never goes back: another instance may have sent more, where this one outlived its lease.
        let row = cursors::inngest_cursors.find(agency).filter(cursors::sequence.lt(last));
        let moved = (cursors::sequence.eq(last), cursors::moved_at.eq(now));
        fixed!(diesel::update(row).set(moved)).execute(conn).await?;
    }
    Ok(())
}

pub async fn release_outbox(conn: &mut Conn, tries: i32, due_at: Timestamp) -> QueryResult<()> {
    let free = (jobs::tries.eq(tries), jobs::due_at.eq(due_at), jobs::leased_until.eq(None::<Timestamp>));
    fixed!(diesel::update(jobs::jobs.find(JOB)).set(free)).execute(conn).await.map(drop)
}

async fn add_cursor(conn: &mut Conn, agency: AgencyId, sequence: i64, now: Timestamp) -> QueryResult<()> {
    let row = (cursors::agency_id.eq(agency), cursors::sequence.eq(sequence), cursors::moved_at.eq(now));
    let insert = diesel::insert_into(cursors::inngest_cursors).values(row).on_conflict_do_nothing();
    insert.execute(conn).await.map(drop)
}
