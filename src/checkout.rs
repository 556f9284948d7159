//! Opening a checkout session for an attempt, and storing what came back.
//!
//! The session's row is there before the provider is asked, under a key that makes asking again harmless, and a
//! lease on it says who is asking. No transaction is open while the provider is asked. Not here: which attempt to
//! open, and when (`payment.createPaymentTask`, `payment.renewCheckout`, the janitor).

mod read_back;
mod schedule;

use std::time::Duration;

use futures_util::{FutureExt, try_join};

pub use read_back::{ReadBack, read_back, reschedule};
pub use schedule::{Next, REPEAT_FOR};
use schedule::{next_read, next_repeat};

use crate::{
    App,
    calmony::client::{CALL_TIMEOUT, CallFault, Made, NewSession, SESSION_LIFETIME},
    domain::{
        AgencyId, AttemptBest, Cause, PaymentId, PaymentStatus, SessionState, Timestamp,
        lifecycle::{
            Evidence, Report, Reported,
            requests::{self, Decision, TaskPlace},
        },
    },
    error::Error,
    ledger::{
        Tx,
        tables::{PaymentRow, SessionRow},
    },
    payment_sync::{LoadedPayment, PaymentFact, apply},
};

/// How long whoever asks the provider has the session to itself: longer than the call can take.
pub const LEASE: Duration = Duration::from_secs(CALL_TIMEOUT.as_secs() + 2);
/// How long a second caller waits for the first. docs/frontend.md, "Idempotency".
const WAIT_FOR_OTHER: Duration = Duration::from_secs(8);
/// How often it looks. The other may be on another instance, so there is nothing to be woken by.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A new session's row, leased to whoever inserts it.
pub fn new_session(app: &App, agency: AgencyId, payment: PaymentId, attempt: i32) -> SessionRow {
    session_of(&app.return_url, agency, payment, attempt, Timestamp::now())
}

fn session_of(
    return_to: &url::Url,
    agency: AgencyId,
    payment: PaymentId,
    attempt: i32,
    now: Timestamp,
) -> SessionRow {
    SessionRow {
        agency_id: agency,
        payment_id: payment,
        attempt,
        success_url: return_url(return_to, payment, "paid"),
        cancel_url: return_url(return_to, payment, "left"),
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

/// Where the tenant comes back to. The page learns nothing from it that it could rely on.
fn return_url(configured: &url::Url, payment: PaymentId, outcome: &str) -> String {
    let mut url = configured.clone();
    url.query_pairs_mut().append_pair("payment", &payment.to_string()).append_pair("outcome", outcome);
    url.into()
}

/// The link of a payment's newest session, whoever gets it from the provider: us, now, or a caller who is asking
/// already. Answers what became of the session otherwise.
pub async fn link(app: &App, payment: &PaymentRow, request_id: &str) -> Result<String, Error> {
    let (agency, id, attempt) = (payment.agency_id, payment.id, payment.latest_attempt);
    let deadline = tokio::time::Instant::now() + WAIT_FOR_OTHER;
    loop {
        let look = app.ledger.read(move |tx| {
            async move { try_join!(tx.session(agency, id, attempt), can_be_paid(tx, agency, id)) }.boxed()
        });
        let (session, can_be_paid) = look.await?;
        let session = session.ok_or_else(|| Error::internal("a payment without its session"))?;
        can_be_paid?;
        match (session.state, &session.url) {
            (SessionState::Open | SessionState::Dead, Some(url)) => return Ok(url.clone()),
            (SessionState::Rejected, _) => return Err(Error::ProviderRejected { ledger_entry_id: id }),
            (SessionState::Creating | SessionState::Open | SessionState::Dead, _) => {}
        }
        let now = Timestamp::now();
        if session.leased_until.is_none_or(|until| until < now) {
            let until = now.plus(LEASE);
            let lease = app.ledger.write(move |tx| {
                async move { tx.lease_session(agency, id, attempt, now, until).await }.boxed()
            });
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

/// Whether a link of this payment may be handed out now: the inner error says why not.
pub async fn can_be_paid(tx: &Tx, agency: AgencyId, id: PaymentId) -> Result<Result<(), Error>, Error> {
    let payment = tx.payment_row(agency, id).await?;
    let payment = payment.ok_or_else(|| Error::internal("the payment is gone"))?;
    let place = task_place(tx, &payment).await?;
    Ok(may_be_paid(&payment, place))
}

/// What other payments did to the custom payment task of this one.
pub async fn task_place(tx: &Tx, payment: &PaymentRow) -> Result<TaskPlace, Error> {
    let Some(task) = &payment.custom_payment_task_id else { return Ok(TaskPlace::default()) };
    // A payment under way holds the task's only place itself.
    let taken_by = async {
        match payment.status {
            PaymentStatus::Failed => tx.open_payment_of_task(payment.agency_id, task).await,
            _ => Ok(None),
        }
    };
    let (task, taken_by) = try_join!(tx.task(payment.agency_id, task), taken_by)?;
    let others = |id: &PaymentId| *id != payment.id;
    Ok(TaskPlace {
        paid_by: task.and_then(|task| task.paid_by_payment_id).filter(others),
        taken_by: taken_by.map(|row| row.id).filter(others),
    })
}

/// A link is handed out only for a payment that may be paid.
pub fn may_be_paid(payment: &PaymentRow, place: TaskPlace) -> Result<(), Error> {
    match requests::checkout_link(payment.status, place) {
        Decision::Do | Decision::RowAgain => Ok(()),
        Decision::Refused(refusal) => Err(Error::refused(refusal, Some(payment.id), "checked out")),
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
    let new = NewSession {
        payment_id: payment.id,
        agency_id: payment.agency_id,
        attempt,
        provider_key: format!("quittance-{}-{attempt}", payment.id),
        amount: payment.amount_pence,
        description: payment.description.clone(),
        method: payment.method,
        success_url: session.success_url.clone(),
        cancel_url: session.cancel_url.clone(),
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
    let (agency, id, scale) = (payment.agency_id, payment.id, app.time_scale);
    let cause = Cause { request_id: request_id.map(str::to_owned), ..Cause::calmony_pay(None) };
    let stored = app.ledger.write(move |tx| {
        async move { store(tx, agency, id, attempt, answer, asked_at, &cause, scale).await }.boxed()
    });
    let stored = match (stored.await, request_id) {
        // The payment is made, whatever became of the answer: who asked for it must learn its id. The session is leased,
        // and asked for again under the same key.
        (Err(error @ (Error::Busy { .. } | Error::Internal { .. })), Some(_)) => {
            tracing::error!(payment = %id, attempt, cause = error.story(), "a session's answer could not be stored");
            Stored::Unknown
        }
        (stored, _) => stored?,
    };
    match stored {
        Stored::Link { url, can_be_paid } => can_be_paid.map(|()| url),
        Stored::Rejected => Err(Error::ProviderRejected { ledger_entry_id: id }),
        Stored::Unknown => Err(Error::ProviderUnavailable { ledger_entry_id: id }),
    }
}

enum Stored {
    /// The session has a link; whether it may be handed out is another matter.
    Link {
        url: String,
        can_be_paid: Result<(), Error>,
    },
    Rejected,
    Unknown,
}

#[allow(clippy::too_many_arguments, reason = "what was asked, for what, and what came back")]
async fn store(
    tx: &Tx,
    agency: AgencyId,
    id: PaymentId,
    attempt: i32,
    answer: Result<Made, CallFault>,
    asked_at: Timestamp,
    cause: &Cause,
    time_scale: f64,
) -> Result<Stored, Error> {
    let made = match answer {
        Ok(made) => made,
        Err(CallFault::Rejected { code, .. }) => {
            return store_rejection(tx, agency, id, attempt, code, cause).await;
        }
        Err(CallFault::Unknown { .. }) => {
            let (payment, session) = try_join!(tx.lock_payment(agency, id), tx.session(agency, id, attempt))?;
            let (payment, session) = there(payment, session)?;
            return match link_of(tx, &payment, &session).await? {
                Some(link) => Ok(link),
                None => repeat_later(tx, &session, cause.at, time_scale).await,
            };
        }
    };
    // Whoever had the payment locked may have changed the session: what is asked for after the lock is read under it.
    let (payment, session, given_before) = try_join!(
        tx.lock_payment(agency, id),
        tx.session(agency, id, attempt),
        tx.session_by_id(&made.session_id)
    )?;
    let (payment, session) = there(payment, session)?;
    if let Some(link) = link_of(tx, &payment, &session).await? {
        return Ok(link);
    }
    let Made { session_id, url } = made;
    if given_before.is_some() {
        tracing::error!(payment = %id, %session_id, "Calmony Pay gave this session to another payment before");
        return repeat_later(tx, &session, cause.at, time_scale).await;
    }
    let open = SessionRow {
        state: SessionState::Open,
        session_id: Some(session_id.clone()),
        url: Some(url.clone()),
        expires_at: Some(asked_at.plus(SESSION_LIFETIME)),
        next_read_at: Some(next_read(asked_at, cause.at, time_scale)),
        leased_until: None,
        ..session.clone()
    };
    tx.update_session(&session, &open).await?;
    tx.wake_events_of_session(&session_id, cause.at).await?;
    let can_be_paid = may_be_paid(&payment, task_place(tx, &payment).await?);
    Ok(Stored::Link { url, can_be_paid })
}

/// The provider said no: the payment is failed.
async fn store_rejection(
    tx: &Tx,
    agency: AgencyId,
    id: PaymentId,
    attempt: i32,
    code: String,
    cause: &Cause,
) -> Result<Stored, Error> {
    let loaded = LoadedPayment::lock(tx, agency, id).await?;
    let loaded = loaded.ok_or_else(|| Error::internal("the payment is gone"))?;
    let session = loaded.sessions().iter().find(|session| session.attempt == attempt);
    let session = session.ok_or_else(|| Error::internal("the session is gone"))?.clone();
    if let Some(link) = link_of(tx, &loaded.payment, &session).await? {
        return Ok(link);
    }
    let row = SessionRow {
        state: SessionState::Rejected,
        next_read_at: None,
        leased_until: None,
        ..session.clone()
    };
    let evidence = Evidence {
        intent: None,
        attempt: Some(attempt),
        amount: Reported::Absent,
        currency: None,
        report: Report::Failed,
    };
    let fact = PaymentFact::Reported { evidence, failure_code: Some(code) };
    apply(tx, loaded, &fact, cause).await?;
    // Last: what is applied writes when the session is read next as well, and it is never.
    tx.update_session(&session, &row).await?;
    Ok(Stored::Rejected)
}

fn there(
    payment: Option<PaymentRow>,
    session: Option<SessionRow>,
) -> Result<(PaymentRow, SessionRow), Error> {
    payment.zip(session).ok_or_else(|| Error::internal("a payment or its session is gone"))
}

/// The link that is there already: whoever had the lease before us got an answer after all. The key was the same, so is
/// the session.
async fn link_of(tx: &Tx, payment: &PaymentRow, session: &SessionRow) -> Result<Option<Stored>, Error> {
    let (SessionState::Open | SessionState::Dead, Some(url)) = (session.state, &session.url) else {
        return Ok(None);
    };
    let can_be_paid = may_be_paid(payment, task_place(tx, payment).await?);
    Ok(Some(Stored::Link { url: url.clone(), can_be_paid }))
}

async fn repeat_later(
    tx: &Tx,
    session: &SessionRow,
    now: Timestamp,
    time_scale: f64,
) -> Result<Stored, Error> {
    let next_read_at = Some(next_repeat(session, now, time_scale));
    tx.update_session(session, &SessionRow { next_read_at, leased_until: None, ..session.clone() }).await?;
    Ok(Stored::Unknown)
}
