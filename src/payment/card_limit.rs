//! `payment.getCardLimit` and `payment.updateCardLimit`: the most an agency takes by card.

use futures_util::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::own_payment::cause;
use crate::{
    domain::{CardLimit, Pence},
    error::Error,
    ledger::{Tx, card_limit_changed, tables::AgencyRow},
    rpc::procedure::{Call, Example},
};

/// Reads the agency's card limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GetCardLimitInput")]
pub struct GetInput {}

/// Sets the agency's card limit. Payments that exist keep the method they have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "UpdateCardLimitInput")]
pub struct UpdateInput {
    /// The most that may be paid by card, in pence; above it payments are forced to Pay by Bank. 0 forbids cards,
    /// `null` lifts the limit. Required: leaving it out is an error, not "no limit".
    #[serde(deserialize_with = "required_nullable")]
    #[schemars(required, with = "Nullable<CardLimit>")]
    max_card_payment_pence: Option<CardLimit>,
}

/// The agency's card limit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CardLimitOutput")]
pub struct Output {
    /// The most that may be paid by card, in pence; `null` is no limit.
    max_card_payment_pence: Option<Pence>,
}

/// See [`GetInput`].
pub async fn get(call: Call, _: GetInput) -> Result<Output, Error> {
    let agency = call.caller.agency_id;
    let row = call.app.ledger.read(move |tx| async move { tx.agency(agency).await }.boxed()).await?;
    let row = row.ok_or_else(|| Error::internal("the caller's agency is gone"))?;
    Ok(Output { max_card_payment_pence: row.max_card_payment_pence })
}

/// See [`UpdateInput`].
pub async fn update(call: Call, input: UpdateInput) -> Result<Output, Error> {
    let limit = input.max_card_payment_pence.map(|limit| limit.0);
    let ledger = call.app.ledger.clone();
    ledger.write(move |tx| async move { set(tx, &call, limit).await }.boxed()).await?;
    Ok(Output { max_card_payment_pence: limit })
}

async fn set(tx: &Tx, call: &Call, limit: Option<Pence>) -> Result<(), Error> {
    let agency = tx.lock_agency(call.caller.agency_id).await?;
    let agency = agency.ok_or_else(|| Error::internal("the caller's agency is gone"))?;
    if agency.max_card_payment_pence == limit {
        return Ok(());
    }
    let after = AgencyRow { max_card_payment_pence: limit, ..agency.clone() };
    tx.update_agency(&agency, &after).await?;
    card_limit_changed(tx, &agency, limit, cause(call)).await?;
    Ok(())
}

/// Plain `Option` would take an absent field for `null` and so lift the limit.
fn required_nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

/// The schema of a field that must be there and may be `null`.
struct Nullable<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Nullable{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Option::<T>::json_schema(generator)
    }
}

/// Examples of `payment.getCardLimit` for the published document.
pub const GET_EXAMPLES: &[Example] = &[Example::new(
    "the limit",
    "{}",
    r#"{
        "maxCardPaymentPence": 150000
    }"#,
)];

/// Examples of `payment.updateCardLimit` for the published document.
pub const UPDATE_EXAMPLES: &[Example] = &[Example::new(
    "cards up to £1,500",
    r#"{
        "maxCardPaymentPence": 150000
    }"#,
    r#"{
        "maxCardPaymentPence": 150000
    }"#,
)];
