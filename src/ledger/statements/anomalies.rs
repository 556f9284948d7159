//! Anomalies.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::{
    ledger::{AnomalyPage, rows::AnomalyRow},
    schema::payment_anomalies::dsl,
};

pub async fn insert_anomaly(conn: &mut Conn, row: &AnomalyRow) -> QueryResult<bool> {
    let insert = diesel::insert_into(dsl::payment_anomalies)
        .values(row)
        .on_conflict((dsl::payment_id, dsl::kind, dsl::reference))
        .do_nothing();
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
