//! The ledger's rows themselves.

use diesel::{prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AgencyId, HostId, IdempotencyKey, PaymentId},
    ledger::{
        PaymentPage,
        rows::{PaymentChange, PaymentRow, SessionRow},
    },
    schema::payments_ledger::dsl,
};

/// A payment beside its newest session: the link it carries.
macro_rules! with_newest_session {
    () => {
        $crate::schema::payments_ledger::table
            .left_join(
                $crate::schema::checkout_sessions::table.on($crate::schema::checkout_sessions::payment_id
                    .eq($crate::schema::payments_ledger::id)
                    .and(
                        $crate::schema::checkout_sessions::attempt
                            .eq($crate::schema::payments_ledger::latest_attempt),
                    )),
            )
            .select((PaymentRow::as_select(), Option::<SessionRow>::as_select()))
    };
}
#[allow(unused_imports, reason = "one of the databases asks for many at once")]
pub(in super::super) use with_newest_session;

pub async fn insert_payment(conn: &mut Conn, row: &PaymentRow) -> QueryResult<bool> {
    let insert = diesel::insert_into(dsl::payments_ledger).values(row).on_conflict_do_nothing();
    Ok(insert.execute(conn).await? == 1)
}

pub async fn payment(
    conn: &mut Conn,
    agency: AgencyId,
    id: PaymentId,
) -> QueryResult<Option<(PaymentRow, Option<SessionRow>)>> {
    with_newest_session!()
        .filter(dsl::id.eq(id))
        .filter(dsl::agency_id.eq(agency))
        .first(conn)
        .await
        .optional()
}

pub async fn payment_by_id(conn: &mut Conn, id: PaymentId) -> QueryResult<Option<PaymentRow>> {
    dsl::payments_ledger.find(id).select(PaymentRow::as_select()).first(conn).await.optional()
}

pub async fn lock_payment(conn: &mut Conn, id: PaymentId) -> QueryResult<Option<PaymentRow>> {
    for_update!(dsl::payments_ledger.find(id).select(PaymentRow::as_select())).first(conn).await.optional()
}

pub async fn payment_by_key(
    conn: &mut Conn,
    agency: AgencyId,
    key: &IdempotencyKey,
) -> QueryResult<Option<PaymentRow>> {
    dsl::payments_ledger
        .filter(dsl::agency_id.eq(agency))
        .filter(dsl::idempotency_key.eq(key))
        .select(PaymentRow::as_select())
        .first(conn)
        .await
        .optional()
}

pub async fn open_payment_of_task(
    conn: &mut Conn,
    agency: AgencyId,
    task: &HostId,
) -> QueryResult<Option<PaymentId>> {
    // Literal, so that the planner sees that the partial index `payments_ledger_one_open_per_task` answers it.
    let open = diesel::dsl::sql::<Bool>("status in ('pending', 'processing')");
    dsl::payments_ledger
        .filter(dsl::agency_id.eq(agency))
        .filter(dsl::custom_payment_task_id.eq(task))
        .filter(open)
        .select(dsl::id)
        .first(conn)
        .await
        .optional()
}

pub async fn payment_page(
    conn: &mut Conn,
    page: &PaymentPage,
) -> QueryResult<Vec<(PaymentRow, Option<SessionRow>)>> {
    let mut query = with_newest_session!()
        .filter(dsl::agency_id.eq(page.agency))
        .order(dsl::id.desc())
        .limit(page.limit)
        .into_boxed::<Db>();
    if let Some(tenancy) = &page.tenancy {
        query = query.filter(dsl::tenancy_id.eq(tenancy));
    }
    if let Some(status) = page.status {
        query = query.filter(dsl::status.eq(status));
    }
    if let Some(payment_type) = page.payment_type {
        query = query.filter(dsl::payment_type.eq(payment_type));
    }
    if let Some(before) = page.before {
        query = query.filter(dsl::id.lt(before));
    }
    query.load(conn).await
}

pub async fn update_payment(conn: &mut Conn, row: &PaymentRow) -> QueryResult<()> {
    let change = PaymentChange::from(row);
    diesel::update(dsl::payments_ledger.find(row.id)).set(change).execute(conn).await.map(drop)
}
