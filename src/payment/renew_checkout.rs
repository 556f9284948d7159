//! `payment.renewCheckout`: the live link of a payment; a new one where the old is dead.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{CheckoutLink, cause, lock_own, newest_session, payment_id};
use crate::{
    App,
    checkout::{self, ReadBack},
    domain::{PaymentId, PaymentStatus, SessionState, TaskStatus, Timestamp},
    error::Error,
    ledger::{
        Tx,
        rows::{PaymentRow, SessionRow},
    },
    payment_sync::{Happening, happened},
    rpc::procedure::Call,
};

/// Returns the live link of a pending or failed payment. An open link is answered again; one whose outcome was
/// unknown is fetched; a dead one is replaced. A payment has one live link at a time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RenewCheckoutInput")]
pub struct Input {
    /// The payment's id.
    payment_id: String,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<CheckoutLink, Error> {
    let id = payment_id(&input.payment_id)?;
    live_link(call, id).await
}

/// The live link of a pending or failed payment, whatever it takes.
pub async fn live_link(call: Call, id: PaymentId) -> Result<CheckoutLink, Error> {
    if let Some(suspect) = newest_session(&call, id).await?.filter(is_past_expiry) {
        // Money may have come through it at the last moment, so the provider is asked before it is replaced.
        if checkout::read_back(&call.app, &suspect).await? == ReadBack::Unanswered {
            return Err(Error::ProviderUnavailable { ledger_entry_id: id });
        }
    }
    let (app, request_id) = (call.app.clone(), call.request_id.clone());
    let renewed =
        call.app.ledger.clone().write(move |tx| async move { renew(tx, &call, id).await }.boxed()).await?;
    let checkout_url = link(&app, renewed, request_id.as_str()).await?;
    Ok(CheckoutLink { checkout_url, ledger_entry_id: id })
}

/// What the transaction found, or made.
enum Renewed {
    /// The open link.
    Open(String),
    /// A session whose outcome is not known yet.
    Unknown(PaymentRow),
    /// A new session, leased to us.
    Replaced(PaymentRow, SessionRow),
}

async fn link(app: &App, renewed: Renewed, request_id: &str) -> Result<String, Error> {
    match renewed {
        Renewed::Open(url) => Ok(url),
        Renewed::Unknown(payment) => checkout::link(app, &payment, request_id).await,
        Renewed::Replaced(payment, session) => checkout::ask(app, &payment, &session, Some(request_id)).await,
    }
}

fn is_past_expiry(session: &SessionRow) -> bool {
    session.state == SessionState::Open && session.expires_at.is_some_and(|at| at <= Timestamp::now())
}

async fn renew(tx: &mut Tx, call: &Call, id: PaymentId) -> Result<Renewed, Error> {
    let payment = lock_own(tx, call, id).await?;
    match payment.status {
        PaymentStatus::Pending | PaymentStatus::Failed => {}
        PaymentStatus::Processing => return Err(Error::PaymentInFlight { asked: "renewed" }),
        from @ (PaymentStatus::Succeeded | PaymentStatus::Refunded | PaymentStatus::Cancelled) => {
            return Err(Error::InvalidTransition { from, asked: "renewed" });
        }
    }
    let session = tx.session(id, payment.latest_attempt).await?;
    let session = session.ok_or_else(|| Error::internal("a payment without its session"))?;
    match (session.state, session.url) {
        (SessionState::Open, Some(url)) => return Ok(Renewed::Open(url)),
        (SessionState::Creating, _) => return Ok(Renewed::Unknown(payment)),
        (SessionState::Open | SessionState::Dead | SessionState::Rejected, _) => {}
    }
    check_task(tx, &payment).await?;
    let attempt = payment.latest_attempt + 1;
    let session = checkout::new_session(id, attempt, Timestamp::now());
    tx.insert_session(&session).await?;
    let settled = happened(tx, payment, &Happening::Renewed { attempt }, &cause(call)).await?;
    Ok(Renewed::Replaced(settled.payment, session))
}

/// A failed payment gave its place at the custom payment task up; it must be free to take it again.
async fn check_task(tx: &mut Tx, payment: &PaymentRow) -> Result<(), Error> {
    let Some(task) = &payment.custom_payment_task_id else { return Ok(()) };
    let row = tx.lock_task(payment.agency_id, task).await?;
    if let Some(row) = row.filter(|row| row.status == TaskStatus::Paid) {
        return Err(Error::AlreadyPaid { ledger_entry_id: row.paid_by_payment_id });
    }
    match tx.open_payment_of_task(payment.agency_id, task).await? {
        Some(other) if other != payment.id => Err(Error::OpenPaymentExists { ledger_entry_id: Some(other) }),
        _ => Ok(()),
    }
}
