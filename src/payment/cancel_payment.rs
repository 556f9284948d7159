//! `payment.cancelPayment`: calls a pending payment off.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Payment, cause, lock_own, may_settle_stuck, payment_id, read_own};
use crate::{
    domain::{PaymentId, PaymentStatus},
    error::Error,
    ledger::Tx,
    payment_sync::{Happening, happened},
    rpc::procedure::Call,
};

/// Cancels a pending payment. Repeating it is harmless. Calmony Pay can't take a link back, so the tenant may still
/// pay; the payment then becomes `succeeded` with an anomaly.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CancelPaymentInput")]
pub struct Input {
    /// The payment's id.
    payment_id: String,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<Payment, Error> {
    let id = payment_id(&input.payment_id)?;
    let ledger = call.app.ledger.clone();
    ledger.write(move |tx| async move { cancel(tx, &call, id).await }.boxed()).await
}

async fn cancel(tx: &mut Tx, call: &Call, id: PaymentId) -> Result<Payment, Error> {
    let payment = lock_own(tx, call, id).await?;
    match payment.status {
        PaymentStatus::Pending => _ = happened(tx, payment, &Happening::Cancelled, &cause(call)).await?,
        PaymentStatus::Cancelled => {}
        PaymentStatus::Processing if may_settle_stuck(tx, call, &payment).await? => {
            happened(tx, payment, &Happening::Cancelled, &cause(call)).await?;
        }
        PaymentStatus::Processing => return Err(Error::PaymentInFlight { asked: "cancelled" }),
        from @ (PaymentStatus::Succeeded | PaymentStatus::Failed | PaymentStatus::Refunded) => {
            return Err(Error::InvalidTransition { from, asked: "cancelled" });
        }
    }
    read_own(tx, call, id).await
}
