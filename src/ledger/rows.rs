//! Rows as the tables have them. What callers see are other types (`crate::payment::Payment` and its siblings);
//! their conversions destructure these, so that a new column is a compile error until somebody decides.

mod shown_payment;

use diesel::prelude::*;

pub use shown_payment::ShownPayment;

use super::sql_types::{Json, Sha256};
use crate::{
    domain::{
        AgencyId, AnomalyId, AnomalyKind, AnomalyStatus, AttemptBest, AuditAction, AuditId, EventId,
        FreeText, HostId, IdempotencyKey, IntentId, IntentState, Label, PaymentId, PaymentMethod,
        PaymentStatus, PaymentType, Pence, Resolution, Role, SessionId, SessionState, TaskStatus, Timestamp,
        TodoStatus, TokenId, Verdict,
    },
    schema::{
        agencies, agency_totals, audit_log, checkout_sessions, custom_payment_tasks, payment_anomalies,
        payment_intents, payments_ledger, processed_events, todos, tokens,
    },
};

/// An agency.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = agencies, treat_none_as_default_value = false)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct AgencyRow {
    pub id: AgencyId,
    pub name: Label<200>,
    pub max_card_payment_pence: Option<Pence>,
    pub created_at: Timestamp,
}

/// A token.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = tokens, treat_none_as_default_value = false)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct TokenRow {
    pub id: TokenId,
    pub agency_id: AgencyId,
    pub role: Role,
    pub actor: Label<200>,
    pub sha256: Sha256,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// A todo.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = todos, treat_none_as_default_value = false)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct TodoRow {
    pub agency_id: AgencyId,
    pub id: HostId,
    pub title: FreeText<200>,
    pub tenancy_id: Option<HostId>,
    pub status: TodoStatus,
    pub completed_at: Option<Timestamp>,
    pub completed_by: Option<String>,
    pub created_at: Timestamp,
}

/// A custom payment task.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = custom_payment_tasks, treat_none_as_default_value = false)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct TaskRow {
    pub agency_id: AgencyId,
    pub id: HostId,
    pub title: FreeText<200>,
    pub amount_pence: Option<Pence>,
    pub tenancy_id: Option<HostId>,
    pub status: TaskStatus,
    pub paid_at: Option<Timestamp>,
    pub paid_by_payment_id: Option<PaymentId>,
    pub created_at: Timestamp,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = payments_ledger, treat_none_as_default_value = false)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct PaymentRow {
    pub id: PaymentId,
    pub agency_id: AgencyId,
    pub version: i64,
    pub status: PaymentStatus,
    pub payment_type: PaymentType,
    pub method: PaymentMethod,
    pub method_forced: bool,
    pub limit_applied_pence: Option<Pence>,
    pub amount_pence: Pence,
    pub currency: String,
    pub description: FreeText<500>,
    pub tenancy_id: Option<HostId>,
    pub todo_id: Option<HostId>,
    pub custom_payment_task_id: Option<HostId>,
    pub idempotency_key: Option<IdempotencyKey>,
    pub params_sha256: Option<Sha256>,
    pub latest_attempt: i32,
    pub cancelled_at: Option<Timestamp>,
    pub cancelled_by: Option<String>,
    pub manually_paid_at: Option<Timestamp>,
    pub manually_paid_by: Option<String>,
    pub manual_payment_reference: Option<Label<200>>,
    pub manual_refund_marked: bool,
    pub refund_marked_at: Option<Timestamp>,
    pub refund_marked_by: Option<String>,
    pub refund_reference: Option<Label<200>>,
    pub refund_reason: Option<FreeText<500>>,
    pub payment_intent_id: Option<IntentId>,
    pub paid_at: Option<Timestamp>,
    pub failure_reason: Option<String>,
    pub refunded_pence: Pence,
    pub refunded_at: Option<Timestamp>,
    pub open_anomalies: i32,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The columns of a payment that ever change.
#[derive(AsChangeset)]
#[diesel(table_name = payments_ledger, treat_none_as_null = true)]
pub(super) struct PaymentChange<'a> {
    version: i64,
    status: PaymentStatus,
    latest_attempt: i32,
    cancelled_at: Option<Timestamp>,
    cancelled_by: Option<&'a str>,
    manually_paid_at: Option<Timestamp>,
    manually_paid_by: Option<&'a str>,
    manual_payment_reference: Option<&'a Label<200>>,
    manual_refund_marked: bool,
    refund_marked_at: Option<Timestamp>,
    refund_marked_by: Option<&'a str>,
    refund_reference: Option<&'a Label<200>>,
    refund_reason: Option<&'a FreeText<500>>,
    payment_intent_id: Option<&'a IntentId>,
    paid_at: Option<Timestamp>,
    failure_reason: Option<&'a str>,
    refunded_pence: Pence,
    refunded_at: Option<Timestamp>,
    open_anomalies: i32,
    updated_at: Timestamp,
}

impl<'a> From<&'a PaymentRow> for PaymentChange<'a> {
    fn from(row: &'a PaymentRow) -> Self {
        Self {
            version: row.version,
            status: row.status,
            latest_attempt: row.latest_attempt,
            cancelled_at: row.cancelled_at,
            cancelled_by: row.cancelled_by.as_deref(),
            manually_paid_at: row.manually_paid_at,
            manually_paid_by: row.manually_paid_by.as_deref(),
            manual_payment_reference: row.manual_payment_reference.as_ref(),
            manual_refund_marked: row.manual_refund_marked,
            refund_marked_at: row.refund_marked_at,
            refund_marked_by: row.refund_marked_by.as_deref(),
            refund_reference: row.refund_reference.as_ref(),
            refund_reason: row.refund_reason.as_ref(),
            payment_intent_id: row.payment_intent_id.as_ref(),
            paid_at: row.paid_at,
            failure_reason: row.failure_reason.as_deref(),
            refunded_pence: row.refunded_pence,
            refunded_at: row.refunded_at,
            open_anomalies: row.open_anomalies,
            updated_at: row.updated_at,
        }
    }
}

/// A checkout session.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = checkout_sessions, treat_none_as_default_value = false)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct SessionRow {
    pub payment_id: PaymentId,
    pub attempt: i32,
    pub provider_key: String,
    pub state: SessionState,
    pub best: AttemptBest,
    pub failure_reason: Option<String>,
    pub processing_since: Option<Timestamp>,
    pub session_id: Option<SessionId>,
    pub url: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub leased_until: Option<Timestamp>,
    pub tries: i32,
    pub next_read_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// A payment intent.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = payment_intents, treat_none_as_default_value = false, treat_none_as_null = true)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct IntentRow {
    pub intent_id: IntentId,
    pub payment_id: PaymentId,
    pub attempt: Option<i32>,
    pub state: IntentState,
    pub amount_pence: Option<Pence>,
    pub currency: Option<String>,
    pub refunded_pence: Pence,
    pub refund_marked: bool,
    pub recorded_at: Timestamp,
}

/// An event in the inbox.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = processed_events, treat_none_as_default_value = false)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct EventRow {
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
    pub reason: Option<String>,
    pub payment_id: Option<PaymentId>,
    pub tries: i32,
    pub failures: i32,
    pub due_at: Option<Timestamp>,
    pub leased_until: Option<Timestamp>,
    pub reused_at: Option<Timestamp>,
    pub body: Option<Vec<u8>>,
    pub received_at: Timestamp,
    pub concluded_at: Option<Timestamp>,
    pub unsent: bool,
}

/// An anomaly.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = payment_anomalies, treat_none_as_default_value = false)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct AnomalyRow {
    pub id: AnomalyId,
    pub agency_id: AgencyId,
    pub payment_id: PaymentId,
    pub kind: AnomalyKind,
    pub reference: String,
    pub detail: String,
    pub status: AnomalyStatus,
    pub resolution: Option<Resolution>,
    pub note: Option<FreeText<500>>,
    pub created_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub resolved_by: Option<String>,
}

/// A row of the journal.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_log, treat_none_as_default_value = false)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct AuditRow {
    pub id: AuditId,
    pub agency_id: AgencyId,
    pub payment_id: Option<PaymentId>,
    pub version: Option<i64>,
    pub action: AuditAction,
    pub from_status: Option<PaymentStatus>,
    pub to_status: Option<PaymentStatus>,
    pub amount_pence: Option<Pence>,
    pub actor: String,
    pub at: Timestamp,
    pub request_id: Option<String>,
    pub changes: Json,
    pub sequence: Option<i64>,
}

/// A row of the journal and the number it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The row.
    pub entry: i64,
    /// Its number.
    pub sequence: i64,
}

/// What is added to an agency's totals of one status.
#[derive(Clone, Debug, PartialEq, Eq, Insertable)]
#[diesel(table_name = agency_totals, treat_none_as_default_value = false)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct TotalChange {
    pub agency_id: AgencyId,
    pub status: PaymentStatus,
    pub payments: i64,
    pub total_pence: i64,
}

/// What a subscriber is told of a journal row.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct ChangeRow {
    pub entry: i64,
    pub sequence: Option<i64>,
    pub from_status: Option<PaymentStatus>,
    pub to_status: Option<PaymentStatus>,
    pub changes: Json,
}

/// What the sealer needs of a journal row.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = audit_log)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct UnsealedRow {
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
    pub payment_id: Option<PaymentId>,
    pub received_at: Timestamp,
}

/// A sealed row of the journal that is to go to Inngest.
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
