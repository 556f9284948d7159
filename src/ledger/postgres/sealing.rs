//! The sealer's statements, each for a whole batch. `ledger/sqlite/sealing.rs` has the same for SQLite.

use diesel::{QueryResult, sql_types::Untyped};
use diesel_async::RunQueryDsl;

use super::{
    Conn,
    bulk::{Bulk, columns, given, update_rows},
};
use crate::{
    domain::AgencyId,
    ledger::{
        rows::{Sealed, TotalChange},
        sql_types::{BigInt, Uuid},
    },
    schema::agency_totals,
};

pub async fn last_sequences(conn: &mut Conn, agencies: &[AgencyId]) -> QueryResult<Vec<(AgencyId, i64)>> {
    struct LastSequences;
    Bulk::<_, (Uuid, BigInt)>::new(
        LastSequences,
        "select agency, coalesce((select max(sequence) from audit_log \
         where agency_id = agency and sequence is not null), 0) from",
        vec![given(agency_totals::agency_id, agencies.iter())],
        "as agency",
    )
    .load(conn)
    .await
}

pub async fn seal(conn: &mut Conn, sealed: &[Sealed]) -> QueryResult<()> {
    // No `sequence is null` here: the planner would then start from the index of all that is unsealed. The trigger
    // refuses a second number in any case.
    let update = update_rows!(WriteSequences: sealed, audit_log by [entry] set [sequence]);
    let done = update.execute(conn).await?;
    if done == sealed.len() { Ok(()) } else { Err(diesel::result::Error::NotFound) }
}

pub async fn add_to_totals(conn: &mut Conn, changes: &[TotalChange]) -> QueryResult<()> {
    struct AddToTotals;
    let given = columns!(changes, agency_totals: agency_id, status, payments, total_pence);
    let update = Bulk::<_, Untyped>::new(
        AddToTotals,
        "update agency_totals as row set payments = row.payments + n.payments, \
         total_pence = row.total_pence + n.total_pence from",
        given,
        "as n (agency_id, status, payments, total_pence) \
         where row.agency_id = n.agency_id and row.status = n.status",
    );
    if update.execute(conn).await? < changes.len() {
        struct NewTotals;
        // Those without a row yet. Which these are is for the database to say: those it has just updated are there.
        let given = columns!(changes, agency_totals: agency_id, status, payments, total_pence);
        let insert = Bulk::<_, Untyped>::new(
            NewTotals,
            "insert into agency_totals (agency_id, status, payments, total_pence) select n.* from",
            given,
            "as n (agency_id, status, payments, total_pence) where not exists (select from agency_totals as row \
             where row.agency_id = n.agency_id and row.status = n.status)",
        );
        insert.execute(conn).await?;
    }
    Ok(())
}
