//! What is recorded about a payment, and how more is added to it. Nothing is ever taken away: withdrawing a manual mark
//! and giving money back are facts as well. What follows from the facts is `super`'s; whether people may ask for a mark is
//! `super::requests`'.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Proof, Report, Reported};
use crate::domain::{AnomalyKind, AttemptBest, FreeText, IntentId, IntentState, Label, PaymentId, Pence};

/// All that is recorded about one payment, and what has to be known of others beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whose facts they are.
    pub payment: PaymentId,
    /// What was asked for.
    pub amount: Pence,
    /// Every provider intent seen for this payment.
    pub intents: BTreeMap<IntentId, Intent>,
    /// Every checkout session, by attempt number from 1.
    pub attempts: BTreeMap<i32, AttemptBest>,
    /// What people said.
    pub marks: Marks,
    /// What the other payments of its todo and its custom payment task have to say.
    pub others: Others,
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
    /// Every manual mark, by number from 1. People may set one only while there is no proof of payment
    /// (`requests::mark_manually_paid`), so all but the newest are withdrawn.
    pub manual: BTreeMap<i32, ManualMark>,
    /// The reference of the newest refund mark. What a refund mark covers stands with the proofs it covers.
    pub refund_reference: Option<Label<200>>,
}

/// One manual mark: somebody confirmed a payment made outside the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualMark {
    /// Such as the bank transfer's reference.
    pub reference: Option<Label<200>>,
    /// Whether it stands.
    pub state: ManualState,
}

/// What became of a manual mark. The last two are final: only a standing mark can be withdrawn or covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManualState {
    /// It stands.
    Standing,
    /// It was a mistake, for this reason: no proof of payment, and it never was.
    Withdrawn(FreeText<500>),
    /// A refund mark covers it: a proof of payment whose money went back.
    RefundMarked,
}

/// What is known of the other payments that are linked to the same todo or custom payment task. Payments that were
/// cancelled have no part in it: their money completes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// The proofs of payment of the task's other payments. Empty where there is no task.
    pub task_proofs: BTreeSet<(PaymentId, Proof)>,
    /// Whether another payment of the todo has a proof of payment.
    pub todo_has_proof: bool,
}

impl Facts {
    /// The facts of a payment about which nothing is recorded yet.
    pub fn new(payment: PaymentId, amount: Pence) -> Self {
        Self {
            payment,
            amount,
            intents: BTreeMap::new(),
            attempts: BTreeMap::new(),
            marks: Marks::default(),
            others: Others::default(),
            contradicted: BTreeSet::new(),
        }
    }

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

    /// Records that a new link was made, under this number.
    pub fn renew(&mut self, attempt: i32) {
        self.attempts.insert(attempt, AttemptBest::Pending);
    }

    /// Records that the payment was called off.
    pub fn cancel(&mut self) {
        self.marks.cancelled = true;
    }

    /// Records a manual mark; answers its number.
    pub fn mark_manually_paid(&mut self, reference: Option<Label<200>>) -> i32 {
        let number = self.marks.manual.last_key_value().map_or(0, |(newest, _)| *newest) + 1;
        self.marks.manual.insert(number, ManualMark { reference, state: ManualState::Standing });
        number
    }

    /// Records that the standing manual mark was a mistake; answers its number, `None` where none stands.
    pub fn withdraw_manual_payment(&mut self, reason: FreeText<500>) -> Option<i32> {
        let (number, mark) = self.marks.manual.iter_mut().find(|(_, mark)| mark.stands())?;
        mark.state = ManualState::Withdrawn(reason);
        Some(*number)
    }

    /// Records that the money behind every present proof of payment went back outside the platform. Proofs that are
    /// recorded later are new money.
    pub fn mark_refunded(&mut self, reference: Label<200>) {
        for intent in self.intents.values_mut().filter(|intent| intent.state == IntentState::Succeeded) {
            intent.refund_marked = true;
        }
        for mark in self.marks.manual.values_mut().filter(|mark| mark.stands()) {
            mark.state = ManualState::RefundMarked;
        }
        self.marks.refund_reference = Some(reference);
    }
}

impl Marks {
    /// The manual mark that is a proof of payment, and its number: what `manuallyPaid` and `manualPaymentReference` show.
    pub fn manual_payment(&self) -> Option<(i32, &ManualMark)> {
        self.manual.iter().find(|(_, mark)| mark.is_proof()).map(|(number, mark)| (*number, mark))
    }
}

impl ManualMark {
    /// Whether it is neither withdrawn nor covered by a refund mark.
    pub fn stands(&self) -> bool {
        match self.state {
            ManualState::Standing => true,
            ManualState::Withdrawn(_) | ManualState::RefundMarked => false,
        }
    }

    /// Whether it is a proof of payment. One whose money went back still is; a withdrawn one never was.
    pub fn is_proof(&self) -> bool {
        match self.state {
            ManualState::Standing | ManualState::RefundMarked => true,
            ManualState::Withdrawn(_) => false,
        }
    }
}

impl Intent {
    /// What was wrong with its money in the first reading, if that rejected it.
    pub(super) fn rejected_for(&self) -> Option<AnomalyKind> {
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
