//! What an event means for its payment: where it belongs, what it reports, what came of it.

use futures_util::try_join;

use super::placement::{self, Placement, place};
use crate::{
    calmony::event::{Event, Meaning},
    domain::{
        AnomalyKind, Cause, EventId, PaymentStatus, SessionState, Timestamp, Verdict, lifecycle::Evidence,
    },
    error::Error,
    ledger::{
        Tx,
        tables::{PaymentLinks, SessionRow},
    },
    payment_sync::{LoadedPayment, PaymentFact, apply},
};

/// Why an event is parked: its payment is not known.
pub const NO_PAYMENT_YET: &str = "no payment is known for it yet";
/// Why an event is parked: the session it speaks of names the intent, and must be read.
pub const SESSION_TO_BE_READ: &str = "the session must be read first";
/// Why an event is parked: money went back, but it does not say of which intent. It is for a person.
pub const NO_INTENT_NAMED: &str = "a refund that names no payment intent";
/// What is concluded about an event.
pub struct Conclusion {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, where that is not plain.
    pub reason: Option<&'static str>,
    /// The payment it is about.
    pub payment: Option<PaymentLinks>,
}

/// How an event came to be concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was delivered, and is stored nowhere yet.
    New,
    /// It was parked; its row is locked.
    Parked,
}

/// Places an event and applies it. `None` where another delivery has stored it meanwhile.
pub async fn conclude(
    tx: &Tx,
    event: &Event,
    delivery: Delivery,
    now: Timestamp,
) -> Result<Option<Conclusion>, Error> {
    let verdict = |verdict, reason, payment| Ok(Some(Conclusion { verdict, reason, payment }));
    let report = match &event.meaning {
        Meaning::Unknown => {
            ask_after(tx, event, now).await?;
            return verdict(Verdict::Ignored, Some("a type we have no use for"), None);
        }
        Meaning::PaidUnnamed => return verdict(Verdict::Parked, Some(SESSION_TO_BE_READ), None),
        Meaning::RefundUnnamed => return verdict(Verdict::Parked, Some(NO_INTENT_NAMED), None),
        Meaning::SessionExpired => None,
        Meaning::Report(report) => Some(report),
    };
    let (links, conflict) = match place(tx, event).await? {
        Placement::Nowhere => return verdict(Verdict::Parked, Some(NO_PAYMENT_YET), None),
        Placement::At(payment) => (payment, false),
        Placement::Conflict(payment) => (payment, true),
    };
    // In this order: whether the event is stored is asked under the payment's lock.
    let stored_meanwhile = async {
        match delivery {
            Delivery::New => Ok(tx.event(&event.id).await?.is_some()),
            Delivery::Parked => Ok(false),
        }
    };
    let (payment, stored_meanwhile) = try_join!(LoadedPayment::load(tx, &links), stored_meanwhile)?;
    if stored_meanwhile {
        return Ok(None);
    }
    let payment = payment.ok_or_else(|| Error::internal("the payment is gone"))?;
    let cause = Cause { at: now, ..Cause::calmony_pay(event.created_at) };
    if conflict {
        let reference = event.intent_id.as_ref().map_or_else(|| event.id.to_string(), ToString::to_string);
        let detail = format!("event {} names this payment and another one or another agency", event.id);
        let fact = PaymentFact::Observed { kind: AnomalyKind::ReferenceConflict, reference, detail };
        apply(tx, payment, &fact, &cause).await?;
        return verdict(Verdict::Stale, Some("its references disagree"), Some(links));
    }
    let attempt = placement::attempt(event, payment.sessions());
    let Some(report) = report else {
        if let Some(session) = payment.sessions().iter().find(|session| Some(session.attempt) == attempt) {
            let dead = SessionRow { state: SessionState::Dead, ..session.clone() };
            tx.close_session(session, &dead).await?;
        }
        return verdict(Verdict::Stale, Some("the link is dead; the payment stays as it is"), Some(links));
    };
    let evidence = Evidence {
        intent: event.intent_id.clone(),
        attempt,
        amount: event.amount,
        currency: event.currency.clone(),
        report: report.clone(),
    };
    let fact = PaymentFact::Reported { evidence, failure_code: event.failure_code.clone() };
    let applied = apply(tx, payment, &fact, &cause).await?;
    for intent in &applied.new_intents {
        tx.wake_events_of_intent(intent, now).await?;
    }
    match applied.is_transition() {
        true => verdict(Verdict::Applied, None, Some(links)),
        false if applied.raised.is_empty() => verdict(Verdict::Stale, Some("nothing new"), Some(links)),
        false => verdict(Verdict::Stale, Some("an anomaly was raised"), Some(links)),
    }
}

/// Raises the anomaly of an id that came again with other facts; once a payment and event.
pub async fn raise_reuse(tx: &Tx, payment: &PaymentLinks, event: &EventId) -> Result<(), Error> {
    let Some(payment) = LoadedPayment::load(tx, payment).await? else { return Ok(()) };
    let detail = format!("event {event} came again with other facts; the first stand");
    let fact =
        PaymentFact::Observed { kind: AnomalyKind::EventIdReuse, reference: event.to_string(), detail };
    apply(tx, payment, &fact, &Cause::calmony_pay(None)).await.map(drop)
}

/// A type we do not know may be the end of a payment that is processing: its session is to be read at once.
async fn ask_after(tx: &Tx, event: &Event, now: Timestamp) -> Result<(), Error> {
    let Placement::At(links) = place(tx, event).await? else { return Ok(()) };
    let Some(loaded) = LoadedPayment::load(tx, &links).await? else { return Ok(()) };
    if loaded.payment.status != PaymentStatus::Processing {
        return Ok(());
    }
    let attempt = placement::attempt(event, loaded.sessions()).unwrap_or(loaded.payment.latest_attempt);
    match loaded.sessions().iter().find(|session| session.attempt == attempt) {
        Some(session) => {
            let due = SessionRow { next_read_at: Some(now), ..session.clone() };
            tx.update_attempt(session, &due).await
        }
        None => Ok(()),
    }
}
