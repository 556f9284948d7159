//! Anomalies.

use diesel::{dsl::count_star, prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    domain::AnomalyKind,
    ledger::{AnomalyPage, tables::AnomalyRow},
    schema::payment_anomalies::dsl,
};

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

pub async fn open_anomalies(conn: &mut Conn) -> QueryResult<Vec<(AnomalyKind, i64)>> {
    // Literal, so that the planner sees that the partial index `payment_anomalies_open` answers it.
    let open = dsl::payment_anomalies
        .filter(diesel::dsl::sql::<Bool>("status = 'open'"))
        .group_by(dsl::kind)
        .select((dsl::kind, count_star()));
    fixed!(open).load(conn).await
}
