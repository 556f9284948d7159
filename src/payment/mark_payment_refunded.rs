//! `payment.markPaymentRefunded`: an admin says that the money went back outside the platform.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Payment, cause, lock_own, payment_id, read_own};
use crate::{
    domain::{FreeText, Label, PaymentId, PaymentStatus},
    error::Error,
    ledger::Tx,
    payment_sync::{Happening, happened},
    rpc::procedure::Call,
};

/// Records that all the money of a succeeded payment went back outside the platform. Moves no money. Repeating it
/// with the same reference is harmless. Money that comes in later makes the payment `succeeded` again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "MarkPaymentRefundedInput")]
pub struct Input {
    /// The payment's id.
    payment_id: String,
    /// Such as the bank transfer's reference. 1 to 200 characters.
    reference: Label<200>,
    /// Why. 1 to 500 characters, no card numbers.
    reason: Option<FreeText<500>>,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<Payment, Error> {
    let id = payment_id(&input.payment_id)?;
    let ledger = call.app.ledger.clone();
    ledger.write(move |tx| async move { mark(tx, &call, id, input).await }.boxed()).await
}

async fn mark(tx: &mut Tx, call: &Call, id: PaymentId, input: Input) -> Result<Payment, Error> {
    let Input { payment_id: _, reference, reason } = input;
    let payment = lock_own(tx, call, id).await?;
    let repeated = payment.refund_reference.as_ref() == Some(&reference);
    match payment.status {
        PaymentStatus::Succeeded => {
            happened(tx, payment, &Happening::RefundedOutside { reference, reason }, &cause(call)).await?;
        }
        PaymentStatus::Refunded if repeated => {}
        // While money is on its way there is none to give back: no reason to come back later, as there is for
        // cancelling.
        from @ (PaymentStatus::Pending
        | PaymentStatus::Processing
        | PaymentStatus::Failed
        | PaymentStatus::Refunded
        | PaymentStatus::Cancelled) => {
            return Err(Error::InvalidTransition { from, asked: "marked as refunded" });
        }
    }
    read_own(tx, call, id).await
}
