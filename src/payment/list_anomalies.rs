//! `payment.listAnomalies`: what is strange, newest first.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Anomaly,
    own_payment::{payment_id, read_own},
};
use crate::{
    domain::{AnomalyId, AnomalyStatus, PaymentId},
    error::Error,
    ledger::{AnomalyPage, Tx, tables::AnomalyRow},
    pagination::{Cursor, Limit, List, Page},
    rpc::procedure::{Call, Example},
};

/// Lists what is strange about the agency's payments, newest first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ListAnomaliesInput")]
pub struct Input {
    /// Only open, or only resolved ones.
    status: Option<AnomalyStatus>,
    /// Only of this payment.
    payment_id: Option<String>,
    /// Where the page before ended: its `nextCursor`.
    cursor: Option<Cursor>,
    /// How many at most: 1 to 100, 20 unless said.
    limit: Option<Limit>,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<Page<Anomaly>, Error> {
    let limit = input.limit.unwrap_or_default();
    let page = AnomalyPage {
        agency: call.caller.agency_id,
        status: input.status,
        payment: input.payment_id.as_deref().map(payment_id).transpose()?,
        before: input.cursor.map(|cursor| cursor.id(List::Anomalies)).transpose()?.map(AnomalyId),
        limit: limit.and_one(),
    };
    let ledger = call.app.ledger.clone();
    let rows = ledger.read(move |tx| async move { look(tx, &call, page).await }.boxed()).await?;
    Ok(Page::of(rows, limit, |row| Cursor::of_id(List::Anomalies, row.id.0), Anomaly::from))
}

async fn look(tx: &Tx, call: &Call, page: AnomalyPage) -> Result<Vec<AnomalyRow>, Error> {
    let named: Option<PaymentId> = page.payment;
    if let Some(payment) = named {
        read_own(tx, call, payment).await?;
    }
    tx.anomaly_page(&page).await
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "paid all the same",
    r#"{
        "status": "open"
    }"#,
    r#"{
        "items": [
            {
                "id": "01a22244-9d65-753d-8818-56a3feed95b0",
                "paymentId": "01a22244-9b57-72d5-ae06-3b2e1c925edb",
                "kind": "paid_after_cancelled",
                "detail": "money came in after the payment was cancelled",
                "status": "open",
                "resolution": null,
                "note": null,
                "createdAt": "2026-11-28T13:07:31.813Z",
                "resolvedAt": null,
                "resolvedBy": null
            }
        ],
        "nextCursor": null
    }"#,
)];
