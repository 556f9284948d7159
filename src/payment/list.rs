//! `payment.list`: payments, newest first.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Payment;
use crate::{
    domain::{HostId, PaymentId, PaymentStatus, PaymentType},
    error::Error,
    ledger::{Crowd, PaymentPage},
    page::{Cursor, Limit, List, Page},
    rpc::procedure::Call,
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
    let rows =
        ledger.together(Crowd::Lists, move |tx| async move { tx.payment_page(&page).await }.boxed()).await?;
    Ok(Page::of(rows, limit, |row| Cursor::of_id(List::Payments, row.id.0), Payment::from))
}
