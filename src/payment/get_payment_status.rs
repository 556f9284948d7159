//! `payment.getPaymentStatus`: one payment.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Payment, payment_id, read_own};
use crate::{error::Error, ledger::Crowd, rpc::procedure::Call};

/// Returns the full ledger entry of a payment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "GetPaymentStatusInput")]
pub struct Input {
    /// The payment's id.
    payment_id: String,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<Payment, Error> {
    let id = payment_id(&input.payment_id)?;
    let ledger = call.app.ledger.clone();
    ledger.together(Crowd::LookUps, move |tx| async move { read_own(tx, &call, id).await }.boxed()).await
}
