//! A payment with everything recorded about it: read from its rows under their locks, and written back into them.

use std::collections::BTreeSet;

use futures_util::try_join;
use serde_json::{Map, Value, json};

use super::PaymentFact;
use crate::{
    domain::{
        AgencyId, AttemptBest, Cause, IntentId, IntentState, PaymentId, PaymentStatus, TaskStatus, Timestamp,
        TodoStatus,
        lifecycle::{Facts, Intent, ManualMark, ManualState, Marks, Others},
    },
    error::Error,
    ledger::{
        Tx,
        tables::{IntentRow, ManualPaymentRow, PaymentLinks, PaymentRow, SessionRow, TaskRow, TodoRow},
    },
};

/// A payment, locked together with its todo and its custom payment task, and what is recorded about it.
#[derive(Clone, Debug)]
pub struct LoadedPayment {
    /// Its row.
    pub payment: PaymentRow,
    /// What is recorded.
    pub facts: Facts,
    todo: Option<TodoRow>,
    task: Option<TaskRow>,
    sessions: Vec<SessionRow>,
    intents: Vec<IntentRow>,
    manual: Vec<ManualPaymentRow>,
    failure_code: Option<String>,
}

impl LoadedPayment {
    /// Locks and reads a payment of this agency; `None` where there is none.
    pub async fn lock(tx: &Tx, agency: AgencyId, id: PaymentId) -> Result<Option<Self>, Error> {
        match tx.payment_links(agency, id).await? {
            Some(links) => Self::load(tx, &links).await,
            None => Ok(None),
        }
    }

    /// As [`LoadedPayment::lock`], where it is known already what the payment is linked to; that never changes. Task and
    /// todo are locked too, since another payment may be completing them at this moment, and before the payment: so
    /// whoever has the task may lock its other payments.
    pub async fn load(tx: &Tx, links: &PaymentLinks) -> Result<Option<Self>, Error> {
        let (agency, id) = (links.agency_id, links.id);
        let task = async {
            match &links.custom_payment_task_id {
                Some(task) => tx.lock_task(agency, task).await,
                None => Ok(None),
            }
        };
        let todo = async {
            match &links.todo_id {
                Some(todo) => tx.lock_todo(agency, todo).await,
                None => Ok(None),
            }
        };
        // Statements of one job are done in the order in which they are asked for: what is read here is read under the lock.
        let (task, todo, payment, intents, sessions) = try_join!(
            task,
            todo,
            tx.lock_payment(agency, id),
            tx.intents_of(agency, id),
            tx.sessions_of(agency, id)
        )?;
        let Some(payment) = payment else { return Ok(None) };
        // Few payments are ever marked by hand.
        let manual = match payment.manual_payments {
            0 => Vec::new(),
            _ => tx.manual_payments_of(agency, id).await?,
        };
        let mut facts = Facts::new(id, payment.amount_pence);
        facts.intents = intents.iter().map(|row| (row.intent_id.clone(), intent(row))).collect();
        facts.attempts = sessions.iter().map(|session| (session.attempt, session.best)).collect();
        facts.marks = Marks {
            cancelled: payment.cancelled_at.is_some(),
            manual: manual.iter().map(|row| (row.number, mark(row))).collect(),
            refund_reference: payment.refund_reference.clone(),
        };
        let mut loaded = Self { payment, facts, todo, task, sessions, intents, manual, failure_code: None };
        let paid_by = loaded.task.as_ref().and_then(|task| task.paid_by_payment_id);
        if paid_by.is_some_and(|by| by != id) {
            loaded.read_task_proofs(tx).await?;
        }
        let todo_is_complete = loaded.todo.as_ref().is_some_and(|todo| todo.status == TodoStatus::Complete);
        let completes_it = loaded.facts.has_proof() && !loaded.facts.marks.cancelled;
        loaded.facts.others.todo_has_proof = todo_is_complete && !completes_it;
        Ok(Some(loaded))
    }

    /// Reads what the other payments of its task and its todo have to say, beyond what these themselves tell: a task that
    /// is not paid has no proof, and as long as this payment's stand, those that come after them change nothing.
    pub async fn read_others(&mut self, tx: &Tx) -> Result<(), Error> {
        self.read_task_proofs(tx).await?;
        if let Some(todo) = &self.payment.todo_id {
            let paid = tx.paid_payments_of_todo(self.payment.agency_id, todo).await?;
            self.facts.others.todo_has_proof = paid.iter().any(|other| other.id != self.payment.id);
        }
        Ok(())
    }

    /// The proofs of the task's other payments. Whoever adds or withdraws one has the task locked.
    async fn read_task_proofs(&mut self, tx: &Tx) -> Result<(), Error> {
        let Some(task) = &self.payment.custom_payment_task_id else { return Ok(()) };
        let agency = self.payment.agency_id;
        let mut proofs = BTreeSet::new();
        for other in tx.paid_payments_of_task(agency, task).await? {
            if other.id == self.payment.id {
                continue;
            }
            let (intents, manual) =
                try_join!(tx.intents_of(agency, other.id), tx.manual_payments_of(agency, other.id))?;
            let mut facts = Facts::new(other.id, other.amount_pence);
            facts.intents = intents.iter().map(|row| (row.intent_id.clone(), intent(row))).collect();
            facts.marks.manual = manual.iter().map(|row| (row.number, mark(row))).collect();
            proofs.extend(facts.proofs().map(|proof| (other.id, proof)));
        }
        self.facts.others = Others { task_proofs: proofs, ..self.facts.others.clone() };
        Ok(())
    }

    /// Its checkout sessions, by attempt.
    pub fn sessions(&self) -> &[SessionRow] {
        &self.sessions
    }

    /// Adds a fact, and a person's mark to the row.
    pub(super) fn record(&mut self, fact: &PaymentFact, cause: &Cause) {
        let actor = || Some(cause.actor.clone());
        match fact {
            PaymentFact::Reported { evidence, failure_code } => {
                self.facts.record(evidence);
                self.failure_code.clone_from(failure_code);
            }
            PaymentFact::Cancelled => {
                self.facts.cancel();
                self.payment.cancelled_at = Some(cause.at);
                self.payment.cancelled_by = actor();
            }
            PaymentFact::ManuallyPaid { reference } => {
                self.payment.manual_payments = self.facts.mark_manually_paid(reference.clone());
            }
            PaymentFact::ManualPaymentWithdrawn { reason } => {
                self.facts.withdraw_manual_payment(reason.clone());
            }
            PaymentFact::RefundedOutside { reference, reason } => {
                self.facts.mark_refunded(reference.clone());
                self.payment.refund_marked_at = Some(cause.at);
                self.payment.refund_marked_by = actor();
                self.payment.refund_reference = Some(reference.clone());
                self.payment.refund_reason.clone_from(reason);
            }
            PaymentFact::Renewed { attempt } => {
                self.facts.renew(*attempt);
                self.payment.latest_attempt = *attempt;
            }
            PaymentFact::Observed { .. } => {}
        }
        self.advance_attempts(fact, cause);
    }

    /// Brings the sessions' rows to what the facts say of their attempts.
    fn advance_attempts(&mut self, fact: &PaymentFact, cause: &Cause) {
        // A tenant may try more than once in one session: the newest reason stands.
        let declined = match fact {
            PaymentFact::Reported { evidence, failure_code: Some(_) } => evidence.attempt,
            _ => None,
        };
        for session in &mut self.sessions {
            let Some(best) = self.facts.attempts.get(&session.attempt).copied() else { continue };
            let again = best == AttemptBest::Failed && declined == Some(session.attempt);
            if session.best == best && !again {
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
        }
    }

    /// Intents that were not known before.
    pub(super) fn new_intents(&self, before: &Self) -> Vec<IntentId> {
        let is_new = |id: &&IntentId| !before.facts.intents.contains_key(*id);
        self.facts.intents.keys().filter(is_new).cloned().collect()
    }

    /// What is said in the audit log of the todo and the task that change with the payment.
    pub(super) fn completed_links(&self) -> Map<String, Value> {
        let mut done = Map::new();
        if let Some((_, todo)) = self.todo_change(None) {
            let key = match todo.status {
                TodoStatus::Complete => "completedTodoId",
                TodoStatus::Open => "reopenedTodoId",
            };
            done.insert(key.into(), json!(todo.id));
        }
        if let Some((_, task)) = self.task_change(None) {
            let key = match task.status {
                TaskStatus::Paid => "paidCustomPaymentTaskId",
                TaskStatus::Pending => "reopenedCustomPaymentTaskId",
            };
            done.insert(key.into(), json!(task.id));
        }
        done
    }

    /// The todo as it was and as the facts now have it, where that differs.
    fn todo_change(&self, cause: Option<&Cause>) -> Option<(&TodoRow, TodoRow)> {
        let todo = self.todo.as_ref()?;
        let status = match self.facts.completes_todo() {
            true => TodoStatus::Complete,
            false => TodoStatus::Open,
        };
        if todo.status == status {
            return None;
        }
        let by = cause.filter(|_| status == TodoStatus::Complete);
        let after = TodoRow {
            status,
            completed_at: by.map(|cause| cause.at),
            completed_by: by.map(|cause| cause.actor.clone()),
            ..todo.clone()
        };
        Some((todo, after))
    }

    /// The task as it was and as the facts now have it, where that differs.
    fn task_change(&self, cause: Option<&Cause>) -> Option<(&TaskRow, TaskRow)> {
        let task = self.task.as_ref()?;
        let paid_by = self.facts.task_paid_by();
        if task.paid_by_payment_id == paid_by {
            return None;
        }
        let status = match paid_by {
            Some(_) => TaskStatus::Paid,
            None => TaskStatus::Pending,
        };
        // It was paid when it was paid first, whichever of its payments counts as the one that did.
        let paid_at = paid_by.and(task.paid_at.or(cause.map(|cause| cause.at)));
        Some((task, TaskRow { status, paid_at, paid_by_payment_id: paid_by, ..task.clone() }))
    }

    /// Writes the todo and the task.
    pub(super) async fn write_links(&self, tx: &Tx, cause: &Cause) -> Result<(), Error> {
        if let Some((before, after)) = self.todo_change(Some(cause)) {
            tx.update_todo(before, &after).await?;
        }
        if let Some((before, after)) = self.task_change(Some(cause)) {
            tx.update_task(before, &after).await?;
        }
        Ok(())
    }

    /// Writes the facts that are new: intents, attempts, manual payments.
    pub(super) async fn write_facts(
        &self,
        tx: &Tx,
        before: &Self,
        fact: &PaymentFact,
        cause: &Cause,
    ) -> Result<(), Error> {
        for (id, intent) in &self.facts.intents {
            if before.facts.intents.get(id) == Some(intent) {
                continue;
            }
            let row = self.intent_row(id, intent, fact, cause);
            match before.intents.iter().find(|row| row.intent_id == *id) {
                Some(known) => tx.update_intent(known, &IntentRow { attempt: known.attempt, ..row }).await?,
                None => tx.insert_intent(&row).await?,
            }
        }
        for (known, session) in before.sessions.iter().zip(&self.sessions) {
            if known != session {
                tx.update_attempt(known, session).await?;
            }
        }
        for (number, mark) in &self.facts.marks.manual {
            if before.facts.marks.manual.get(number) == Some(mark) {
                continue;
            }
            match before.manual.iter().find(|row| row.number == *number) {
                Some(known) => tx.update_manual_payment(known, &with_state(known, mark, cause)).await?,
                None => {
                    let row = ManualPaymentRow {
                        agency_id: self.payment.agency_id,
                        payment_id: self.payment.id,
                        number: *number,
                        reference: mark.reference.clone(),
                        marked_at: cause.at,
                        marked_by: cause.actor.clone(),
                        refund_marked: false,
                        withdrawn_at: None,
                        withdrawn_by: None,
                        withdrawal_reason: None,
                    };
                    tx.insert_manual_payment(&row).await?;
                }
            }
        }
        Ok(())
    }

    fn intent_row(&self, id: &IntentId, intent: &Intent, fact: &PaymentFact, cause: &Cause) -> IntentRow {
        let attempt = match fact {
            PaymentFact::Reported { evidence, .. } => evidence.attempt,
            _ => None,
        };
        let known = self.intents.iter().find(|row| row.intent_id == *id);
        let succeeded = intent.state == IntentState::Succeeded;
        IntentRow {
            intent_id: id.clone(),
            agency_id: self.payment.agency_id,
            payment_id: self.payment.id,
            attempt,
            state: intent.state,
            amount_pence: intent.amount,
            currency: intent.currency.clone(),
            refunded_pence: intent.refunded,
            refund_marked: intent.refund_marked,
            recorded_at: known.map_or(cause.at, |row| row.recorded_at),
            succeeded_at: known
                .and_then(|row| row.succeeded_at)
                .or_else(|| succeeded.then(|| plausible(&self.payment, cause))),
        }
    }

    /// Why the newest attempt failed, where that is what the status says.
    pub(super) fn failure_reason(&self, status: PaymentStatus) -> Option<String> {
        let newest = self.sessions.last()?;
        (status == PaymentStatus::Failed).then(|| newest.failure_reason.clone()).flatten()
    }

    /// When a manual payment was marked; `None` of one that is just being marked.
    pub(super) fn marked_at(&self, number: i32) -> Option<Timestamp> {
        self.manual.iter().find(|row| row.number == number).map(|row| row.marked_at)
    }

    /// When an intent succeeded; `None` of one that is just being reported.
    pub(super) fn succeeded_at(&self, id: &IntentId) -> Option<Timestamp> {
        self.intents.iter().find(|row| row.intent_id == *id).and_then(|row| row.succeeded_at)
    }
}

fn intent(row: &IntentRow) -> Intent {
    let IntentRow {
        intent_id: _,
        agency_id: _,
        payment_id: _,
        attempt: _,
        state,
        amount_pence,
        currency,
        refunded_pence,
        refund_marked,
        recorded_at: _,
        succeeded_at: _,
    } = row;
    Intent {
        state: *state,
        amount: *amount_pence,
        currency: currency.clone(),
        refunded: *refunded_pence,
        refund_marked: *refund_marked,
    }
}

fn mark(row: &ManualPaymentRow) -> ManualMark {
    let ManualPaymentRow {
        agency_id: _,
        payment_id: _,
        number: _,
        reference,
        marked_at: _,
        marked_by: _,
        refund_marked,
        withdrawn_at: _,
        withdrawn_by: _,
        withdrawal_reason,
    } = row;
    let state = match withdrawal_reason {
        Some(reason) => ManualState::Withdrawn(reason.clone()),
        None if *refund_marked => ManualState::RefundMarked,
        None => ManualState::Standing,
    };
    ManualMark { reference: reference.clone(), state }
}

/// A manual payment's row with what became of it.
fn with_state(row: &ManualPaymentRow, mark: &ManualMark, cause: &Cause) -> ManualPaymentRow {
    match &mark.state {
        ManualState::Standing => row.clone(),
        ManualState::RefundMarked => ManualPaymentRow { refund_marked: true, ..row.clone() },
        ManualState::Withdrawn(reason) => ManualPaymentRow {
            withdrawn_at: Some(cause.at),
            withdrawn_by: Some(cause.actor.clone()),
            withdrawal_reason: Some(reason.clone()),
            ..row.clone()
        },
    }
}

/// The provider's word of when something happened where it can be right, else now.
pub(super) fn plausible(payment: &PaymentRow, cause: &Cause) -> Timestamp {
    let possible = |at: &Timestamp| (payment.created_at..=cause.at).contains(at);
    cause.happened_at.filter(possible).unwrap_or(cause.at)
}
