//! `payment.markPaymentManuallyPaid`: an agent confirms money that came outside the platform.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Payment, cause, lock_own, may_settle_stuck, payment_id, read_own};
use crate::{
    domain::{Label, PaymentId, PaymentStatus},
    error::Error,
    ledger::Tx,
    payment_sync::{Happening, happened},
    rpc::procedure::Call,
};

/// Confirms a payment made outside the platform. Completes the linked todo and custom payment task, as a payment
/// through Calmony Pay does. Repeating it with the same reference is harmless.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "MarkPaymentManuallyPaidInput")]
pub struct Input {
    /// The payment's id.
    payment_id: String,
    /// Such as the bank transfer's reference. 1 to 200 characters.
    manual_payment_reference: Option<Label<200>>,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<Payment, Error> {
    let id = payment_id(&input.payment_id)?;
    let reference = input.manual_payment_reference;
    let ledger = call.app.ledger.clone();
    ledger.write(move |tx| async move { mark(tx, &call, id, reference).await }.boxed()).await
}

async fn mark(
    tx: &mut Tx,
    call: &Call,
    id: PaymentId,
    reference: Option<Label<200>>,
) -> Result<Payment, Error> {
    let payment = lock_own(tx, call, id).await?;
    let repeated = payment.manually_paid_at.is_some() && payment.manual_payment_reference == reference;
    match payment.status {
        PaymentStatus::Pending | PaymentStatus::Failed => {
            happened(tx, payment, &Happening::ManuallyPaid { reference }, &cause(call)).await?;
        }
        PaymentStatus::Succeeded if repeated => {}
        PaymentStatus::Processing if may_settle_stuck(tx, call, &payment).await? => {
            happened(tx, payment, &Happening::ManuallyPaid { reference }, &cause(call)).await?;
        }
        PaymentStatus::Processing => return Err(Error::PaymentInFlight { asked: "marked as paid" }),
        from @ (PaymentStatus::Succeeded | PaymentStatus::Refunded | PaymentStatus::Cancelled) => {
            return Err(Error::InvalidTransition { from, asked: "marked as paid" });
        }
    }
    read_own(tx, call, id).await
}
