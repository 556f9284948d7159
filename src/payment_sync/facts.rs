//! The facts of one payment: from its rows, and back into them.

use futures_util::try_join;

use crate::{
    domain::{
        AttemptBest, Cause, HostId, IntentId, PaymentStatus, TaskStatus, TodoStatus,
        lifecycle::{Facts, Intent, Marks},
    },
    error::Error,
    ledger::{
        Tx,
        rows::{IntentRow, PaymentRow, SessionRow},
    },
    payment_sync::Happening,
};

/// A payment with everything recorded about it.
pub struct Subject {
    /// The row, marks of this happening included.
    pub payment: PaymentRow,
    /// The row as it was read.
    pub unmarked: PaymentRow,
    /// What is recorded.
    pub facts: Facts,
    /// The linked todo, if it is open.
    pub open_todo: Option<HostId>,
    /// The linked custom payment task, if it is pending.
    pub pending_task: Option<HostId>,
    sessions: Vec<SessionRow>,
    failure_code: Option<String>,
}

impl Subject {
    /// Reads the facts of a payment whose row is locked. The linked todo and custom payment task are locked too, since
    /// another payment may be completing them at this moment.
    pub async fn read(tx: &Tx, payment: PaymentRow) -> Result<Self, Error> {
        let task = async {
            match &payment.custom_payment_task_id {
                Some(task) => tx.lock_task(payment.agency_id, task).await,
                None => Ok(None),
            }
        };
        let todo = async {
            match &payment.todo_id {
                Some(todo) => tx.lock_todo(payment.agency_id, todo).await,
                None => Ok(None),
            }
        };
        let (intents, sessions, task, todo) =
            try_join!(tx.intents_of(payment.id), tx.sessions_of(payment.id), task, todo)?;
        let paid_by = task.as_ref().and_then(|task| task.paid_by_payment_id);
        let open_todo = todo.filter(|todo| todo.status == TodoStatus::Open).map(|todo| todo.id);
        let pending_task = task.filter(|task| task.status == TaskStatus::Pending).map(|task| task.id);
        let facts = Facts {
            amount: payment.amount_pence,
            intents: intents.into_iter().map(|row| (row.intent_id.clone(), intent(row))).collect(),
            attempts: sessions.iter().map(|session| (session.attempt, session.best)).collect(),
            marks: Marks {
                cancelled: payment.cancelled_at.is_some(),
                manually_paid: payment.manually_paid_at.is_some(),
                manual_refund_marked: payment.manual_refund_marked,
            },
            task_paid_by_other: paid_by.is_some_and(|id| id != payment.id),
            contradicted: Default::default(),
        };
        Ok(Self {
            unmarked: payment.clone(),
            payment,
            facts,
            open_todo,
            pending_task,
            sessions,
            failure_code: None,
        })
    }

    /// Its checkout sessions, by attempt.
    pub fn sessions(&self) -> &[SessionRow] {
        &self.sessions
    }

    /// As [`Subject::sessions`], to keep.
    pub fn into_sessions(self) -> Vec<SessionRow> {
        self.sessions
    }

    /// Adds what happened to the facts, and a person's mark to the row.
    pub fn record(&mut self, what: &Happening, cause: &Cause) {
        let actor = || Some(cause.actor.clone());
        match what {
            Happening::Reported { evidence, failure_code } => {
                self.facts.record(evidence);
                self.failure_code.clone_from(failure_code);
            }
            Happening::Cancelled => {
                self.facts.marks.cancelled = true;
                self.payment.cancelled_at = Some(cause.at);
                self.payment.cancelled_by = actor();
            }
            Happening::ManuallyPaid { reference } => {
                self.facts.marks.manually_paid = true;
                self.payment.manually_paid_at = Some(cause.at);
                self.payment.manually_paid_by = actor();
                self.payment.manual_payment_reference.clone_from(reference);
            }
            Happening::RefundedOutside { reference, reason } => {
                self.facts.mark_refunded();
                self.payment.manual_refund_marked = self.facts.marks.manual_refund_marked;
                self.payment.refund_marked_at = Some(cause.at);
                self.payment.refund_marked_by = actor();
                self.payment.refund_reference = Some(reference.clone());
                self.payment.refund_reason.clone_from(reason);
            }
            Happening::Renewed { attempt } => {
                self.facts.attempts.insert(*attempt, AttemptBest::Pending);
                self.payment.latest_attempt = *attempt;
            }
            Happening::Noticed { .. } => {}
        }
    }

    /// Writes the intents that changed; answers those that are new.
    pub async fn write_intents(
        &self,
        tx: &Tx,
        before: &Facts,
        what: &Happening,
        cause: &Cause,
    ) -> Result<Vec<IntentId>, Error> {
        let attempt = match what {
            Happening::Reported { evidence, .. } => evidence.attempt,
            _ => None,
        };
        let mut new = Vec::new();
        for (id, intent) in &self.facts.intents {
            let known = before.intents.get(id);
            if known == Some(intent) {
                continue;
            }
            let row = IntentRow {
                intent_id: id.clone(),
                payment_id: self.payment.id,
                attempt,
                state: intent.state,
                amount_pence: intent.amount,
                currency: intent.currency.clone(),
                refunded_pence: intent.refunded,
                refund_marked: intent.refund_marked,
                recorded_at: cause.at,
            };
            if known.is_some() {
                tx.update_intent(&row).await?;
            } else {
                tx.insert_intent(&row).await?;
                new.push(id.clone());
            }
        }
        Ok(new)
    }

    /// Writes the attempts that got further.
    pub async fn write_attempts(&mut self, tx: &mut Tx, before: &Facts, cause: &Cause) -> Result<(), Error> {
        for session in &mut self.sessions {
            let Some(best) = self.facts.attempts.get(&session.attempt).copied() else { continue };
            if before.attempts.get(&session.attempt) == Some(&best) {
                continue;
            }
            session.best = best;
            if best == AttemptBest::Processing {
                session.processing_since = Some(cause.at);
                // The janitor may have been done with it; money on its way is worth another look.
                session.next_read_at.get_or_insert(cause.at);
            }
            session.failure_reason =
                (best == AttemptBest::Failed).then(|| self.failure_code.clone()).flatten();
            tx.set_attempt_best(session).await?;
        }
        Ok(())
    }

    /// Why the newest attempt failed, where that is what the status says.
    pub fn failure_reason(&self, status: PaymentStatus) -> Option<String> {
        let newest = self.sessions.last()?;
        (status == PaymentStatus::Failed).then(|| newest.failure_reason.clone()).flatten()
    }
}

fn intent(row: IntentRow) -> Intent {
    let IntentRow {
        intent_id: _,
        payment_id: _,
        attempt: _,
        state,
        amount_pence,
        currency,
        refunded_pence,
        refund_marked,
        recorded_at: _,
    } = row;
    Intent { state, amount: amount_pence, currency, refunded: refunded_pence, refund_marked }
}
