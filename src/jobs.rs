//! Work that goes on beside the requests: taking up parked events, reading sessions back, numbering the audit log,
//! publishing it to who follows, sending to Inngest, counting anomalies, forgetting old bodies.
//!
//! Each kind of work is a loop of its own that ends with the server; none waits for another. Several instances share
//! the work through leases in the database. Not here: what a parked event is (`inbox`), when a session is due
//! (`checkout::schedule`).

mod janitor;
mod outbox;
mod sequencer;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

pub use outbox::begin;

use crate::{
    App,
    domain::{AnomalyKind, Timestamp},
    error::Error,
    inbox,
};

/// How often each loop looks for work. Multiplied by the time scale, so that drills need not wait.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// However short the scale, no loop spins.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(20);
/// How often the audit log is looked at: how far the sequencer may be behind.
const SEQUENCE_EVERY: Duration = Duration::from_millis(50);
/// How often open anomalies are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// How often old bodies are looked for. They may stay an hour too long, not a day.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// How long the body of an event is kept that nobody waits for. docs/money.md, "Webhooks".
const KEEP_BODIES_FOR: Duration = Duration::from_secs(30 * 86_400);
/// Bodies forgotten in one transaction, which nobody should have to wait for long; each may be 256 KiB.
const BODIES: i64 = 100;

/// Runs until `stopping` is cancelled. What is under way then is finished.
pub async fn run(app: Arc<App>, stopping: CancellationToken) {
    let pause = LOOK_EVERY.mul_f64(app.time_scale).clamp(LOOK_AT_MOST_EVERY, LOOK_EVERY);
    let forget_every = FORGET_EVERY.mul_f64(app.time_scale).clamp(LOOK_AT_MOST_EVERY, FORGET_EVERY);
    let count_every = COUNT_EVERY.mul_f64(app.time_scale).clamp(LOOK_AT_MOST_EVERY, COUNT_EVERY);
    let open = AtomicI64::new(0);
    tokio::join!(
        run_loop("parked events", pause, &stopping, || inbox::retry_due(&app)),
        run_loop("sessions", pause, &stopping, || janitor::visit_due(&app)),
        run_loop("the audit log", SEQUENCE_EVERY, &stopping, || sequencer::sequence_batch(&app)),
        run_loop("open anomalies", count_every, &stopping, || count_anomalies(&app, &open)),
        run_loop("old bodies", forget_every, &stopping, || forget_bodies(&app)),
        async {
            if let Some(inngest) = &app.inngest {
                let send = || outbox::send_batch(&app, inngest);
                run_loop("events for Inngest", pause, &stopping, send).await;
            }
        },
        publish_changes(&app, &stopping),
    );
}

/// Does a piece of work, over and over; at once again where there was some.
async fn run_loop<F>(what: &str, pause: Duration, stopping: &CancellationToken, work: impl Fn() -> F)
where
    F: Future<Output = Result<usize, Error>>,
{
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = match work().await {
            Ok(0) => pause,
            Ok(_) => Duration::ZERO,
            Err(error) => {
                tracing::warn!(cause = error.story(), "{what} could not be seen to");
                pause.max(LOOK_EVERY)
            }
        };
    }
}

/// Tells those who follow an agency's payments that something changed. Not at fixed times, as the others: the sequencer
/// says when.
async fn publish_changes(app: &App, stopping: &CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = app.change_feed.due() => {}
        }
        if let Err(error) = app.change_feed.publish(&app.ledger).await {
            tracing::warn!(cause = error.story(), "new changes could not be published");
        }
    }
}

/// Shows operators how many anomalies wait for a person: in the metrics, and in the log where there are other than
/// last time.
async fn count_anomalies(app: &App, last: &AtomicI64) -> Result<usize, Error> {
    let counted = app.ledger.read(|tx| async move { tx.open_anomalies().await }.boxed()).await?;
    for kind in AnomalyKind::ALL {
        let open = counted.iter().find(|(of, _)| of == kind).map_or(0, |(_, open)| *open);
        let open = u32::try_from(open).unwrap_or(u32::MAX);
        metrics::gauge!("quittance_anomalies_open", "kind" => kind.as_str()).set(open);
    }
    let open = counted.iter().map(|(_, open)| open).sum();
    if last.swap(open, Ordering::Relaxed) != open && open > 0 {
        tracing::warn!(open, "anomalies wait for a person: payment.listAnomalies shows them");
    }
    Ok(0)
}

/// Forgets the bodies of events that were given up or never readable; their facts stay.
async fn forget_bodies(app: &App) -> Result<usize, Error> {
    let before = Timestamp::now().minus(KEEP_BODIES_FOR);
    app.ledger.write(move |tx| async move { tx.drop_old_bodies(before, BODIES).await }.boxed()).await
}
