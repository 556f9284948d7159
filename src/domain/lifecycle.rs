//! The lifecycle of a payment as a fold over facts: what is recorded, and what follows from it. Pure: no clock, no SQL,
//! no provider.
//!
//! This is docs/money.md, "Lifecycle", in Rust:
//!
//! - A **proof of payment** is a succeeded intent, or a manual mark that was not withdrawn. One whose money went back still
//!   is a proof.
//! - The **status** is `succeeded` while some proof is neither refunded in full nor covered by a refund mark; else
//!   `refunded` if there is a proof; else `cancelled` if the payment was called off; else what the newest attempt says.
//! - A **todo** is complete, and a **custom payment task** paid, while an uncancelled payment linked to it has a proof.
//! - The proofs of a task's uncancelled payments are **ordered** by payment id, then marks before intents, then number or
//!   id. The first pays the task; each other is a `double_payment` on its own payment. A payment without a task, or one that
//!   was called off, orders its own proofs in the same way.
//!
//! Nothing here depends on the order in which the facts came: each function looks at what is recorded alone. People's marks
//! are the exception that the rule itself makes: a refund mark covers the proofs recorded when it is made. So between two
//! marks the same reports, in any order, repeated or not, give the same status, links and anomalies. Only a withdrawal can
//! make something that followed from the facts no longer follow.
//!
//! `facts` is what is recorded, `requests` what people may ask for, `audit_steps` what the trail tells of a change.

mod anomalies;
mod audit_steps;
mod evidence;
mod facts;
pub mod requests;

use std::collections::BTreeSet;

pub use anomalies::{Anomaly, AnomalyDiff, diff};
pub use audit_steps::{AuditStep, Recorded, action_of, audit_steps, steps};
pub use evidence::{Evidence, Report, Reported};
pub use facts::{Facts, Intent, ManualMark, ManualState, Marks, Others};

use super::{AttemptBest, IntentId, IntentState, PaymentId, PaymentStatus, Pence};

/// A proof of payment, named. Ordered as the rule orders the proofs of one payment: marks before intents, then by number
/// or id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proof {
    /// The manual mark of this number.
    Manual(i32),
    /// The succeeded intent.
    Intent(IntentId),
}

impl std::fmt::Display for Proof {
    /// As anomalies refer to it. An intent's id holds no space, so none can pass for a mark.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Manual(number) => write!(f, "manual {number}"),
            Self::Intent(id) => id.fmt(f),
        }
    }
}

impl Facts {
    /// Where the payment stands.
    pub fn status(&self) -> PaymentStatus {
        let kept = |intent: &Intent| intent.refunded < self.amount && !intent.refund_marked;
        if self.marks.manual.values().any(ManualMark::stands)
            || self.succeeded().any(|(_, intent)| kept(intent))
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

    /// Whether there is a proof of payment, given back or not.
    pub fn has_proof(&self) -> bool {
        self.marks.manual_payment().is_some() || self.succeeded().next().is_some()
    }

    /// The proofs of payment, in order.
    pub fn proofs(&self) -> impl Iterator<Item = Proof> {
        let marks = self.marks.manual.iter().filter(|(_, mark)| mark.is_proof());
        let intents = self.succeeded().map(|(id, _)| Proof::Intent(id.clone()));
        marks.map(|(number, _)| Proof::Manual(*number)).chain(intents)
    }

    /// The proof that made the payment paid, whose time `paidAt` is; `None` where there is no proof, and so no `paidAt`.
    ///
    /// A mark is only taken while there is no proof, so it came before every intent. Which intent came first is no fact of
    /// the fold (times show the order in which things really came in): the row keeps it, as `paymentIntentId`.
    pub fn paid_by(&self, first_success: Option<&IntentId>) -> Option<Proof> {
        let came_first = |id: &&IntentId| self.succeeded().any(|(known, _)| known == *id);
        match self.marks.manual_payment() {
            Some((number, _)) => Some(Proof::Manual(number)),
            None => first_success.filter(came_first).cloned().map(Proof::Intent),
        }
    }

    /// What went back through the provider: the sum over succeeded intents.
    pub fn refunded(&self) -> Pence {
        self.succeeded().fold(Pence::ZERO, |sum, (_, intent)| sum.saturating_add(intent.refunded))
    }

    /// Whether the linked todo, if there is one, is complete.
    pub fn completes_todo(&self) -> bool {
        self.others.todo_has_proof || (self.has_proof() && !self.marks.cancelled)
    }

    /// The payment that pays the linked custom payment task, if there is one; `None` while nothing pays it.
    pub fn task_paid_by(&self) -> Option<PaymentId> {
        self.task_proofs().into_iter().next().map(|(payment, _)| payment)
    }

    /// The proofs that are further payments, of this payment and of the others of its task.
    pub fn double_payments(&self) -> BTreeSet<(PaymentId, Proof)> {
        let mut double: BTreeSet<_> = self.task_proofs().into_iter().skip(1).collect();
        if self.marks.cancelled {
            double.extend(self.proofs().skip(1).map(|proof| (self.payment, proof)));
        }
        double
    }

    /// The proofs that count for the custom payment task, in order: those of its uncancelled payments.
    fn task_proofs(&self) -> BTreeSet<(PaymentId, Proof)> {
        let mut proofs = self.others.task_proofs.clone();
        if !self.marks.cancelled {
            proofs.extend(self.proofs().map(|proof| (self.payment, proof)));
        }
        proofs
    }

    fn succeeded(&self) -> impl Iterator<Item = (&IntentId, &Intent)> {
        self.intents.iter().filter(|(_, intent)| intent.state == IntentState::Succeeded)
    }
}

#[cfg(test)]
mod tests;
