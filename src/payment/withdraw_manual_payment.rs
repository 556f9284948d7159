//! `payment.withdrawManualPayment`: an admin says that confirming a payment by hand was a mistake.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Payment,
    own_payment::{lock_own, payment_id, read_own, request},
};
use crate::{
    domain::{FreeText, PaymentId, lifecycle::requests},
    error::Error,
    ledger::Tx,
    payment_sync::PaymentFact,
    rpc::procedure::{Call, Example},
};

/// Takes a manual confirmation back: the wrong payment was marked as paid. The payment stands as if it had never been
/// confirmed, and so do its todo and custom payment task, unless other money keeps them. Moves no money. Repeating it with
/// the same reason is harmless.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "WithdrawManualPaymentInput")]
pub struct Input {
    /// The payment's id.
    payment_id: String,
    /// Why. 1 to 500 characters, no card numbers.
    reason: FreeText<500>,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<Payment, Error> {
    let id = payment_id(&input.payment_id)?;
    let ledger = call.app.ledger.clone();
    ledger.write(move |tx| async move { withdraw(tx, &call, id, input.reason).await }.boxed()).await
}

async fn withdraw(tx: &Tx, call: &Call, id: PaymentId, reason: FreeText<500>) -> Result<Payment, Error> {
    let loaded = lock_own(tx, call, id).await?;
    let decision = requests::withdraw_manual_payment(loaded.payment.status, &loaded.facts.marks, &reason);
    let fact = PaymentFact::ManualPaymentWithdrawn { reason };
    request(tx, call, loaded, decision, fact, "cleared of a manual payment").await?;
    read_own(tx, call, id).await
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "the wrong payment was marked",
    r#"{
        "paymentId": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
        "reason": "The transfer was for another tenancy"
    }"#,
    r#"{
        "id": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
        "status": "pending",
        "paymentType": "holding_deposit",
        "method": "card",
        "methodForced": false,
        "amountPence": 25000,
        "currency": "GBP",
        "description": "Holding deposit, 12 Orchard Row",
        "tenancyId": "tenancy-77",
        "todoId": "todo-1201",
        "customPaymentTaskId": null,
        "checkoutUrl": "https://pay.calmonypay.com/checkout/cs_ce9343adc69d066966f62b0b5c54a748",
        "checkoutExpiresAt": "2026-11-29T13:07:31.174Z",
        "paymentIntentId": null,
        "manuallyPaid": false,
        "manualPaymentReference": null,
        "paidAt": null,
        "failureReason": null,
        "refundedPence": 0,
        "refundedAt": null,
        "openAnomalies": 0,
        "createdBy": "Arthur Agent",
        "createdAt": "2026-11-28T13:07:31.171Z",
        "updatedAt": "2026-11-28T13:07:31.171Z"
    }"#,
)];
