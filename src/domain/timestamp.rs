//! Points in time: UTC, to the millisecond, RFC 3339 on the wire.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use diesel::{deserialize::FromSqlRow, expression::AsExpression};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A point in time. Milliseconds are what JavaScript's `Date` keeps, so a time survives the round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = crate::ledger::sql_types::Timestamptz)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(DateTime::UNIX_EPOCH);

    /// The present.
    pub fn now() -> Self {
        Self::from(Utc::now())
    }

    /// From milliseconds since 1970, or `None` outside what a date can say.
    pub fn from_millis(millis: i64) -> Option<Self> {
        DateTime::from_timestamp_millis(millis).map(Self)
    }

    /// From whole seconds since 1970, or `None` outside what a date can say.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        DateTime::from_timestamp(seconds, 0).map(Self)
    }

    /// As chrono's type.
    pub fn to_utc(self) -> DateTime<Utc> {
        self.0
    }

    /// This much later; saturates at the end of time.
    pub fn plus(self, duration: std::time::Duration) -> Self {
        chrono::Duration::from_std(duration)
            .ok()
            .and_then(|d| self.0.checked_add_signed(d))
            .map_or(Self(DateTime::<Utc>::MAX_UTC), Self::from)
    }

    /// This much earlier; saturates at 1970, before which nothing of ours was.
    pub fn minus(self, duration: std::time::Duration) -> Self {
        let earlier = chrono::Duration::from_std(duration).ok().and_then(|d| self.0.checked_sub_signed(d));
        earlier.map_or(Self::EPOCH, Self::from).max(Self::EPOCH)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.trunc_subsecs(3))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}
