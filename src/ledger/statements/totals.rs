//! Sealing the journal, and what its rows add up to.

use diesel::{
    dsl::max,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::Bool,
};
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AgencyId, PaymentStatus, Timestamp},
    ledger::{rows::UnsealedRow, sql_types as st},
    schema::{agency_totals::dsl as totals, audit_log::dsl as audit, jobs::dsl as jobs},
};

pub async fn lock_job(conn: &mut Conn, kind: &str, now: Timestamp) -> QueryResult<bool> {
    let row = (jobs::kind.eq(kind), jobs::key.eq(""), jobs::due_at.eq(now), jobs::tries.eq(0));
    diesel::insert_into(jobs::jobs).values(row).on_conflict_do_nothing().execute(conn).await?;
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
    let unsealed = audit::audit_log.filter(is_unsealed_change!());
    diesel::select(diesel::dsl::exists(unsealed)).get_result(conn).await
}

pub async fn unsealed(conn: &mut Conn, limit: i64) -> QueryResult<Vec<UnsealedRow>> {
    audit::audit_log
        .filter(is_unsealed_change!())
        // In the order of the one index that holds unsealed rows only; within an agency that is their own order.
        .order((audit::agency_id, audit::entry))
        .limit(limit)
        .select(UnsealedRow::as_select())
        .load(conn)
        .await
}

pub async fn unsealed_entries(conn: &mut Conn, agency: AgencyId) -> QueryResult<Vec<i64>> {
    let unsealed = audit::audit_log.filter(audit::agency_id.eq(agency)).filter(is_unsealed_change!());
    unsealed.select(audit::entry).load(conn).await
}

pub async fn last_sequence(conn: &mut Conn, agency: AgencyId) -> QueryResult<i64> {
    let query = audit::audit_log
        .filter(audit::agency_id.eq(agency))
        .filter(audit::sequence.is_not_null())
        .select(max(audit::sequence));
    Ok(query.first::<Option<i64>>(conn).await?.unwrap_or(0))
}

pub async fn seal(conn: &mut Conn, entry: i64, sequence: i64) -> QueryResult<()> {
    let row = audit::audit_log.find(entry).filter(audit::sequence.is_null());
    let sealed = diesel::update(row).set(audit::sequence.eq(sequence)).execute(conn).await?;
    if sealed == 1 { Ok(()) } else { Err(diesel::result::Error::NotFound) }
}

pub async fn add_to_totals(
    conn: &mut Conn,
    agency: AgencyId,
    status: PaymentStatus,
    payments: i64,
    pence: i64,
) -> QueryResult<()> {
    let empty = (
        totals::agency_id.eq(agency),
        totals::status.eq(status),
        totals::payments.eq(0),
        totals::total_pence.eq(0),
    );
    diesel::insert_into(totals::agency_totals).values(empty).on_conflict_do_nothing().execute(conn).await?;
    let change = (
        totals::payments.eq(totals::payments + payments),
        totals::total_pence.eq(totals::total_pence + pence),
    );
    let row = totals::agency_totals.find((agency, status));
    diesel::update(row).set(change).execute(conn).await.map(drop)
}

pub async fn payment_totals(
    conn: &mut Conn,
    agency: AgencyId,
) -> QueryResult<Vec<(PaymentStatus, i64, i64)>> {
    TotalsOf(agency).load(conn).await
}

/// Totals and what is not sealed yet, in one statement, so that no change is missed or counted twice. Diesel's
/// query builder has no `union` inside `from`; a fragment with a static id is prepared once, which `sql_query` is not.
struct TotalsOf(AgencyId);

impl QueryId for TotalsOf {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for TotalsOf {
    type SqlType = (st::Text, st::BigInt, st::BigInt);
}

impl QueryFragment<Db> for TotalsOf {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql(
            "select status, cast(sum(payments) as bigint), cast(sum(pence) as bigint) from (\
             select status, payments, total_pence as pence from agency_totals where agency_id = ",
        );
        out.push_bind_param::<st::Uuid, _>(&self.0)?;
        out.push_sql(
            " union all select to_status, 1, amount_pence from audit_log \
             where sequence is null and to_status is not null and from_status is distinct from to_status \
             and agency_id = ",
        );
        out.push_bind_param::<st::Uuid, _>(&self.0)?;
        out.push_sql(
            " union all select from_status, -1, -amount_pence from audit_log \
             where sequence is null and from_status is not null and from_status is distinct from to_status \
             and agency_id = ",
        );
        out.push_bind_param::<st::Uuid, _>(&self.0)?;
        out.push_sql(") changes group by status");
        Ok(())
    }
}
