//! The outbox: sends to Inngest what was accepted and what changed, at least once.
//!
//! What is to be sent stands in the database ([`begin`]); one instance at a time holds the lease on sending it, a batch
//! a call, in order. A crash, a time-out or a refusal leaves the batch where it was, to be sent again under the same
//! ids. Nothing waits for it: a webhook is answered, and a payment applied, before Inngest hears of it.

use std::time::Duration;

use futures_util::FutureExt;

use crate::{
    App,
    calmony::client::CALL_TIMEOUT,
    domain::{EventId, Timestamp},
    error::Error,
    inngest::{Client, Message},
    ledger::{Tx, tables::UnsentChange},
};

/// Provider events in one call. Each is under 2 KiB, and Inngest takes 256 KiB a call (its documentation, "Usage
/// limits").
const EVENTS: i64 = 50;
/// Agencies whose audit logs are read for one call.
const AGENCIES: i64 = 10;
/// Rows of each; they are under 1 KiB.
const CHANGES_OF_EACH: i64 = 10;
/// How long one instance has the right to send: longer than a call can take.
const LEASE: Duration = Duration::from_secs(CALL_TIMEOUT.as_secs() + 4);
/// The wait after a first failure; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait: an Inngest that is back is noticed within minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

/// What one call is to carry.
struct Batch {
    /// Failures in a row before it.
    tries: i32,
    messages: Vec<Message>,
    events: Vec<EventId>,
    changes: Vec<UnsentChange>,
}

/// Before anything is accepted: where Inngest is configured, sending begins with what happens from now on, or goes on
/// where it was; where it is not, whatever was left unsent is forgotten, so that nothing accumulates.
pub async fn begin(app: &App) -> Result<(), Error> {
    let now = Timestamp::now();
    match app.inngest {
        Some(_) => app.ledger.write(move |tx| async move { tx.begin_outbox(now).await }.boxed()).await,
        None => app.ledger.write(|tx| async move { tx.forget_outbox().await }.boxed()).await,
    }
}

/// Sends one batch; says how much it was.
pub async fn send_batch(app: &App, inngest: &Client) -> Result<usize, Error> {
    // Mostly there is nothing, and looking is cheaper than taking.
    if !app.ledger.read(|tx| async move { tx.has_unsent().await }.boxed()).await? {
        return Ok(0);
    }
    let Some(batch) = app.ledger.write(|tx| async move { take(tx).await }.boxed()).await? else {
        return Ok(0);
    };
    let Batch { tries, messages, events, changes } = batch;
    let taken = events.len() + changes.len();
    // Rows of the audit log that are no transitions are passed over without a call.
    let sent = if messages.is_empty() { Ok(()) } else { inngest.send(&messages).await };
    let outcome = if sent.is_ok() { "sent" } else { "failed" };
    metrics::counter!("quittance_inngest_events_total", "outcome" => outcome)
        .increment(u64::try_from(messages.len()).unwrap_or(u64::MAX));
    match sent {
        Ok(()) => {
            let write = app.ledger.write(move |tx| {
                let (events, changes) = (events.clone(), changes.clone());
                async move {
                    let now = Timestamp::now();
                    tx.note_sent(&events, &changes, now).await?;
                    tx.release_outbox(0, now).await
                }
                .boxed()
            });
            write.await?;
            Ok(taken)
        }
        Err(fault) => {
            let tries = tries.saturating_add(1);
            let due_at = Timestamp::now().plus(wait_after(tries).mul_f64(app.time_scale));
            tracing::warn!(%fault, tries, again_at = %due_at, "nothing could be sent to Inngest");
            let release =
                app.ledger.write(move |tx| async move { tx.release_outbox(tries, due_at).await }.boxed());
            release.await?;
            Ok(0)
        }
    }
}

/// Takes the lease and reads what is to be sent; `None` where it is another instance's turn, or not yet time.
async fn take(tx: &Tx) -> Result<Option<Batch>, Error> {
    let now = Timestamp::now();
    let Some(tries) = tx.lease_outbox(now, now.plus(LEASE)).await? else { return Ok(None) };
    // After each failure half as much, down to one: a batch too large for Inngest is not tried for ever.
    let share = |limit: i64| (limit >> tries.clamp(0, 6)).max(1);
    let found = tx.unsent_events(share(EVENTS)).await?;
    let changes = tx.unsent_changes(share(AGENCIES), share(CHANGES_OF_EACH), now).await?;
    let events = found.iter().map(|event| event.event_id.clone()).collect();
    let of_events = found.into_iter().map(Message::of_event);
    let messages = of_events.chain(changes.iter().filter_map(Message::of_change)).collect();
    Ok(Some(Batch { tries, messages, events, changes }))
}

fn wait_after(tries: i32) -> Duration {
    let doublings = u32::try_from(tries.clamp(1, 16) - 1).unwrap_or(0);
    (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_a_second_to_five_minutes() {
        assert_eq!([1, 2, 3, 9, 10, 500].map(|tries| wait_after(tries).as_secs()), [1, 2, 4, 256, 300, 300]);
    }
}
