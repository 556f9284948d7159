//! An operator's wish: a parked or dead event is tried again at once.

use futures_util::FutureExt;

use crate::{
    domain::{EventId, Timestamp, Verdict},
    error::Error,
    ledger::{Ledger, tables::EventRow},
};

/// Makes a stored event due now; the event as it is then, or why that can't be. `None` where there is none.
pub async fn replay(ledger: &Ledger, id: EventId) -> Result<Option<Result<EventRow, &'static str>>, Error> {
    let replay = ledger.write(move |tx| {
        async move {
            let Some(row) = tx.hold_event(&id).await? else { return Ok(None) };
            let due = due_now(row.clone());
            if let Ok(due) = &due {
                tx.update_event(&row, due).await?;
            }
            Ok(Some(due))
        }
        .boxed()
    });
    replay.await
}

/// The event, to be tried again now; or why it can't be.
fn due_now(row: EventRow) -> Result<EventRow, &'static str> {
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
