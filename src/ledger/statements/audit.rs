//! The journal.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::{
    domain::{AgencyId, PaymentId},
    ledger::rows::AuditRow,
    schema::audit_log::dsl,
};

pub async fn insert_audit(conn: &mut Conn, row: &AuditRow) -> QueryResult<()> {
    diesel::insert_into(dsl::audit_log).values(row).execute(conn).await.map(drop)
}

pub async fn payment_trail(
    conn: &mut Conn,
    payment: PaymentId,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<AuditRow>> {
    dsl::audit_log
        .filter(dsl::payment_id.eq(payment))
        .filter(dsl::version.gt(after))
        .order(dsl::version)
        .limit(limit)
        .select(AuditRow::as_select())
        .load(conn)
        .await
}

pub async fn agency_trail(
    conn: &mut Conn,
    agency: AgencyId,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<(i64, AuditRow)>> {
    dsl::audit_log
        .filter(dsl::agency_id.eq(agency))
        .filter(dsl::entry.gt(after))
        .order(dsl::entry)
        .limit(limit)
        .select((dsl::entry, AuditRow::as_select()))
        .load(conn)
        .await
}
