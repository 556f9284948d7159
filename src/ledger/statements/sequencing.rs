//! Numbering the audit log.

use diesel::{prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;

pub use super::super::sequencing::{add_to_totals, last_sequences, write_sequences};
use super::Conn;
use crate::{
    domain::{AgencyId, Timestamp},
    ledger::tables::UnnumberedRow,
    schema::{audit_log::dsl as audit, jobs::dsl as jobs},
};

pub async fn lock_job(conn: &mut Conn, kind: &str, now: Timestamp) -> QueryResult<bool> {
    let row = (jobs::kind.eq(kind), jobs::key.eq(""), jobs::due_at.eq(now), jobs::tries.eq(0));
    fixed!(diesel::insert_into(jobs::jobs).values(row).on_conflict_do_nothing()).execute(conn).await?;
    let ours =
        for_update_skip_locked!(jobs::jobs.find((kind, "")).select(jobs::tries)).first::<i32>(conn).await;
    Ok(ours.optional()?.is_some())
}

/// A change of a status without its number. Literal, so that the planner sees that the partial index
/// `audit_log_unnumbered` answers it.
macro_rules! is_unnumbered_change {
    () => {
        diesel::dsl::sql::<Bool>("sequence is null and from_status is distinct from to_status")
    };
}

pub async fn has_unnumbered(conn: &mut Conn) -> QueryResult<bool> {
    let unnumbered = audit::audit_log.filter(is_unnumbered_change!()).select(audit::entry);
    // In the order of the index of unnumbered rows, so that no other is looked through.
    let first = fixed!(unnumbered.order((audit::agency_id, audit::entry)).limit(1));
    Ok(first.get_result::<i64>(conn).await.optional()?.is_some())
}

pub async fn unnumbered(conn: &mut Conn, limit: i64) -> QueryResult<Vec<UnnumberedRow>> {
    let oldest = audit::audit_log
        .filter(is_unnumbered_change!())
        // Oldest first, whoever's they are, so that a busy agency holds up no other. Not in the order of an index,
        // which would be that of the whole audit log: the unnumbered rows are few, and are sorted.
        .order(audit::entry + 0)
        .limit(limit)
        .select(UnnumberedRow::as_select());
    fixed!(oldest).load(conn).await
}

pub async fn unnumbered_entries(conn: &mut Conn, agency: AgencyId) -> QueryResult<Vec<i64>> {
    let unnumbered = audit::audit_log.filter(audit::agency_id.eq(agency)).filter(is_unnumbered_change!());
    fixed!(unnumbered.select(audit::entry)).load(conn).await
}
