//! The lifecycle of a payment as a fold over facts: what is recorded, and what follows from it.
//!
//! Facts are only ever added, and nothing here depends on the order in which they came: `status`,
//! `completes_links` and `anomalies` look at the facts alone. The README's section "Lifecycle" is the rule;
//! these functions are its text in Rust. Pure: no clock, no SQL, no provider.

use std::collections::{BTreeMap, BTreeSet};

use super::{AnomalyKind, AttemptBest, AuditAction, IntentId, IntentState, PaymentStatus, Pence};

/// All that is recorded about one payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What was asked for.
    pub amount: Pence,
    /// Every provider intent seen for this payment.
    pub intents: BTreeMap<IntentId, Intent>,
    /// Every checkout session, by attempt number from 1.
    pub attempts: BTreeMap<i32, AttemptBest>,
    /// What people said.
    pub marks: Marks,
    /// The linked custom payment task had been paid through another payment.
    pub task_paid_by_other: bool,
    /// Intents reported once more with another amount or currency than the first time, where that is wrong in a
    /// way the first reading was not.
    pub contradicted: BTreeSet<(AnomalyKind, IntentId)>,
}

/// One intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Whether it paid.
    pub state: IntentState,
    /// The amount in its first reading; `None` where that named none.
    pub amount: Option<Pence>,
    /// Its currency in that reading, as sent.
    pub currency: Option<String>,
    /// The largest refund seen.
    pub refunded: Pence,
    /// A refund mark was set while it was a proof of payment.
    pub refund_marked: bool,
}

/// Marks by people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Called off.
    pub cancelled: bool,
    /// Confirmed by an agent.
    pub manually_paid: bool,
    /// A refund mark was set while the manual mark was a proof of payment.
    pub manual_refund_marked: bool,
}

/// What the provider reports about a payment, already placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The intent it speaks of.
    pub intent: Option<IntentId>,
    /// The attempt it belongs to, if one of the payment's.
    pub attempt: Option<i32>,
    /// The amount it names.
    pub amount: Reported,
    /// The currency it names.
    pub currency: Option<String>,
    /// What happened.
    pub report: Report,
}

/// An amount in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// None given: no mismatch.
    Absent,
    /// This much.
    Pence(Pence),
    /// Something that is no whole number of pence: a mismatch.
    Unreadable,
}

/// What happened, as the provider tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The money is on its way.
    Processing,
    /// This try failed.
    Failed,
    /// The money came.
    Succeeded,
    /// So much went back, over all refunds of the intent; `None` is all of it.
    Refunded(Option<Pence>),
}

impl Facts {
    /// Adds what the evidence says. Recording the same evidence again changes nothing.
    pub fn record(&mut self, evidence: &Evidence) {
        let mismatch = self.mismatch(evidence);
        if let Some(id) = &evidence.intent {
            let full = self.amount;
            let known = self.intents.get(id).map(|intent| intent.state);
            match (known, mismatch) {
                // The first reading stands; what contradicts it is noted.
                (Some(IntentState::Succeeded | IntentState::Rejected), Some(kind)) => {
                    if self.intents.get(id).and_then(Intent::rejected_for) != Some(kind) {
                        self.contradicted.insert((kind, id.clone()));
                    }
                }
                (Some(IntentState::Succeeded | IntentState::Rejected), None) => {}
                (None | Some(IntentState::Seen), Some(_)) => {
                    self.read_intent(id, IntentState::Rejected, evidence);
                }
                (None | Some(IntentState::Seen), None) => match evidence.report {
                    Report::Succeeded | Report::Refunded(_) => {
                        self.read_intent(id, IntentState::Succeeded, evidence);
                    }
                    Report::Processing | Report::Failed if known.is_none() => {
                        self.read_intent(id, IntentState::Seen, evidence);
                    }
                    Report::Processing | Report::Failed => {}
                },
            }
            if let (Report::Refunded(pence), Some(intent)) = (&evidence.report, self.intents.get_mut(id)) {
                intent.refunded = intent.refunded.max(pence.unwrap_or(full));
            }
        }
        if mismatch.is_none()
            && let Some(best) = evidence.attempt.and_then(|attempt| self.attempts.get_mut(&attempt))
        {
            match evidence.report {
                Report::Processing => *best = (*best).max(AttemptBest::Processing),
                Report::Failed => *best = (*best).max(AttemptBest::Failed),
                Report::Succeeded | Report::Refunded(_) => {}
            }
        }
    }

    fn read_intent(&mut self, id: &IntentId, state: IntentState, evidence: &Evidence) {
        let amount = match evidence.amount {
            Reported::Pence(pence) => Some(pence),
            Reported::Absent | Reported::Unreadable => None,
        };
        let currency = evidence.currency.clone();
        let intent = Intent { state, amount, currency, refunded: Pence::ZERO, refund_marked: false };
        self.intents.insert(id.clone(), intent);
    }

    /// What is wrong with the money the evidence speaks of: currency first, then amount.
    pub fn mismatch(&self, evidence: &Evidence) -> Option<AnomalyKind> {
        if is_foreign(evidence.currency.as_deref()) {
            return Some(AnomalyKind::CurrencyMismatch);
        }
        match evidence.amount {
            Reported::Absent => None,
            Reported::Pence(pence) if pence == self.amount => None,
            Reported::Pence(_) | Reported::Unreadable => Some(AnomalyKind::AmountMismatch),
        }
    }

    /// Records that the money behind every present proof of payment went back outside the platform.
    pub fn mark_refunded(&mut self) {
        for intent in self.intents.values_mut().filter(|intent| intent.state == IntentState::Succeeded) {
            intent.refund_marked = true;
        }
        self.marks.manual_refund_marked |= self.marks.manually_paid;
    }

    /// Where the payment stands.
    pub fn status(&self) -> PaymentStatus {
        let kept = |intent: &&Intent| intent.refunded < self.amount && !intent.refund_marked;
        if self.succeeded().any(|(_, intent)| kept(&intent))
            || (self.marks.manually_paid && !self.marks.manual_refund_marked)
        {
            PaymentStatus::Succeeded
        } else if self.has_proof() {
            PaymentStatus::Refunded
        } else if self.marks.cancelled {
            PaymentStatus::Cancelled
        } else {
            match self.attempts.last_key_value().map(|(_, best)| *best) {
                None | Some(AttemptBest::Pending) => PaymentStatus::Pending,
                Some(AttemptBest::Processing) => PaymentStatus::Processing,
                Some(AttemptBest::Failed) => PaymentStatus::Failed,
            }
        }
    }

    /// Whether there ever was a proof of payment: a succeeded intent or a manual mark.
    pub fn has_proof(&self) -> bool {
        self.marks.manually_paid || self.succeeded().next().is_some()
    }

    /// Whether the linked todo and custom payment task are completed. Nothing undoes that later.
    pub fn completes_links(&self) -> bool {
        self.has_proof() && !self.marks.cancelled
    }

    /// What went back through the provider: the sum over succeeded intents.
    pub fn refunded(&self) -> Pence {
        self.succeeded().fold(Pence::ZERO, |sum, (_, intent)| sum.saturating_add(intent.refunded))
    }

    /// Everything strange about these facts: the kind, and the intent it is about (or a constant where it is
    /// about the payment). Grows with the facts and never shrinks.
    pub fn anomalies(&self) -> BTreeSet<(AnomalyKind, String)> {
        let mut found = BTreeSet::new();
        // The manual mark is only taken while there is no other proof, so it always is the first; among
        // intents the smallest id is, whichever came first, so that the order of arrival does not matter.
        let manual = self.marks.manually_paid.then(|| "manual".to_owned());
        let proofs = manual.into_iter().chain(self.succeeded().map(|(id, _)| id.to_string()));
        let first_is_elsewhere = self.task_paid_by_other;
        for proof in proofs.skip(usize::from(!first_is_elsewhere)) {
            found.insert((AnomalyKind::DoublePayment, proof));
        }
        if self.marks.cancelled && self.succeeded().next().is_some() {
            found.insert((AnomalyKind::PaidAfterCancelled, String::new()));
        }
        for (id, intent) in &self.intents {
            found.extend(intent.rejected_for().map(|kind| (kind, id.to_string())));
        }
        found.extend(self.contradicted.iter().map(|(kind, id)| (*kind, id.to_string())));
        found
    }

    fn succeeded(&self) -> impl Iterator<Item = (&IntentId, &Intent)> {
        self.intents.iter().filter(|(_, intent)| intent.state == IntentState::Succeeded)
    }
}

impl Intent {
    /// What was wrong with its money in the first reading, if that rejected it.
    fn rejected_for(&self) -> Option<AnomalyKind> {
        (self.state == IntentState::Rejected).then(|| {
            let foreign = is_foreign(self.currency.as_deref());
            if foreign { AnomalyKind::CurrencyMismatch } else { AnomalyKind::AmountMismatch }
        })
    }
}

/// Whether a currency is named that is not ours; case does not matter.
fn is_foreign(currency: Option<&str>) -> bool {
    currency.is_some_and(|currency| !currency.eq_ignore_ascii_case("GBP"))
}

/// The audited steps from one status to another. A refund that arrives before its success makes two.
pub fn steps(from: PaymentStatus, to: PaymentStatus) -> Vec<(PaymentStatus, PaymentStatus)> {
    use PaymentStatus::{Cancelled, Failed, Pending, Processing, Refunded, Succeeded};
    match (from, to) {
        (from, to) if from == to => vec![],
        (Pending | Processing | Failed | Cancelled, Refunded) => {
            vec![(from, Succeeded), (Succeeded, Refunded)]
        }
        (from, to) => vec![(from, to)],
    }
}

/// The audit action of a step that the provider's evidence caused.
pub fn action_of(to: PaymentStatus) -> AuditAction {
    match to {
        PaymentStatus::Pending => AuditAction::CheckoutRenewed,
        PaymentStatus::Processing => AuditAction::Processing,
        PaymentStatus::Succeeded => AuditAction::Succeeded,
        PaymentStatus::Failed => AuditAction::Failed,
        PaymentStatus::Refunded => AuditAction::Refunded,
        PaymentStatus::Cancelled => AuditAction::Cancelled,
    }
}

#[cfg(test)]
mod tests;
