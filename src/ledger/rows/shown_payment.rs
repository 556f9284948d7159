//! What lists and look-ups of payments read.

use diesel::prelude::*;

use super::{PaymentRow, SessionRow};
use crate::domain::{
    AgencyId, FreeText, HostId, IntentId, Label, PaymentId, PaymentMethod, PaymentStatus, PaymentType, Pence,
    SessionState, Timestamp,
};

/// A payment as callers see it: what is shown of its row, and the link of its newest session while a tenant may still
/// have a use for it. Lists are of these, since reading and writing every column takes most of a list's time.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs, reason = "the columns are described in the migration")]
pub struct ShownPayment {
    pub id: PaymentId,
    pub agency_id: AgencyId,
    pub status: PaymentStatus,
    pub payment_type: PaymentType,
    pub method: PaymentMethod,
    pub method_forced: bool,
    pub amount_pence: Pence,
    pub currency: String,
    pub description: FreeText<500>,
    pub tenancy_id: Option<HostId>,
    pub todo_id: Option<HostId>,
    pub custom_payment_task_id: Option<HostId>,
    pub manually_paid_at: Option<Timestamp>,
    pub manual_payment_reference: Option<Label<200>>,
    pub payment_intent_id: Option<IntentId>,
    pub paid_at: Option<Timestamp>,
    pub failure_reason: Option<String>,
    pub refunded_pence: Pence,
    pub refunded_at: Option<Timestamp>,
    pub open_anomalies: i32,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Of an open session; it may have expired.
    pub link_url: Option<String>,
    pub link_expires_at: Option<Timestamp>,
}

impl From<(PaymentRow, Option<SessionRow>)> for ShownPayment {
    fn from((row, session): (PaymentRow, Option<SessionRow>)) -> Self {
        let PaymentRow {
            id,
            agency_id,
            version: _,
            status,
            payment_type,
            method,
            method_forced,
            limit_applied_pence: _,
            amount_pence,
            currency,
            description,
            tenancy_id,
            todo_id,
            custom_payment_task_id,
            idempotency_key: _,
            params_sha256: _,
            latest_attempt: _,
            cancelled_at: _,
            cancelled_by: _,
            manually_paid_at,
            manually_paid_by: _,
            manual_payment_reference,
            manual_refund_marked: _,
            refund_marked_at: _,
            refund_marked_by: _,
            refund_reference: _,
            refund_reason: _,
            payment_intent_id,
            paid_at,
            failure_reason,
            refunded_pence,
            refunded_at,
            open_anomalies,
            created_by,
            created_at,
            updated_at,
        } = row;
        let open = session.filter(|session| status.awaits_tenant() && session.state == SessionState::Open);
        let (link_url, link_expires_at) = open.map_or((None, None), |open| (open.url, open.expires_at));
        Self {
            id,
            agency_id,
            status,
            payment_type,
            method,
            method_forced,
            amount_pence,
            currency,
            description,
            tenancy_id,
            todo_id,
            custom_payment_task_id,
            manually_paid_at,
            manual_payment_reference,
            payment_intent_id,
            paid_at,
            failure_reason,
            refunded_pence,
            refunded_at,
            open_anomalies,
            created_by,
            created_at,
            updated_at,
            link_url,
            link_expires_at,
        }
    }
}
