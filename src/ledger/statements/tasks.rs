//! Custom payment tasks.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AgencyId, HostId, PaymentId, TaskStatus, Timestamp},
    ledger::{HostPage, rows::TaskRow},
    schema::custom_payment_tasks::dsl,
};

pub async fn insert_task(conn: &mut Conn, row: &TaskRow) -> QueryResult<bool> {
    let insert = fixed!(diesel::insert_into(dsl::custom_payment_tasks).values(row).on_conflict_do_nothing());
    Ok(insert.execute(conn).await? == 1)
}

pub async fn task(conn: &mut Conn, agency: AgencyId, id: &HostId) -> QueryResult<Option<TaskRow>> {
    dsl::custom_payment_tasks.find((agency, id)).select(TaskRow::as_select()).first(conn).await.optional()
}

pub async fn lock_task(conn: &mut Conn, agency: AgencyId, id: &HostId) -> QueryResult<Option<TaskRow>> {
    for_update!(dsl::custom_payment_tasks.find((agency, id)).select(TaskRow::as_select()))
        .first(conn)
        .await
        .optional()
}

pub async fn task_page(conn: &mut Conn, page: &HostPage<TaskStatus>) -> QueryResult<Vec<TaskRow>> {
    let mut query = dsl::custom_payment_tasks
        .select(TaskRow::as_select())
        .filter(dsl::agency_id.eq(page.agency))
        .order((dsl::created_at.desc(), dsl::id.desc()))
        .limit(page.limit)
        .into_boxed::<Db>();
    if let Some(status) = page.status {
        query = query.filter(dsl::status.eq(status));
    }
    if let Some(tenancy) = &page.tenancy {
        query = query.filter(dsl::tenancy_id.eq(tenancy));
    }
    if let Some((at, id)) = &page.before {
        // The first condition is implied by the second; it is what lets the index be entered at the right place.
        query = query.filter(dsl::created_at.le(at)).filter(dsl::created_at.lt(at).or(dsl::id.lt(id)));
    }
    query.load(conn).await
}

pub async fn pay_task(
    conn: &mut Conn,
    agency: AgencyId,
    id: &HostId,
    payment: PaymentId,
    at: Timestamp,
) -> QueryResult<()> {
    let pending = dsl::custom_payment_tasks.find((agency, id)).filter(dsl::status.eq(TaskStatus::Pending));
    let change = (dsl::status.eq(TaskStatus::Paid), dsl::paid_at.eq(at), dsl::paid_by_payment_id.eq(payment));
    fixed!(diesel::update(pending).set(change)).execute(conn).await.map(drop)
}
