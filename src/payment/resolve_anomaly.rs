//! `payment.resolveAnomaly`: a person settles what was strange.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Anomaly, own_payment::cause};
use crate::{
    domain::{AnomalyId, AnomalyStatus, AuditAction, FreeText, Resolution},
    error::Error,
    ledger::{
        AuditEntry, Change, Tx,
        tables::{AnomalyRow, PaymentRow},
    },
    rpc::procedure::{Call, Example},
};

/// Records how a person settled an anomaly. Moves no money. Repeating it with the same values is harmless.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ResolveAnomalyInput")]
pub struct Input {
    /// The anomaly's id.
    anomaly_id: String,
    /// How it was settled.
    resolution: Resolution,
    /// What was found and done. 1 to 500 characters, no card numbers.
    note: FreeText<500>,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<Anomaly, Error> {
    let absent = || Error::not_found("anomaly", &input.anomaly_id);
    let id = AnomalyId::parse(&input.anomaly_id).ok_or_else(absent)?;
    let ledger = call.app.ledger.clone();
    ledger.write(move |tx| async move { resolve(tx, &call, id, input).await }.boxed()).await
}

async fn resolve(tx: &Tx, call: &Call, id: AnomalyId, input: Input) -> Result<Anomaly, Error> {
    let absent = || Error::not_found("anomaly", id);
    let agency = call.caller.agency_id;
    let payment_id = tx.anomaly(agency, id).await?.ok_or_else(absent)?.payment_id;
    let payment = tx.lock_payment(agency, payment_id).await?.ok_or_else(absent)?;
    // Read again under the lock: somebody may have settled it meanwhile.
    let row = tx.anomaly(agency, id).await?.ok_or_else(absent)?;
    let Input { anomaly_id: _, resolution, note } = input;
    match row.status {
        AnomalyStatus::Open => {}
        AnomalyStatus::Resolved if row.resolution == Some(resolution) && row.note.as_ref() == Some(&note) => {
            return Ok(Anomaly::from(row));
        }
        AnomalyStatus::Resolved => {
            return Err(Error::IdempotencyMismatch { what: "anomalyId", ledger_entry_id: Some(payment_id) });
        }
    }
    let cause = cause(call);
    let settled = AnomalyRow {
        status: AnomalyStatus::Resolved,
        resolution: Some(resolution),
        note: Some(note),
        resolved_at: Some(cause.at),
        resolved_by: Some(cause.actor.clone()),
        ..row.clone()
    };
    tx.update_anomaly(&row, &settled).await?;
    let status = payment.status;
    let changes = json!({ "anomalyId": id, "kind": row.kind, "resolution": resolution });
    let entry = AuditEntry { action: AuditAction::AnomalyResolved, from: Some(status), to: status, changes };
    let after = PaymentRow { open_anomalies: payment.open_anomalies - 1, ..payment.clone() };
    Change { before: Some(payment), row: after, entries: vec![entry], cause }.write(tx).await?;
    Ok(Anomaly::from(settled))
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "given back by hand",
    r#"{
        "anomalyId": "01a22244-9d65-753d-8818-56a3feed95b0",
        "resolution": "refunded",
        "note": "Sent back by bank transfer on Monday"
    }"#,
    r#"{
        "id": "01a22244-9d65-753d-8818-56a3feed95b0",
        "paymentId": "01a22244-9b57-72d5-ae06-3b2e1c925edb",
        "kind": "paid_after_cancelled",
        "detail": "money came in after the payment was cancelled",
        "status": "resolved",
        "resolution": "refunded",
        "note": "Sent back by bank transfer on Monday",
        "createdAt": "2026-11-28T13:07:31.813Z",
        "resolvedAt": "2026-11-28T13:07:31.824Z",
        "resolvedBy": "Ada Admin"
    }"#,
)];
