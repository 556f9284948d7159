//! Work that goes on beside the requests: taking up parked events.
//!
//! Each kind of work is a loop of its own that ends with the server. Several instances share the work through
//! leases in the database. Not here: what the work is (`inbox`).

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{App, inbox};

/// How often each loop looks for work. Multiplied by the time scale, so that drills need not wait.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// However short the scale, no loop spins.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(20);

/// Runs until `stopping` is cancelled. What is under way then is finished.
pub async fn run(app: Arc<App>, stopping: CancellationToken) {
    let pause = LOOK_EVERY.mul_f64(app.time_scale).clamp(LOOK_AT_MOST_EVERY, LOOK_EVERY);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        match inbox::retry_due(&app).await {
            Ok(0) => {}
            Ok(taken) => tracing::debug!(taken, "parked events taken up"),
            Err(error) => tracing::warn!(cause = error.story(), "parked events could not be looked for"),
        }
    }
}
