//! The payments of one task and one todo, as a database would keep them: what a change reads, and what it writes. Each
//! change reads the other payments' proofs, as one transaction does, and writes what the fold says; nothing is ever
//! computed anew from all of it.

use super::*;
use PaymentStatus::{Failed, Pending, Processing, Succeeded};

/// Several payments of one task and one todo, from old to new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct World {
    /// What is recorded of each. What is known of the others is read anew for each change.
    pub payments: Vec<Facts>,
    /// The todo's row.
    pub todo_complete: bool,
    /// The task's row.
    pub task_paid_by: Option<usize>,
    /// The anomalies that were raised and did not lapse.
    pub anomalies: BTreeSet<(usize, AnomalyKind, String)>,
}

impl World {
    /// So many payments, just asked for.
    pub(super) fn of(payments: usize) -> Self {
        Self {
            payments: (0..payments).map(asked_as).collect(),
            todo_complete: false,
            task_paid_by: None,
            anomalies: BTreeSet::new(),
        }
    }

    /// One change of one payment, and all that is written for it.
    pub(super) fn happen(&mut self, payment: usize, happened: Happened) {
        let before = Facts { others: self.others_of(payment), ..self.payments[payment].clone() };
        let after = before.clone().then(happened);
        let diff = diff(&before, &after);
        self.check(payment, happened, &diff);
        for lapsed in numbered(diff.lapsed) {
            assert!(self.anomalies.remove(&lapsed), "{lapsed:?} lapsed, and nobody had raised it");
        }
        for raised in numbered(diff.raised) {
            assert!(self.anomalies.insert(raised.clone()), "{raised:?} was raised twice");
        }
        self.todo_complete = after.completes_todo();
        self.task_paid_by = after.task_paid_by().map(number_of);
        self.payments[payment] = Facts { others: Others::default(), ..after };
    }

    /// What holds for the anomalies of every single change.
    fn check(&self, payment: usize, happened: Happened, diff: &AnomalyDiff) {
        let double = |anomalies: &BTreeSet<Anomaly>| {
            anomalies.iter().filter(|anomaly| anomaly.kind == AnomalyKind::DoublePayment).count()
        };
        assert!(double(&diff.raised) + double(&diff.lapsed) <= 1, "{diff:?}");
        assert!(diff.lapsed.is_empty() || happened == Happened::Withdrawn, "{happened:?}: {diff:?}");
        assert!(diff.lapsed.iter().all(|anomaly| anomaly.kind.may_lapse()), "{diff:?}");
        if let Some(other) = diff.other_payment(payment_id(payment)) {
            assert!(number_of(other) > payment, "locks are taken from old to new: {diff:?}");
        }
    }

    fn others_of(&self, payment: usize) -> Others {
        let counts = |(number, facts): &(usize, &Facts)| *number != payment && !facts.marks.cancelled;
        let others: Vec<_> = self.payments.iter().enumerate().filter(counts).collect();
        let proofs = |facts: &Facts| facts.proofs().map(|proof| (facts.payment, proof)).collect::<Vec<_>>();
        Others {
            task_proofs: others.iter().flat_map(|(_, facts)| proofs(facts)).collect(),
            todo_has_proof: others.iter().any(|(_, facts)| facts.has_proof()),
        }
    }

    /// What stands in the database.
    pub(super) fn view(&self) -> View {
        View {
            payments: self.payments.iter().map(|facts| (facts.status(), facts.refunded().get())).collect(),
            todo_complete: self.todo_complete,
            task_paid_by: self.task_paid_by,
            anomalies: self.anomalies.clone(),
        }
    }

    /// The anomalies as lines: the payment, the kind, then what it is about.
    pub(super) fn strange(&self) -> Vec<String> {
        let line = |(payment, kind, about): &(usize, AnomalyKind, String)| {
            format!("{payment} {kind} {about}").trim_end().to_owned()
        };
        self.anomalies.iter().map(line).collect()
    }
}

/// Whether people may ask for this now. A payment stuck in processing may be cancelled or marked paid as well.
pub(super) fn allowed(happened: Happened, facts: &Facts) -> bool {
    let status = facts.status();
    match happened {
        Happened::Told(_) | Happened::OlderPaid | Happened::NewerPaid => true,
        Happened::Renewed => matches!(status, Pending | Failed) && facts.attempts.len() < 2,
        Happened::Cancelled | Happened::PaidByHand => matches!(status, Pending | Failed | Processing),
        Happened::Withdrawn => {
            facts.marks.manual.values().any(|mark| matches!(mark.state, ManualState::Standing))
        }
        Happened::RefundMarked => status == Succeeded,
    }
}
