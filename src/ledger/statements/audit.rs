//! The journal.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AgencyId, AuditId, PaymentId},
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
    after: Option<AuditId>,
    limit: i64,
) -> QueryResult<Vec<AuditRow>> {
    let mut query = dsl::audit_log
        .filter(dsl::agency_id.eq(agency))
        .order(dsl::id)
        .limit(limit)
        .select(AuditRow::as_select())
        .into_boxed::<Db>();
    if let Some(after) = after {
        query = query.filter(dsl::id.gt(after));
    }
    query.load(conn).await
}
