//! Sealing the journal, and what its rows add up to.

use diesel::{
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::Bool,
};
use diesel_async::RunQueryDsl;

pub use super::super::sealing::{add_to_totals, last_sequences, seal};
use super::{Conn, Db};
use crate::{
    domain::{AgencyId, PaymentStatus, Timestamp},
    ledger::{rows::UnsealedRow, sql_types as st},
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
/// `audit_log_unsealed` answers it.
macro_rules! is_unsealed_change {
    () => {
        diesel::dsl::sql::<Bool>("sequence is null and from_status is distinct from to_status")
    };
}

pub async fn has_unsealed(conn: &mut Conn) -> QueryResult<bool> {
    let unsealed = audit::audit_log.filter(is_unsealed_change!()).select(audit::entry);
    // In the order of the index of unsealed rows, so that no other is looked through.
    let first = fixed!(unsealed.order((audit::agency_id, audit::entry)).limit(1));
    Ok(first.get_result::<i64>(conn).await.optional()?.is_some())
}

pub async fn unsealed(conn: &mut Conn, limit: i64) -> QueryResult<Vec<UnsealedRow>> {
    let oldest = audit::audit_log
        .filter(is_unsealed_change!())
        // Oldest first, whoever's they are, so that a busy agency holds up no other. Not in the order of an index,
        // which would be that of the whole journal: the unsealed rows are few, and are sorted.
        .order(audit::entry + 0)
        .limit(limit)
        .select(UnsealedRow::as_select());
    fixed!(oldest).load(conn).await
}

pub async fn unsealed_entries(conn: &mut Conn, agency: AgencyId) -> QueryResult<Vec<i64>> {
    let unsealed = audit::audit_log.filter(audit::agency_id.eq(agency)).filter(is_unsealed_change!());
    fixed!(unsealed.select(audit::entry)).load(conn).await
}

pub async fn payment_totals(
    conn: &mut Conn,
    agency: AgencyId,
) -> QueryResult<Vec<(PaymentStatus, i64, i64)>> {
    let rows: Vec<(AgencyId, PaymentStatus, i64, i64)> = TotalsOf(&[agency]).load(conn).await?;
    Ok(rows.into_iter().map(|(_, status, payments, pence)| (status, payments, pence)).collect())
}

/// Totals and what is not sealed yet, in one statement, so that no change is missed or counted twice. Diesel's
/// query builder has no `union` inside `from`; a fragment with a static id is prepared once, which `sql_query` is not.
pub struct TotalsOf<'a>(pub &'a [AgencyId]);

impl QueryId for TotalsOf<'_> {
    type QueryId = TotalsOf<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for TotalsOf<'_> {
    type SqlType = (st::Uuid, st::Text, st::BigInt, st::BigInt);
}

impl QueryFragment<Db> for TotalsOf<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql(
            "select agency_id, status, cast(sum(payments) as bigint), cast(sum(pence) as bigint) from (\
             select agency_id, status, payments, total_pence as pence from agency_totals where agency_id ",
        );
        is_one_of!(out, st::Uuid, self.0);
        out.push_sql(
            " union all select agency_id, to_status, 1, amount_pence from audit_log \
             where sequence is null and to_status is not null and from_status is distinct from to_status \
             and agency_id ",
        );
        is_one_of!(out, st::Uuid, self.0);
        out.push_sql(
            " union all select agency_id, from_status, -1, -amount_pence from audit_log \
             where sequence is null and from_status is not null and from_status is distinct from to_status \
             and agency_id ",
        );
        is_one_of!(out, st::Uuid, self.0);
        out.push_sql(") changes group by agency_id, status");
        Ok(())
    }
}
