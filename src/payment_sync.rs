//! The one place where a payment changes: a fact about it comes in, what follows from it is written. The webhook, the
//! janitor, the checkout and people all end here, in one transaction that reads from top to bottom: lock, read the facts,
//! record the new one, compute, write.
//!
//! Not here: how a fact came to be known (`inbox`, `checkout`, the procedures), what follows from facts
//! (`domain::lifecycle`), and the rows they are read from and written to (`loaded`).

mod loaded;
mod outcome;

use serde_json::{Map, Value, json};

pub use loaded::LoadedPayment;

use loaded::plausible;

use crate::{
    domain::{
        AnomalyKind, Cause, FreeText, IntentId, IntentState, Label, PaymentStatus, Timestamp,
        lifecycle::{Evidence, Proof, Recorded, audit_steps},
    },
    error::Error,
    ledger::{AuditEntry, Change, Tx, tables::PaymentRow},
};

/// Something that is recorded about a payment.
#[derive(Clone, Debug)]
pub enum PaymentFact {
    /// The provider reports, by event or by answer.
    Reported {
        /// What it says.
        evidence: Evidence,
        /// Its code for a failure.
        failure_code: Option<String>,
    },
    /// An agent called it off.
    Cancelled,
    /// An agent confirmed a payment made outside the platform.
    ManuallyPaid {
        /// Such as the bank transfer's reference.
        reference: Option<Label<200>>,
    },
    /// An admin says that confirming it was a mistake.
    ManualPaymentWithdrawn {
        /// Why.
        reason: FreeText<500>,
    },
    /// An admin says that the money went back outside the platform.
    RefundedOutside {
        /// Such as the bank transfer's reference.
        reference: Label<200>,
        /// Why.
        reason: Option<FreeText<500>>,
    },
    /// A dead link was replaced. The new session's row is there already.
    Renewed {
        /// The new session's number.
        attempt: i32,
    },
    /// Something strange that is no fact about the money.
    Observed {
        /// What kind of strange.
        kind: AnomalyKind,
        /// What it is about: an intent or an event.
        reference: String,
        /// One sentence for people.
        detail: String,
    },
}

impl PaymentFact {
    /// The kind of fact, as far as the audit trail tells them apart.
    fn recorded(&self) -> Recorded {
        match self {
            Self::Reported { .. } | Self::Observed { .. } => Recorded::Evidence,
            Self::Cancelled => Recorded::Cancellation,
            Self::ManuallyPaid { .. } => Recorded::ManualPayment,
            Self::ManualPaymentWithdrawn { .. } => Recorded::Withdrawal,
            Self::RefundedOutside { .. } => Recorded::RefundMark,
            Self::Renewed { .. } => Recorded::Renewal,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The payment as it now is.
    pub payment: PaymentRow,
    /// Its status before.
    pub before: PaymentStatus,
    /// Anomalies that were raised, of this payment and of another one of its task.
    pub raised: Vec<AnomalyKind>,
    /// Intents that became known.
    pub new_intents: Vec<IntentId>,
}

impl Applied {
    /// Whether the status changed.
    pub fn is_transition(&self) -> bool {
        self.before != self.payment.status
    }
}

/// Records a fact about a payment that is locked, and writes all that follows.
pub async fn apply(
    tx: &Tx,
    mut loaded: LoadedPayment,
    fact: &PaymentFact,
    cause: &Cause,
) -> Result<Applied, Error> {
    if let PaymentFact::ManualPaymentWithdrawn { .. } = fact {
        // Only a withdrawal can let a proof of another payment, or no proof at all, come first.
        loaded.read_others(tx).await?;
    }

    // Record it, and compute what follows.
    let mut after = loaded.clone();
    after.record(fact, cause);
    let new_intents = after.new_intents(&loaded);
    let anomalies = outcome::Anomalies::of(tx, &loaded, &after, fact, cause).await?;
    let status = after.facts.status();
    let row = shown_outcome(&loaded, &after, fact, cause, anomalies.open_delta());
    let mut changes = describe(fact);
    changes.extend(after.completed_links());
    let steps = audit_steps(fact.recorded(), &loaded.facts, &after.facts);
    let mut entries: Vec<AuditEntry> = steps
        .into_iter()
        .map(|step| AuditEntry {
            action: step.action,
            from: Some(step.from),
            to: step.to,
            changes: Value::Object(changes.clone()),
        })
        .collect();
    entries.extend(anomalies.entries(status));

    // Write it.
    after.write_facts(tx, &loaded, fact, cause).await?;
    after.write_links(tx, cause).await?;
    anomalies.write(tx, cause).await?;
    let before = loaded.payment;
    let payment = if row == before && entries.is_empty() {
        row
    } else {
        Change { before: Some(before), row, entries, cause: cause.clone() }.write(tx).await?
    };
    anomalies.log();
    let status_before = loaded.facts.status();
    if payment.status != status_before {
        tracing::info!(payment = %payment.id, from = %status_before, to = %payment.status, "payment changed");
    }
    Ok(Applied { payment, before: status_before, raised: anomalies.raised(), new_intents })
}

/// The payment's row as the facts now have it.
fn shown_outcome(
    before: &LoadedPayment,
    after: &LoadedPayment,
    fact: &PaymentFact,
    cause: &Cause,
    open_anomalies: i32,
) -> PaymentRow {
    let (facts, status) = (&after.facts, after.facts.status());
    let mut row = after.payment.clone();
    row.status = status;
    row.open_anomalies += open_anomalies;
    row.refunded_pence = facts.refunded();
    row.failure_reason = after.failure_reason(status);
    if status == PaymentStatus::Refunded && before.facts.status() != status {
        row.refunded_at = Some(cause.at);
    }
    let manual = facts.marks.manual_payment();
    row.manually_paid = manual.is_some();
    row.manual_payment_reference = manual.and_then(|(_, mark)| mark.reference.clone());
    if row.payment_intent_id.is_none() {
        row.payment_intent_id = first_success(after, fact);
    }
    let paid_by = facts.paid_by(row.payment_intent_id.as_ref());
    if paid_by != before.facts.paid_by(before.payment.payment_intent_id.as_ref()) {
        row.paid_at = paid_by.as_ref().map(|proof| paid_at(after, proof, cause));
    }
    row
}

/// What an audit row says of a fact: ids and pence, no personal text.
fn describe(fact: &PaymentFact) -> Map<String, Value> {
    let mut changes = Map::new();
    match fact {
        PaymentFact::Reported { evidence, failure_code } => {
            if let Some(intent) = &evidence.intent {
                changes.insert("paymentIntentId".into(), json!(intent));
            }
            if let Some(attempt) = evidence.attempt {
                changes.insert("attempt".into(), json!(attempt));
            }
            if let Some(code) = failure_code {
                changes.insert("failureReason".into(), json!(code));
            }
        }
        PaymentFact::ManuallyPaid { .. } => _ = changes.insert("manuallyPaid".into(), json!(true)),
        PaymentFact::ManualPaymentWithdrawn { .. } => {
            changes.insert("manuallyPaid".into(), json!(false));
        }
        PaymentFact::RefundedOutside { .. } => _ = changes.insert("refundedOutside".into(), json!(true)),
        PaymentFact::Renewed { attempt } => _ = changes.insert("attempt".into(), json!(attempt)),
        PaymentFact::Cancelled | PaymentFact::Observed { .. } => {}
    }
    changes
}

/// When the payment was made, by the proof that made it paid.
fn paid_at(after: &LoadedPayment, proof: &Proof, cause: &Cause) -> Timestamp {
    let recorded = match proof {
        Proof::Manual(number) => after.marked_at(*number),
        Proof::Intent(id) => after.succeeded_at(id),
    };
    recorded.unwrap_or_else(|| plausible(&after.payment, cause))
}

/// The intent of this report, if it is a success.
fn first_success(after: &LoadedPayment, fact: &PaymentFact) -> Option<IntentId> {
    let PaymentFact::Reported { evidence, .. } = fact else { return None };
    let id = evidence.intent.as_ref()?;
    let intent = after.facts.intents.get(id)?;
    (intent.state == IntentState::Succeeded).then(|| id.clone())
}
