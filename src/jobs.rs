//! Work that goes on beside the requests: taking up parked events, reading sessions back, sealing the journal,
//! spreading news of it, counting anomalies.
//!
//! Each kind of work is a loop of its own that ends with the server; none waits for another. Several instances share
//! the work through leases in the database. Not here: what a parked event is (`inbox`), when a session is due
//! (`checkout::schedule`).

mod janitor;
mod sealer;

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::{App, domain::AnomalyKind, error::Error, inbox};

/// How often each loop looks for work. Multiplied by the time scale, so that drills need not wait.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// However short the scale, no loop spins.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(20);
/// How often the journal is looked at: how far the sealer may be behind.
const SEAL_EVERY: Duration = Duration::from_millis(50);
/// How often open anomalies are counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// Runs until `stopping` is cancelled. What is under way then is finished.
pub async fn run(app: Arc<App>, stopping: CancellationToken) {
    let pause = LOOK_EVERY.mul_f64(app.time_scale).clamp(LOOK_AT_MOST_EVERY, LOOK_EVERY);
    tokio::join!(
        again_and_again("parked events", pause, &stopping, || inbox::retry_due(&app)),
        again_and_again("sessions", pause, &stopping, || janitor::visit_due(&app)),
        again_and_again("the journal", SEAL_EVERY, &stopping, || sealer::seal_batch(&app)),
        again_and_again("open anomalies", COUNT_EVERY, &stopping, || count_anomalies(&app)),
        spread_news(&app, &stopping),
    );
}

/// Does a piece of work, over and over; at once again where there was some.
async fn again_and_again<F>(what: &str, pause: Duration, stopping: &CancellationToken, work: impl Fn() -> F)
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

/// Tells those who follow an agency's payments that something changed. Not at fixed times, as the others: the sealer
/// says when.
async fn spread_news(app: &App, stopping: &CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = app.news.due() => {}
        }
        if let Err(error) = app.news.spread(&app.ledger).await {
            tracing::warn!(cause = error.story(), "news could not be spread");
        }
    }
}

/// Shows operators how many anomalies wait for a person.
async fn count_anomalies(app: &App) -> Result<usize, Error> {
    let counted = app.ledger.read(|tx| async move { tx.open_anomalies().await }.boxed()).await?;
    for kind in AnomalyKind::ALL {
        let open = counted.iter().find(|(of, _)| of == kind).map_or(0, |(_, open)| *open);
        let open = u32::try_from(open).unwrap_or(u32::MAX);
        metrics::gauge!("quittance_anomalies_open", "kind" => kind.as_str()).set(open);
    }
    Ok(0)
}
