//! What callers see of the rows.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    domain::{
        AgencyId, AnomalyId, AnomalyKind, AnomalyStatus, AuditAction, AuditId, FreeText, HostId, IntentId,
        Label, OneLine, PaymentId, PaymentMethod, PaymentStatus, PaymentType, Pence, Resolution, Timestamp,
    },
    ledger::tables::{AnomalyRow, AuditRow, ChangeRow, ShownPayment},
};

/// A payment and its link.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckoutLink {
    /// Where to send the tenant.
    pub checkout_url: String,
    /// The payment's id.
    pub ledger_entry_id: PaymentId,
}

/// A payment: the full ledger entry.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// The ledger entry's id: `ledgerEntryId` where it was created, `paymentId` everywhere else.
    pub id: PaymentId,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What the money is for.
    pub payment_type: PaymentType,
    /// How the tenant pays.
    pub method: PaymentMethod,
    /// The agency's card limit overrode `card`.
    pub method_forced: bool,
    /// What was asked for, in pence.
    pub amount_pence: Pence,
    /// Always `"GBP"`.
    pub currency: String,
    /// Shown to the tenant on the checkout page.
    pub description: OneLine<500>,
    /// The host platform's tenancy.
    pub tenancy_id: Option<HostId>,
    /// The todo that the first proof of payment completes.
    pub todo_id: Option<HostId>,
    /// The custom payment task that the first proof of payment marks paid.
    pub custom_payment_task_id: Option<HostId>,
    /// The live link for the tenant; `null` where there is none.
    pub checkout_url: Option<String>,
    /// When that link stops working.
    pub checkout_expires_at: Option<Timestamp>,
    /// Calmony Pay's intent of the first success.
    pub payment_intent_id: Option<IntentId>,
    /// An agent confirmed it as paid outside the platform.
    pub manually_paid: bool,
    /// The reference that agent gave.
    pub manual_payment_reference: Option<Label<200>>,
    /// When the first proof of payment was made.
    pub paid_at: Option<Timestamp>,
    /// Why the newest try failed; only while `failed`.
    pub failure_reason: Option<String>,
    /// What went back through Calmony Pay, in pence, over all its intents.
    pub refunded_pence: Pence,
    /// When it last became `refunded`.
    pub refunded_at: Option<Timestamp>,
    /// Anomalies that wait for a person.
    pub open_anomalies: i32,
    /// The actor who asked for it.
    pub created_by: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
}

impl From<ShownPayment> for Payment {
    fn from(row: ShownPayment) -> Self {
        let ShownPayment {
            id,
            agency_id: _,
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
            manually_paid,
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
        } = row;
        let is_live = link_expires_at.is_some_and(|at| at > Timestamp::now());
        Self {
            id,
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
            checkout_url: link_url.filter(|_| is_live),
            checkout_expires_at: link_expires_at.filter(|_| is_live),
            payment_intent_id,
            manually_paid,
            manual_payment_reference,
            paid_at,
            failure_reason,
            refunded_pence,
            refunded_at,
            open_anomalies,
            created_by,
            created_at,
            updated_at,
        }
    }
}

impl Payment {
    /// The payment as it stands, but with the status that a change led to, and without what came later with another:
    /// a subscriber who is told of two quick changes at once sees both.
    pub fn upon(change: &ChangeRow, mut row: ShownPayment) -> Self {
        let stands = row.status;
        if !change.to_status.is_some_and(PaymentStatus::awaits_tenant) {
            // There is none while the tenant has nothing to pay.
            (row.link_url, row.link_expires_at) = (None, None);
        }
        row.status = change.to_status.unwrap_or(stands);
        match row.status {
            PaymentStatus::Failed => {
                let told = || Some(change.changes.0["failureReason"].as_str()?.to_owned());
                row.failure_reason = row.failure_reason.or_else(told);
            }
            PaymentStatus::Pending
            | PaymentStatus::Processing
            | PaymentStatus::Succeeded
            | PaymentStatus::Refunded
            | PaymentStatus::Cancelled => row.failure_reason = None,
        }
        match row.status {
            // No proof of payment yet.
            PaymentStatus::Pending
            | PaymentStatus::Processing
            | PaymentStatus::Failed
            | PaymentStatus::Cancelled => {
                row.paid_at = None;
                row.payment_intent_id = None;
                row.manually_paid = false;
                row.manual_payment_reference = None;
                row.refunded_pence = Pence::ZERO;
                row.refunded_at = None;
            }
            PaymentStatus::Succeeded if change.from_status != Some(PaymentStatus::Refunded) => {
                row.refunded_at = None;
                if stands == PaymentStatus::Refunded {
                    row.refunded_pence = Pence::ZERO;
                }
            }
            PaymentStatus::Succeeded | PaymentStatus::Refunded => {}
        }
        Self::from(row)
    }
}

/// One row of the audit log.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuditRow")]
pub struct AuditEntry {
    /// The row's id.
    pub id: AuditId,
    /// When it was written.
    pub at: Timestamp,
    /// Who: the token's actor, `calmony-pay` or `janitor`.
    pub actor: String,
    /// What happened.
    pub action: AuditAction,
    /// Always `"payment"`.
    pub resource_type: &'static str,
    /// The payment; of `payment.card_limit_updated` the agency.
    pub resource_id: String,
    /// The status before; `null` on `payment.created`.
    pub from: Option<PaymentStatus>,
    /// The status after; equals `from` where the row is no transition.
    pub to: Option<PaymentStatus>,
    /// What matters besides: ids, statuses, pence.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub changes: Value,
    /// The `x-request-id` of the call behind it; `null` where no call was.
    pub request_id: Option<String>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        let AuditRow {
            id,
            agency_id,
            payment_id,
            version: _,
            action,
            from_status,
            to_status,
            amount_pence: _,
            actor,
            at,
            request_id,
            changes,
            sequence: _,
        } = row;
        let of_agency = |agency: AgencyId| agency.to_string();
        Self {
            id,
            at,
            actor,
            action,
            resource_type: "payment",
            resource_id: payment_id.map_or_else(|| of_agency(agency_id), |id| id.to_string()),
            from: from_status,
            to: to_status,
            changes: changes.0,
            request_id,
        }
    }
}

/// Something strange about a payment, for a person to settle.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Anomaly {
    /// Its id.
    pub id: AnomalyId,
    /// The payment.
    pub payment_id: PaymentId,
    /// What kind of strange.
    pub kind: AnomalyKind,
    /// One sentence for people, with ids and pence.
    pub detail: String,
    /// Whether it still waits.
    pub status: AnomalyStatus,
    /// How it was settled.
    pub resolution: Option<Resolution>,
    /// What the person who settled it wrote.
    pub note: Option<FreeText<500>>,
    /// When it was raised.
    pub created_at: Timestamp,
    /// When it was settled.
    pub resolved_at: Option<Timestamp>,
    /// Who settled it.
    pub resolved_by: Option<String>,
}

impl From<AnomalyRow> for Anomaly {
    fn from(row: AnomalyRow) -> Self {
        let AnomalyRow {
            id,
            agency_id: _,
            payment_id,
            kind,
            reference: _,
            detail,
            status,
            resolution,
            note,
            created_at,
            resolved_at,
            resolved_by,
        } = row;
        Self { id, payment_id, kind, detail, status, resolution, note, created_at, resolved_at, resolved_by }
    }
}
