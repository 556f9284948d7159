//! Parked events, tried again: one whose payment becomes known, one whose session must be read first, one that
//! failed. Each in a transaction of its own, and those that wait for the provider beside the rest, so that none
//! holds up another.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream};
use tracing::Instrument;

use super::conclude::{Conclusion, Delivery, NO_PAYMENT_YET, SESSION_TO_BE_READ, conclude, raise_reuse};
use crate::{
    App,
    calmony::{
        client::CallFault,
        event::{Event, Meaning},
    },
    domain::{
        EventId, Timestamp, Verdict,
        lifecycle::{Report, Reported},
    },
    error::Error,
    ledger::{Tx, tables::EventRow},
};

/// How soon the first retry comes.
pub const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Waits between the tries of an event whose payment is not known; after the last it is dead.
const WAITS: &[Duration] = &[
    FIRST_RETRY,
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(4 * 3_600),
    Duration::from_secs(8 * 3_600),
    Duration::from_secs(16 * 3_600),
    Duration::from_secs(24 * 3_600),
];
/// Tries of an event that keeps failing.
const MAX_FAILURES: i32 = 8;
/// How long one worker has an event to itself.
const LEASE: Duration = Duration::from_secs(180);
/// Events taken at once.
const BATCH: i64 = 50;
/// Sessions of one batch read at once: with the longest call (8 s) the batch is through before its lease is over.
const READS_AT_ONCE: usize = 16;

/// Takes up the events that are due; says how many. It does not wait for those whose session must be read: the
/// provider may be slow. They go on by themselves; a stopping server waits for them.
pub async fn retry_due(app: &Arc<App>) -> Result<usize, Error> {
    let now = Timestamp::now();
    // Mostly there are none, and looking is cheaper than taking.
    if !app.ledger.read(move |tx| async move { tx.has_due_events(now).await }.boxed()).await? {
        return Ok(0);
    }
    let due = app
        .ledger
        .write(move |tx| async move { tx.lease_events(now, now.plus(LEASE), BATCH).await }.boxed())
        .await?;
    let taken = due.len();
    let (to_read, others): (Vec<_>, Vec<_>) = due.into_iter().partition(must_be_read);
    if !to_read.is_empty() {
        let (app, tracked) = (Arc::clone(app), app.tasks.clone());
        let reading = async move {
            stream::iter(to_read).for_each_concurrent(READS_AT_ONCE, |event| retry_one(&app, event)).await;
        };
        tracked.spawn(reading.in_current_span());
    }
    for event in others {
        retry_one(app, event).await;
    }
    Ok(taken)
}

/// Whether the provider must be asked before the event can be applied.
fn must_be_read(row: &EventRow) -> bool {
    let event = Event::parse(row.body.as_deref().unwrap_or_default());
    event.is_ok_and(|event| event.meaning == Meaning::PaidUnnamed)
}

async fn retry_one(app: &App, event: EventRow) {
    let id = event.event_id.clone();
    if let Err(error) = retry(app, event).await {
        // Its lease runs out, and it comes again.
        tracing::error!(event = %id, cause = error.story(), "a parked event could not be taken up");
    }
}

async fn retry(app: &App, row: EventRow) -> Result<(), Error> {
    let parsed = Event::parse(row.body.as_deref().unwrap_or_default());
    let Ok(mut event) = parsed else {
        return postpone(
            app,
            EventRow { failures: MAX_FAILURES, ..row },
            Setback::Failed("its body is not readable"),
        )
        .await;
    };
    if event.meaning == Meaning::PaidUnnamed {
        match name_intent(app, &mut event).await {
            Ok(true) => {}
            Ok(false) => return postpone(app, row, Setback::Unplaced(SESSION_TO_BE_READ)).await,
            Err(fault) => {
                tracing::warn!(event = %event.id, %fault, "the session of a paid event could not be read");
                return postpone(app, row, Setback::Failed("the session could not be read")).await;
            }
        }
    }
    let (attempted, id, scale) = (event.clone(), event.id.clone(), app.time_scale);
    let applied =
        app.ledger.write(move |tx| async move { try_again(tx, &attempted, &id, scale).await }.boxed()).await;
    match applied {
        Ok(()) => Ok(()),
        Err(Error::Busy { .. }) => postpone(app, row, Setback::Busy).await,
        Err(error) => {
            tracing::error!(event = %event.id, cause = error.story(), "a parked event failed again");
            postpone(app, row, Setback::Failed("could not be applied")).await
        }
    }
}

/// Applies the event and stores its verdict, or parks it again, all in one transaction: whoever makes its payment known
/// meanwhile waits for this one, and then wakes it.
async fn try_again(tx: &Tx, event: &Event, id: &EventId, time_scale: f64) -> Result<(), Error> {
    let now = Timestamp::now();
    let Some(stored) = tx.hold_event(id).await?.filter(|row| row.verdict == Verdict::Parked) else {
        return Ok(());
    };
    let Some(Conclusion { verdict, reason, payment }) = conclude(tx, event, Delivery::Parked, now).await?
    else {
        return Ok(());
    };
    if verdict == Verdict::Parked {
        let row = postponed(stored.clone(), Setback::Unplaced(reason.unwrap_or(NO_PAYMENT_YET)), time_scale);
        return tx.update_event(&stored, &row).await;
    }
    if let (Some(payment), Some(_)) = (&payment, stored.reused_at) {
        raise_reuse(tx, payment, id).await?;
    }
    let row = EventRow {
        verdict,
        reason: reason.map(str::to_owned),
        agency_id: payment.as_ref().map(|payment| payment.agency_id),
        payment_id: payment.as_ref().map(|payment| payment.id),
        tries: stored.tries + 1,
        due_at: None,
        leased_until: None,
        body: None,
        concluded_at: Some(now),
        ..stored.clone()
    };
    tx.update_event(&stored, &row).await
}

/// Reads the session of a paid event that names no intent, and the intent, which knows best what was paid. `false`
/// where the session names none yet.
async fn name_intent(app: &App, event: &mut Event) -> Result<bool, CallFault> {
    let Some(session_id) = &event.session_id else { return Ok(false) };
    let session = app.calmony.read_session(session_id).await?;
    let Some(intent_id) = session.intent_id else { return Ok(false) };
    let intent = app.calmony.read_intent(&intent_id).await?;
    if intent.amount != Reported::Absent {
        event.amount = intent.amount;
    }
    event.currency = event.currency.take().or(intent.currency);
    event.intent_id = Some(intent_id);
    event.meaning = Meaning::Report(Report::Succeeded);
    Ok(true)
}

/// Why a try came to nothing.
#[derive(Clone, Copy)]
enum Setback {
    /// There is no payment for it yet, or no intent.
    Unplaced(&'static str),
    /// It failed.
    Failed(&'static str),
    /// The database had no time; that is not the event's fault, and counts for nothing.
    Busy,
}

/// The event parked until its next try, or given up.
fn postponed(row: EventRow, hitch: Setback, time_scale: f64) -> EventRow {
    let nth = |count: i32| usize::try_from(count).ok().and_then(|count| WAITS.get(count).copied());
    let (tries, failures, wait, reason) = match hitch {
        Setback::Unplaced(reason) => (row.tries + 1, row.failures, nth(row.tries - row.failures), reason),
        Setback::Failed(reason) => {
            let failures = row.failures + 1;
            (row.tries + 1, failures, nth(failures).filter(|_| failures < MAX_FAILURES), reason)
        }
        Setback::Busy => (row.tries, row.failures, Some(FIRST_RETRY), "the database was busy"),
    };
    let now = Timestamp::now();
    let row = EventRow { reason: Some(reason.into()), tries, failures, leased_until: None, ..row };
    match wait {
        Some(wait) => EventRow { due_at: Some(now.plus(wait.mul_f64(time_scale))), ..row },
        None => {
            tracing::warn!(event = %row.event_id, reason, "event given up");
            EventRow { verdict: Verdict::Dead, due_at: None, concluded_at: Some(now), ..row }
        }
    }
}

/// Parks the event until its next try, unless it was concluded meanwhile.
async fn postpone(app: &App, row: EventRow, setback: Setback) -> Result<(), Error> {
    let time_scale = app.time_scale;
    let postpone = app.ledger.write(move |tx| {
        async move {
            let stored = tx.hold_event(&row.event_id).await?;
            let Some(stored) = stored.filter(|stored| stored.verdict == Verdict::Parked) else {
                return Ok(());
            };
            // Whoever made it due meanwhile knows more than this try did: it counts for nothing.
            if stored.due_at != row.due_at {
                return tx.update_event(&stored, &EventRow { leased_until: None, ..stored.clone() }).await;
            }
            // The failures counted so far are those of whoever tried.
            let tried = EventRow { failures: row.failures, ..stored.clone() };
            tx.update_event(&stored, &postponed(tried, setback, time_scale)).await
        }
        .boxed()
    });
    postpone.await
}
