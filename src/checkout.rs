//! Opening a checkout session for an attempt, and storing what came back.
//!
//! The session's row is there before the provider is asked, under a key that makes asking again harmless, and a
//! lease on it says who is asking. No transaction is open while the provider is asked. Not here: which attempt to
//! open, and when (`payment.createPaymentTask`, `payment.renewCheckout`, the janitor).

mod read_back;
mod schedule;

use std::time::Duration;

use futures_util::{FutureExt, try_join};

pub use read_back::{ReadBack, read_back, visited};
pub use schedule::{Next, REPEAT_FOR};
use schedule::{next_read, next_repeat};

use crate::{
    App,
    calmony::client::{CALL_TIMEOUT, CallFault, Made, NewSession, SESSION_LIFETIME},
    domain::{
        AttemptBest, Cause, PaymentId, PaymentStatus, SessionState, Timestamp,
        lifecycle::{Evidence, Report, Reported},
    },
    error::Error,
    ledger::{
        Crowd, Tx,
        rows::{PaymentRow, SessionRow},
    },
    payment_sync::{Happening, happened},
};

/// How long whoever asks the provider has the session to itself: longer than the call can take.
pub const LEASE: Duration = Duration::from_secs(CALL_TIMEOUT.as_secs() + 2);
/// How long a second caller waits for the first. README, "Idempotency".
const WAIT_FOR_OTHER: Duration = Duration::from_secs(8);
/// How often it looks. The other may be on another instance, so there is nothing to be woken by.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A new session's row, leased to whoever inserts it.
pub fn new_session(payment: PaymentId, attempt: i32, now: Timestamp) -> SessionRow {
    SessionRow {
        payment_id: payment,
        attempt,
        provider_key: format!("quittance-{payment}-{attempt}"),
        state: SessionState::Creating,
        best: AttemptBest::Pending,
        failure_reason: None,
        processing_since: None,
        session_id: None,
        url: None,
        expires_at: None,
        leased_until: Some(now.plus(LEASE)),
        tries: 1,
        next_read_at: Some(now.plus(LEASE)),
        created_at: now,
    }
}

/// The link of a payment's newest session, whoever gets it from the provider: us, now, or a caller who is asking
/// already. Answers what became of the session otherwise.
pub async fn link(app: &App, payment: &PaymentRow, request_id: &str) -> Result<String, Error> {
    let (id, attempt) = (payment.id, payment.latest_attempt);
    let deadline = tokio::time::Instant::now() + WAIT_FOR_OTHER;
    loop {
        let look = app.ledger.read(move |tx| async move { tx.session(id, attempt).await }.boxed());
        let session = look.await?.ok_or_else(|| Error::internal("a payment without its session"))?;
        match (session.state, &session.url) {
            (SessionState::Open | SessionState::Dead, Some(url)) => return Ok(url.clone()),
            (SessionState::Rejected, _) => return Err(Error::ProviderRejected { ledger_entry_id: id }),
            (SessionState::Creating | SessionState::Open | SessionState::Dead, _) => {}
        }
        let now = Timestamp::now();
        if session.leased_until.is_none_or(|until| until < now) {
            let until = now.plus(LEASE);
            let lease = app
                .ledger
                .write(move |tx| async move { tx.lease_session(id, attempt, now, until).await }.boxed());
            if lease.await? {
                return ask(app, payment, &session, Some(request_id)).await;
            }
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Error::InProgress { ledger_entry_id: id });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Asks the provider for a session whose lease we hold, stores the answer, and gives the link.
/// `request_id` is the call's, where one asked.
pub async fn ask(
    app: &App,
    payment: &PaymentRow,
    session: &SessionRow,
    request_id: Option<&str>,
) -> Result<String, Error> {
    let attempt = session.attempt;
    let asked_at = Timestamp::now();
    let mut return_url = app.return_url.clone();
    return_url.query_pairs_mut().append_pair("payment", &payment.id.to_string());
    let new = NewSession {
        payment_id: payment.id,
        agency_id: payment.agency_id,
        attempt,
        provider_key: session.provider_key.clone(),
        amount: payment.amount_pence,
        description: payment.description.clone(),
        method: payment.method,
        return_url,
    };
    let answer = app.calmony.create_session(&new).await;
    let outcome = match &answer {
        Ok(_) => "made",
        Err(CallFault::Rejected { .. }) => "rejected",
        Err(CallFault::Unknown { .. }) => "unknown",
    };
    metrics::counter!("quittance_checkout_sessions_total", "outcome" => outcome).increment(1);
    if let Err(fault) = &answer {
        tracing::warn!(payment = %payment.id, attempt, %fault, "Calmony Pay made no session");
    }
    let (id, scale) = (payment.id, app.time_scale);
    let cause = Cause { request_id: request_id.map(str::to_owned), ..Cause::calmony_pay(None) };
    let stored = app.ledger.together(Crowd::Writes, move |tx| {
        async move { store(tx, id, attempt, answer, asked_at, &cause, scale).await }.boxed()
    });
    match stored.await? {
        Stored::Link { status: PaymentStatus::Cancelled, .. } => {
            Err(Error::InvalidTransition { from: PaymentStatus::Cancelled, asked: "checked out" })
        }
        Stored::Link { url, .. } => Ok(url),
        Stored::Rejected => Err(Error::ProviderRejected { ledger_entry_id: id }),
        Stored::Unknown => Err(Error::ProviderUnavailable { ledger_entry_id: id }),
    }
}

enum Stored {
    Link { url: String, status: PaymentStatus },
    Rejected,
    Unknown,
}

async fn store(
    tx: &mut Tx,
    id: PaymentId,
    attempt: i32,
    answer: Result<Made, CallFault>,
    asked_at: Timestamp,
    cause: &Cause,
    time_scale: f64,
) -> Result<Stored, Error> {
    let payment = tx.lock_payment(id).await?.ok_or_else(|| Error::internal("the payment is gone"))?;
    // Not before the payment is locked: whoever had it locked may have changed the session.
    let given_before = async {
        match &answer {
            Ok(made) => Ok(tx.session_by_id(&made.session_id).await?.is_some()),
            Err(_) => Ok(false),
        }
    };
    let (session, given_before) = try_join!(tx.session(id, attempt), given_before)?;
    let session = session.ok_or_else(|| Error::internal("the session is gone"))?;
    if let (SessionState::Open | SessionState::Dead, Some(url)) = (session.state, &session.url) {
        // Whoever had the lease before us got an answer after all. The key was the same, so is the session.
        return Ok(Stored::Link { url: url.clone(), status: payment.status });
    }
    let session = SessionRow { leased_until: None, ..session };
    match answer {
        Ok(Made { session_id, .. }) if given_before => {
            tracing::error!(payment = %id, %session_id, "Calmony Pay gave this session to another payment before");
            let next_read_at = next_repeat(&session, cause.at, time_scale);
            tx.update_session(&SessionRow { next_read_at: Some(next_read_at), ..session }).await?;
            Ok(Stored::Unknown)
        }
        Ok(Made { session_id, url }) => {
            let row = SessionRow {
                state: SessionState::Open,
                session_id: Some(session_id.clone()),
                url: Some(url.clone()),
                expires_at: Some(asked_at.plus(SESSION_LIFETIME)),
                next_read_at: Some(next_read(asked_at, cause.at, time_scale)),
                ..session
            };
            tx.update_session(&row).await?;
            tx.wake_events_of_session(&session_id, cause.at).await?;
            Ok(Stored::Link { url, status: payment.status })
        }
        Err(CallFault::Rejected { code }) => {
            let row = SessionRow { state: SessionState::Rejected, next_read_at: None, ..session };
            tx.update_session(&row).await?;
            let evidence = Evidence {
                intent: None,
                attempt: Some(attempt),
                amount: Reported::Absent,
                currency: None,
                report: Report::Failed,
            };
            let what = Happening::Reported { evidence, failure_code: Some(code) };
            happened(tx, payment, &what, cause).await?;
            Ok(Stored::Rejected)
        }
        Err(CallFault::Unknown { .. }) => {
            let next_read_at = next_repeat(&session, cause.at, time_scale);
            tx.update_session(&SessionRow { next_read_at: Some(next_read_at), ..session }).await?;
            Ok(Stored::Unknown)
        }
    }
}
