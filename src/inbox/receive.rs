//! A delivery: is the event new, known, or another one under a known id?

use std::time::Duration;

use futures_util::FutureExt;

use super::{
    Receipt,
    conclude::{Delivery, conclude, raise_reuse},
    insert_unless_known, parked, retry,
};
use crate::{
    App,
    calmony::event::Event,
    domain::{EventId, Timestamp, Verdict},
    error::Error,
    ledger::{Tx, tables::EventRow},
};

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
        .write(move |tx| async move { receive(tx, &first, &kept, retry_after, unsent).await }.boxed())
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
    app.ledger.read(move |tx| async move { tx.event(id).await }.boxed()).await
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
                let Some(known) = tx.hold_event(&id).await? else { return Ok(()) };
                let reused = EventRow { reused_at: Some(Timestamp::now()), ..known.clone() };
                tx.update_event(&known, &reused).await?;
                // One without a payment shows it in the inbox, and on its payment once it has one.
                let (Some(agency), Some(payment)) = (known.agency_id, known.payment_id) else {
                    return Ok(());
                };
                match tx.payment_links(agency, payment).await? {
                    Some(payment) => raise_reuse(tx, &payment, &id).await,
                    None => Ok(()),
                }
            }
            .boxed()
        })
        .await?;
    Ok(Receipt::Reused)
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
    tx: &Tx,
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
            agency_id: conclusion.payment.as_ref().map(|payment| payment.agency_id),
            payment_id: conclusion.payment.as_ref().map(|payment| payment.id),
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
