//! `payment.cancelPayment`: calls a payment off that is not paid.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Payment,
    own_payment::{lock_own, may_settle_stuck, payment_id, read_own, request},
};
use crate::{
    domain::{PaymentId, lifecycle::requests},
    error::Error,
    ledger::Tx,
    payment_sync::PaymentFact,
    rpc::procedure::{Call, Example},
};

/// Cancels a pending or failed payment. Repeating it is harmless. Calmony Pay can't take a link back, so the tenant may still
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

async fn cancel(tx: &Tx, call: &Call, id: PaymentId) -> Result<Payment, Error> {
    let loaded = lock_own(tx, call, id).await?;
    let may_settle_stuck = may_settle_stuck(tx, call, &loaded.payment).await?;
    let decision = requests::cancel(loaded.payment.status, may_settle_stuck);
    request(tx, call, loaded, decision, PaymentFact::Cancelled, "cancelled").await?;
    read_own(tx, call, id).await
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "called off",
    r#"{
        "paymentId": "01a22244-9b57-72d5-ae06-3b2e1c925edb"
    }"#,
    r#"{
        "id": "01a22244-9b57-72d5-ae06-3b2e1c925edb",
        "status": "cancelled",
        "paymentType": "move_in_balance",
        "method": "open_banking",
        "methodForced": true,
        "amountPence": 180000,
        "currency": "GBP",
        "description": "First month's rent",
        "tenancyId": null,
        "todoId": null,
        "customPaymentTaskId": null,
        "checkoutUrl": null,
        "checkoutExpiresAt": null,
        "paymentIntentId": null,
        "manuallyPaid": false,
        "manualPaymentReference": null,
        "paidAt": null,
        "failureReason": null,
        "refundedPence": 0,
        "refundedAt": null,
        "openAnomalies": 0,
        "createdBy": "Arthur Agent",
        "createdAt": "2026-11-28T13:07:31.287Z",
        "updatedAt": "2026-11-28T13:07:31.304Z"
    }"#,
)];
