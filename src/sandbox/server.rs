//! The sandbox's listener: connections, limits, and which room answers a path.
//!
//! Lives here: the accept loop, reading a bounded body, and the forms an answer can take. Does not live here:
//! what is answered (`api`, `page`, `control`). It stands apart from the server's own listener on purpose: the
//! twin of another party must not share that party's mistakes.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Sandbox, api, control, page};

/// A create call is about 1 KiB.
const MAX_BODY_BYTES: usize = 64 * 1024;
const MAX_CONNECTIONS: usize = 1_024;
const MAX_HEADERS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (no file descriptors left, say) trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) type Response = http::Response<Full<Bytes>>;

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

pub(super) async fn serve(listener: TcpListener, sandbox: Sandbox) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed, so there always is a permit in the end.
        let permit = connections.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = sandbox.clone();
                sandbox.spawn(async move {
                    serve_connection(stream, connection).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the sandbox could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, sandbox: Sandbox) {
    // Answers are small: waiting to fill a packet would only add latency. Failing to say so costs no more.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(&sandbox, request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a sandbox connection ended early");
    }
}

async fn answer(sandbox: &Sandbox, request: http::Request<Incoming>) -> Result<Response, NoAnswer> {
    let (head, body) = request.into_parts();
    let whole = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await;
    let body = match whole {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "the body is cut off or over 64 KiB")),
        Err(_) => return Ok(text(StatusCode::REQUEST_TIMEOUT, "the body took over 10 seconds")),
    };
    let path = head.uri.path().to_owned();
    let request = Request { method: head.method, path, headers: head.headers, body };
    sandbox.expire_due();
    route(sandbox, &request).await
}

async fn route(sandbox: &Sandbox, request: &Request) -> Result<Response, NoAnswer> {
    let path: Vec<&str> = request.path.split('/').skip(1).collect();
    match path.as_slice() {
        ["v1", rest @ ..] => return api::answer(sandbox, request, rest).await,
        // The provider's API wants a key; the rest wants none, so another site must not reach it through a browser.
        _ if request.method != Method::GET && !request.is_same_origin() => {
            Ok(text(StatusCode::FORBIDDEN, "requests from other sites are refused"))
        }
        ["checkout", session_id, rest @ ..] => Ok(page::answer(sandbox, request, session_id, rest).await),
        ["sandbox", rest @ ..] => Ok(control::answer(sandbox, request, rest).await),
        [""] => Ok(page::index(sandbox, request)),
        _ => Ok(text(StatusCode::NOT_FOUND, "there is nothing here")),
    }
}

impl Request {
    /// Browsers name the page a form was on; programs name none.
    fn is_same_origin(&self) -> bool {
        let site = self.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let Some(origin) = self.headers.get(ORIGIN) else {
            return matches!(site, None | Some(b"same-origin" | b"none"));
        };
        let host = self.headers.get(HOST).map(HeaderValue::as_bytes);
        let origin_host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin_host.is_some_and(|(_, origin_host)| Some(origin_host.as_bytes()) == host)
    }
}

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
