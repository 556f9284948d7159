//! The webhook inbox: every authentic event is stored with what was concluded about it, before it is acknowledged.
//!
//! `receive` recognises an event by its id, `placement` finds the payment it speaks of, and `conclude` hands it to
//! `payment_sync` in the transaction that stores it. What can't be placed or applied yet is parked, and tried again by
//! `retry`; what is no event is kept by `quarantine`; `replay` is an operator's wish to have one tried again. Not here: HTTP
//! and signatures (`webhook`), and when parked events are taken up (`jobs`).

mod conclude;
mod placement;
mod quarantine;
mod receive;
mod replay;
mod retry;

pub use quarantine::quarantine;
pub use receive::payment_completed_sync;
pub use replay::replay;
pub use retry::retry_due;

use std::time::Duration;

use futures_util::FutureExt;

use crate::{
    App,
    calmony::event::Event,
    domain::{Timestamp, Verdict},
    error::Error,
    ledger::tables::EventRow,
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
        agency_id: None,
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

/// Stores an event unless its id is known; says whether it did.
async fn insert_unless_known(app: &App, row: EventRow) -> Result<bool, Error> {
    app.ledger.write(move |tx| async move { tx.insert_event_unless_known(&row).await }.boxed()).await
}
