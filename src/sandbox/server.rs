//! The sandbox's listener: connections, limits, and which room answers a path.
//!
//! Lives here: the accept loop, and reading a bounded body. Does not live here: the forms a request and an answer have
//! (`exchange`), and what is answered (`api`, `page`, `control`). It stands apart from the server's own listener on purpose: the
//! twin of another party must not share that party's mistakes.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::exchange::{NoAnswer, Request, Response, text};
use super::{Sandbox, api, control, page};

/// A create call is about 1 KiB.
const MAX_BODY_BYTES: usize = 64 * 1024;
const MAX_CONNECTIONS: usize = 1_024;
const MAX_HEADERS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (no file descriptors left, say) trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
