// @generated automatically by Diesel CLI.

diesel::table! {
    use crate::ledger::sql_types::*;

    agencies (id) {
        id -> Uuid,
        name -> Text,
        max_card_payment_pence -> Nullable<Int8>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    agency_totals (agency_id, status) {
        agency_id -> Uuid,
        status -> Text,
        payments -> Int8,
        total_pence -> Int8,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    audit_log (agency_id, entry) {
        entry -> Int8,
        id -> Uuid,
        agency_id -> Uuid,
        payment_id -> Nullable<Uuid>,
        version -> Nullable<Int8>,
        action -> Text,
        from_status -> Nullable<Text>,
        to_status -> Nullable<Text>,
        amount_pence -> Nullable<Int8>,
        actor -> Text,
        at -> Timestamptz,
        request_id -> Nullable<Text>,
        changes -> Jsonb,
        sequence -> Nullable<Int8>,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    checkout_sessions (agency_id, payment_id, attempt) {
        agency_id -> Uuid,
        payment_id -> Uuid,
        attempt -> Int4,
        success_url -> Text,
        cancel_url -> Text,
        state -> Text,
        best -> Text,
        failure_reason -> Nullable<Text>,
        processing_since -> Nullable<Timestamptz>,
        session_id -> Nullable<Text>,
        url -> Nullable<Text>,
        expires_at -> Nullable<Timestamptz>,
        leased_until -> Nullable<Timestamptz>,
        tries -> Int4,
        next_read_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    custom_payment_tasks (agency_id, id) {
        agency_id -> Uuid,
        id -> Text,
        title -> Text,
        amount_pence -> Nullable<Int8>,
        tenancy_id -> Nullable<Text>,
        status -> Text,
        paid_at -> Nullable<Timestamptz>,
        paid_by_payment_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    inngest_cursors (agency_id) {
        agency_id -> Uuid,
        sequence -> Int8,
        moved_at -> Timestamptz,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    jobs (kind, key) {
        kind -> Text,
        key -> Text,
        due_at -> Timestamptz,
        leased_until -> Nullable<Timestamptz>,
        tries -> Int4,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    manual_payments (agency_id, payment_id, number) {
        agency_id -> Uuid,
        payment_id -> Uuid,
        number -> Int4,
        reference -> Nullable<Text>,
        marked_at -> Timestamptz,
        marked_by -> Text,
        refund_marked -> Bool,
        withdrawn_at -> Nullable<Timestamptz>,
        withdrawn_by -> Nullable<Text>,
        withdrawal_reason -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    payment_anomalies (agency_id, id) {
        agency_id -> Uuid,
        id -> Uuid,
        payment_id -> Uuid,
        kind -> Text,
        reference -> Text,
        detail -> Text,
        status -> Text,
        resolution -> Nullable<Text>,
        note -> Nullable<Text>,
        created_at -> Timestamptz,
        resolved_at -> Nullable<Timestamptz>,
        resolved_by -> Nullable<Text>,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    payment_intents (intent_id) {
        intent_id -> Text,
        agency_id -> Uuid,
        payment_id -> Uuid,
        attempt -> Nullable<Int4>,
        state -> Text,
        amount_pence -> Nullable<Int8>,
        currency -> Nullable<Text>,
        refunded_pence -> Int8,
        refund_marked -> Bool,
        recorded_at -> Timestamptz,
        succeeded_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    payments_ledger (agency_id, id) {
        agency_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        status -> Text,
        payment_type -> Text,
        method -> Text,
        method_forced -> Bool,
        limit_applied_pence -> Nullable<Int8>,
        amount_pence -> Int8,
        currency -> Text,
        description -> Text,
        tenancy_id -> Nullable<Text>,
        todo_id -> Nullable<Text>,
        custom_payment_task_id -> Nullable<Text>,
        idempotency_key -> Nullable<Text>,
        params_sha256 -> Nullable<Bytea>,
        latest_attempt -> Int4,
        manual_payments -> Int4,
        cancelled_at -> Nullable<Timestamptz>,
        cancelled_by -> Nullable<Text>,
        refund_marked_at -> Nullable<Timestamptz>,
        refund_marked_by -> Nullable<Text>,
        refund_reference -> Nullable<Text>,
        refund_reason -> Nullable<Text>,
        manually_paid -> Bool,
        manual_payment_reference -> Nullable<Text>,
        payment_intent_id -> Nullable<Text>,
        paid_at -> Nullable<Timestamptz>,
        failure_reason -> Nullable<Text>,
        refunded_pence -> Int8,
        refunded_at -> Nullable<Timestamptz>,
        open_anomalies -> Int4,
        created_by -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    processed_events (event_id) {
        event_id -> Text,
        event_type -> Text,
        event_created_at -> Nullable<Timestamptz>,
        object_id -> Nullable<Text>,
        intent_id -> Nullable<Text>,
        session_id -> Nullable<Text>,
        amount_pence -> Nullable<Int8>,
        currency -> Nullable<Text>,
        payment_status -> Nullable<Text>,
        refunded_pence -> Nullable<Int8>,
        verdict -> Text,
        reason -> Nullable<Text>,
        agency_id -> Nullable<Uuid>,
        payment_id -> Nullable<Uuid>,
        tries -> Int4,
        failures -> Int4,
        due_at -> Nullable<Timestamptz>,
        leased_until -> Nullable<Timestamptz>,
        reused_at -> Nullable<Timestamptz>,
        body -> Nullable<Bytea>,
        received_at -> Timestamptz,
        concluded_at -> Nullable<Timestamptz>,
        unsent -> Bool,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    todos (agency_id, id) {
        agency_id -> Uuid,
        id -> Text,
        title -> Text,
        tenancy_id -> Nullable<Text>,
        status -> Text,
        completed_at -> Nullable<Timestamptz>,
        completed_by -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    use crate::ledger::sql_types::*;

    tokens (id) {
        id -> Uuid,
        agency_id -> Uuid,
        role -> Text,
        actor -> Text,
        sha256 -> Bytea,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
    }
}

diesel::joinable!(agency_totals -> agencies (agency_id));
diesel::joinable!(audit_log -> agencies (agency_id));
diesel::joinable!(custom_payment_tasks -> agencies (agency_id));
diesel::joinable!(inngest_cursors -> agencies (agency_id));
diesel::joinable!(payments_ledger -> agencies (agency_id));
diesel::joinable!(todos -> agencies (agency_id));
diesel::joinable!(tokens -> agencies (agency_id));

diesel::allow_tables_to_appear_in_same_query!(
    agencies,
    agency_totals,
    audit_log,
    checkout_sessions,
    custom_payment_tasks,
    inngest_cursors,
    jobs,
    manual_payments,
    payment_anomalies,
    payment_intents,
    payments_ledger,
    processed_events,
    todos,
    tokens,
);
