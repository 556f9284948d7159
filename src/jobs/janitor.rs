//! The janitor asks Calmony Pay what it has not told us: a lost webhook never hides money.
//!
//! It visits the sessions that are due, also those of cancelled and manually paid payments. One whose creation has
//! an unknown outcome is asked for again under the same key; an open one is read back. What it learns goes through
//! the same transaction as a webhook's. When a session is due is `checkout::schedule`'s to say.

use std::{num::NonZeroU32, time::Duration};

use futures_util::FutureExt;
use governor::{DefaultDirectRateLimiter, Quota};

use crate::{
    App,
    checkout::{self, REPEAT_FOR},
    domain::{SessionState, Timestamp},
    error::Error,
    ledger::rows::SessionRow,
};

/// Calls that one visit may take: the session's and the intent's.
const CALLS_PER_VISIT: NonZeroU32 = NonZeroU32::new(2).unwrap();
/// Calls to the provider a second at most. Their limit is 100 for all of us.
const READS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// Sessions taken at once; all of them are visited within the lease.
const BATCH: i64 = 20;
/// How long a session is this instance's: two calls each for a whole batch, and room.
const LEASE: Duration = Duration::from_secs(60);

/// Visits sessions that are due, at the provider's pace.
pub struct Janitor {
    pace: DefaultDirectRateLimiter,
}

impl Janitor {
    /// A janitor who has not called yet.
    pub fn new() -> Self {
        Self { pace: DefaultDirectRateLimiter::direct(Quota::per_second(READS_PER_SECOND)) }
    }

    /// Visits the sessions that are due; says how many.
    pub async fn visit_due(&self, app: &App) -> Result<usize, Error> {
        let now = Timestamp::now();
        // Mostly there are none, and looking is cheaper than taking.
        if !app.ledger.read(move |tx| async move { Ok(tx.has_due_sessions(now).await?) }.boxed()).await? {
            return Ok(0);
        }
        let due = app
            .ledger
            .write(move |tx| {
                async move { Ok(tx.lease_due_sessions(now, now.plus(LEASE), BATCH).await?) }.boxed()
            })
            .await?;
        let visited = due.len();
        for session in due {
            let (payment, attempt) = (session.payment_id, session.attempt);
            if let Err(error) = self.visit(app, session).await {
                // Its lease runs out, and it comes again.
                tracing::warn!(%payment, attempt, cause = error.story(), "a session could not be looked after");
            }
        }
        Ok(visited)
    }

    async fn visit(&self, app: &App, session: SessionRow) -> Result<(), Error> {
        // More than are ever in the bucket can't be asked for, and two are not.
        let _ = self.pace.until_n_ready(CALLS_PER_VISIT).await;
        match session.state {
            SessionState::Creating => self.repeat_create(app, session).await,
            SessionState::Open | SessionState::Dead => checkout::read_back(app, session).await,
            SessionState::Rejected => checkout::rest(app, session, None).await,
        }
    }

    /// Asks again for a session whose outcome is unknown, under the key it was asked for first.
    async fn repeat_create(&self, app: &App, session: SessionRow) -> Result<(), Error> {
        let now = Timestamp::now();
        if session.created_at.plus(REPEAT_FOR) <= now {
            // The key is about to be forgotten, and with it whatever was made. Nobody was given its link.
            let dead = SessionRow { state: SessionState::Dead, ..session };
            return checkout::rest(app, dead, None).await;
        }
        let id = session.payment_id;
        let look = app.ledger.read(move |tx| async move { Ok(tx.payment_by_id(id).await?) }.boxed()).await?;
        let payment = look.ok_or_else(|| Error::internal("a session without its payment"))?;
        match checkout::ask(app, &payment, session.attempt, None).await {
            Err(error @ Error::Internal { .. }) => Err(error),
            // What came of it is stored with the session.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
