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
        AgencyId, AnomalyKind, Cause, IntentId, IntentState, JANITOR, PaymentId, PaymentStatus, SessionState,
        Timestamp,
        lifecycle::{Evidence, Report},
    },
    error::Error,
    ledger::{
        Tx,
        tables::{PaymentRow, SessionRow},
    },
    payment_sync::{Applied, LoadedPayment, PaymentFact, apply},
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
        reschedule(app, session, |_, _| Next::Over).await?;
        return Ok(ReadBack::Answered);
    };
    if has_paid(app, session).await? {
        reschedule(app, session, |_, _| Next::Over).await?;
        return Ok(ReadBack::Answered);
    }
    let scale = app.time_scale;
    let reading = match app.calmony.read_session(id).await {
        Ok(reading) => reading,
        // Whether its link may still work is for the clock to say.
        Err(CallFault::Rejected { .. }) => SessionReading::default(),
        Err(fault @ CallFault::Unknown { .. }) => {
            tracing::warn!(%payment, attempt, %fault, "a session could not be read back");
            reschedule(app, session, move |row, now| schedule::unread(row, now, scale)).await?;
            return Ok(ReadBack::Unanswered);
        }
    };
    match &reading.intent_id {
        Some(intent) => match app.calmony.read_intent(intent).await {
            Ok(found) => learn(app, session, Some(intent.clone()), found, reading.paid).await?,
            Err(fault) => {
                tracing::warn!(%payment, attempt, %intent, %fault, "an intent could not be read back");
                reschedule(app, session, move |row, now| schedule::unread(row, now, scale)).await?;
                return Ok(ReadBack::Unanswered);
            }
        },
        // Completed and not paid: the money is on its way, as an event would say.
        None if reading.complete && !reading.paid => {
            learn(app, session, None, IntentReading::PROCESSING, false).await?;
        }
        None => {}
    }
    conclude(app, session, reading).await?;
    Ok(ReadBack::Answered)
}

/// Whether a success of this attempt is recorded already, so that there is nothing to learn.
async fn has_paid(app: &App, session: &SessionRow) -> Result<bool, Error> {
    let (agency, payment, attempt) = (session.agency_id, session.payment_id, session.attempt);
    let look = app.ledger.read(move |tx| async move { tx.intents_of(agency, payment).await }.boxed());
    let intents = look.await?;
    Ok(intents.iter().any(|intent| intent.attempt == Some(attempt) && intent.state == IntentState::Succeeded))
}

/// Records what an intent says, or a session without one, as an event about it would.
async fn learn(
    app: &App,
    session: &SessionRow,
    intent: Option<IntentId>,
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
    let (of, cause) = (session.clone(), janitor());
    let applied = app
        .ledger
        .write(move |tx| async move { record(tx, &of, intent, found, report, &cause).await }.boxed());
    if applied.await?.is_some_and(|applied| applied.is_transition()) {
        tracing::info!(payment = %session.payment_id, "the janitor learned what no webhook had told");
        metrics::counter!("quittance_janitor_found_total").increment(1);
    }
    Ok(())
}

fn janitor() -> Cause {
    Cause { actor: JANITOR.into(), ..Cause::calmony_pay(None) }
}

async fn record(
    tx: &Tx,
    session: &SessionRow,
    intent: Option<IntentId>,
    found: IntentReading,
    report: Report,
    cause: &Cause,
) -> Result<Option<Applied>, Error> {
    // What is known of the intent decides where it belongs; a conflict sits there.
    let own = (session.agency_id, session.payment_id);
    let owner = match &intent {
        Some(intent) => match tx.intent(intent).await? {
            Some(row) => Some((row.agency_id, row.payment_id)),
            None => named_by(tx, &found).await?,
        },
        None => None,
    };
    let (agency, id) = owner.unwrap_or(own);
    let Some(loaded) = LoadedPayment::lock(tx, agency, id).await? else { return Ok(None) };
    let fact = match &intent {
        Some(intent) if (agency, id) != own || disagrees(&loaded.payment, &found) => {
            let detail = format!("the payment's session names {intent}, which belongs elsewhere");
            let kind = AnomalyKind::ReferenceConflict;
            PaymentFact::Observed { kind, reference: intent.to_string(), detail }
        }
        Some(_) | None => {
            let IntentReading { amount, currency, failure_code, .. } = found;
            let evidence = Evidence { intent, attempt: Some(session.attempt), amount, currency, report };
            PaymentFact::Reported { evidence, failure_code }
        }
    };
    let applied = apply(tx, loaded, &fact, cause).await?;
    for intent in &applied.new_intents {
        tx.wake_events_of_intent(intent, cause.at).await?;
    }
    Ok(Some(applied))
}

/// The payment that an intent's metadata name, if there is one.
async fn named_by(tx: &Tx, found: &IntentReading) -> Result<Option<(AgencyId, PaymentId)>, Error> {
    let Some(id) = found.ledger_ref.as_deref().and_then(PaymentId::parse) else { return Ok(None) };
    Ok(tx.links_of_any_agency(id).await?.map(|links| (links.agency_id, links.id)))
}

fn disagrees(payment: &PaymentRow, found: &IntentReading) -> bool {
    let names = |named: &Option<String>, own: String| {
        named.as_ref().is_some_and(|named| !named.eq_ignore_ascii_case(&own))
    };
    names(&found.ledger_ref, payment.id.to_string())
        || names(&found.agency_ref, payment.agency_id.to_string())
}

/// Stores when the session is read next, if it is, and calls a person where it is processing for too long.
async fn conclude(app: &App, session: &SessionRow, reading: SessionReading) -> Result<(), Error> {
    let scale = app.time_scale;
    reschedule(app, session, move |row, now| schedule::after_reading(row, &reading, now, scale)).await
}

/// Decides, on the session as it now is under the payment's lock, when it is read next; and lets go of it.
pub async fn reschedule(
    app: &App,
    session: &SessionRow,
    decide: impl Fn(&SessionRow, Timestamp) -> Next + Clone + Send + Sync + 'static,
) -> Result<(), Error> {
    let (agency, id, attempt) = (session.agency_id, session.payment_id, session.attempt);
    let due = session.next_read_at;
    app.ledger
        .write(move |tx| {
            async move {
                let now = Timestamp::now();
                // Its task and todo too, since it may turn out to be stuck.
                let Some(loaded) = LoadedPayment::lock(tx, agency, id).await? else { return Ok(()) };
                let of = loaded.sessions().iter().find(|session| session.attempt == attempt);
                let Some(session) = of.cloned() else { return Ok(()) };
                let next = decide(&session, now);
                let (state, next_read_at) = match next {
                    Next::At(at) => (session.state, Some(at)),
                    Next::Over => (over(session.state), None),
                    Next::Stuck => (session.state, None),
                };
                // Where a read was asked for while we read, it is still to come.
                let asked_for = session.next_read_at.filter(|at| Some(*at) != due);
                let next_read_at = next_read_at.into_iter().chain(asked_for).min();
                let row = SessionRow { state, next_read_at, leased_until: None, ..session.clone() };
                tx.update_session(&session, &row).await?;
                if next == Next::Stuck && loaded.payment.status == PaymentStatus::Processing {
                    raise_stuck(tx, loaded, attempt).await?;
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
async fn raise_stuck(tx: &Tx, loaded: LoadedPayment, attempt: i32) -> Result<(), Error> {
    let detail = "processing for 14 days: ask Calmony Pay, then mark it paid or cancel it".to_owned();
    let kind = AnomalyKind::StuckProcessing;
    let fact = PaymentFact::Observed { kind, reference: attempt.to_string(), detail };
    apply(tx, loaded, &fact, &janitor()).await.map(drop)
}
