//! SQL types that mean the right thing on both databases, under the names that diesel prints into `schema.rs`.
//!
//! PostgreSQL keeps `uuid`, `timestamptz` and `jsonb`; SQLite keeps 16 bytes, microseconds since 1970 and text.
//! Diesel has no such pairs, so these three shadow its own. Here too are the conversions of the domain's types;
//! the enums bring theirs (they are plain text).

use std::io::Write;

use chrono::{DateTime, Utc};
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    query_builder::QueryId,
    serialize::{self, IsNull, Output, ToSql},
    sqlite::Sqlite,
};

pub use diesel::sql_types::*;

use crate::domain::{
    AgencyId, AnomalyId, AuditId, EventId, FreeText, HostId, IdempotencyKey, IntentId, Label, OneLine,
    PaymentId, Pence, SessionId, Timestamp as Instant, TokenId,
};

/// `uuid`; on SQLite its 16 bytes.
#[derive(Debug, Clone, Copy, Default, QueryId, SqlType)]
#[diesel(postgres_type(oid = 2950, array_oid = 2951), sqlite_type(name = "Binary"))]
pub struct Uuid;

/// `timestamptz`; on SQLite microseconds since 1970.
#[derive(Debug, Clone, Copy, Default, QueryId, SqlType)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185), sqlite_type(name = "Long"))]
pub struct Timestamptz;

// `table!` writes `+` and `-` for every column whose type has this name.
impl ops::Add for Timestamptz {
    type Rhs = Interval;
    type Output = Self;
}
impl ops::Sub for Timestamptz {
    type Rhs = Interval;
    type Output = Self;
}

/// `jsonb`; on SQLite text.
#[derive(Debug, Clone, Copy, Default, QueryId, SqlType)]
#[diesel(postgres_type(oid = 3802, array_oid = 3807), sqlite_type(name = "Text"))]
pub struct Jsonb;

/// A JSON value in a row.
#[derive(Clone, Debug, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub struct Json(pub serde_json::Value);

/// 32 bytes: a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = Binary)]
pub struct Sha256(pub [u8; 32]);

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256(..)")
    }
}

macro_rules! uuid_columns {
    ($($id:ident),*) => { $(
        impl ToSql<Uuid, Pg> for $id {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.0.as_bytes())?;
                Ok(IsNull::No)
            }
        }
        impl FromSql<Uuid, Pg> for $id {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Ok(Self(uuid::Uuid::from_slice(value.as_bytes())?))
            }
        }
        impl ToSql<Uuid, Sqlite> for $id {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(&self.0.as_bytes()[..]);
                Ok(IsNull::No)
            }
        }
        impl FromSql<Uuid, Sqlite> for $id {
            fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                let bytes = <Vec<u8> as FromSql<Binary, Sqlite>>::from_sql(value)?;
                Ok(Self(uuid::Uuid::from_slice(&bytes)?))
            }
        }
    )* };
}
uuid_columns!(PaymentId, AgencyId, TokenId, AuditId, AnomalyId);

impl ToSql<Timestamptz, Pg> for Instant {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<diesel::sql_types::Timestamptz, Pg>::to_sql(&self.to_utc(), &mut out.reborrow())
    }
}
impl FromSql<Timestamptz, Pg> for Instant {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        <DateTime<Utc> as FromSql<diesel::sql_types::Timestamptz, Pg>>::from_sql(value).map(Self::from)
    }
}
impl ToSql<Timestamptz, Sqlite> for Instant {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.to_utc().timestamp_micros());
        Ok(IsNull::No)
    }
}
impl FromSql<Timestamptz, Sqlite> for Instant {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let micros = <i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?;
        Ok(DateTime::from_timestamp_micros(micros).ok_or("a time outside the calendar")?.into())
    }
}

impl ToSql<Jsonb, Pg> for Json {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[1])?; // the version of jsonb's binary form
        serde_json::to_writer(out, &self.0)?;
        Ok(IsNull::No)
    }
}
impl FromSql<Jsonb, Pg> for Json {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        <serde_json::Value as FromSql<diesel::sql_types::Jsonb, Pg>>::from_sql(value).map(Self)
    }
}
impl ToSql<Jsonb, Sqlite> for Json {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}
impl FromSql<Jsonb, Sqlite> for Json {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
        Ok(Self(serde_json::from_str(&text)?))
    }
}

impl<DB: Backend> ToSql<Binary, DB> for Sha256
where
    [u8]: ToSql<Binary, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        <[u8] as ToSql<Binary, DB>>::to_sql(&self.0[..], out)
    }
}
impl<DB: Backend> FromSql<Binary, DB> for Sha256
where
    Vec<u8>: FromSql<Binary, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let bytes = <Vec<u8> as FromSql<Binary, DB>>::from_sql(value)?;
        Ok(Self(bytes.as_slice().try_into()?))
    }
}

impl<DB: Backend> ToSql<BigInt, DB> for Pence
where
    i64: ToSql<BigInt, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
        <i64 as ToSql<BigInt, DB>>::to_sql(self.as_i64(), out)
    }
}
impl<DB: Backend> FromSql<BigInt, DB> for Pence
where
    i64: FromSql<BigInt, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Self::new(i64::from_sql(value)?).ok_or_else(|| "pence below zero".into())
    }
}

/// Text columns: ids and keys are read back through their type's own check, texts by people as they were accepted.
macro_rules! text_columns {
    ($([$($generics:tt)*] $type:ty => $parse:expr;)*) => { $(
        impl<DB: Backend, $($generics)*> ToSql<Text, DB> for $type
        where
            str: ToSql<Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                <str as ToSql<Text, DB>>::to_sql(self.as_str(), out)
            }
        }
        impl<DB: Backend, $($generics)*> FromSql<Text, DB> for $type
        where
            String: FromSql<Text, DB>,
        {
            fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
                let text = <String as FromSql<Text, DB>>::from_sql(value)?;
                $parse(&text).map_err(Into::into)
            }
        }
    )* };
}
text_columns! {
    [] HostId => |text: &str| HostId::parse(text).ok_or("no host id");
    [] IntentId => |text: &str| IntentId::parse(text).ok_or("no intent id");
    [] SessionId => |text: &str| SessionId::parse(text).ok_or("no session id");
    [] EventId => |text: &str| EventId::parse(text).ok_or("no event id");
    [] IdempotencyKey => IdempotencyKey::parse;
    [const MAX: usize] Label<MAX> => |text: &str| Ok::<_, String>(Label::stored(text));
    [const MAX: usize] FreeText<MAX> => |text: &str| Ok::<_, String>(FreeText::stored(text));
    [const MAX: usize] OneLine<MAX> => |text: &str| Ok::<_, String>(OneLine::stored(text));
}
