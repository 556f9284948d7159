//! `payment.renewCheckout`: the live link of a payment; a new one where the old is dead.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    CheckoutLink,
    own_payment::{cause, lock_own, newest_session, payment_id},
};
use crate::{
    App,
    checkout::{self, ReadBack},
    domain::{
        PaymentId, SessionState, Timestamp,
        lifecycle::requests::{self, Decision},
    },
    error::Error,
    ledger::{
        Tx,
        tables::{PaymentRow, SessionRow},
    },
    payment_sync::{PaymentFact, apply},
    rpc::procedure::{Call, Example},
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
    if let Some(suspect) = newest_session(&call, id).await?.filter(may_hide_money) {
        // Money may have come through it at the last moment, whoever said that it is dead: the provider is asked before
        // it is replaced.
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
    Replaced(PaymentRow, Box<SessionRow>),
}

async fn link(app: &App, renewed: Renewed, request_id: &str) -> Result<String, Error> {
    match renewed {
        Renewed::Open(url) => Ok(url),
        Renewed::Unknown(payment) => checkout::link(app, &payment, request_id).await,
        Renewed::Replaced(payment, session) => checkout::ask(app, &payment, &session, Some(request_id)).await,
    }
}

/// Whether the session is to be replaced, and a tenant may have paid through it.
fn may_hide_money(session: &SessionRow) -> bool {
    match session.state {
        SessionState::Open => session.expires_at.is_some_and(|at| at <= Timestamp::now()),
        SessionState::Dead => session.session_id.is_some(),
        SessionState::Creating | SessionState::Rejected => false,
    }
}

async fn renew(tx: &Tx, call: &Call, id: PaymentId) -> Result<Renewed, Error> {
    let loaded = lock_own(tx, call, id).await?;
    let place = checkout::task_place(tx, &loaded.payment).await?;
    match requests::checkout_link(loaded.payment.status, place) {
        Decision::Do | Decision::RowAgain => {}
        Decision::Refused(refusal) => return Err(Error::refused(refusal, Some(id), "renewed")),
    }
    let newest = loaded.sessions().last();
    let newest = newest.ok_or_else(|| Error::internal("a payment without its session"))?;
    match (newest.state, &newest.url) {
        (SessionState::Open, Some(url)) => return Ok(Renewed::Open(url.clone())),
        (SessionState::Creating, _) => return Ok(Renewed::Unknown(loaded.payment)),
        (SessionState::Open | SessionState::Dead | SessionState::Rejected, _) => {}
    }
    let attempt = loaded.payment.latest_attempt + 1;
    let session = checkout::new_session(&call.app, loaded.payment.agency_id, id, attempt);
    tx.insert_session(&session).await?;
    let applied = apply(tx, loaded, &PaymentFact::Renewed { attempt }, &cause(call)).await?;
    Ok(Renewed::Replaced(applied.payment, Box::new(session)))
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "the link that is open",
    r#"{
        "paymentId": "01a22244-9ae3-757a-b1e9-c31af6e061d9"
    }"#,
    r#"{
        "checkoutUrl": "https://pay.calmonypay.com/checkout/cs_ce9343adc69d066966f62b0b5c54a748",
        "ledgerEntryId": "01a22244-9ae3-757a-b1e9-c31af6e061d9"
    }"#,
)];
