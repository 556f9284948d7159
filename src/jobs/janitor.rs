//! The janitor asks Calmony Pay what it has not told us: a lost webhook never hides money.
//!
//! It visits the sessions that are due, also those of cancelled and manually paid payments. One whose creation has
//! an unknown outcome is asked for again under the same key; an open one is read back. When a session is due is
//! `checkout::schedule`'s to say, and how fast the provider may be asked its client's.

use std::time::Duration;

use futures_util::{FutureExt, future::join_all};

use crate::{
    App,
    checkout::{self, Next, REPEAT_FOR},
    domain::{SessionState, Timestamp},
    error::Error,
    ledger::tables::SessionRow,
};

/// Sessions taken at once, and visited at the same time: one whose answer is slow holds up no other.
const BATCH: i64 = 10;
/// How long a session is this instance's: two calls of 8 s each, and room. Callers who want its link wait as long for a
/// janitor that died.
const LEASE: Duration = Duration::from_secs(30);

/// Visits the sessions that are due; says how many.
pub async fn visit_due(app: &App) -> Result<usize, Error> {
    let now = Timestamp::now();
    // Mostly there are none, and looking is cheaper than taking.
    if !app.ledger.read(move |tx| async move { tx.has_due_sessions(now).await }.boxed()).await? {
        return Ok(0);
    }
    let until = now.plus(LEASE);
    let lease =
        app.ledger.write(move |tx| async move { tx.lease_due_sessions(now, until, BATCH).await }.boxed());
    let due = lease.await?;
    let visited = due.len();
    let visits = due.into_iter().map(|session| async move {
        if let Err(error) = visit(app, &session).await {
            // Its lease runs out, and it comes again.
            let SessionRow { payment_id, attempt, .. } = session;
            tracing::warn!(payment = %payment_id, attempt, cause = error.story(), "a session could not be looked after");
        }
    });
    join_all(visits).await;
    Ok(visited)
}

async fn visit(app: &App, session: &SessionRow) -> Result<(), Error> {
    match session.state {
        SessionState::Creating => repeat_create(app, session).await,
        SessionState::Open | SessionState::Dead => checkout::read_back(app, session).await.map(drop),
        SessionState::Rejected => checkout::reschedule(app, session, |_, _| Next::Over).await,
    }
}

/// Asks again for a session whose outcome is unknown, under the key it was asked for first.
async fn repeat_create(app: &App, session: &SessionRow) -> Result<(), Error> {
    let (agency, id) = (session.agency_id, session.payment_id);
    if session.created_at.plus(REPEAT_FOR.mul_f64(app.time_scale)) <= Timestamp::now() {
        // The provider is about to forget the key, and with it whatever was made. Nobody was given its link.
        return checkout::reschedule(app, session, |_, _| Next::Over).await;
    }
    let look = app.ledger.read(move |tx| async move { tx.payment_row(agency, id).await }.boxed()).await?;
    let payment = look.ok_or_else(|| Error::internal("a session without its payment"))?;
    match checkout::ask(app, &payment, session, None).await {
        Err(error @ Error::Internal { .. }) => Err(error),
        // What came of it is stored with the session.
        Ok(_) | Err(_) => Ok(()),
    }
}
