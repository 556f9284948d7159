//! Reading a session back: what Calmony Pay has not told us, asked for.
//!
//! What is learned goes through the same transaction as a webhook's. Not here: who asks, and when (the janitor when a
//! session is due, `payment.renewCheckout` before it replaces one).

use futures_util::FutureExt;

use super::schedule::{self, Next};
use crate::{
    App,
    calmony::client::{CallFault, IntentReading, SessionReading},
    domain::{
        AnomalyKind, Cause, IntentId, IntentState, JANITOR, PaymentId, PaymentStatus, SessionState,
        Timestamp,
        lifecycle::{Evidence, Report},
    },
    error::Error,
    ledger::{
        Tx,
        rows::{PaymentRow, SessionRow},
    },
    payment_sync::{Happening, Settled, happened},
};

/// Whether the provider answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBack {
    /// What it said is recorded.
    Answered,
    /// Nothing is known beyond what was.
    Unanswered,
}

/// Reads a session, and the intent that paid it, and records what they say.
pub async fn read_back(app: &App, session: &SessionRow) -> Result<ReadBack, Error> {
    let (payment, attempt) = (session.payment_id, session.attempt);
    let Some(id) = &session.session_id else {
        visited(app, payment, attempt, |_, _| Next::Over).await?;
        return Ok(ReadBack::Answered);
    };
    if has_paid(app, session).await? {
        visited(app, payment, attempt, |_, _| Next::Over).await?;
        return Ok(ReadBack::Answered);
    }
    let scale = app.time_scale;
    let reading = match app.calmony.read_session(id).await {
        Ok(reading) => reading,
        // It is not known there, or no longer; whether its link may still work is for the clock to say.
        Err(CallFault::Rejected { .. }) => SessionReading::default(),
        Err(fault @ CallFault::Unknown { .. }) => {
            tracing::warn!(%payment, attempt, %fault, "a session could not be read back");
            visited(app, payment, attempt, move |row, now| schedule::unread(row, now, scale)).await?;
            return Ok(ReadBack::Unanswered);
        }
    };
    if let Some(intent) = &reading.intent_id {
        match app.calmony.read_intent(intent).await {
            Ok(found) => learn(app, session, intent.clone(), found, reading.paid).await?,
            Err(fault) => {
                tracing::warn!(%payment, attempt, %intent, %fault, "an intent could not be read back");
                visited(app, payment, attempt, move |row, now| schedule::unread(row, now, scale)).await?;
                return Ok(ReadBack::Unanswered);
            }
        }
    }
    conclude(app, payment, attempt, reading).await?;
    Ok(ReadBack::Answered)
}

/// Whether a success of this attempt is recorded already, so that there is nothing to learn.
async fn has_paid(app: &App, session: &SessionRow) -> Result<bool, Error> {
    let (payment, attempt) = (session.payment_id, session.attempt);
    let intents = app.ledger.read(move |tx| async move { tx.intents_of(payment).await }.boxed()).await?;
    Ok(intents.iter().any(|intent| intent.attempt == Some(attempt) && intent.state == IntentState::Succeeded))
}

/// Records what an intent says, as an event about it would.
async fn learn(
    app: &App,
    session: &SessionRow,
    intent: IntentId,
    found: IntentReading,
    session_is_paid: bool,
) -> Result<(), Error> {
    let report = match found.report.clone() {
        refunded @ Some(Report::Refunded(_)) => refunded,
        // A paid session is a success of its intent, whatever word the intent has for it.
        _ if session_is_paid => Some(Report::Succeeded),
        other => other,
    };
    let Some(report) = report else { return Ok(()) };
    let (id, attempt) = (session.payment_id, session.attempt);
    let cause = janitor();
    let settled = app
        .ledger
        .write(move |tx| async move { record(tx, id, attempt, intent, found, report, &cause).await }.boxed());
    if settled.await?.is_some_and(|settled| settled.is_transition()) {
        tracing::info!(payment = %id, "the janitor learned what no webhook had told");
        metrics::counter!("quittance_janitor_found_total").increment(1);
    }
    Ok(())
}

fn janitor() -> Cause {
    Cause { actor: JANITOR.into(), ..Cause::calmony_pay(None) }
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
    // What is known of the intent decides where it belongs; a conflict sits there.
    let owner = tx.intent(&intent).await?.map(|row| row.payment_id);
    let Some(payment) = tx.lock_payment(owner.unwrap_or(id)).await? else { return Ok(None) };
    let what = if payment.id != id || disagrees(&payment, &found) {
        let detail = format!("the payment's session names {intent}, which belongs elsewhere");
        Happening::Noticed { kind: AnomalyKind::ReferenceConflict, reference: intent.to_string(), detail }
    } else {
        let IntentReading { amount, currency, failure_code, .. } = found;
        let evidence = Evidence { intent: Some(intent), attempt: Some(attempt), amount, currency, report };
        Happening::Reported { evidence, failure_code }
    };
    let settled = happened(tx, payment, &what, cause).await?;
    for intent in &settled.new_intents {
        tx.wake_events_of_intent(intent, cause.at).await?;
    }
    Ok(Some(settled))
}

fn disagrees(payment: &PaymentRow, found: &IntentReading) -> bool {
    let names = |named: &Option<String>, own: String| {
        named.as_ref().is_some_and(|named| !named.eq_ignore_ascii_case(&own))
    };
    names(&found.ledger_ref, payment.id.to_string())
        || names(&found.agency_ref, payment.agency_id.to_string())
}

/// Stores when the session is visited next, if it is, and calls a person where it is processing for too long.
async fn conclude(app: &App, id: PaymentId, attempt: i32, reading: SessionReading) -> Result<(), Error> {
    let scale = app.time_scale;
    visited(app, id, attempt, move |row, now| schedule::after_reading(row, &reading, now, scale)).await
}

/// Decides, on the session as it now is under the payment's lock, when it is visited next; and lets go of it.
pub async fn visited(
    app: &App,
    id: PaymentId,
    attempt: i32,
    decide: impl Fn(&SessionRow, Timestamp) -> Next + Clone + Send + Sync + 'static,
) -> Result<(), Error> {
    app.ledger
        .write(move |tx| {
            async move {
                let now = Timestamp::now();
                let Some(payment) = tx.lock_payment(id).await? else { return Ok(()) };
                let Some(session) = tx.session(id, attempt).await? else { return Ok(()) };
                let next = decide(&session, now);
                let (state, next_read_at) = match next {
                    Next::At(at) => (session.state, Some(at)),
                    Next::Over => (over(session.state), None),
                    Next::Stuck => (session.state, None),
                };
                let row = SessionRow { state, next_read_at, leased_until: None, ..session };
                tx.update_session(&row).await?;
                if next == Next::Stuck && payment.status == PaymentStatus::Processing {
                    notice_stuck(tx, payment, attempt).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
}

fn over(state: SessionState) -> SessionState {
    match state {
        SessionState::Creating | SessionState::Open | SessionState::Dead => SessionState::Dead,
        SessionState::Rejected => SessionState::Rejected,
    }
}

/// Once an attempt: a payment that was settled, failed and was asked for again may be stuck a second time.
async fn notice_stuck(tx: &mut Tx, payment: PaymentRow, attempt: i32) -> Result<(), Error> {
    let detail = "processing for 14 days: ask Calmony Pay, then mark it paid or cancel it".to_owned();
    let what =
        Happening::Noticed { kind: AnomalyKind::StuckProcessing, reference: attempt.to_string(), detail };
    happened(tx, payment, &what, &janitor()).await.map(drop)
}
