//! Payment intents: which payment each belongs to, and what it proves.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::{
    domain::{IntentId, PaymentId},
    ledger::rows::IntentRow,
    schema::payment_intents::dsl,
};

pub async fn intent(conn: &mut Conn, id: &IntentId) -> QueryResult<Option<IntentRow>> {
    dsl::payment_intents.find(id).select(IntentRow::as_select()).first(conn).await.optional()
}

pub async fn intents_of(conn: &mut Conn, payment: PaymentId) -> QueryResult<Vec<IntentRow>> {
    let query = dsl::payment_intents.filter(dsl::payment_id.eq(payment)).select(IntentRow::as_select());
    query.load(conn).await
}

pub async fn insert_intent(conn: &mut Conn, row: &IntentRow) -> QueryResult<()> {
    fixed!(diesel::insert_into(dsl::payment_intents).values(row)).execute(conn).await.map(drop)
}

pub async fn update_intent(conn: &mut Conn, row: &IntentRow) -> QueryResult<()> {
    let change = (
        dsl::state.eq(row.state),
        dsl::amount_pence.eq(row.amount_pence),
        dsl::currency.eq(&row.currency),
        dsl::refunded_pence.eq(row.refunded_pence),
        dsl::refund_marked.eq(row.refund_marked),
    );
    fixed!(diesel::update(dsl::payment_intents.find(&row.intent_id)).set(change))
        .execute(conn)
        .await
        .map(drop)
}
