//! The statements that write. Those that are posted are not made here: they become parts of one statement (`posts`).

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::QueryFragment,
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

/// A statement that writes, with a text that does not depend on its values.
pub trait Posted: QueryFragment<Pg> + Send {}

impl<S: QueryFragment<Pg> + Send> Posted for S {}

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

pub fn update_payment(asked: &[PaymentRow]) -> impl Posted {
    update_rows!(UpdatePayments: asked, payments_ledger by [id] set [
        version, status, latest_attempt, cancelled_at, cancelled_by, manually_paid_at, manually_paid_by,
        manual_payment_reference, manual_refund_marked, refund_marked_at, refund_marked_by, refund_reference,
        refund_reason, payment_intent_id, paid_at, failure_reason, refunded_pence, refunded_at, open_anomalies,
        updated_at,
    ])
}

pub fn insert_session(asked: &[SessionRow]) -> impl Posted {
    insert_rows!(InsertSessions returns Untyped: asked, checkout_sessions from SessionRow {
        payment_id, attempt, provider_key, state, best, failure_reason, processing_since, session_id, url,
        expires_at, leased_until, tries, next_read_at, created_at,
    } "")
}

pub fn update_session(asked: &[SessionRow]) -> impl Posted {
    update_rows!(UpdateSessions: asked, checkout_sessions by [payment_id, attempt] set [
        state, session_id, url, expires_at, leased_until, next_read_at,
    ])
}

pub fn insert_intent(asked: &[IntentRow]) -> impl Posted {
    insert_rows!(InsertIntents returns Untyped: asked, payment_intents from IntentRow {
        intent_id, payment_id, attempt, state, amount_pence, currency, refunded_pence, refund_marked, recorded_at,
    } "")
}

pub fn update_intent(asked: &[IntentRow]) -> impl Posted {
    update_rows!(UpdateIntents: asked, payment_intents by [intent_id] set [
        state, amount_pence, currency, refunded_pence, refund_marked,
    ])
}

pub fn insert_audit(asked: &[AuditRow]) -> impl Posted {
    insert_rows!(InsertAudits returns Untyped: asked, audit_log from AuditRow {
        id, agency_id, payment_id, version, action, from_status, to_status, amount_pence, actor, at, request_id,
        changes, sequence,
    } "")
}

pub fn complete_todo(asked: &[(AgencyId, HostId, String, Timestamp)]) -> impl Posted {
    let values = vec![
        given(todos::agency_id, asked.iter().map(|one| one.0)),
        given(todos::id, asked.iter().map(|one| &one.1)),
        given(todos::completed_by, asked.iter().map(|one| Some(&one.2))),
        given(todos::completed_at, asked.iter().map(|one| Some(one.3))),
    ];
    struct CompleteTodos;
    Bulk::<_, Untyped>::new(
        CompleteTodos,
        "update todos as row set status = 'complete', completed_by = n.completed_by, \
         completed_at = n.completed_at from",
        values,
        "as n (agency_id, id, completed_by, completed_at) \
         where row.agency_id = n.agency_id and row.id = n.id and row.status = 'open'",
    )
}

pub fn pay_task(asked: &[(AgencyId, HostId, PaymentId, Timestamp)]) -> impl Posted {
    let values = vec![
        given(custom_payment_tasks::agency_id, asked.iter().map(|one| one.0)),
        given(custom_payment_tasks::id, asked.iter().map(|one| &one.1)),
        given(custom_payment_tasks::paid_by_payment_id, asked.iter().map(|one| Some(one.2))),
        given(custom_payment_tasks::paid_at, asked.iter().map(|one| Some(one.3))),
    ];
    struct PayTasks;
    Bulk::<_, Untyped>::new(
        PayTasks,
        "update custom_payment_tasks as row set status = 'paid', paid_by_payment_id = n.paid_by_payment_id, \
         paid_at = n.paid_at from",
        values,
        "as n (agency_id, id, paid_by_payment_id, paid_at) \
         where row.agency_id = n.agency_id and row.id = n.id and row.status = 'pending'",
    )
}

pub fn wake_events_of_intent(asked: &[(IntentId, Timestamp)]) -> impl Posted {
    use processed_events::dsl;
    let ids: Vec<&IntentId> = asked.iter().map(|(id, _)| id).collect();
    let waiting = dsl::processed_events.filter(dsl::due_at.is_not_null()).filter(dsl::intent_id.eq_any(ids));
    fixed!(diesel::update(waiting).set(dsl::due_at.eq(asked.iter().map(|(_, now)| *now).max())))
}

pub fn wake_events_of_session(asked: &[(SessionId, Timestamp)]) -> impl Posted {
    use processed_events::dsl;
    let ids: Vec<&SessionId> = asked.iter().map(|(id, _)| id).collect();
    let waiting = dsl::processed_events.filter(dsl::due_at.is_not_null()).filter(dsl::session_id.eq_any(ids));
    fixed!(diesel::update(waiting).set(dsl::due_at.eq(asked.iter().map(|(_, now)| *now).max())))
}

/// The rows of events, with what comes after them.
macro_rules! insert_events {
    ($name:ident returns $returns:ty: $asked:ident $after:literal) => {
        insert_rows!($name returns $returns: $asked, processed_events from EventRow {
            event_id, event_type, event_created_at, object_id, intent_id, session_id, amount_pence, currency,
            payment_status, refunded_pence, verdict, reason, payment_id, tries, failures, due_at, leased_until,
            reused_at, body, received_at, concluded_at, unsent,
        } $after)
    };
}

pub async fn insert_event_unless_known(conn: &mut &Conn, asked: &[EventRow]) -> QueryResult<Vec<bool>> {
    let insert =
        insert_events!(InsertUnknownEvents returns Text: asked "on conflict do nothing returning event_id");
    Ok(done_each(asked.iter().map(|row| row.event_id.clone()), insert.load(conn).await?))
}

pub fn insert_event(asked: &[EventRow]) -> impl Posted {
    insert_events!(InsertEvents returns Untyped: asked "")
}
