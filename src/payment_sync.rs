//! The confluence: "this happened to that payment". The webhook, the janitor, the checkout and people all end
//! here, in one transaction that reads from top to bottom: lock, read the facts, record the new one, compute, write.
//!
//! Not here: how it came to be known that something happened (`inbox`, `checkout`, the procedures), and what
//! follows from facts (`domain::lifecycle`).

mod facts;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

pub use facts::Subject;

use crate::{
    domain::{
        AnomalyId, AnomalyKind, AnomalyStatus, AuditAction, Cause, FreeText, IntentId, IntentState, Label,
        PaymentStatus, Timestamp,
        lifecycle::{Evidence, action_of, steps},
    },
    error::Error,
    ledger::{
        AuditEntry, Change, Tx,
        rows::{AnomalyRow, PaymentRow},
    },
};

/// Something that happened to a payment.
#[derive(Clone, Debug)]
pub enum Happening {
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
    Noticed {
        /// What kind of strange.
        kind: AnomalyKind,
        /// What it is about: an intent or an event.
        reference: String,
        /// One sentence for people.
        detail: String,
    },
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The payment as it now is.
    pub payment: PaymentRow,
    /// Its status before.
    pub before: PaymentStatus,
    /// Anomalies it raised.
    pub raised: Vec<AnomalyKind>,
    /// Intents that became known.
    pub new_intents: Vec<IntentId>,
}

impl Settled {
    /// Whether the status changed.
    pub fn is_transition(&self) -> bool {
        self.before != self.payment.status
    }
}

/// Records that something happened to a payment and writes all that follows. `payment` is its locked row.
pub async fn happened(
    tx: &mut Tx,
    payment: PaymentRow,
    what: &Happening,
    cause: &Cause,
) -> Result<Settled, Error> {
    let subject = Subject::read(tx, payment).await?;
    happened_to(tx, subject, what, cause).await
}

/// As [`happened`], where the facts have been read already.
pub async fn happened_to(
    tx: &mut Tx,
    mut subject: Subject,
    what: &Happening,
    cause: &Cause,
) -> Result<Settled, Error> {
    let before = subject.facts.clone();
    let status_before = subject.payment.status;
    subject.record(what, cause);
    let new_intents = subject.write_intents(tx, &before, what, cause).await?;
    subject.write_attempts(tx, &before, cause).await?;
    let completed = match subject.facts.completes_links() && !before.completes_links() {
        true => complete_links(tx, &subject, cause).await?,
        false => Map::new(),
    };
    let after = &subject.facts;
    let status = after.status();

    let mut changes = describe(what);
    changes.extend(completed);
    let mut entries = transition_entries(status_before, status, what, &changes);

    let mut raised = Vec::new();
    for (kind, reference, detail) in strange(&subject, &before, what) {
        let row = AnomalyRow {
            id: AnomalyId::new(),
            agency_id: subject.payment.agency_id,
            payment_id: subject.payment.id,
            kind,
            reference: reference.clone(),
            detail,
            status: AnomalyStatus::Open,
            resolution: None,
            note: None,
            created_at: cause.at,
            resolved_at: None,
            resolved_by: None,
        };
        if tx.insert_anomaly(&row).await? {
            let changes = json!({ "anomalyId": row.id, "kind": kind, "reference": reference });
            entries.push(AuditEntry {
                action: AuditAction::Anomaly,
                from: Some(status),
                to: status,
                changes,
            });
            raised.push(kind);
        }
    }

    let mut row = subject.payment.clone();
    row.status = status;
    row.open_anomalies += i32::try_from(raised.len()).unwrap_or(i32::MAX);
    row.refunded_pence = after.refunded();
    row.failure_reason = subject.failure_reason(status);
    if status == PaymentStatus::Refunded && status_before != status {
        row.refunded_at = Some(cause.at);
    }
    if after.has_proof() && !before.has_proof() {
        row.paid_at = Some(paid_at(&row, cause));
    }
    if row.payment_intent_id.is_none() {
        row.payment_intent_id = first_success(&subject, what);
    }
    let payment = if row == subject.unmarked && entries.is_empty() {
        row
    } else {
        Change { row, entries, cause: cause.clone() }.write(tx).await?
    };
    for kind in &raised {
        metrics::counter!("quittance_anomalies_total", "kind" => kind.as_str()).increment(1);
        tracing::warn!(payment = %payment.id, kind = %kind, "anomaly raised");
    }
    if payment.status != status_before {
        tracing::info!(payment = %payment.id, from = %status_before, to = %payment.status, "payment changed");
    }
    Ok(Settled { payment, before: status_before, raised, new_intents })
}

/// Completes the linked todo and custom payment task, once; answers what it did, for the journal.
async fn complete_links(tx: &Tx, subject: &Subject, cause: &Cause) -> Result<Map<String, Value>, Error> {
    let Subject { payment, open_todo, pending_task, .. } = subject;
    let mut done = Map::new();
    if let Some(todo) = open_todo {
        tx.complete_todo(payment.agency_id, todo, &cause.actor, cause.at).await?;
        done.insert("completedTodoId".into(), json!(todo));
    }
    if let Some(task) = pending_task {
        tx.pay_task(payment.agency_id, task, payment.id, cause.at).await?;
        done.insert("paidCustomPaymentTaskId".into(), json!(task));
    }
    Ok(done)
}

fn transition_entries(
    from: PaymentStatus,
    to: PaymentStatus,
    what: &Happening,
    changes: &Map<String, Value>,
) -> Vec<AuditEntry> {
    let action = |to| match (what, to) {
        (Happening::ManuallyPaid { .. }, PaymentStatus::Succeeded) => AuditAction::ManuallyPaid,
        _ => action_of(to),
    };
    let entry = |(from, to)| AuditEntry {
        action: action(to),
        from: Some(from),
        to,
        changes: Value::Object(changes.clone()),
    };
    match (what, steps(from, to)) {
        // A new link is worth a row even where the status stays as it is.
        (Happening::Renewed { .. }, steps) if steps.is_empty() => {
            vec![AuditEntry { action: AuditAction::CheckoutRenewed, ..entry((from, to)) }]
        }
        (_, steps) => steps.into_iter().map(entry).collect(),
    }
}

/// What an audit row says of the happening: ids and pence, no personal text.
fn describe(what: &Happening) -> Map<String, Value> {
    let mut changes = Map::new();
    match what {
        Happening::Reported { evidence, failure_code } => {
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
        Happening::ManuallyPaid { .. } => _ = changes.insert("manuallyPaid".into(), json!(true)),
        Happening::RefundedOutside { .. } => _ = changes.insert("refundedOutside".into(), json!(true)),
        Happening::Renewed { attempt } => _ = changes.insert("attempt".into(), json!(attempt)),
        Happening::Cancelled | Happening::Noticed { .. } => {}
    }
    changes
}

/// The anomalies to raise: kind, what it is about, and a sentence for people.
fn strange(
    subject: &Subject,
    before: &crate::domain::lifecycle::Facts,
    what: &Happening,
) -> Vec<(AnomalyKind, String, String)> {
    let known = before.anomalies();
    let found: BTreeSet<_> = subject.facts.anomalies().difference(&known).cloned().collect();
    let asked = subject.payment.amount_pence;
    let mut strange: Vec<_> = found
        .into_iter()
        .map(|(kind, reference)| {
            let detail = match kind {
                AnomalyKind::DoublePayment if subject.facts.task_paid_by_other => {
                    format!("{reference} paid a custom payment task that another payment had paid already")
                }
                AnomalyKind::DoublePayment => format!("{reference} is a further payment of {asked} pence"),
                AnomalyKind::PaidAfterCancelled => "money came in after the payment was cancelled".to_owned(),
                AnomalyKind::AmountMismatch | AnomalyKind::CurrencyMismatch => {
                    format!(
                        "{reference} was reported with {}; {asked} pence GBP were asked for",
                        reported(what)
                    )
                }
                AnomalyKind::ReferenceConflict | AnomalyKind::StuckProcessing | AnomalyKind::EventIdReuse => {
                    reference.clone()
                }
            };
            (kind, reference, detail)
        })
        .collect();
    if let Happening::Noticed { kind, reference, detail } = what {
        strange.push((*kind, reference.clone(), detail.clone()));
    }
    strange
}

fn reported(what: &Happening) -> String {
    use crate::domain::lifecycle::Reported;
    let Happening::Reported { evidence, .. } = what else { return "other figures".to_owned() };
    let amount = match evidence.amount {
        Reported::Absent => "no amount".to_owned(),
        Reported::Pence(pence) => format!("{pence} pence"),
        Reported::Unreadable => "an unreadable amount".to_owned(),
    };
    let word = |c: &String| c.len() <= 8 && c.bytes().all(|b| b.is_ascii_alphanumeric());
    match &evidence.currency {
        None => amount,
        Some(currency) if word(currency) => format!("{amount} {}", currency.to_ascii_uppercase()),
        Some(_) => format!("{amount} in an unreadable currency"),
    }
}

/// When the payment was made: the provider's word where it is plausible, else now.
fn paid_at(payment: &PaymentRow, cause: &Cause) -> Timestamp {
    let plausible = |at: &Timestamp| (payment.created_at..=cause.at).contains(at);
    cause.happened_at.filter(plausible).unwrap_or(cause.at)
}

/// The intent of this report, if it is a success.
fn first_success(subject: &Subject, what: &Happening) -> Option<IntentId> {
    let Happening::Reported { evidence, .. } = what else { return None };
    let id = evidence.intent.as_ref()?;
    let intent = subject.facts.intents.get(id)?;
    (intent.state == IntentState::Succeeded).then(|| id.clone())
}
