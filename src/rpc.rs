//! The JSON-RPC surface: knows no payment.
//!
//! A message is handled in four steps. [`http`] takes it off the wire: routes, sizes, times, content types, WebSocket
//! upgrades, [`origins`]. [`envelope`] mends what jsonrpsee would misread. Then jsonrpsee parses it and hands it to
//! [`middleware`], where each call, alone or in a [`batch`], is told who asks, held to its [`rate_limit`], logged
//! ([`call_log`]) and run. Last, [`module`] gives it to its [`procedure`], whose [`input`] is made of the [`params`] and
//! the [`idempotency`] header, and turns an error into its JSON-RPC form ([`call`]); a [`subscription`] goes on from there.
//!
//! The table yields more than dispatch: [`openrpc`] describes it, and [`typescript`] writes the client from that
//! description. Not here: what any procedure does, and sockets (that is the listener's).

mod batch;
mod call;
mod call_log;
mod caller;
mod envelope;
mod http;
mod idempotency;
mod input;
mod middleware;
mod module;
pub mod openrpc;
mod origins;
mod params;
mod ping;
pub mod procedure;
mod rate_limit;
mod socket;
mod sockets;
mod subscription;
#[cfg(test)]
mod tests;
pub mod typescript;

use std::{convert::Infallible, sync::Arc, time::Duration};

use ::http::{HeaderValue, Request, Response};
use hyper::body::{Bytes, Incoming};
use jsonrpsee::{Methods, server::HttpBody};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder};

use crate::{App, domain::Role};

use origins::Origins;

/// The largest message taken. The largest honest one, a full batch of creates, is about 20 KiB.
pub const REQUEST_MAX_BYTES: u32 = 128 * 1024;
/// How long a whole body may take to arrive: at 13 KiB a second even the largest makes it.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer given: pages of a hundred payments with the longest texts, some for each entry of a batch.
pub const RESPONSE_MAX_BYTES: u32 = 8 * 1024 * 1024;
/// Entries of one batch, which run side by side. Each counts as a call, so a batch saves round trips, not rate.
pub const BATCH_MAX_ENTRIES: usize = 20;
/// Requests a second for one token, unless configured otherwise; for a moment it may do twice that.
pub const RATE_LIMIT_PER_SECOND: u32 = 500;

/// How the service is set up.
#[derive(Clone, Debug)]
pub struct RpcSettings {
    /// Requests a second for one token; 0 is no limit.
    pub rate_limit_per_second: u32,
    /// Origins whose pages may call us from a browser. Never `*`: configuration refuses it.
    pub cors_origins: Vec<HeaderValue>,
    /// Whether every page of this machine may as well.
    pub loopback_origins: bool,
    /// See [`BODY_TIMEOUT`]; tests shorten it.
    pub body_timeout: Duration,
    /// Documents served beside the calls, such as `/openrpc.json`.
    pub documents: Vec<Document>,
}

impl Default for RpcSettings {
    fn default() -> Self {
        Self {
            rate_limit_per_second: RATE_LIMIT_PER_SECOND,
            cors_origins: Vec::new(),
            loopback_origins: false,
            body_timeout: BODY_TIMEOUT,
            documents: Vec::new(),
        }
    }
}

/// A fixed text anyone may `GET`, also a page of any origin.
#[derive(Clone, Debug)]
pub struct Document {
    path: &'static str,
    content_type: &'static str,
    body: Bytes,
    etag: HeaderValue,
}

impl Document {
    /// A text at a path.
    pub fn new(path: &'static str, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let etag = format!("\"{}\"", hex::encode(&Sha256::digest(&body)[..16]));
        let etag = HeaderValue::try_from(etag).expect("hex in quotes is a header value");
        Self { path, content_type, body, etag }
    }
}

/// The procedures that are about the connection itself: the namespace `rpc`.
pub fn procedures() -> Vec<procedure::Procedure> {
    vec![procedure::Procedure::query("rpc.ping", Role::Viewer, &[], ping::run).with_examples(ping::EXAMPLES)]
}

/// The service for [`listener::serve`](crate::listener::serve). `others` are the methods that are no procedures: what
/// `rpc.discover` answers is for anyone.
///
/// When `shutdown` is cancelled, WebSockets take no more messages, finish the calls in hand and close; HTTP
/// connections are the listener's to end. Must be called within a Tokio runtime. Panics where two methods share
/// a name, which is a fault of the program.
pub fn service(
    app: Arc<App>,
    procedures: Vec<procedure::Procedure>,
    others: impl Into<Methods>,
    settings: RpcSettings,
    shutdown: CancellationToken,
) -> impl Service<Request<Incoming>, Response = Response<HttpBody>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    let origins = Arc::new(Origins::new(settings.cors_origins.clone(), settings.loopback_origins));
    let public = settings.documents.iter().map(|document| document.path).collect();
    let cors = origins::cors(Arc::clone(&origins), public);
    let front = http::Front::new(app, procedures, others.into(), settings, origins, shutdown);
    let answer = tower::service_fn(move |request| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(front.answer(request).await) }
    });
    // Outermost, so that answers of every status have its headers.
    ServiceBuilder::new().layer(cors).service(answer)
}
