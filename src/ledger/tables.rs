//! The tables, each as one list of its columns. What callers see are other types (`crate::payment::Payment` and its
//! siblings); their conversions destructure these, so that a new column is a compile error until somebody decides.
//! What each column is for stands in the migration.

use diesel::prelude::*;

use super::{
    sql_types::{self as st, Json, Sha256},
    table::{Selected, table},
};
use crate::{
    domain::{
        AgencyId, AnomalyId, AnomalyKind, AnomalyStatus, AttemptBest, AuditAction, AuditId, EventId,
        FreeText, HostId, IdempotencyKey, IntentId, IntentState, Label, OneLine, PaymentId, PaymentMethod,
        PaymentStatus, PaymentType, Pence, Resolution, Role, SessionId, SessionState, TaskStatus, Timestamp,
        TodoStatus, TokenId, Verdict,
    },
    schema::{
        agencies, agency_totals, audit_log, checkout_sessions, custom_payment_tasks, manual_payments,
        payment_anomalies, payment_intents, payments_ledger, processed_events, todos, tokens,
    },
};

table! {
    /// An agency.
    agencies: AgencyRow {
        key {
            id: AgencyId,
        }
        set once {
            name: Label<200>,
            created_at: Timestamp,
        }
        changing {
            max_card_payment_pence: Option<Pence>,
        }
    }
}

table! {
    /// A token.
    tokens: TokenRow {
        key {
            id: TokenId,
        }
        set once {
            agency_id: AgencyId,
            role: Role,
            actor: Label<200>,
            sha256: Sha256,
            created_at: Timestamp,
            expires_at: Option<Timestamp>,
        }
        changing {
            revoked_at: Option<Timestamp>,
        }
    }
}

table! {
    /// A todo.
    todos: TodoRow {
        key {
            agency_id: AgencyId,
            id: HostId,
        }
        set once {
            title: OneLine<200>,
            tenancy_id: Option<HostId>,
            created_at: Timestamp,
        }
        changing {
            status: TodoStatus,
            completed_at: Option<Timestamp>,
            completed_by: Option<String>,
        }
    }
}

table! {
    /// A custom payment task.
    custom_payment_tasks: TaskRow {
        key {
            agency_id: AgencyId,
            id: HostId,
        }
        set once {
            title: OneLine<200>,
            amount_pence: Option<Pence>,
            tenancy_id: Option<HostId>,
            created_at: Timestamp,
        }
        changing {
            status: TaskStatus,
            paid_at: Option<Timestamp>,
            paid_by_payment_id: Option<PaymentId>,
        }
    }
}

/// A column of the newest session of a payment that may be paid: one that is pending or failed, and whose custom payment
/// task is neither paid nor taken by another payment.
macro_rules! link {
    ($column:literal) => {
        concat!(
            "case when row.status in ('pending', 'failed') then (select ",
            $column,
            " from checkout_sessions as s where s.agency_id = row.agency_id and s.payment_id = row.id \
             and s.attempt = row.latest_attempt and s.state = 'open' and (row.custom_payment_task_id is null or (\
             exists (select 1 from custom_payment_tasks as t where t.agency_id = row.agency_id \
             and t.id = row.custom_payment_task_id and t.status = 'pending') \
             and (row.status = 'pending' or not exists (select 1 from payments_ledger as o \
             where o.agency_id = row.agency_id and o.custom_payment_task_id = row.custom_payment_task_id \
             and o.status in ('pending', 'processing')))))) end"
        )
    };
}

table! {
    /// A payment.
    payments_ledger: PaymentRow {
        key {
            agency_id: AgencyId,
            id: PaymentId,
        }
        set once {
            limit_applied_pence: Option<Pence>,
            idempotency_key: Option<IdempotencyKey>,
            params_sha256: Option<Sha256>,
        }
        changing {
            version: i64,
            latest_attempt: i32,
            manual_payments: i32,
            cancelled_at: Option<Timestamp>,
            cancelled_by: Option<String>,
            refund_marked_at: Option<Timestamp>,
            refund_marked_by: Option<String>,
            refund_reference: Option<Label<200>>,
            refund_reason: Option<FreeText<500>>,
        }
        shown, set once {
            payment_type: PaymentType,
            method: PaymentMethod,
            method_forced: bool,
            amount_pence: Pence,
            currency: String,
            description: OneLine<500>,
            tenancy_id: Option<HostId>,
            todo_id: Option<HostId>,
            custom_payment_task_id: Option<HostId>,
            created_by: String,
            created_at: Timestamp,
        }
        shown, changing {
            status: PaymentStatus,
            manually_paid: bool,
            manual_payment_reference: Option<Label<200>>,
            payment_intent_id: Option<IntentId>,
            paid_at: Option<Timestamp>,
            failure_reason: Option<String>,
            refunded_pence: Pence,
            refunded_at: Option<Timestamp>,
            open_anomalies: i32,
            updated_at: Timestamp,
        }
    }
    /// A payment as callers see it: what is shown of its row, and the link of its newest session while it may be paid. Few
    /// payments have a link, and only for those is it looked up.
    view ShownPayment also {
        /// Of an open session; it may have expired.
        link_url: Option<String> = [link!("url")] as st::Nullable<st::Text>,
        /// When that link ends.
        link_expires_at: Option<Timestamp> = [link!("expires_at")] as st::Nullable<st::Timestamptz>,
    }
}

table! {
    /// A payment that a person confirmed by hand.
    manual_payments: ManualPaymentRow {
        key {
            agency_id: AgencyId,
            payment_id: PaymentId,
            number: i32,
        }
        set once {
            reference: Option<Label<200>>,
            marked_at: Timestamp,
            marked_by: String,
        }
        changing {
            refund_marked: bool,
            withdrawn_at: Option<Timestamp>,
            withdrawn_by: Option<String>,
            withdrawal_reason: Option<FreeText<500>>,
        }
    }
}

table! {
    /// A checkout session.
    checkout_sessions: SessionRow {
        key {
            agency_id: AgencyId,
            payment_id: PaymentId,
            attempt: i32,
        }
        set once {
            success_url: String,
            cancel_url: String,
            created_at: Timestamp,
        }
        changing {
            state: SessionState,
            best: AttemptBest,
            failure_reason: Option<String>,
            processing_since: Option<Timestamp>,
            session_id: Option<SessionId>,
            url: Option<String>,
            expires_at: Option<Timestamp>,
            leased_until: Option<Timestamp>,
            tries: i32,
            next_read_at: Option<Timestamp>,
        }
    }
}

table! {
    /// A payment intent.
    payment_intents: IntentRow {
        key {
            intent_id: IntentId,
        }
        set once {
            agency_id: AgencyId,
            payment_id: PaymentId,
            attempt: Option<i32>,
            recorded_at: Timestamp,
        }
        changing {
            succeeded_at: Option<Timestamp>,
            state: IntentState,
            amount_pence: Option<Pence>,
            currency: Option<String>,
            refunded_pence: Pence,
            refund_marked: bool,
        }
    }
}

table! {
    /// An event in the inbox.
    processed_events: EventRow {
        key {
            event_id: EventId,
        }
        set once {
            event_type: String,
            event_created_at: Option<Timestamp>,
            object_id: Option<String>,
            intent_id: Option<IntentId>,
            session_id: Option<SessionId>,
            amount_pence: Option<i64>,
            currency: Option<String>,
            payment_status: Option<String>,
            refunded_pence: Option<i64>,
            received_at: Timestamp,
            unsent: bool,
        }
        changing {
            verdict: Verdict,
            reason: Option<String>,
            agency_id: Option<AgencyId>,
            payment_id: Option<PaymentId>,
            tries: i32,
            failures: i32,
            due_at: Option<Timestamp>,
            leased_until: Option<Timestamp>,
            reused_at: Option<Timestamp>,
            body: Option<Vec<u8>>,
            concluded_at: Option<Timestamp>,
        }
    }
}

table! {
    /// An anomaly.
    payment_anomalies: AnomalyRow {
        key {
            agency_id: AgencyId,
            id: AnomalyId,
        }
        set once {
            payment_id: PaymentId,
            kind: AnomalyKind,
            reference: String,
            detail: String,
            created_at: Timestamp,
        }
        changing {
            status: AnomalyStatus,
            resolution: Option<Resolution>,
            note: Option<FreeText<500>>,
            resolved_at: Option<Timestamp>,
            resolved_by: Option<String>,
        }
    }
}

table! {
    /// A row of the audit log. The database numbers it (`entry`).
    audit_log: AuditRow {
        key {
            agency_id: AgencyId,
            id: AuditId,
        }
        set once {
            payment_id: Option<PaymentId>,
            version: Option<i64>,
            action: AuditAction,
            from_status: Option<PaymentStatus>,
            to_status: Option<PaymentStatus>,
            amount_pence: Option<Pence>,
            actor: String,
            at: Timestamp,
            request_id: Option<String>,
            changes: Json,
        }
        changing {
            sequence: Option<i64>,
        }
    }
}

table! {
    /// How many payments an agency has in a status, and their sum.
    agency_totals: TotalRow {
        key {
            agency_id: AgencyId,
            status: PaymentStatus,
        }
        set once {}
        changing {
            payments: i64,
            total_pence: i64,
        }
    }
}

/// What a payment is linked to, which never changes.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct PaymentLinks {
    pub agency_id: AgencyId,
    pub id: PaymentId,
    pub todo_id: Option<HostId>,
    pub custom_payment_task_id: Option<HostId>,
}

impl Selected for PaymentLinks {
    const LIST: &'static str = "row.agency_id, row.id, row.todo_id, row.custom_payment_task_id";
    type SqlType = (st::Uuid, st::Uuid, st::Nullable<st::Text>, st::Nullable<st::Text>);
}

impl From<&PaymentRow> for PaymentLinks {
    fn from(row: &PaymentRow) -> Self {
        Self {
            agency_id: row.agency_id,
            id: row.id,
            todo_id: row.todo_id.clone(),
            custom_payment_task_id: row.custom_payment_task_id.clone(),
        }
    }
}

/// A row of the audit log and the number it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Whose.
    pub agency_id: AgencyId,
    /// The row.
    pub entry: i64,
    /// Its number.
    pub sequence: i64,
}

/// What a subscriber is told of a row of the audit log.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct ChangeRow {
    pub entry: i64,
    pub sequence: Option<i64>,
    pub from_status: Option<PaymentStatus>,
    pub to_status: Option<PaymentStatus>,
    pub changes: Json,
}

/// What the sequencer needs of a row of the audit log.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = audit_log)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct UnnumberedRow {
    pub entry: i64,
    pub agency_id: AgencyId,
    pub from_status: Option<PaymentStatus>,
    pub to_status: Option<PaymentStatus>,
    pub amount_pence: Option<Pence>,
}

/// An event that is to go to Inngest: its facts, without its body.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = processed_events)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct UnsentEvent {
    pub event_id: EventId,
    pub event_type: String,
    pub event_created_at: Option<Timestamp>,
    pub object_id: Option<String>,
    pub intent_id: Option<IntentId>,
    pub session_id: Option<SessionId>,
    pub amount_pence: Option<i64>,
    pub currency: Option<String>,
    pub payment_status: Option<String>,
    pub refunded_pence: Option<i64>,
    pub verdict: Verdict,
    pub agency_id: Option<AgencyId>,
    pub payment_id: Option<PaymentId>,
    pub received_at: Timestamp,
}

/// A numbered row of the audit log that is to go to Inngest.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = audit_log)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct UnsentChange {
    pub id: AuditId,
    pub agency_id: AgencyId,
    pub payment_id: Option<PaymentId>,
    pub version: Option<i64>,
    pub from_status: Option<PaymentStatus>,
    pub to_status: Option<PaymentStatus>,
    pub amount_pence: Option<Pence>,
    pub at: Timestamp,
    pub sequence: Option<i64>,
}
