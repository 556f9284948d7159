//! The journal.

use diesel::{prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AgencyId, PaymentId},
    ledger::{
        ChangesAfter,
        rows::{AuditRow, ChangeRow, PaymentRow, SessionRow},
    },
    schema::{audit_log, audit_log::dsl, checkout_sessions, payments_ledger},
};

/// A change beside its payment as it now stands and the link that carries.
macro_rules! with_payment {
    () => {
        audit_log::table
            .inner_join(payments_ledger::table.on(dsl::payment_id.eq(payments_ledger::id.nullable())))
            .left_join(
                checkout_sessions::table.on(checkout_sessions::payment_id
                    .eq(payments_ledger::id)
                    .and(checkout_sessions::attempt.eq(payments_ledger::latest_attempt))),
            )
            .select((ChangeRow::as_select(), PaymentRow::as_select(), Option::<SessionRow>::as_select()))
    };
}

pub async fn insert_audit(conn: &mut Conn, row: &AuditRow) -> QueryResult<()> {
    fixed!(diesel::insert_into(dsl::audit_log).values(row)).execute(conn).await.map(drop)
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

pub async fn changes_after(
    conn: &mut Conn,
    after: &ChangesAfter,
) -> QueryResult<Vec<(ChangeRow, PaymentRow, Option<SessionRow>)>> {
    let mut query =
        with_payment!().filter(dsl::sequence.gt(after.sequence)).limit(after.limit).into_boxed::<Db>();
    // A payment has few rows and an agency many, so each is read through an index of its own. The orders agree.
    query = match after.payment {
        Some(payment) => query.filter(dsl::payment_id.eq(payment)).order(dsl::version),
        None => query.filter(dsl::agency_id.eq(after.agency)).order(dsl::sequence),
    };
    query.load(conn).await
}

pub async fn latest_change(
    conn: &mut Conn,
    payment: PaymentId,
) -> QueryResult<Option<(ChangeRow, PaymentRow, Option<SessionRow>)>> {
    let latest = with_payment!()
        .filter(dsl::payment_id.eq(payment))
        .filter(diesel::dsl::sql::<Bool>("from_status is distinct from to_status"))
        .order(dsl::version.desc())
        .limit(1);
    fixed!(latest).get_result(conn).await.optional()
}
