//! The wire: routes, content types, sizes and times of bodies, WebSocket upgrades, statuses.
//!
//! Everything that is HTTP's and not JSON-RPC's. jsonrpsee gets requests it has no objection to: a body that is
//! whole, small and examined, a content type it knows, no secret in a header. Not here: sockets and the limits
//! on heads and connections, which are the listener's.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, ORIGIN, RETRY_AFTER,
        SEC_WEBSOCKET_PROTOCOL, WWW_AUTHENTICATE,
    },
};
use http_body_util::Full;
use hyper::{
    body::{Body, Bytes, Incoming},
    upgrade::OnUpgrade,
};
use jsonrpsee::{
    Methods,
    server::{
        BatchRequestConfig, HttpBody, Server, ServerConfig, TowerService, http::response::too_large,
        middleware::rpc::RpcServiceBuilder, stop_channel,
    },
    types::Id,
};
use soketto::handshake::http::{Server as Handshake, is_upgrade_request};
use tokio_util::sync::CancellationToken;
use tower::{
    Service,
    layer::util::{Identity as NoLayer, Stack},
};

use super::{
    BATCH_MAX_ENTRIES, Document, REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES, RpcSettings,
    call::Failure,
    caller::{Bearer, Identity, SUBPROTOCOL, subprotocols},
    envelope::{Examined, examine, invalid_request, is_batch},
    idempotency::IdempotencyHeader,
    middleware::{Common, MiddlewareLayer, NoReply, OverSocket},
    module::methods,
    origins::Origins,
    procedure::Procedure,
    rate_limit::RateLimit,
    socket::{self, Opened},
    sockets::{SOCKETS_MAX, Sockets},
};
use crate::{
    App,
    error::Kind,
    listener::{self, BodyFault, RequestId, closing, read_body, text, with_type},
};

/// When whoever was refused a WebSocket may try again.
const SOCKET_RETRY_AFTER_SECONDS: u64 = 5;

type HttpResponse = Response<HttpBody>;

/// What stands behind the listener.
#[derive(Clone)]
pub(super) struct Front(Arc<Shared>);

struct Shared {
    over_http: TowerService<Stack<MiddlewareLayer, NoLayer>, NoLayer>,
    methods: Methods,
    middleware: MiddlewareLayer,
    sockets: Arc<Sockets>,
    stopping: CancellationToken,
    settings: RpcSettings,
    origins: Arc<Origins>,
}

impl Front {
    pub(super) fn new(
        app: Arc<App>,
        procedures: Vec<Procedure>,
        others: Methods,
        settings: RpcSettings,
        origins: Arc<Origins>,
        shutdown: CancellationToken,
    ) -> Self {
        let (methods, effects) = methods(Arc::clone(&app), procedures, others);
        let rate_limit = RateLimit::new(settings.rate_limit_per_second);
        let middleware = MiddlewareLayer(Arc::new(Common { app, effects, rate_limit }));
        let config = ServerConfig::builder()
            .max_request_body_size(REQUEST_MAX_BYTES)
            .max_response_body_size(RESPONSE_MAX_BYTES)
            .set_batch_request_config(BatchRequestConfig::Limit(BATCH_MAX_ENTRIES as u32))
            .http_only()
            // The listener counts connections.
            .max_connections(u32::MAX)
            .build();
        // Over HTTP nothing is left to be stopped.
        let (stop, _) = stop_channel();
        let over_http = Server::builder()
            .set_config(config)
            .set_rpc_middleware(RpcServiceBuilder::new().layer(middleware.clone()))
            .to_service_builder()
            .build(methods.clone(), stop);
        let sockets = Sockets::new(SOCKETS_MAX);
        Self(Arc::new(Shared {
            over_http,
            methods,
            middleware,
            sockets,
            stopping: shutdown,
            settings,
            origins,
        }))
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> HttpResponse {
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
    async fn post(&self, request: Request<Incoming>) -> HttpResponse {
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
        if let Some(header) = IdempotencyHeader::of(&parts.headers) {
            if is_batch(&body) {
                let reason = "a batch takes no Idempotency-Key header: each of its calls may say its own key";
                let answer = invalid_request(Id::Null, reason);
                return boxed(listener::json(StatusCode::OK, String::from(Box::<str>::from(answer))));
            }
            parts.extensions.insert(header);
        }
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
    async fn upgrade(&self, request: Request<Incoming>) -> HttpResponse {
        let (mut parts, _) = request.into_parts();
        // CORS does not cover WebSockets. Without an origin it is no browser.
        if parts.headers.get(ORIGIN).is_some_and(|origin| !self.0.origins.admits(origin, &parts.headers)) {
            return boxed(text(StatusCode::FORBIDDEN, "this origin may not open a WebSocket here\n"));
        }
        let speaks_ours = subprotocols(&parts.headers).any(|name| name.as_bytes() == SUBPROTOCOL.as_bytes());
        let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() else {
            return boxed(text(StatusCode::BAD_REQUEST, "this connection can't become a WebSocket\n"));
        };
        let mut handshake = Handshake::new();
        let Ok(accepted) = handshake.receive_request(&Request::from_parts(parts.clone(), ())) else {
            return boxed(text(StatusCode::BAD_REQUEST, "this is no proper handshake of a WebSocket\n"));
        };
        parts.extensions.insert(Bearer::of_upgrade(&parts.headers));
        let caller = match Identity::look_up(&self.0.middleware.0.app.tokens, &parts.extensions).await {
            Identity::Known(caller) => caller,
            Identity::Nobody => return boxed(unauthorized()),
            Identity::Busy { retry_after_ms } => {
                return boxed(unavailable("the server is busy\n", retry_after_ms.div_ceil(1_000).max(1)));
            }
            Identity::Failed => {
                return boxed(text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"));
            }
        };
        let place = match self.0.sockets.take(caller.token_id) {
            Ok(place) => place,
            Err(why) => return boxed(unavailable(why, SOCKET_RETRY_AFTER_SECONDS)),
        };
        parts.extensions.insert(OverSocket);
        // It names the upgrade; each call gets its own.
        parts.extensions.remove::<RequestId>();
        tokio::spawn(socket::run(Opened {
            upgrade,
            handshake,
            methods: self.0.methods.clone(),
            layer: self.0.middleware.clone(),
            extensions: parts.extensions,
            stopping: self.0.stopping.clone(),
            place,
        }));
        let mut answer = accepted.map(|()| HttpBody::empty());
        if speaks_ours {
            answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
        }
        answer
    }

    async fn hand_over(&self, request: Request<HttpBody>) -> HttpResponse {
        self.0.over_http.clone().call(request).await.unwrap_or_else(|error| {
            tracing::error!(error = &*error as &dyn std::error::Error, "jsonrpsee failed to answer");
            boxed(text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"))
        })
    }
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

fn unauthorized() -> Response<Full<Bytes>> {
    let mut refusal = text(StatusCode::UNAUTHORIZED, "a WebSocket needs a valid token\n");
    refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refusal
}

fn unavailable(reason: &'static str, retry_after_seconds: u64) -> Response<Full<Bytes>> {
    let mut refusal = text(StatusCode::SERVICE_UNAVAILABLE, reason);
    refusal.headers_mut().insert(RETRY_AFTER, retry_after_seconds.into());
    refusal
}

fn not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    refusal
}

fn boxed(answer: Response<Full<Bytes>>) -> HttpResponse {
    answer.map(HttpBody::new)
}
