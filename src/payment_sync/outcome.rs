//! The anomalies that a fact makes and unmakes: of its payment, and of at most one other payment of the same custom
//! payment task.

use serde_json::json;

use super::{LoadedPayment, PaymentFact};
use crate::{
    domain::{
        AnomalyId, AnomalyKind, AnomalyStatus, AuditAction, Cause, FreeText, PaymentId, PaymentStatus,
        Resolution,
        lifecycle::{Anomaly, Reported, diff},
    },
    error::Error,
    ledger::{
        AuditEntry, Change, Tx,
        tables::{AnomalyRow, PaymentRow},
    },
};

/// What settles an anomaly that the facts no longer give.
const LAPSED: &str = "a manual payment was withdrawn, and this is no longer a further payment";

/// What is to be written.
#[derive(Default)]
pub struct Anomalies {
    /// The payment whose fact it is.
    own: Vec<AnomalyChange>,
    /// Another payment, locked, with what changes there.
    other: Option<(PaymentRow, Vec<AnomalyChange>)>,
}

/// One anomaly as it was, if it was there, and as it is to be.
struct AnomalyChange {
    before: Option<AnomalyRow>,
    after: AnomalyRow,
}

impl Anomalies {
    /// What the facts before and after give, beside what is there already.
    pub async fn of(
        tx: &Tx,
        before: &LoadedPayment,
        after: &LoadedPayment,
        fact: &PaymentFact,
        cause: &Cause,
    ) -> Result<Self, Error> {
        let change = diff(&before.facts, &after.facts);
        let observed = match fact {
            PaymentFact::Observed { kind, reference, .. } => {
                Some(Anomaly { payment: after.payment.id, kind: *kind, reference: reference.clone() })
            }
            _ => None,
        };
        if observed.is_none() && change.raised.is_empty() && change.lapsed.is_empty() {
            return Ok(Self::default());
        }
        let (agency, own) = (after.payment.agency_id, after.payment.id);
        let raised: Vec<Anomaly> = change.raised.iter().cloned().chain(observed).collect();
        let changes = async |payment: PaymentId| -> Result<Vec<AnomalyChange>, Error> {
            let known = tx.anomalies_of(agency, payment).await?;
            let find = |of: &Anomaly| {
                known.iter().find(|row| row.kind == of.kind && row.reference == of.reference).cloned()
            };
            let concerned = |anomaly: &&Anomaly| anomaly.payment == payment;
            let mut changes = Vec::new();
            for anomaly in raised.iter().filter(concerned) {
                changes.extend(raise(find(anomaly), anomaly, after, fact, cause));
            }
            for anomaly in change.lapsed.iter().filter(concerned) {
                changes.extend(lapse(find(anomaly), cause)?);
            }
            Ok(changes)
        };
        let other = match change.other_payment(own) {
            // Its id is larger: payments are locked in the order of their ids.
            Some(other) => match tx.lock_payment(agency, other).await? {
                Some(row) => Some((row, changes(other).await?)),
                None => return Err(Error::internal("another payment of the task is gone")),
            },
            None => None,
        };
        Ok(Self { own: changes(own).await?, other })
    }

    /// How many more are open on the own payment.
    pub fn open_delta(&self) -> i32 {
        delta(&self.own)
    }

    /// What the own payment's audit rows say of them.
    pub fn entries(&self, status: PaymentStatus) -> impl Iterator<Item = AuditEntry> {
        self.own.iter().map(move |change| change.entry(status))
    }

    /// The kinds that were raised.
    pub fn raised(&self) -> Vec<AnomalyKind> {
        self.all().filter(|change| change.is_raised()).map(|change| change.after.kind).collect()
    }

    /// Writes them, with the other payment's row and audit rows.
    pub async fn write(&self, tx: &Tx, cause: &Cause) -> Result<(), Error> {
        for AnomalyChange { before, after } in self.all() {
            match before {
                Some(before) => tx.update_anomaly(before, after).await?,
                None => tx.insert_anomaly(after).await?,
            }
        }
        if let Some((payment, changes)) = self.other.as_ref().filter(|(_, changes)| !changes.is_empty()) {
            let mut row = payment.clone();
            row.open_anomalies += delta(changes);
            let entries = changes.iter().map(|change| change.entry(row.status)).collect();
            Change { before: Some(payment.clone()), row, entries, cause: cause.clone() }.write(tx).await?;
        }
        Ok(())
    }

    /// Tells operators.
    pub fn log(&self) {
        for change in self.all().filter(|change| change.is_raised()) {
            let AnomalyRow { payment_id, kind, .. } = &change.after;
            metrics::counter!("quittance_anomalies_total", "kind" => kind.as_str()).increment(1);
            tracing::warn!(payment = %payment_id, kind = %kind, "anomaly raised");
        }
    }

    fn all(&self) -> impl Iterator<Item = &AnomalyChange> {
        self.own.iter().chain(self.other.iter().flat_map(|(_, changes)| changes))
    }
}

impl AnomalyChange {
    fn is_raised(&self) -> bool {
        self.after.status == AnomalyStatus::Open
    }

    fn entry(&self, status: PaymentStatus) -> AuditEntry {
        let AnomalyRow { id, kind, reference, resolution, .. } = &self.after;
        let (action, changes) = match self.is_raised() {
            true => (AuditAction::Anomaly, json!({ "anomalyId": id, "kind": kind, "reference": reference })),
            false => (
                AuditAction::AnomalyResolved,
                json!({ "anomalyId": id, "kind": kind, "resolution": resolution }),
            ),
        };
        AuditEntry { action, from: Some(status), to: status, changes }
    }
}

fn delta(changes: &[AnomalyChange]) -> i32 {
    changes.iter().map(|change| if change.is_raised() { 1 } else { -1 }).sum()
}

/// An anomaly that is given now: a new one, or one that lapsed and is given again.
fn raise(
    known: Option<AnomalyRow>,
    anomaly: &Anomaly,
    after: &LoadedPayment,
    fact: &PaymentFact,
    cause: &Cause,
) -> Option<AnomalyChange> {
    match known {
        None => Some(AnomalyChange {
            before: None,
            after: AnomalyRow {
                agency_id: after.payment.agency_id,
                id: AnomalyId::new(),
                payment_id: anomaly.payment,
                kind: anomaly.kind,
                reference: anomaly.reference.clone(),
                detail: detail(anomaly, after, fact),
                created_at: cause.at,
                status: AnomalyStatus::Open,
                resolution: None,
                note: None,
                resolved_at: None,
                resolved_by: None,
            },
        }),
        Some(row) if row.status == AnomalyStatus::Resolved && row.kind.may_lapse() => {
            let after = AnomalyRow {
                status: AnomalyStatus::Open,
                resolution: None,
                note: None,
                resolved_at: None,
                resolved_by: None,
                ..row.clone()
            };
            Some(AnomalyChange { before: Some(row), after })
        }
        Some(_) => None,
    }
}

/// An anomaly that the facts no longer give: nothing is left for a person to settle.
fn lapse(known: Option<AnomalyRow>, cause: &Cause) -> Result<Option<AnomalyChange>, Error> {
    let Some(row) = known.filter(|row| row.status == AnomalyStatus::Open) else { return Ok(None) };
    let note = FreeText::parse(LAPSED).map_err(|reason| Error::internal(reason.to_string()))?;
    let after = AnomalyRow {
        status: AnomalyStatus::Resolved,
        resolution: Some(Resolution::Other),
        note: Some(note),
        resolved_at: Some(cause.at),
        resolved_by: Some(cause.actor.clone()),
        ..row.clone()
    };
    Ok(Some(AnomalyChange { before: Some(row), after }))
}

/// A sentence for people.
fn detail(anomaly: &Anomaly, after: &LoadedPayment, fact: &PaymentFact) -> String {
    let Anomaly { payment, kind, reference } = anomaly;
    match (kind, fact) {
        (_, PaymentFact::Observed { kind: of, detail, .. }) if of == kind => detail.clone(),
        (AnomalyKind::DoublePayment, _) if Some(*payment) != after.facts.task_paid_by() => {
            match after.facts.task_paid_by() {
                Some(by) => format!("{reference} paid a custom payment task that payment {by} pays"),
                None => format!("{reference} is a further payment"),
            }
        }
        (AnomalyKind::DoublePayment, _) => {
            format!("{reference} is a further payment of {} pence", after.payment.amount_pence)
        }
        (AnomalyKind::PaidAfterCancelled, _) => "money came in after the payment was cancelled".to_owned(),
        (AnomalyKind::AmountMismatch | AnomalyKind::CurrencyMismatch, _) => {
            let asked = after.payment.amount_pence;
            format!("{reference} was reported with {}; {asked} pence GBP were asked for", reported(fact))
        }
        (AnomalyKind::ReferenceConflict | AnomalyKind::StuckProcessing | AnomalyKind::EventIdReuse, _) => {
            reference.clone()
        }
    }
}

fn reported(fact: &PaymentFact) -> String {
    let PaymentFact::Reported { evidence, .. } = fact else { return "other figures".to_owned() };
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
