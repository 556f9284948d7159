//! `payment.list`: payments, newest first.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Payment;
use crate::{
    domain::{HostId, PaymentId, PaymentStatus, PaymentType},
    error::Error,
    ledger::PaymentPage,
    pagination::{Cursor, Limit, List, Page},
    rpc::procedure::{Call, Example},
};

/// Lists payments, newest first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ListPaymentsInput")]
pub struct Input {
    /// Only of this tenancy.
    tenancy_id: Option<HostId>,
    /// Only in this status.
    status: Option<PaymentStatus>,
    /// Only of this type.
    payment_type: Option<PaymentType>,
    /// Where the page before ended: its `nextCursor`.
    cursor: Option<Cursor>,
    /// How many at most: 1 to 100, 20 unless said.
    limit: Option<Limit>,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<Page<Payment>, Error> {
    let limit = input.limit.unwrap_or_default();
    let page = PaymentPage {
        agency: call.caller.agency_id,
        tenancy: input.tenancy_id,
        status: input.status,
        payment_type: input.payment_type,
        before: input.cursor.map(|cursor| cursor.id(List::Payments)).transpose()?.map(PaymentId),
        limit: limit.and_one(),
    };
    let ledger = &call.app.ledger;
    let rows = ledger.read(move |tx| async move { tx.payment_page(page).await }.boxed()).await?;
    Ok(Page::of(rows, limit, |row| Cursor::of_id(List::Payments, row.id.0), Payment::from))
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "what is pending",
    r#"{
        "status": "pending"
    }"#,
    r#"{
        "items": [
            {
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
            }
        ],
        "nextCursor": null
    }"#,
)];
