//! Money: whole pence in a checked `i64`. No floats, no other unit, no other currency than pounds sterling.

use std::borrow::Cow;

use diesel::{deserialize::FromSqlRow, expression::AsExpression};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// An amount of money in pence, zero or more.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, AsExpression, FromSqlRow,
)]
#[diesel(sql_type = diesel::sql_types::BigInt)]
#[serde(transparent)]
pub struct Pence(i64);

impl Pence {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount a payment may ask for, and the largest card limit: £999,999.99.
    pub const MAX_PAYMENT: Self = Self(99_999_999);

    /// The amount, or `None` where it is negative.
    pub const fn new(pence: i64) -> Option<Self> {
        if pence >= 0 { Some(Self(pence)) } else { None }
    }

    /// The number of pence.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The number, borrowed: what a column of a row is written from.
    pub(crate) const fn as_i64(&self) -> &i64 {
        &self.0
    }

    /// The sum; saturates, since a total past £92 quadrillion can only be a fault of the data.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::fmt::Display for Pence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Pence {
    fn schema_name() -> Cow<'static, str> {
        "Pence".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0 })
    }
}

/// Whole numbers only: `1.0`, `1e3` and `"100"` are refused, whatever value they spell.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(serde_json::Value::deserialize(deserializer)?.as_i64())
}

/// What a payment asks for: 1 to 99,999,999 pence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PaymentAmount(pub Pence);

impl<'de> Deserialize<'de> for PaymentAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer)?
            .filter(|pence| (1..=Pence::MAX_PAYMENT.0).contains(pence))
            .map(|pence| Self(Pence(pence)))
            .ok_or_else(|| de::Error::custom("must be a whole number of pence from 1 to 99,999,999"))
    }
}

impl JsonSchema for PaymentAmount {
    fn schema_name() -> Cow<'static, str> {
        "PaymentAmount".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 99_999_999 })
    }
}

/// The most an agency takes by card: 0 to 99,999,999 pence. 0 forbids cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CardLimit(pub Pence);

impl<'de> Deserialize<'de> for CardLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer)?
            .filter(|pence| (0..=Pence::MAX_PAYMENT.0).contains(pence))
            .map(|pence| Self(Pence(pence)))
            .ok_or_else(|| de::Error::custom("must be a whole number of pence from 0 to 99,999,999, or null"))
    }
}

impl JsonSchema for CardLimit {
    fn schema_name() -> Cow<'static, str> {
        "CardLimit".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": 99_999_999 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_in_range_are_amounts() {
        for good in ["1", "200000", "99999999"] {
            assert!(serde_json::from_str::<PaymentAmount>(good).is_ok(), "{good}");
        }
        for bad in ["0", "-1", "100000000", "1.0", "1e3", "\"100\"", "true", "null", "9223372036854775808"] {
            let error = serde_json::from_str::<PaymentAmount>(bad).unwrap_err().to_string();
            assert!(error.contains("whole number of pence"), "{bad}: {error}");
        }
        assert!(serde_json::from_str::<CardLimit>("0").is_ok());
    }
}
