//! Anomalies.

use diesel::{dsl::count_star, prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::{AnomalyId, AnomalyKind, AnomalyStatus, PaymentId},
    ledger::{AnomalyPage, rows::AnomalyRow},
    schema::payment_anomalies::dsl,
};

pub async fn insert_anomaly(conn: &mut Conn, row: &AnomalyRow) -> QueryResult<bool> {
    let insert = fixed!(
        diesel::insert_into(dsl::payment_anomalies)
            .values(row)
            .on_conflict((dsl::payment_id, dsl::kind, dsl::reference))
            .do_nothing()
    );
    Ok(insert.execute(conn).await? == 1)
}

pub async fn anomaly_page(conn: &mut Conn, page: &AnomalyPage) -> QueryResult<Vec<AnomalyRow>> {
    let mut query = dsl::payment_anomalies
        .select(AnomalyRow::as_select())
        .filter(dsl::agency_id.eq(page.agency))
        .order(dsl::id.desc())
        .limit(page.limit)
        .into_boxed::<Db>();
    if let Some(status) = page.status {
        query = query.filter(dsl::status.eq(status));
    }
    if let Some(payment) = page.payment {
        query = query.filter(dsl::payment_id.eq(payment));
    }
    if let Some(before) = page.before {
        query = query.filter(dsl::id.lt(before));
    }
    query.load(conn).await
}

pub async fn anomaly(conn: &mut Conn, id: AnomalyId) -> QueryResult<Option<AnomalyRow>> {
    dsl::payment_anomalies.find(id).select(AnomalyRow::as_select()).first(conn).await.optional()
}

pub async fn resolve_anomaly(conn: &mut Conn, row: &AnomalyRow) -> QueryResult<()> {
    let change = (
        dsl::status.eq(row.status),
        dsl::resolution.eq(row.resolution),
        dsl::note.eq(&row.note),
        dsl::resolved_at.eq(row.resolved_at),
        dsl::resolved_by.eq(&row.resolved_by),
    );
    fixed!(diesel::update(dsl::payment_anomalies.find(row.id)).set(change)).execute(conn).await.map(drop)
}

pub async fn has_open_anomaly(conn: &mut Conn, payment: PaymentId, kind: AnomalyKind) -> QueryResult<bool> {
    let open = dsl::payment_anomalies
        .filter(dsl::payment_id.eq(payment))
        .filter(dsl::kind.eq(kind))
        .filter(dsl::status.eq(AnomalyStatus::Open));
    diesel::select(diesel::dsl::exists(open)).get_result(conn).await
}

pub async fn open_anomalies(conn: &mut Conn) -> QueryResult<Vec<(AnomalyKind, i64)>> {
    // Literal, so that the planner sees that the partial index `payment_anomalies_open` answers it.
    let open = dsl::payment_anomalies
        .filter(diesel::dsl::sql::<Bool>("status = 'open'"))
        .group_by(dsl::kind)
        .select((dsl::kind, count_star()));
    fixed!(open).load(conn).await
}
