//! The wire: routes, content types, sizes and times of bodies, WebSocket upgrades, statuses.
//!
//! Everything that is HTTP's and not JSON-RPC's. jsonrpsee gets requests it has no objection to: a body that is
//! whole, small and examined, a content type it knows, no secret in a header. Not here: sockets and the limits
//! on heads and connections, which are the listener's.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH,
        ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL,
    },
    request::Parts,
};
use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use jsonrpsee::{
    Methods,
    server::{
        BatchRequestConfig, HttpBody, PingConfig, Server, ServerConfig, StopHandle, TowerServiceBuilder,
        http::response::too_large, middleware::rpc::RpcServiceBuilder, stop_channel, ws::is_upgrade_request,
    },
};
use tokio_util::sync::CancellationToken;
use tower::{
    Service,
    layer::util::{Identity as NoLayer, Stack},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{
    BATCH_MAX_ENTRIES, Document, REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES, RpcSettings,
    caller::{Bearer, SUBPROTOCOL, subprotocols},
    counter::{CounterLayer, NoReply, OverSocket, Shared},
    envelope::{Examined, examine},
    module::{Failure, methods},
    pace::Pace,
    procedure::Procedure,
};
use crate::{
    App,
    error::Kind,
    listener::{self, BodyFault, REQUEST_ID_HEADER, RequestId, closing, read_body, text, with_type},
};

/// How often a WebSocket is pinged: often enough for proxies that drop what is silent for 30 s.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a WebSocket may have been silent at a ping. A dead one is noticed at the third ping, which comes 60 s
/// after its last sign of life; half an interval less keeps the network's delays from adding a fourth.
const PING_SILENCE_MAX: Duration = Duration::from_secs(50);
/// Subscriptions of one WebSocket: a page that watches many payments subscribes once, without naming one.
const SUBSCRIPTIONS_PER_SOCKET: u32 = 32;
/// Answers waiting for a WebSocket that reads slowly; then its calls wait too.
const ANSWERS_WAITING_PER_SOCKET: u32 = 32;
/// How long a browser may remember what we allow other origins.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);

type Answer = Response<HttpBody>;

/// What stands behind the listener.
#[derive(Clone)]
pub(super) struct Front(Arc<Parlour>);

struct Parlour {
    builder: TowerServiceBuilder<Stack<CounterLayer, NoLayer>, NoLayer>,
    methods: Methods,
    stop: StopHandle,
    settings: RpcSettings,
}

impl Front {
    pub(super) fn new(
        app: Arc<App>,
        procedures: Vec<Procedure>,
        others: Methods,
        settings: RpcSettings,
        shutdown: CancellationToken,
    ) -> Self {
        let (methods, natures) = methods(Arc::clone(&app), procedures, others);
        let pace = Pace::new(settings.rate_limit_per_second);
        let counter = CounterLayer(Arc::new(Shared { app, natures, pace }));
        let config = ServerConfig::builder()
            .max_request_body_size(REQUEST_MAX_BYTES)
            .max_response_body_size(RESPONSE_MAX_BYTES)
            .set_batch_request_config(BatchRequestConfig::Limit(BATCH_MAX_ENTRIES as u32))
            .max_subscriptions_per_connection(SUBSCRIPTIONS_PER_SOCKET)
            .set_message_buffer_capacity(ANSWERS_WAITING_PER_SOCKET)
            .enable_ws_ping(PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(PING_SILENCE_MAX))
            // The listener counts connections.
            .max_connections(u32::MAX)
            .build();
        let builder = Server::builder()
            .set_config(config)
            .set_rpc_middleware(RpcServiceBuilder::new().layer(counter))
            .to_service_builder();
        let (stop, handle) = stop_channel();
        tokio::spawn(async move {
            shutdown.cancelled().await;
            // Fails where the service is gone already.
            let _ = handle.stop();
        });
        Self(Arc::new(Parlour { builder, methods, stop, settings }))
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let has_body = !request.body().is_end_stream();
        let method = request.method();
        let refusal = match request.uri().path() {
            "/rpc" if method == Method::GET && is_upgrade_request(&request) => {
                return self.upgrade(request).await;
            }
            "/rpc" | "/" if method == Method::POST => return self.post(request).await,
            "/rpc" | "/" => not_allowed("POST"),
            path => match self.0.settings.documents.iter().find(|document| document.path == path) {
                // hyper leaves the body out of answers to HEAD.
                Some(document) if method == Method::GET || method == Method::HEAD => {
                    publish(document, request.headers())
                }
                Some(_) => not_allowed("GET, HEAD"),
                None => text(StatusCode::NOT_FOUND, "not found\n"),
            },
        };
        if has_body { boxed(closing(refusal)) } else { boxed(refusal) }
    }

    /// A message, or several, in a body.
    async fn post(&self, request: Request<Incoming>) -> Answer {
        let (mut parts, body) = request.into_parts();
        if let Some(reason) = unreadable(&parts.headers) {
            return boxed(closing(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason)));
        }
        let body = match read_body(body, REQUEST_MAX_BYTES as usize, self.0.settings.body_timeout).await {
            Ok(body) => body,
            Err(BodyFault::TooLarge) => return closing(too_large(REQUEST_MAX_BYTES)),
            Err(BodyFault::TooSlow) => {
                return boxed(closing(text(BodyFault::TooSlow.status(), "the body took too long\n")));
            }
            Err(BodyFault::Broken) => {
                return boxed(closing(text(BodyFault::Broken.status(), "the body broke off\n")));
            }
        };
        let body = match examine(body) {
            Examined::Fine(body) => body,
            Examined::Refused(answer) => {
                return boxed(listener::json(StatusCode::OK, String::from(Box::<str>::from(answer))));
            }
        };
        parts.extensions.insert(Bearer::of(&parts.headers));
        let mut request = Request::new(HttpBody::new(Full::new(body)));
        *request.method_mut() = Method::POST;
        *request.extensions_mut() = parts.extensions;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut answer = self.hand_over(request).await;

        if answer.extensions().get::<NoReply>().is_some() {
            answer = Response::new(HttpBody::empty());
            *answer.status_mut() = StatusCode::NO_CONTENT;
        }
        if let Some((status, retry_after)) = answer.extensions().get().and_then(overload) {
            *answer.status_mut() = status;
            answer.headers_mut().insert(RETRY_AFTER, retry_after);
        }
        answer
    }

    /// A WebSocket begins.
    async fn upgrade(&self, request: Request<Incoming>) -> Answer {
        let (mut parts, body) = request.into_parts();
        if !self.may_open_socket(&parts) {
            return boxed(text(StatusCode::FORBIDDEN, "this origin may not open a WebSocket here\n"));
        }
        let speaks_ours = subprotocols(&parts.headers).any(|name| name.as_bytes() == SUBPROTOCOL.as_bytes());
        parts.extensions.insert(Bearer::of_upgrade(&parts.headers));
        parts.extensions.insert(OverSocket);
        // It names the upgrade; each call gets its own.
        parts.extensions.remove::<RequestId>();
        parts.headers.remove(AUTHORIZATION);
        parts.headers.remove(SEC_WEBSOCKET_PROTOCOL);
        let mut answer = self.hand_over(Request::from_parts(parts, HttpBody::new(body))).await;

        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            // jsonrpsee says so under 200.
            *answer.status_mut() = StatusCode::BAD_REQUEST;
        } else if speaks_ours {
            answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
        }
        answer
    }

    /// CORS does not cover WebSockets, so the origin is checked here: absent (no browser), our own, or configured.
    fn may_open_socket(&self, parts: &Parts) -> bool {
        let Some(origin) = parts.headers.get(ORIGIN) else { return true };
        let is_own = || {
            let (_, authority) = origin.to_str().ok()?.split_once("://")?;
            Some(authority.eq_ignore_ascii_case(parts.headers.get(HOST)?.to_str().ok()?))
        };
        self.0.settings.cors_origins.contains(origin) || is_own().unwrap_or(false)
    }

    async fn hand_over(&self, request: Request<HttpBody>) -> Answer {
        // Built for each request, since it numbers the connections that subscriptions belong to.
        let mut service = self.0.builder.clone().build(self.0.methods.clone(), self.0.stop.clone());
        service.call(request).await.unwrap_or_else(|error| {
            tracing::error!(error = &*error as &dyn std::error::Error, "jsonrpsee failed to answer");
            boxed(text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"))
        })
    }
}

/// What configured origins may do from a browser; `None` where there are none.
pub(super) fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::POST, Method::GET, Method::OPTIONS])
        .allow_headers([CONTENT_TYPE, AUTHORIZATION, REQUEST_ID_HEADER])
        .expose_headers([REQUEST_ID_HEADER, RETRY_AFTER])
        .max_age(PREFLIGHT_MAX_AGE);
    (!origins.is_empty()).then_some(layer)
}

/// Why a body with these headers can't be read, if so. No content type at all is taken for JSON: whoever sends
/// none did not mean anything else, and a page of another origin gains nothing by it without a token.
fn unreadable(headers: &HeaderMap) -> Option<&'static str> {
    let is = |name: &HeaderName, allowed: &[&str]| {
        headers.get_all(name).iter().all(|value| {
            let essence = value.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim();
            allowed.iter().any(|allowed| essence.eq_ignore_ascii_case(allowed))
        })
    };
    if !is(&CONTENT_TYPE, &["application/json", "application/json-rpc"]) {
        return Some("Content-Type must be application/json\n");
    }
    (!is(&CONTENT_ENCODING, &["identity"])).then_some("Content-Encoding must be identity\n")
}

/// The status and `Retry-After` of a single call that was too much.
fn overload(failure: &Failure) -> Option<(StatusCode, HeaderValue)> {
    let (kind, retry_after_ms) = failure.get()?;
    let seconds = retry_after_ms?.div_ceil(1_000).max(1);
    let limited = kind == Kind::RateLimited;
    let status = if limited { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::SERVICE_UNAVAILABLE };
    Some((status, seconds.into()))
}

/// A document, or word that the caller has it already.
fn publish(document: &Document, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(str::trim);
    let is_known = known.any(|tag| tag == "*" || tag.trim_start_matches("W/") == document.etag);
    let mut answer = with_type(StatusCode::OK, document.content_type, document.body.clone());
    if is_known {
        answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    answer.headers_mut().insert(ETAG, document.etag.clone());
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

fn not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    refusal
}

fn boxed(answer: Response<Full<Bytes>>) -> Answer {
    answer.map(HttpBody::new)
}
