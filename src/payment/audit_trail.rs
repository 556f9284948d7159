//! `payment.auditTrail`: what happened, oldest first.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    AuditEntry,
    own_payment::{payment_id, read_own},
};
use crate::{
    domain::Role,
    error::Error,
    pagination::{Cursor, Limit, List, Page},
    rpc::procedure::{Call, Example},
};

/// Lists the audit log of one payment, or of the agency, oldest first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "AuditTrailInput")]
pub struct Input {
    /// Of this payment. Left out: of the agency, which only an admin may see.
    payment_id: Option<String>,
    /// Where the page before ended: its `nextCursor`.
    cursor: Option<Cursor>,
    /// How many at most: 1 to 100, 20 unless said.
    limit: Option<Limit>,
}

/// See [`Input`].
pub async fn run(call: Call, input: Input) -> Result<Page<AuditEntry>, Error> {
    let Input { payment_id: payment, cursor, limit } = input;
    let limit = limit.unwrap_or_default();
    let ledger = call.app.ledger.clone();
    let agency = call.caller.agency_id;
    if let Some(payment) = payment {
        let id = payment_id(&payment)?;
        let after = cursor.map_or(Ok(0), |cursor| cursor.number(List::PaymentTrail))?;
        let look = async move |tx: &mut crate::ledger::Tx| {
            read_own(tx, &call, id).await?;
            tx.payment_trail(agency, id, after, limit.and_one()).await
        };
        let rows = ledger.read(move |tx| async move { look(tx).await }.boxed()).await?;
        return Ok(Page::of(
            rows,
            limit,
            |row| Cursor::of_number(List::PaymentTrail, row.version.unwrap_or_default()),
            AuditEntry::from,
        ));
    }
    if !call.caller.role.covers(Role::Admin) {
        return Err(Error::Forbidden { required: Role::Admin });
    }
    let after = cursor.map_or(Ok(0), |cursor| cursor.number(List::AgencyTrail))?;
    let rows = ledger
        .read(move |tx| async move { tx.agency_trail(agency, after, limit.and_one()).await }.boxed())
        .await?;
    Ok(Page::of(
        rows,
        limit,
        |row| Cursor::of_number(List::AgencyTrail, row.0),
        |(_, row)| AuditEntry::from(row),
    ))
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "all that happened to it",
    r#"{
        "paymentId": "01a22244-9ae3-757a-b1e9-c31af6e061d9"
    }"#,
    r#"{
        "items": [
            {
                "id": "01a22244-9ae3-757a-b1e9-c31ba798cee2",
                "at": "2026-11-28T13:07:31.171Z",
                "actor": "Arthur Agent",
                "action": "payment.created",
                "resourceType": "payment",
                "resourceId": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
                "from": null,
                "to": "pending",
                "changes": {
                    "amountPence": 25000,
                    "paymentType": "holding_deposit",
                    "method": "card",
                    "methodForced": false,
                    "limitAppliedPence": 150000,
                    "tenancyId": "tenancy-77",
                    "todoId": "todo-1201",
                    "customPaymentTaskId": null
                },
                "requestId": "01a22244-9adf-731d-a501-3758d305a70d"
            },
            {
                "id": "01a22244-9b09-7487-8293-14403b33fb38",
                "at": "2026-11-28T13:07:31.209Z",
                "actor": "Arthur Agent",
                "action": "payment.manually_paid",
                "resourceType": "payment",
                "resourceId": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
                "from": "pending",
                "to": "succeeded",
                "changes": {
                    "manuallyPaid": true,
                    "completedTodoId": "todo-1201"
                },
                "requestId": "01a22244-9b05-71d8-be04-dc889d2f7a8b"
            },
            {
                "id": "01a22244-9b1d-7528-9734-fdad0a3687aa",
                "at": "2026-11-28T13:07:31.229Z",
                "actor": "Ada Admin",
                "action": "payment.manual_payment_withdrawn",
                "resourceType": "payment",
                "resourceId": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
                "from": "succeeded",
                "to": "pending",
                "changes": {
                    "manuallyPaid": false,
                    "reopenedTodoId": "todo-1201"
                },
                "requestId": "01a22244-9b1b-73d4-a759-7b48525cd9ba"
            },
            {
                "id": "01a22244-9b2b-71d6-830d-a46effff6b8e",
                "at": "2026-11-28T13:07:31.242Z",
                "actor": "Arthur Agent",
                "action": "payment.manually_paid",
                "resourceType": "payment",
                "resourceId": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
                "from": "pending",
                "to": "succeeded",
                "changes": {
                    "manuallyPaid": true,
                    "completedTodoId": "todo-1201"
                },
                "requestId": "01a22244-9b23-75a1-b5a1-6bbbfa52a5b6"
            },
            {
                "id": "01a22244-9b38-7798-bf63-ed0038cf648d",
                "at": "2026-11-28T13:07:31.255Z",
                "actor": "Ada Admin",
                "action": "payment.refunded",
                "resourceType": "payment",
                "resourceId": "01a22244-9ae3-757a-b1e9-c31af6e061d9",
                "from": "succeeded",
                "to": "refunded",
                "changes": {
                    "refundedOutside": true
                },
                "requestId": "01a22244-9b33-7351-af5d-1c210cd60e64"
            }
        ],
        "nextCursor": null
    }"#,
)];
