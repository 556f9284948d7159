//! Writing the numbers of the audit log, and the totals, each for many rows at once. `ledger/sqlite/sequencing.rs` has the
//! same for SQLite.

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::Untyped,
};
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::{
    domain::AgencyId,
    ledger::{
        sql_types::{Array, BigInt, Uuid},
        table::{Table, Values, values},
        tables::{Numbered, TotalRow},
    },
    schema::audit_log,
};

pub async fn last_sequences(conn: &mut Conn, agencies: &[AgencyId]) -> QueryResult<Vec<(AgencyId, i64)>> {
    LastSequences(agencies).load(conn).await
}

struct LastSequences<'a>(&'a [AgencyId]);

impl QueryId for LastSequences<'_> {
    type QueryId = LastSequences<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for LastSequences<'_> {
    type SqlType = (Uuid, BigInt);
}

impl QueryFragment<Pg> for LastSequences<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "select agency, coalesce((select max(sequence) from audit_log \
             where agency_id = agency and sequence is not null), 0) from unnest(",
        );
        out.push_bind_param::<Array<Uuid>, _>(&self.0)?;
        out.push_sql(") as agency");
        Ok(())
    }
}

pub async fn write_sequences(conn: &mut Conn, rows: &[Numbered]) -> QueryResult<()> {
    // No `sequence is null` here: the planner would then start from the index of all that has no number. The trigger
    // refuses a second number in any case.
    let given = vec![
        values(audit_log::agency_id, rows.iter().map(|row| row.agency_id)),
        values(audit_log::entry, rows.iter().map(|row| row.entry)),
        values(audit_log::entry, rows.iter().map(|row| row.sequence)),
    ];
    struct WriteSequences;
    let update = Unnest::new(
        WriteSequences,
        "update audit_log as row set sequence = n.sequence from",
        given,
        "as n (agency_id, entry, sequence) where row.agency_id = n.agency_id and row.entry = n.entry",
    );
    let done = update.execute(conn).await?;
    if done == rows.len() { Ok(()) } else { Err(diesel::result::Error::NotFound) }
}

pub async fn add_to_totals(conn: &mut Conn, changes: &[TotalRow]) -> QueryResult<()> {
    let given = || {
        let changes: Vec<&TotalRow> = changes.iter().collect();
        TotalRow::COLUMNS.iter().map(|column| (column.array)(&changes)).collect()
    };
    struct AddToTotals;
    let update = Unnest::new(
        AddToTotals,
        "update agency_totals as row set payments = row.payments + n.payments, \
         total_pence = row.total_pence + n.total_pence from",
        given(),
        "as n (agency_id, status, payments, total_pence) \
         where row.agency_id = n.agency_id and row.status = n.status",
    );
    if update.execute(conn).await? < changes.len() {
        struct NewTotals;
        // Those without a row yet. Which these are is for the database to say: those it has just updated are there.
        let insert = Unnest::new(
            NewTotals,
            "insert into agency_totals (agency_id, status, payments, total_pence) select n.* from",
            given(),
            "as n (agency_id, status, payments, total_pence) where not exists (select from agency_totals as row \
             where row.agency_id = n.agency_id and row.status = n.status)",
        );
        insert.execute(conn).await?;
    }
    Ok(())
}

/// A statement with `unnest(…)` over given columns in it. `Q` names the statement, for the cache.
struct Unnest<'a, Q> {
    before: &'static str,
    given: Vec<Values<'a>>,
    after: &'static str,
    name: std::marker::PhantomData<fn() -> Q>,
}

impl<'a, Q> Unnest<'a, Q> {
    fn new(_: Q, before: &'static str, given: Vec<Values<'a>>, after: &'static str) -> Self {
        Self { before, given, after, name: std::marker::PhantomData }
    }
}

impl<Q: 'static> QueryId for Unnest<'_, Q> {
    type QueryId = Unnest<'static, Q>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Q> Query for Unnest<'_, Q> {
    type SqlType = Untyped;
}

impl<Q> QueryFragment<Pg> for Unnest<'_, Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.before);
        out.push_sql(" unnest(");
        for (number, given) in self.given.iter().enumerate() {
            out.push_sql(if number == 0 { "" } else { ", " });
            given.bind(&mut out)?;
        }
        out.push_sql(") ");
        out.push_sql(self.after);
        Ok(())
    }
}
