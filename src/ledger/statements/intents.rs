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

pub async fn put_intent(conn: &mut Conn, row: &IntentRow) -> QueryResult<bool> {
    let insert = fixed!(diesel::insert_into(dsl::payment_intents).values(row).on_conflict_do_nothing());
    if insert.execute(conn).await? == 1 {
        return Ok(true);
    }
    // An intent never moves to another payment.
    let known = dsl::payment_intents.find(&row.intent_id).filter(dsl::payment_id.eq(row.payment_id));
    let change = (
        dsl::state.eq(row.state),
        dsl::amount_pence.eq(row.amount_pence),
        dsl::currency.eq(&row.currency),
        dsl::refunded_pence.eq(row.refunded_pence),
        dsl::refund_marked.eq(row.refund_marked),
    );
    Ok(fixed!(diesel::update(known).set(change)).execute(conn).await? == 1)
}
