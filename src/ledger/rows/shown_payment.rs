//! What lists, look-ups and followers of payments read.

use diesel::prelude::*;

use crate::domain::{
    AgencyId, FreeText, HostId, IntentId, Label, PaymentId, PaymentMethod, PaymentStatus, PaymentType, Pence,
    Timestamp,
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
