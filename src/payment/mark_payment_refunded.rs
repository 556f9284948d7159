//! `payment.markPaymentRefunded`: an admin says that the money went back outside the platform.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Payment,
    own_payment::{lock_own, payment_id, read_own, request},
};
use crate::{
    domain::{FreeText, Label, PaymentId, lifecycle::requests},
    error::Error,
    ledger::Tx,
    payment_sync::PaymentFact,
    rpc::procedure::{Call, Example},
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

async fn mark(tx: &Tx, call: &Call, id: PaymentId, input: Input) -> Result<Payment, Error> {
    let Input { payment_id: _, reference, reason } = input;
    let loaded = lock_own(tx, call, id).await?;
    let decision = requests::mark_refunded(loaded.payment.status, &loaded.facts.marks, &reference);
    let fact = PaymentFact::RefundedOutside { reference, reason };
    request(tx, call, loaded, decision, fact, "marked as refunded").await?;
    read_own(tx, call, id).await
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "given back by bank transfer",
    r#"{
        "paymentId": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
        "reference": "BACS 1307",
        "reason": "The offer fell through"
    }"#,
    r#"{
        "id": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
        "status": "refunded",
        "paymentType": "holding_deposit",
        "method": "card",
        "methodForced": false,
        "amountPence": 25000,
        "currency": "GBP",
        "description": "Holding deposit, 12 Orchard Row",
        "tenancyId": "tenancy-77",
        "todoId": "todo-1201",
        "customPaymentTaskId": null,
        "checkoutUrl": null,
        "checkoutExpiresAt": null,
        "paymentIntentId": null,
        "manuallyPaid": true,
        "manualPaymentReference": "BACS 1201",
        "paidAt": "2026-11-28T13:07:31.242Z",
        "failureReason": null,
        "refundedPence": 0,
        "refundedAt": "2026-11-28T13:07:31.255Z",
        "openAnomalies": 0,
        "createdBy": "Arthur Agent",
        "createdAt": "2026-11-28T13:07:31.171Z",
        "updatedAt": "2026-11-28T13:07:31.255Z"
    }"#,
)];
