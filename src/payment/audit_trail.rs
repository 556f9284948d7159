//! `payment.auditTrail`: what happened, oldest first.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{AuditEntry, payment_id, read_own};
use crate::{
    domain::Role,
    error::Error,
    page::{Cursor, Limit, List, Page},
    rpc::procedure::Call,
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
    if let Some(payment) = payment {
        let id = payment_id(&payment)?;
        let after = cursor.map_or(Ok(0), |cursor| cursor.number(List::PaymentTrail))?;
        let look = async move |tx: &mut crate::ledger::Tx| {
            read_own(tx, &call, id).await?;
            tx.payment_trail(id, after, limit.and_one()).await
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
    let agency = call.caller.agency_id;
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
