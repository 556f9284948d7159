//! Pages of lists: how many rows, where to go on.
//!
//! Lists are read by key, never by offset, so the last page costs what the first does. A cursor is the key of the
//! last row of a page and the list it belongs to, opaque to callers.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

use crate::{
    domain::{HostId, Timestamp},
    error::Error,
};

/// How many rows a page holds at most: 1 to 100, 20 unless said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(usize);

impl Limit {
    const DEFAULT: Self = Self(20);
    const MAX: i64 = 100;

    /// The rows to ask the database for: one more than the page holds, to know whether there is a next one.
    pub fn and_one(self) -> i64 {
        i64::try_from(self.0).unwrap_or(Self::MAX) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer)?
            .as_i64()
            .filter(|limit| (1..=Self::MAX).contains(limit))
            .and_then(|limit| usize::try_from(limit).ok())
            .map(Self)
            .ok_or_else(|| de::Error::custom("must be a whole number from 1 to 100"))
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 100 })
    }
}

/// A list that is read in pages. A cursor says which it is of, since the keys of several have the same form: taken
/// for one of another list it would begin a page anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the list of that name")]
pub enum List {
    Payments = 1,
    Anomalies = 2,
    PaymentTrail = 3,
    AgencyTrail = 4,
    Todos = 5,
    CustomPaymentTasks = 6,
}

/// Where a page ended. Opaque: made here, taken back here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

impl Cursor {
    /// After a row with an id of ours.
    pub fn of_id(list: List, id: Uuid) -> Self {
        Self::of(list, [id.as_bytes().as_slice()])
    }

    /// After a row with a time and an id of the host platform's.
    pub fn of_host(list: List, at: Timestamp, id: &HostId) -> Self {
        let millis = at.to_utc().timestamp_millis().to_be_bytes();
        Self::of(list, [millis.as_slice(), id.as_str().as_bytes()])
    }

    /// After a row with a number.
    pub fn of_number(list: List, number: i64) -> Self {
        Self::of(list, [number.to_be_bytes().as_slice()])
    }

    /// The id it was made of.
    pub fn id(&self, list: List) -> Result<Uuid, Error> {
        Uuid::from_slice(self.key(list)?).map_err(|_| Self::foreign())
    }

    /// The time and id it was made of.
    pub fn host(&self, list: List) -> Result<(Timestamp, HostId), Error> {
        let (at, id) = self.key(list)?.split_at_checked(8).ok_or_else(Self::foreign)?;
        let at = at.try_into().ok().map(i64::from_be_bytes).and_then(Timestamp::from_millis);
        // PostgreSQL's times begin later than chrono's, so not every one can be asked for.
        let at = at.filter(|at| *at >= Timestamp::EPOCH);
        let id = std::str::from_utf8(id).ok().and_then(HostId::parse);
        at.zip(id).ok_or_else(Self::foreign)
    }

    /// The number it was made of.
    pub fn number(&self, list: List) -> Result<i64, Error> {
        self.key(list)?.try_into().map(i64::from_be_bytes).map_err(|_| Self::foreign())
    }

    fn of<const N: usize>(list: List, key: [&[u8]; N]) -> Self {
        Self([&[list as u8], key.concat().as_slice()].concat())
    }

    fn key(&self, list: List) -> Result<&[u8], Error> {
        let (of, key) = self.0.split_first().ok_or_else(Self::foreign)?;
        if *of == list as u8 { Ok(key) } else { Err(Self::foreign()) }
    }

    fn foreign() -> Error {
        Error::invalid("cursor", "is not a cursor of this list")
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let foreign = || de::Error::custom("is not a cursor of this list");
        (text.len() <= 128)
            .then(|| URL_SAFE_NO_PAD.decode(&*text).ok())
            .flatten()
            .map(Self)
            .ok_or_else(foreign)
    }
}

impl JsonSchema for Cursor {
    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give this as `cursor` to get the next page; `null` on the last.
    pub next_cursor: Option<Cursor>,
}

impl<T> Page<T> {
    /// A page of the rows that were found, of which there may be one more than it holds.
    pub fn of<R>(mut rows: Vec<R>, limit: Limit, key: impl Fn(&R) -> Cursor, item: impl Fn(R) -> T) -> Self {
        let more = rows.len() > limit.0;
        rows.truncate(limit.0);
        let next_cursor = rows.last().filter(|_| more).map(key);
        Self { items: rows.into_iter().map(item).collect(), next_cursor }
    }
}
