//! The few shapes of answer that every listener gives: plain text, JSON, "and now hang up".
//!
//! Not here: what any answer says. Those texts stand in the rooms that own the routes.

use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;

/// A response that is whole in memory.
pub type Answer = Response<Full<Bytes>>;

/// An answer in plain text.
pub fn text(status: StatusCode, body: &'static str) -> Answer {
    with_type(status, "text/plain; charset=utf-8", body)
}

/// An answer whose body is JSON already.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    with_type(status, "application/json", body)
}

/// An answer of any other content type.
pub fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// The same answer, telling the client that the connection ends with it: for requests whose body was not read
/// to the end. The connection would be closed anyway; said beforehand, no client tries to use it again.
pub fn closing<B>(mut answer: Response<B>) -> Response<B> {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
