//! Identifiers as types, so that a payment's id can't be handed to something that wants a token's.
//!
//! Three families: ids we make (UUIDv7, so they sort by the time they were made), ids the host platform makes
//! (todos, custom payment tasks, tenancies) and ids Calmony Pay makes (sessions, intents, events).

use std::borrow::Cow;

use diesel::{deserialize::FromSqlRow, expression::AsExpression};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

use super::Timestamp;

macro_rules! made_here {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, AsExpression, FromSqlRow)]
        #[diesel(sql_type = crate::ledger::sql_types::Uuid)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh UUIDv7: later ones sort after earlier ones of the same process.
            #[allow(clippy::new_without_default, reason = "an id is never a default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id in its usual form, 36 characters in lower case, or `None`: other spellings of a UUID are
            /// not ids.
            pub fn parse(text: &str) -> Option<Self> {
                let lower_case = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
                lower_case.then(|| Uuid::try_parse(text).ok()).flatten().map(Self)
            }

            /// When the id was made, to the millisecond. Rows take their `createdAt` from it, so that
            /// order by id is order by time.
            pub fn made_at(self) -> Timestamp {
                let millis = self.0.get_timestamp().map_or(0, |t| {
                    let (seconds, nanos) = t.to_unix();
                    i64::try_from(seconds).unwrap_or(0) * 1_000 + i64::from(nanos / 1_000_000)
                });
                Timestamp::from_millis(millis).unwrap_or(Timestamp::EPOCH)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": "uuid" })
            }
        }
    )* };
}

made_here! {
    /// A row of `payments_ledger`; callers know it as `ledgerEntryId` and `paymentId`.
    PaymentId,
    /// A letting agency: the owner of every row.
    AgencyId,
    /// A bearer token's public id (not its secret).
    TokenId,
    /// A row of the audit log.
    AuditId,
    /// A row of `payment_anomalies`.
    AnomalyId,
}

/// An id of the host platform: a todo, a custom payment task or a tenancy. 1 to 64 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
#[serde(transparent)]
pub struct HostId(pub(crate) String);

impl HostId {
    /// Longest host id, in characters.
    pub const MAX_CHARS: usize = 64;

    /// A fresh id, for a row whose host left it to us: a UUIDv7.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The id, or `None` where the text has not the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let fits = (1..=Self::MAX_CHARS).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for HostId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for HostId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom("must be 1 to 64 characters, each one of A-Z a-z 0-9 _ -"))
    }
}

impl JsonSchema for HostId {
    fn schema_name() -> Cow<'static, str> {
        "HostId".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_-]{1,64}$" })
    }
}

macro_rules! made_by_calmony {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, AsExpression, FromSqlRow)]
        #[diesel(sql_type = diesel::sql_types::Text)]
        #[serde(transparent)]
        pub struct $name(pub(crate) String);

        impl $name {
            /// Longest id taken from the provider, in bytes; theirs are about 30.
            pub const MAX_BYTES: usize = 255;

            /// The id, or `None` where it is empty, too long or holds anything but visible ASCII.
            pub fn parse(text: &str) -> Option<Self> {
                let fits = (1..=Self::MAX_BYTES).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_graphic());
                fits.then(|| Self(text.to_owned()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
    )* };
}

made_by_calmony! {
    /// A payment intent (`pi_…`): one try of a tenant to pay.
    IntentId,
    /// A checkout session (`cs_…`): one link.
    SessionId,
    /// A webhook event (`evt_…`).
    EventId,
}

/// What is only looked at is often all that a caller has.
macro_rules! from_reference {
    ($($id:ident),*) => { $(
        impl From<&$id> for $id {
            fn from(id: &$id) -> Self {
                id.clone()
            }
        }
    )* };
}
from_reference!(HostId, EventId, IntentId, SessionId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_one_spelling_only() {
        let id = PaymentId::new();
        assert_eq!(PaymentId::parse(&id.to_string()), Some(id));
        assert_eq!(PaymentId::parse(&id.0.simple().to_string()), None);
        assert_eq!(PaymentId::parse(&id.0.urn().to_string()), None);
        assert_eq!(PaymentId::parse("01900000-0000-7000-8000-00000000000A"), None);
        assert_eq!(PaymentId::parse(""), None);
    }

    #[test]
    fn later_ids_sort_later_and_know_their_time() {
        let before = Timestamp::now();
        let ids: Vec<_> = (0..1_000).map(|_| PaymentId::new()).collect();
        assert!(ids.is_sorted());
        assert!(ids[0].made_at() >= before);
    }

    #[test]
    fn host_ids_are_short_and_plain() {
        assert!(HostId::parse("todo_1-A").is_some());
        assert!(HostId::parse(&"x".repeat(64)).is_some());
        for wrong in ["", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(HostId::parse(wrong).is_none(), "{wrong}");
        }
    }
}
