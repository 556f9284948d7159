//! What is strange about a payment, as far as the facts say so. What is only noticed (an event that names two payments,
//! money that is on its way for too long) is no fact about the money and raised where it is noticed.

use std::collections::BTreeSet;

use super::Facts;
use crate::domain::{AnomalyKind, PaymentId};

/// One strange thing: there is at most one per payment, kind and reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anomaly {
    /// The payment it is about.
    pub payment: PaymentId,
    /// What kind of strange.
    pub kind: AnomalyKind,
    /// The proof of payment or intent it is about; empty where it is about the payment.
    pub reference: String,
}

/// What a change makes strange, and what it makes right.
///
/// One recorded fact adds or takes away at most one proof. In the order of a task's proofs that makes at most one other
/// proof a double payment, or no longer one, and that proof comes later in the order: so beside its own payment a change
/// concerns at most one other, whose id is larger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnomalyDiff {
    /// Given by the facts now and not before. Where the payment has the anomaly already, settled, and its kind
    /// [may lapse](AnomalyKind::may_lapse), it is open again; of other kinds the facts say the same thing twice.
    pub raised: BTreeSet<Anomaly>,
    /// Given by the facts before and no longer: nothing is left for a person to settle.
    pub lapsed: BTreeSet<Anomaly>,
}

impl AnomalyDiff {
    /// The other payment that is concerned, if one is.
    pub fn other_payment(&self, own: PaymentId) -> Option<PaymentId> {
        self.raised.iter().chain(&self.lapsed).map(|anomaly| anomaly.payment).find(|payment| *payment != own)
    }
}

/// What a change of the facts makes strange, and what it makes right.
pub fn diff(before: &Facts, after: &Facts) -> AnomalyDiff {
    let (was, is) = (before.anomalies(), after.anomalies());
    AnomalyDiff { raised: &is - &was, lapsed: &was - &is }
}

impl Facts {
    /// Everything strange about these facts: about this payment, and the double payments among the others of its task.
    pub fn anomalies(&self) -> BTreeSet<Anomaly> {
        let own = |kind, reference| Anomaly { payment: self.payment, kind, reference };
        let double = self.double_payments().into_iter().map(|(payment, proof)| Anomaly {
            payment,
            kind: AnomalyKind::DoublePayment,
            reference: proof.to_string(),
        });
        let mut found: BTreeSet<_> = double.collect();
        // Once a payment, however much came. A manual mark is never the money: nobody may mark a cancelled payment
        // paid, or cancel a paid one.
        if self.marks.cancelled && self.succeeded().next().is_some() {
            found.insert(own(AnomalyKind::PaidAfterCancelled, String::new()));
        }
        for (id, intent) in &self.intents {
            found.extend(intent.rejected_for().map(|kind| own(kind, id.to_string())));
        }
        found.extend(self.contradicted.iter().map(|(kind, id)| own(*kind, id.to_string())));
        found
    }
}
