//! Reading a session back: what Calmony Pay has not told us, asked for.
//!
//! What is learned goes through the same transaction as a webhook's. Not here: who asks, and when (the janitor when a
//! session is due, `payment.renewCheckout` before it replaces one).

use futures_util::FutureExt;

use super::{DAILY, EXPIRY_MARGIN, STUCK_AFTER, next_read};
use crate::{
    App,
    calmony::client::{CallFault, IntentReading, SessionReading},
    domain::{
        AnomalyKind, AttemptBest, IntentId, IntentState, PaymentId, PaymentStatus, SessionState, Timestamp,
        lifecycle::{Evidence, Report},
    },
    error::Error,
    ledger::{
        Tx,
        rows::{PaymentRow, SessionRow},
    },
    payment_sync::{Cause, Happening, Settled, happened},
};

/// The name in the audit log.
const ACTOR: &str = "janitor";

/// Reads an open session, and the intent that paid it.
pub async fn read_back(app: &App, session: SessionRow) -> Result<(), Error> {
    let now = Timestamp::now();
    let (Some(id), Some(expires_at)) = (&session.session_id, session.expires_at) else {
        return rest(app, session, None).await;
    };
    if has_paid(app, &session).await? {
        return rest(app, SessionRow { state: SessionState::Dead, ..session }, None).await;
    }
    let opened_at = session.created_at;
    let next = next_read(opened_at, now, app.time_scale);
    let reading = match app.calmony.read_session(id).await {
        Ok(reading) => reading,
        Err(fault) => {
            tracing::warn!(payment = %session.payment_id, %fault, "a session could not be read back");
            return rest(app, session, Some(next)).await;
        }
    };
    metrics::counter!("quittance_janitor_reads_total").increment(1);
    if let Some(intent) = &reading.intent_id {
        match app.calmony.read_intent(intent).await {
            Ok(found) => learn(app, &session, intent.clone(), found).await?,
            Err(CallFault::Rejected { .. } | CallFault::Unknown { .. }) => {
                return rest(app, session, Some(next)).await;
            }
        }
    }
    let over = expires_at.plus(EXPIRY_MARGIN.mul_f64(app.time_scale)) <= now;
    conclude(app, session, &reading, next, over).await
}

/// Whether a success of this attempt is recorded already, so that there is nothing to learn.
async fn has_paid(app: &App, session: &SessionRow) -> Result<bool, Error> {
    let (payment, attempt) = (session.payment_id, session.attempt);
    let intents = app.ledger.read(move |tx| async move { Ok(tx.intents_of(payment).await?) }.boxed()).await?;
    let paid = |state| state != IntentState::Seen;
    Ok(intents.iter().any(|intent| intent.attempt == Some(attempt) && paid(intent.state)))
}

/// Records what an intent says, as an event about it would.
async fn learn(app: &App, session: &SessionRow, intent: IntentId, found: IntentReading) -> Result<(), Error> {
    let Some(report) = found.report.clone() else { return Ok(()) };
    let (id, attempt) = (session.payment_id, session.attempt);
    let cause = Cause { actor: ACTOR.into(), ..Cause::calmony_pay(None) };
    let settled = app
        .ledger
        .write(move |tx| async move { record(tx, id, attempt, intent, found, report, &cause).await }.boxed());
    if settled.await?.is_some_and(|settled| settled.is_transition()) {
        tracing::info!(payment = %id, "the janitor learned what no webhook had told");
        metrics::counter!("quittance_janitor_found_total").increment(1);
    }
    Ok(())
}

async fn record(
    tx: &mut Tx,
    id: PaymentId,
    attempt: i32,
    intent: IntentId,
    found: IntentReading,
    report: Report,
    cause: &Cause,
) -> Result<Option<Settled>, Error> {
    let Some(payment) = tx.lock_payment(id).await? else { return Ok(None) };
    let owner = tx.intent(&intent).await?.map(|row| row.payment_id);
    let what = if disagrees(&payment, owner, &found) {
        let detail = format!("the payment's session names {intent}, which belongs elsewhere");
        Happening::Noticed { kind: AnomalyKind::ReferenceConflict, reference: intent.to_string(), detail }
    } else {
        let IntentReading { amount, currency, failure_code, .. } = found;
        let evidence = Evidence { intent: Some(intent), attempt: Some(attempt), amount, currency, report };
        Happening::Reported { evidence, failure_code }
    };
    let settled = happened(tx, payment, &what, cause).await?;
    for intent in &settled.new_intents {
        tx.wake_events(Some(intent), None, cause.at).await?;
    }
    Ok(Some(settled))
}

fn disagrees(payment: &PaymentRow, owner: Option<PaymentId>, found: &IntentReading) -> bool {
    let names = |named: &Option<String>, own: String| named.as_ref().is_some_and(|named| *named != own);
    owner.is_some_and(|owner| owner != payment.id)
        || names(&found.ledger_ref, payment.id.to_string())
        || names(&found.agency_ref, payment.agency_id.to_string())
}

/// Stores when the session is visited next, if it is.
async fn conclude(
    app: &App,
    session: SessionRow,
    reading: &SessionReading,
    next: Timestamp,
    over: bool,
) -> Result<(), Error> {
    let now = Timestamp::now();
    let (id, attempt) = (session.payment_id, session.attempt);
    let fresh = app.ledger.read(move |tx| async move { Ok(tx.session(id, attempt).await?) }.boxed()).await?;
    let session = fresh.unwrap_or(session);
    let processing_since = session.processing_since.filter(|_| session.best == AttemptBest::Processing);
    match processing_since {
        Some(since) if since.plus(STUCK_AFTER.mul_f64(app.time_scale)) <= now => {
            notice_stuck(app, &session).await?;
            rest(app, session, None).await
        }
        Some(_) if reading.complete || over => {
            rest(app, session, Some(now.plus(DAILY.mul_f64(app.time_scale)))).await
        }
        Some(_) => rest(app, session, Some(next)).await,
        None if reading.paid || reading.expired || over => {
            let done = reading.intent_id.is_some() || !reading.paid || over;
            let state = if done { SessionState::Dead } else { session.state };
            rest(app, SessionRow { state, ..session }, (!done).then_some(next)).await
        }
        None => rest(app, session, Some(next)).await,
    }
}

async fn notice_stuck(app: &App, session: &SessionRow) -> Result<(), Error> {
    let id = session.payment_id;
    let cause = Cause { actor: ACTOR.into(), ..Cause::calmony_pay(None) };
    let note = async move |tx: &mut Tx| {
        let Some(payment) = tx.lock_payment(id).await? else { return Ok(()) };
        if payment.status == PaymentStatus::Processing {
            let detail = "processing for 14 days: ask Calmony Pay, then mark it paid or cancel it".to_owned();
            let kind = AnomalyKind::StuckProcessing;
            let what = Happening::Noticed { kind, reference: String::new(), detail };
            happened(tx, payment, &what, &cause).await?;
        }
        Ok(())
    };
    app.ledger.write(move |tx| async move { note(tx).await }.boxed()).await
}

/// Lets go of the session until its next visit.
pub async fn rest(app: &App, session: SessionRow, next_read_at: Option<Timestamp>) -> Result<(), Error> {
    let row = SessionRow { next_read_at, leased_until: None, ..session };
    app.ledger
        .write(move |tx| {
            async move {
                // Under the payment's lock, as every change of a session.
                let locked = tx.lock_payment(row.payment_id).await?;
                if locked.is_some() {
                    tx.update_session(&row).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
}
