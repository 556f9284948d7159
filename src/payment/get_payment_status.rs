//! `payment.getPaymentStatus`: one payment.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Payment,
    own_payment::{payment_id, read_own},
};
use crate::{
    error::Error,
    rpc::procedure::{Call, Example},
};

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
    ledger.read(move |tx| async move { read_own(tx, &call, id).await }.boxed()).await
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "waiting for its tenant",
    r#"{
        "paymentId": "01a22244-9ae3-757a-b1e9-c31af6e061d9"
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
