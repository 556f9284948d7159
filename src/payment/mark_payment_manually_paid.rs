//! `payment.markPaymentManuallyPaid`: an agent confirms money that came outside the platform.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Payment,
    own_payment::{lock_own, may_settle_stuck, payment_id, read_own, request},
};
use crate::{
    domain::{Label, PaymentId, lifecycle::requests},
    error::Error,
    ledger::Tx,
    payment_sync::PaymentFact,
    rpc::procedure::{Call, Example},
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

async fn mark(tx: &Tx, call: &Call, id: PaymentId, reference: Option<Label<200>>) -> Result<Payment, Error> {
    let loaded = lock_own(tx, call, id).await?;
    let may_settle_stuck = may_settle_stuck(tx, call, &loaded.payment).await?;
    let (status, marks) = (loaded.payment.status, &loaded.facts.marks);
    let decision = requests::mark_manually_paid(status, marks, reference.as_ref(), may_settle_stuck);
    request(tx, call, loaded, decision, PaymentFact::ManuallyPaid { reference }, "marked as paid").await?;
    read_own(tx, call, id).await
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[
    Example::new(
        "paid by bank transfer, it seems",
        r#"{
        "paymentId": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
        "manualPaymentReference": "BACS 1200"
    }"#,
        r#"{
        "id": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
        "status": "succeeded",
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
        "manualPaymentReference": "BACS 1200",
        "paidAt": "2026-11-28T13:07:31.209Z",
        "failureReason": null,
        "refundedPence": 0,
        "refundedAt": null,
        "openAnomalies": 0,
        "createdBy": "Arthur Agent",
        "createdAt": "2026-11-28T13:07:31.171Z",
        "updatedAt": "2026-11-28T13:07:31.209Z"
    }"#,
    ),
    Example::new(
        "paid by bank transfer",
        r#"{
        "paymentId": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
        "manualPaymentReference": "BACS 1201"
    }"#,
        r#"{
        "id": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
        "status": "succeeded",
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
        "refundedAt": null,
        "openAnomalies": 0,
        "createdBy": "Arthur Agent",
        "createdAt": "2026-11-28T13:07:31.171Z",
        "updatedAt": "2026-11-28T13:07:31.242Z"
    }"#,
    ),
];
