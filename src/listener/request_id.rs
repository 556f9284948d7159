//! The name of one request, for logs, the audit log and the caller's own records.
//!
//! [`serve`](super::serve) puts it in every request's extensions and on every response; nobody else has to.

use std::fmt;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries a [`RequestId`] in both directions.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id taken over from a caller: room for a UUID with a prefix; what is longer is not an id.
pub const REQUEST_ID_MAX_BYTES: usize = 64;

/// The id of a request: the caller's own when it sent a usable one, else a fresh UUIDv7.
///
/// Always 1 to 64 of `A-Z a-z 0-9 _ . -`, hence safe in a header, a log line and a database row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A fresh id.
    pub fn new() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    /// The id a caller proposes, if it is a usable one.
    pub fn parse(proposed: &str) -> Option<Self> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let fits = (1..=REQUEST_ID_MAX_BYTES).contains(&proposed.len());
        (fits && proposed.bytes().all(usable)).then(|| Self(proposed.into()))
    }

    /// The id of a request with these headers. An unusable proposal is replaced, not refused: a wrong header
    /// of a proxy must not cost a payment.
    pub fn of(headers: &HeaderMap) -> Self {
        let proposed = headers.get(REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
        proposed.and_then(Self::parse).unwrap_or_default()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header value.
    pub fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0)
            .expect("both constructors admit only letters, digits, '_', '.' and '-'")
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
