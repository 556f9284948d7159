//! The webhook inbox: every authentic event is stored with what was concluded about it, before it is acknowledged.
//!
//! An event is recognised by its id, placed (which payment does it speak of?), and handed to `payment_sync` in the
//! transaction that stores it. What can't be placed or applied yet is parked and tried again. Not here: HTTP and
//! signatures (`webhook`), and when parked events are taken up (`jobs`).

mod place;
mod retry;

use std::time::Duration;

use futures_util::{FutureExt, try_join};
use sha2::Digest;

pub use retry::retry_due;

use place::{Place, place};

use crate::{
    App,
    calmony::event::{Event, Meaning, Unreadable},
    domain::{AnomalyKind, Cause, EventId, PaymentId, SessionState, Timestamp, Verdict, lifecycle::Evidence},
    error::Error,
    ledger::{Crowd, Tx, rows::EventRow},
    payment_sync::{Happening, Subject, happened, happened_to},
};

/// What became of a delivery. All of them mean that we own the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Its first delivery, and what was concluded.
    Concluded(Verdict),
    /// Known already, with the same facts.
    Duplicate,
    /// A known id with other facts; the first stay.
    Reused,
}

/// Receives an authentic event: the seed's `paymentCompletedSync`.
pub async fn payment_completed_sync(app: &App, event: &Event, body: &[u8]) -> Result<Receipt, Error> {
    match find(app, &event.id).await? {
        Some(known) => recognise(app, &known, event).await,
        // Boxed, so that a repetition, of which crowds come, need not carry the space for it.
        None => receive_new(app, event, body).boxed().await,
    }
}

async fn receive_new(app: &App, event: &Event, body: &[u8]) -> Result<Receipt, Error> {
    let retry_after = retry::FIRST_RETRY.mul_f64(app.time_scale);
    let (first, kept) = (event.clone(), body.to_vec());
    let unsent = app.inngest.is_some();
    let applied = app
        .ledger
        .together(Crowd::Writes, move |tx| {
            async move { receive(tx, &first, &kept, retry_after, unsent).await }.boxed()
        })
        .await;
    match applied {
        Ok(Some(verdict)) => Ok(Receipt::Concluded(verdict)),
        Ok(None) => known_meanwhile(app, event).await,
        Err(Error::Busy { retry_after_ms }) => Err(Error::Busy { retry_after_ms }),
        Err(error) => {
            // What we can't apply now we may be able to apply later; what matters is not to lose it.
            tracing::error!(event = %event.id, cause = error.story(), "event could not be applied; it is parked");
            let row = parked(event, body, "could not be applied", retry_after, unsent);
            match insert_unless_known(app, row).await? {
                true => Ok(Receipt::Concluded(Verdict::Parked)),
                false => known_meanwhile(app, event).await,
            }
        }
    }
}

async fn find(app: &App, id: &EventId) -> Result<Option<EventRow>, Error> {
    let id = id.clone();
    app.ledger.together(Crowd::LookUps, move |tx| async move { tx.event(&id).await }.boxed()).await
}

/// Stores a signed body that is not readable as an event, keyed by its hash.
pub async fn quarantine(app: &App, body: &[u8], why: Unreadable) -> Result<Receipt, Error> {
    let key = format!("sha256:{}", hex::encode(sha2::Sha256::digest(body)));
    let event_id = EventId::parse(&key).ok_or_else(|| Error::internal("a hash is always a usable key"))?;
    let now = Timestamp::now();
    let row = EventRow {
        event_id,
        event_type: "unreadable".into(),
        event_created_at: None,
        object_id: None,
        intent_id: None,
        session_id: None,
        amount_pence: None,
        currency: None,
        payment_status: None,
        refunded_pence: None,
        verdict: Verdict::Quarantined,
        reason: Some(why.to_string()),
        payment_id: None,
        tries: 1,
        failures: 0,
        due_at: None,
        leased_until: None,
        reused_at: None,
        body: Some(body.to_vec()),
        received_at: now,
        concluded_at: Some(now),
        // Not for Inngest: it has no type and no id of the provider's.
        unsent: false,
    };
    let added = insert_unless_known(app, row).await?;
    Ok(if added { Receipt::Concluded(Verdict::Quarantined) } else { Receipt::Duplicate })
}

async fn insert_unless_known(app: &App, row: EventRow) -> Result<bool, Error> {
    app.ledger.write(move |tx| async move { tx.insert_event_unless_known(&row).await }.boxed()).await
}

/// Another delivery under this id was faster, perhaps with other facts.
async fn known_meanwhile(app: &App, event: &Event) -> Result<Receipt, Error> {
    match find(app, &event.id).await? {
        Some(known) => recognise(app, &known, event).await,
        None => Err(Error::internal("a stored event is gone")),
    }
}

/// A known id: a repetition, or a reuse for other facts.
async fn recognise(app: &App, known: &EventRow, event: &Event) -> Result<Receipt, Error> {
    if same_facts(known, event) {
        return Ok(Receipt::Duplicate);
    }
    note_reused(app, event).boxed().await
}

/// Notes that an id came again with other facts, and raises the anomaly of it.
async fn note_reused(app: &App, event: &Event) -> Result<Receipt, Error> {
    tracing::warn!(event = %event.id, "the provider used an event id twice, for different facts");
    metrics::counter!("quittance_event_id_reuse_total").increment(1);
    let id = event.id.clone();
    app.ledger
        .write(move |tx| {
            async move {
                let known = tx.lock_event(&id).await?;
                tx.note_reused(&id, Timestamp::now()).await?;
                // One without a payment shows it in the inbox, and on its payment once it has one.
                match known.and_then(|known| known.payment_id) {
                    Some(payment) => raise_reuse(tx, payment, &id).await,
                    None => Ok(()),
                }
            }
            .boxed()
        })
        .await?;
    Ok(Receipt::Reused)
}

/// Raises the anomaly of an id that came again with other facts; once a payment and event.
async fn raise_reuse(tx: &mut Tx, payment_id: PaymentId, event: &EventId) -> Result<(), Error> {
    let Some(payment) = tx.lock_payment(payment_id).await? else { return Ok(()) };
    let detail = format!("event {event} came again with other facts; the first stand");
    let what = Happening::Noticed { kind: AnomalyKind::EventIdReuse, reference: event.to_string(), detail };
    happened(tx, payment, &what, &Cause::calmony_pay(None)).await.map(drop)
}

/// Whether a delivery says what the stored one said.
fn same_facts(known: &EventRow, event: &Event) -> bool {
    known.event_type == event.event_type
        && known.object_id == event.object_id
        && known.intent_id == event.intent_id
        && known.amount_pence == event.amount_pence()
        && known.currency == event.currency
        && known.payment_status == event.payment_status
        && known.refunded_pence == event.refunded.map(|pence| pence.get())
}

/// Applies a new event and stores it with its verdict; `None` where one is stored under its id already.
async fn receive(
    tx: &mut Tx,
    event: &Event,
    body: &[u8],
    retry_after: Duration,
    unsent: bool,
) -> Result<Option<Verdict>, Error> {
    let now = Timestamp::now();
    let Some(conclusion) = conclude(tx, event, Delivery::New, now).await? else { return Ok(None) };
    let row = match conclusion.verdict {
        Verdict::Parked => parked(event, body, conclusion.reason.unwrap_or_default(), retry_after, unsent),
        _ => EventRow {
            verdict: conclusion.verdict,
            reason: conclusion.reason.map(str::to_owned),
            payment_id: conclusion.payment_id,
            due_at: None,
            body: None,
            concluded_at: Some(now),
            ..parked(event, &[], "", retry_after, unsent)
        },
    };
    if row.payment_id.is_some() {
        // The payment's lock has kept other deliveries away since the event was looked for.
        tx.insert_event(&row).await?;
    } else if !tx.insert_event_unless_known(&row).await? {
        return Ok(None);
    }
    Ok(Some(row.verdict))
}

/// What is concluded about an event.
struct Conclusion {
    verdict: Verdict,
    reason: Option<&'static str>,
    payment_id: Option<PaymentId>,
}

/// How an event came to be concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// It was delivered, and is stored nowhere yet.
    New,
    /// It was parked; its row is locked.
    Parked,
}

/// Places an event and applies it. `None` where another delivery has stored it meanwhile.
async fn conclude(
    tx: &mut Tx,
    event: &Event,
    delivery: Delivery,
    now: Timestamp,
) -> Result<Option<Conclusion>, Error> {
    let verdict = |verdict, reason, payment_id| Ok(Some(Conclusion { verdict, reason, payment_id }));
    let report = match &event.meaning {
        Meaning::Unknown => return verdict(Verdict::Ignored, Some("a type we have no use for"), None),
        Meaning::PaidUnnamed => return verdict(Verdict::Parked, Some(retry::SESSION_TO_BE_READ), None),
        Meaning::SessionExpired => None,
        Meaning::Report(report) => Some(report),
    };
    let (payment, conflict) = match place(tx, event).await? {
        Place::Nowhere => return verdict(Verdict::Parked, Some(retry::NO_PAYMENT_YET), None),
        Place::At(payment) => (payment, false),
        Place::Conflict(payment) => (payment, true),
    };
    let payment_id = payment.id;
    let stored_meanwhile = async {
        match delivery {
            Delivery::New => Ok(tx.event(&event.id).await?.is_some()),
            Delivery::Parked => Ok(false),
        }
    };
    let (stored_meanwhile, subject) = try_join!(stored_meanwhile, Subject::read(tx, payment))?;
    if stored_meanwhile {
        return Ok(None);
    }
    let cause = Cause { at: now, ..Cause::calmony_pay(event.created_at) };
    if conflict {
        let reference = event.intent_id.as_ref().map_or_else(|| event.id.to_string(), ToString::to_string);
        let detail = format!("event {} names this payment and another one or another agency", event.id);
        let what = Happening::Noticed { kind: AnomalyKind::ReferenceConflict, reference, detail };
        happened_to(tx, subject, &what, &cause).await?;
        return verdict(Verdict::Stale, Some("its references disagree"), Some(payment_id));
    }
    let attempt = place::attempt(event, subject.sessions());
    let Some(report) = report else {
        if let Some(mut session) =
            subject.into_sessions().into_iter().find(|session| Some(session.attempt) == attempt)
        {
            session.state = SessionState::Dead;
            tx.update_session(&session).await?;
        }
        return verdict(
            Verdict::Stale,
            Some("the link is dead; the payment stays as it is"),
            Some(payment_id),
        );
    };
    let evidence = Evidence {
        intent: event.intent_id.clone(),
        attempt,
        amount: event.amount,
        currency: event.currency.clone(),
        report: report.clone(),
    };
    let what = Happening::Reported { evidence, failure_code: event.failure_code.clone() };
    let settled = happened_to(tx, subject, &what, &cause).await?;
    for intent in &settled.new_intents {
        tx.wake_events_of_intent(intent, now).await?;
    }
    match settled.is_transition() {
        true => verdict(Verdict::Applied, None, Some(payment_id)),
        false if settled.raised.is_empty() => verdict(Verdict::Stale, Some("nothing new"), Some(payment_id)),
        false => verdict(Verdict::Stale, Some("an anomaly was raised"), Some(payment_id)),
    }
}

/// The event, to be tried again now; or why it can't be.
pub fn due_now(row: EventRow) -> Result<EventRow, &'static str> {
    match row.verdict {
        Verdict::Parked | Verdict::Dead if row.body.is_none() => Err("is too old: its body is gone"),
        Verdict::Parked | Verdict::Dead => Ok(EventRow {
            verdict: Verdict::Parked,
            due_at: Some(Timestamp::now()),
            leased_until: None,
            tries: 0,
            failures: 0,
            concluded_at: None,
            ..row
        }),
        Verdict::Applied | Verdict::Stale | Verdict::Ignored | Verdict::Quarantined => {
            Err("is neither parked nor dead")
        }
    }
}

/// An event that is to be tried again. `unsent`: it is to go to Inngest as well.
fn parked(event: &Event, body: &[u8], reason: &str, retry_after: Duration, unsent: bool) -> EventRow {
    let now = Timestamp::now();
    EventRow {
        event_id: event.id.clone(),
        event_type: event.event_type.clone(),
        event_created_at: event.created_at,
        object_id: event.object_id.clone(),
        intent_id: event.intent_id.clone(),
        session_id: event.session_id.clone(),
        amount_pence: event.amount_pence(),
        currency: event.currency.clone(),
        payment_status: event.payment_status.clone(),
        refunded_pence: event.refunded.map(|pence| pence.get()),
        verdict: Verdict::Parked,
        reason: Some(reason.to_owned()),
        payment_id: None,
        tries: 1,
        failures: 0,
        due_at: Some(now.plus(retry_after)),
        leased_until: None,
        reused_at: None,
        body: Some(body.to_vec()),
        received_at: now,
        concluded_at: None,
        unsent,
    }
}
