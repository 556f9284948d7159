//! The feed of changes: tells whoever follows an agency's payments that the audit log has more to read.
//!
//! It carries no change itself, only how far the numbers go, so that a slow reader holds nothing up and nothing
//! grows. Where the sequencer of this instance has given numbers it says so at once; what other instances numbered on
//! the same database is noticed by looking. Not here: giving numbers (`jobs::sequencer`) and reading changes
//! (`payment::on_status_change`).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};

use crate::{domain::AgencyId, error::Error, ledger::Ledger};

/// How often the audit log is looked at for what other instances numbered: soon enough for people, and one small
/// query for each agency that somebody follows.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Who follows which agency.
#[derive(Default)]
pub struct ChangeFeed {
    /// The highest number known of each agency that was followed when last looked.
    followed: Mutex<HashMap<AgencyId, watch::Sender<i64>>>,
    numbered: Notify,
}

impl ChangeFeed {
    /// Follows an agency: the highest number in its audit log, as far as is known, from now on.
    pub fn follow(&self, agency: AgencyId) -> watch::Receiver<i64> {
        self.followed().entry(agency).or_default().subscribe()
    }

    /// The sequencer of this instance has given numbers.
    pub fn numbered(&self) {
        self.numbered.notify_one();
    }

    /// Waits until it is time to look.
    pub async fn due(&self) {
        // Either way it is time.
        let _ = tokio::time::timeout(LOOK_EVERY, self.numbered.notified()).await;
    }

    /// Looks, and tells the followers of agencies that have something new.
    pub async fn publish(&self, ledger: &Ledger) -> Result<(), Error> {
        let agencies: Vec<AgencyId> = {
            let mut followed = self.followed();
            followed.retain(|_, known| known.receiver_count() > 0);
            followed.keys().copied().collect()
        };
        if agencies.is_empty() {
            return Ok(());
        }
        let look = ledger.read(move |tx| async move { tx.last_sequences(&agencies).await }.boxed());
        for (agency, last) in look.await? {
            if let Some(known) = self.followed().get(&agency) {
                known.send_if_modified(|known| std::mem::replace(known, last) < last);
            }
        }
        Ok(())
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<AgencyId, watch::Sender<i64>>> {
        // Every change is one call: a panic elsewhere leaves nothing half done.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
