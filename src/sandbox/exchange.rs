//! What the sandbox is asked and what it answers, as HTTP. Not here: how either travels (`server`).

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};

/// A request whose body was read.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The caller gets no answer: the connection is closed instead.
#[derive(Debug, thiserror::Error)]
#[error("the answer is dropped on request")]
pub(super) struct NoAnswer;

impl Request {
    /// Browsers name the page a form was on; programs name none.
    pub(super) fn is_same_origin(&self) -> bool {
        let site = self.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let Some(origin) = self.headers.get(ORIGIN) else {
            return matches!(site, None | Some(b"same-origin" | b"none"));
        };
        let host = self.headers.get(HOST).map(HeaderValue::as_bytes);
        let origin_host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin_host.is_some_and(|(_, origin_host)| Some(origin_host.as_bytes()) == host)
    }
}

pub(super) type Response = http::Response<Full<Bytes>>;

pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    respond(status, "application/json", body.to_string())
}

/// The form of every refusal, the provider's own and the sandbox's.
pub(super) fn error(status: StatusCode, code: &str, message: &str, param: Option<&str>) -> Response {
    let kind = match status.as_u16() {
        401 => "authentication_error",
        409 => "idempotency_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let mut error = json!({ "type": kind, "code": code, "message": message });
    if let Some(param) = param {
        error["param"] = json!(param);
    }
    json(status, &json!({ "error": error }))
}

pub(super) fn text(status: StatusCode, body: &str) -> Response {
    respond(status, "text/plain; charset=utf-8", format!("{body}\n"))
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

pub(super) fn see_other(url: &str) -> Response {
    let mut response = respond(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", String::new());
    match HeaderValue::from_str(url) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
            response
        }
        // Return addresses were parsed, and a parsed URL is ASCII: only a mistake of ours gets here.
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the return address cannot be sent"),
    }
}

pub(super) fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = http::Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
