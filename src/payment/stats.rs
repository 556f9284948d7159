//! `payment.stats`: how much is owed, how much came in.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{PaymentStatus, Pence},
    error::Error,
    rpc::procedure::{Call, Example},
};

/// Returns count and total of the agency's pending and succeeded payments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StatsInput")]
pub struct Input {}

/// Counts and totals of the agency's payments.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PaymentStats")]
pub struct Output {
    /// Payments that wait for their tenant.
    pending: Tally,
    /// Payments that were paid, manually confirmed ones included.
    succeeded: Tally,
}

/// A count and a total.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// How many.
    count: i64,
    /// How much, in pence.
    total_pence: Pence,
}

/// See [`Input`].
pub async fn run(call: Call, _: Input) -> Result<Output, Error> {
    let agency = call.caller.agency_id;
    let ledger = &call.app.ledger;
    let totals = ledger.read(move |tx| async move { tx.payment_totals(agency).await }.boxed()).await?;
    let tally = |status: PaymentStatus| {
        let found = totals.iter().find(|(of, _, _)| *of == status);
        found.map_or_else(Tally::default, |&(_, count, total)| Tally {
            count,
            total_pence: Pence::new(total).unwrap_or_default(),
        })
    };
    Ok(Output { pending: tally(PaymentStatus::Pending), succeeded: tally(PaymentStatus::Succeeded) })
}

/// Examples for the published document.
pub const EXAMPLES: &[Example] = &[Example::new(
    "the agency's figures",
    "{}",
    r#"{
        "pending": {
            "count": 1,
            "totalPence": 25000
        },
        "succeeded": {
            "count": 0,
            "totalPence": 0
        }
    }"#,
)];
