//! Writing the numbers of the audit log, and the totals. In process a statement costs no round trip, so a batch is one after another;
//! `ledger/postgres/sequencing.rs` has the same for PostgreSQL.

use diesel::{dsl::max, prelude::*};
use diesel_async::RunQueryDsl;

use super::{Conn, forms::Insert};
use crate::{
    domain::AgencyId,
    ledger::tables::{Numbered, TotalRow},
    schema::{agency_totals::dsl as totals, audit_log::dsl as audit},
};

pub async fn last_sequences(conn: &mut Conn, agencies: &[AgencyId]) -> QueryResult<Vec<(AgencyId, i64)>> {
    let mut last = Vec::with_capacity(agencies.len());
    for agency in agencies {
        let query = audit::audit_log
            .filter(audit::agency_id.eq(agency))
            .filter(audit::sequence.is_not_null())
            .select(max(audit::sequence));
        last.push((*agency, query.first::<Option<i64>>(conn).await?.unwrap_or(0)));
    }
    Ok(last)
}

pub async fn write_sequences(conn: &mut Conn, rows: &[Numbered]) -> QueryResult<()> {
    for Numbered { agency_id, entry, sequence } in rows {
        let row = audit::audit_log.find((agency_id, entry)).filter(audit::sequence.is_null());
        if fixed!(diesel::update(row).set(audit::sequence.eq(sequence))).execute(conn).await? != 1 {
            return Err(diesel::result::Error::NotFound);
        }
    }
    Ok(())
}

pub async fn add_to_totals(conn: &mut Conn, changes: &[TotalRow]) -> QueryResult<()> {
    for change in changes {
        let row = totals::agency_totals.find((change.agency_id, change.status));
        let sum = (
            totals::payments.eq(totals::payments + change.payments),
            totals::total_pence.eq(totals::total_pence + change.total_pence),
        );
        if fixed!(diesel::update(row).set(sum)).execute(conn).await? == 0 {
            Insert::<(), TotalRow>::new(change).execute(conn).await?;
        }
    }
    Ok(())
}
