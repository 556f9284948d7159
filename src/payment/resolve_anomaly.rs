//! `payment.resolveAnomaly`: a person settles what was strange.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Anomaly, cause, lock_own};
use crate::{
    domain::{AnomalyId, AnomalyKind, AnomalyStatus, AuditAction, FreeText, PaymentStatus, Resolution},
    error::Error,
    ledger::{AuditEntry, Change, Tx, rows::AnomalyRow},
    rpc::procedure::Call,
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

async fn resolve(tx: &mut Tx, call: &Call, id: AnomalyId, input: Input) -> Result<Anomaly, Error> {
    let absent = || Error::not_found("anomaly", id);
    let own = |row: &AnomalyRow| row.agency_id == call.caller.agency_id;
    let payment_id = tx.anomaly(id).await?.filter(own).ok_or_else(absent)?.payment_id;
    let payment = lock_own(tx, call, payment_id).await?;
    // Read again under the lock: somebody may have settled it meanwhile.
    let row = tx.anomaly(id).await?.ok_or_else(absent)?;
    let in_flight = payment.status == PaymentStatus::Processing;
    let Input { anomaly_id: _, resolution, note } = input;
    match row.status {
        AnomalyStatus::Open if row.kind == AnomalyKind::StuckProcessing && in_flight => {
            // While it is open an admin may mark the payment paid or cancel it; settled first, nobody could.
            return Err(Error::PaymentInFlight { asked: "settled" });
        }
        AnomalyStatus::Open => {}
        AnomalyStatus::Resolved if row.resolution == Some(resolution) && row.note.as_ref() == Some(&note) => {
            return Ok(Anomaly::from(row));
        }
        AnomalyStatus::Resolved => {
            return Err(Error::IdempotencyMismatch { what: "anomalyId", ledger_entry_id: Some(payment_id) });
        }
    }
    let cause = cause(call);
    let row = AnomalyRow {
        status: AnomalyStatus::Resolved,
        resolution: Some(resolution),
        note: Some(note),
        resolved_at: Some(cause.at),
        resolved_by: Some(cause.actor.clone()),
        ..row
    };
    tx.resolve_anomaly(&row).await?;
    let status = payment.status;
    let changes = json!({ "anomalyId": id, "kind": row.kind, "resolution": resolution });
    let entry = AuditEntry { action: AuditAction::AnomalyResolved, from: Some(status), to: status, changes };
    let mut payment = payment;
    payment.open_anomalies -= 1;
    Change { row: payment, entries: vec![entry], cause }.write(tx).await?;
    Ok(Anomaly::from(row))
}
