//! Reading a request body within a size and a time, and the three ways that fails.
//!
//! Not here: the limits themselves (each route has its own) and the text of a refusal. Whoever refuses should
//! answer through [`closing`](super::closing), since the rest of the body is not going to be read.

use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};

use super::BoxError;

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It declares, or turned out to have, more bytes than the route takes.
    #[error("the request body is too large")]
    TooLarge,
    /// It was not complete in time.
    #[error("the request body took too long to arrive")]
    TooSlow,
    /// The client hung up, or the chunks were malformed.
    #[error("the request body is incomplete or malformed")]
    Broken,
}

impl BodyFault {
    /// The HTTP status that says it: 413, 408 or 400.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads the whole body: at most `max_bytes`, complete `within` that time from now.
///
/// A declared length over the limit is refused before anything is read (a client that asked with `Expect:
/// 100-continue` never starts to send). Otherwise no more than `max_bytes` and one read are ever held.
pub async fn read_body<B>(body: B, max_bytes: usize, within: Duration) -> Result<Bytes, BodyFault>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    // For a body of declared length, hyper's lower bound is that length.
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(BodyFault::TooLarge);
    }
    match tokio::time::timeout(within, Limited::new(body, max_bytes).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => Err(BodyFault::TooLarge),
        Ok(Err(_)) => Err(BodyFault::Broken),
        Err(_) => Err(BodyFault::TooSlow),
    }
}
