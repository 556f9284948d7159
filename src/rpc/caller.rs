//! Who asks: the token in a request's head, and the caller behind it at the moment of a call.
//!
//! The two are apart because a WebSocket is opened once and used for days: its token is looked up again for every
//! message, so that a revocation or an expiry holds there too. Not here: what a caller may do.

use std::sync::Arc;

use http::{
    Extensions, HeaderMap, HeaderValue,
    header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
};
use secrecy::{ExposeSecret, SecretString};

use super::procedure::log_fault;
use crate::{
    auth::{Caller, Tokens},
    error::Error,
    listener::RequestId,
};

/// The subprotocol we speak on a WebSocket, and echo when it is offered.
pub(super) const SUBPROTOCOL: HeaderValue = HeaderValue::from_static("quittance.v1");

/// What comes before a token that is offered as a subprotocol, where browsers can't send `Authorization`.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// The token a request carries, if any, in the extensions of its calls.
#[derive(Clone, Debug)]
pub(super) struct Bearer(Option<Arc<SecretString>>);

impl Bearer {
    /// From `Authorization`. Two such headers are none: whichever we took, a proxy may have meant the other.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let token = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok().and_then(|value| {
                let (scheme, token) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            }),
            _ => None,
        };
        Self::from_text(token)
    }

    /// From `Authorization`, else from the subprotocols offered.
    pub(super) fn of_upgrade(headers: &HeaderMap) -> Self {
        if headers.contains_key(AUTHORIZATION) {
            return Self::of(headers);
        }
        Self::from_text(subprotocols(headers).find_map(|name| name.strip_prefix(BEARER_SUBPROTOCOL)))
    }

    fn from_text(token: Option<&str>) -> Self {
        Self(token.filter(|token| !token.is_empty()).map(|token| Arc::new(SecretString::from(token))))
    }
}

/// The subprotocols a client offers.
pub(super) fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// Who asks, as it stands at the moment of a call. In the extensions of every call.
#[derive(Clone, Debug)]
pub enum Identity {
    /// Nobody we know: no token, or none that counts.
    Nobody,
    /// A caller.
    Known(Caller),
    /// It can't be told, since the database is busy.
    Busy {
        /// When to ask again.
        retry_after_ms: u64,
    },
    /// It can't be told, by a fault of ours that the log knows.
    Failed,
}

impl Identity {
    /// Looks up the token in a call's extensions. The answer may be a few seconds old; a subscription, which
    /// outlives its call, asks again from time to time.
    pub async fn look_up(tokens: &Tokens, extensions: &Extensions) -> Self {
        let Some(Bearer(Some(token))) = extensions.get() else { return Self::Nobody };
        match tokens.look_up(token.expose_secret()).await {
            Ok(Some(caller)) => Self::Known(caller),
            Ok(None) => Self::Nobody,
            Err(Error::Busy { retry_after_ms }) => Self::Busy { retry_after_ms },
            Err(error) => {
                log_fault(&error, &extensions.get::<RequestId>().cloned().unwrap_or_default());
                Self::Failed
            }
        }
    }

    /// The caller if there is one.
    pub fn known(&self) -> Option<&Caller> {
        match self {
            Self::Known(caller) => Some(caller),
            Self::Nobody | Self::Busy { .. } | Self::Failed => None,
        }
    }

    /// The caller if there is one, or why that can't be told.
    pub fn caller(&self) -> Result<Option<Caller>, Error> {
        match self {
            Self::Nobody => Ok(None),
            Self::Known(caller) => Ok(Some(caller.clone())),
            Self::Busy { retry_after_ms } => Err(Error::Busy { retry_after_ms: *retry_after_ms }),
            Self::Failed => Err(Error::internal("the token could not be looked up")),
        }
    }

    /// Who asks, out of a call's extensions.
    pub fn of(extensions: &Extensions) -> &Self {
        extensions.get().unwrap_or(&Self::Nobody)
    }
}
