//! The statements that write.

use diesel::{
    prelude::*,
    sql_types::{Text, Untyped},
};
use diesel_async::RunQueryDsl;

use super::{
    super::bulk::{Bulk, given, insert_rows, update_rows},
    *,
};
use crate::{
    ledger::sql_types::Uuid,
    schema::{custom_payment_tasks, processed_events, todos},
};

pub async fn insert_event(conn: &mut &Conn, asked: &[EventRow]) -> QueryResult<Vec<bool>> {
    let insert = insert_rows!(InsertEvents returns Text: asked, processed_events from EventRow {
        event_id, event_type, event_created_at, object_id, intent_id, session_id, amount_pence, currency,
        payment_status, refunded_pence, verdict, reason, payment_id, tries, failures, due_at, leased_until,
        reused_at, body, received_at, concluded_at, unsent,
    } "on conflict do nothing returning event_id");
    Ok(done_each(asked.iter().map(|row| row.event_id.clone()), insert.load(conn).await?))
}

pub async fn put_intent(conn: &mut &Conn, asked: &[IntentRow]) -> QueryResult<Vec<bool>> {
    let insert = insert_rows!(InsertIntents returns Text: asked, payment_intents from IntentRow {
        intent_id, payment_id, attempt, state, amount_pence, currency, refunded_pence, refund_marked, recorded_at,
    } "on conflict do nothing returning intent_id");
    let mut put = done_each(asked.iter().map(|row| row.intent_id.clone()), insert.load(conn).await?);
    let known: Vec<&IntentRow> =
        asked.iter().zip(&put).filter(|(_, put)| !**put).map(|(row, _)| row).collect();
    if known.is_empty() {
        return Ok(put);
    }
    // An intent never moves to another payment.
    let update = update_rows!(UpdateIntents returns (Text, Uuid): known, payment_intents by [intent_id, payment_id] set [
        state, amount_pence, currency, refunded_pence, refund_marked,
    ] "returning row.intent_id, row.payment_id");
    let updated =
        done_each(known.iter().map(|row| (row.intent_id.clone(), row.payment_id)), update.load(conn).await?);
    for (put, updated) in put.iter_mut().filter(|put| !**put).zip(updated) {
        *put = updated;
    }
    Ok(put)
}

pub async fn insert_payment(conn: &mut &Conn, asked: &[PaymentRow]) -> QueryResult<Vec<bool>> {
    let insert = insert_rows!(InsertPayments returns Uuid: asked, payments_ledger from PaymentRow {
        id, agency_id, version, status, payment_type, method, method_forced, limit_applied_pence, amount_pence,
        currency, description, tenancy_id, todo_id, custom_payment_task_id, idempotency_key, params_sha256,
        latest_attempt, cancelled_at, cancelled_by, manually_paid_at, manually_paid_by, manual_payment_reference,
        manual_refund_marked, refund_marked_at, refund_marked_by, refund_reference, refund_reason,
        payment_intent_id, paid_at, failure_reason, refunded_pence, refunded_at, open_anomalies, created_by,
        created_at, updated_at,
    } "on conflict do nothing returning id");
    Ok(done_each(asked.iter().map(|row| row.id), insert.load(conn).await?))
}

pub async fn update_payment(conn: &mut &Conn, asked: &[PaymentRow]) -> QueryResult<Vec<()>> {
    let update = update_rows!(UpdatePayments returns Untyped: asked, payments_ledger by [id] set [
        version, status, latest_attempt, cancelled_at, cancelled_by, manually_paid_at, manually_paid_by,
        manual_payment_reference, manual_refund_marked, refund_marked_at, refund_marked_by, refund_reference,
        refund_reason, payment_intent_id, paid_at, failure_reason, refunded_pence, refunded_at, open_anomalies,
        updated_at,
    ] "");
    all(asked, update.execute(conn).await)
}

pub async fn insert_session(conn: &mut &Conn, asked: &[SessionRow]) -> QueryResult<Vec<()>> {
    let insert = insert_rows!(InsertSessions returns Untyped: asked, checkout_sessions from SessionRow {
        payment_id, attempt, provider_key, state, best, failure_reason, processing_since, session_id, url,
        expires_at, leased_until, tries, next_read_at, created_at,
    } "");
    all(asked, insert.execute(conn).await)
}

pub async fn update_session(conn: &mut &Conn, asked: &[SessionRow]) -> QueryResult<Vec<()>> {
    let update = update_rows!(UpdateSessions returns Untyped: asked, checkout_sessions by [payment_id, attempt] set [
        state, session_id, url, expires_at, leased_until, next_read_at,
    ] "");
    all(asked, update.execute(conn).await)
}

pub async fn insert_audit(conn: &mut &Conn, asked: &[AuditRow]) -> QueryResult<Vec<()>> {
    let insert = insert_rows!(InsertAudits returns Untyped: asked, audit_log from AuditRow {
        id, agency_id, payment_id, version, action, from_status, to_status, amount_pence, actor, at, request_id,
        changes, sequence,
    } "");
    all(asked, insert.execute(conn).await)
}

pub async fn complete_todo(
    conn: &mut &Conn,
    asked: &[(AgencyId, HostId, String, Timestamp)],
) -> QueryResult<Vec<bool>> {
    let firsts = firsts(asked, |one| (one.0, one.1.clone()));
    let values = vec![
        given(todos::agency_id, firsts.iter().map(|one| one.0)),
        given(todos::id, firsts.iter().map(|one| &one.1)),
        given(todos::completed_by, firsts.iter().map(|one| Some(&one.2))),
        given(todos::completed_at, firsts.iter().map(|one| Some(one.3))),
    ];
    struct CompleteTodos;
    let update = Bulk::<_, (Uuid, Text)>::new(
        CompleteTodos,
        "update todos as row set status = 'complete', completed_by = n.completed_by, \
         completed_at = n.completed_at from",
        values,
        "as n (agency_id, id, completed_by, completed_at) \
         where row.agency_id = n.agency_id and row.id = n.id and row.status = 'open' \
         returning row.agency_id, row.id",
    );
    let done: Vec<(AgencyId, HostId)> = update.load(conn).await?;
    Ok(done_each(asked.iter().map(|one| (one.0, one.1.clone())), done))
}

pub async fn pay_task(
    conn: &mut &Conn,
    asked: &[(AgencyId, HostId, PaymentId, Timestamp)],
) -> QueryResult<Vec<bool>> {
    let values = vec![
        given(custom_payment_tasks::agency_id, asked.iter().map(|one| one.0)),
        given(custom_payment_tasks::id, asked.iter().map(|one| &one.1)),
        given(custom_payment_tasks::paid_by_payment_id, asked.iter().map(|one| Some(one.2))),
        given(custom_payment_tasks::paid_at, asked.iter().map(|one| Some(one.3))),
    ];
    struct PayTasks;
    let update = Bulk::<_, (Uuid, Text)>::new(
        PayTasks,
        "update custom_payment_tasks as row set status = 'paid', paid_by_payment_id = n.paid_by_payment_id, \
         paid_at = n.paid_at from",
        values,
        "as n (agency_id, id, paid_by_payment_id, paid_at) \
         where row.agency_id = n.agency_id and row.id = n.id and row.status = 'pending' \
         returning row.agency_id, row.id",
    );
    let done: Vec<(AgencyId, HostId)> = update.load(conn).await?;
    Ok(done_each(asked.iter().map(|one| (one.0, one.1.clone())), done))
}

pub async fn wake_events_of_intent(
    conn: &mut &Conn,
    asked: &[(IntentId, Timestamp)],
) -> QueryResult<Vec<()>> {
    use processed_events::dsl;
    let ids: Vec<&IntentId> = asked.iter().map(|(id, _)| id).collect();
    let waiting = dsl::processed_events.filter(dsl::due_at.is_not_null()).filter(dsl::intent_id.eq_any(ids));
    let now = asked.iter().map(|(_, now)| *now).max();
    all(asked, fixed!(diesel::update(waiting).set(dsl::due_at.eq(now))).execute(conn).await)
}

pub async fn wake_events_of_session(
    conn: &mut &Conn,
    asked: &[(SessionId, Timestamp)],
) -> QueryResult<Vec<()>> {
    use processed_events::dsl;
    let ids: Vec<&SessionId> = asked.iter().map(|(id, _)| id).collect();
    let waiting = dsl::processed_events.filter(dsl::due_at.is_not_null()).filter(dsl::session_id.eq_any(ids));
    let now = asked.iter().map(|(_, now)| *now).max();
    all(asked, fixed!(diesel::update(waiting).set(dsl::due_at.eq(now))).execute(conn).await)
}

/// The answers to statements that say nothing when they succeed.
fn all<A>(asked: &[A], done: QueryResult<usize>) -> QueryResult<Vec<()>> {
    done.map(|_| vec![(); asked.len()])
}
