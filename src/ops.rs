//! What an operator's tools ask: `GET /livez`, `GET /readyz`, `GET /metrics`.
//!
//! Not here: what is measured (each room counts its own), and how the database is asked (the check is passed
//! in). Nothing here needs a token, hence its own listener, by default on a loopback address.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::ALLOW;
use http::{HeaderValue, Method, Request, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::listener::{Answer, text, with_type};

/// How long the readiness check may take: as long as a request waits for a connection. A database that needs
/// longer is not one to send requests to.
pub const READY_CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The content type of Prometheus' text format.
const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Says whether the database serves.
pub type ReadyCheck = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// The service of the ops listener.
#[derive(Clone)]
pub struct Ops {
    ready: ReadyCheck,
    stopping: CancellationToken,
    metrics: PrometheusHandle,
}

impl Ops {
    /// `stopping` is cancelled when the server begins to stop. Readiness goes with it, before the other
    /// listeners close, so that a load balancer can look elsewhere; this listener should outlive them.
    pub fn new(ready: ReadyCheck, stopping: CancellationToken, metrics: PrometheusHandle) -> Self {
        Self { ready, stopping, metrics }
    }

    /// Answers one request.
    pub async fn answer(&self, method: &Method, path: &str) -> Answer {
        if !matches!(path, "/livez" | "/readyz" | "/metrics") {
            return text(StatusCode::NOT_FOUND, "not found\n");
        }
        // hyper leaves the body out of answers to HEAD.
        if method != Method::GET && method != Method::HEAD {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match path {
            "/readyz" => self.readyz().await,
            "/metrics" => with_type(StatusCode::OK, METRICS_CONTENT_TYPE, self.metrics.render()),
            // It answers, so it lives. Nothing more: a restart cures no database.
            _ => text(StatusCode::OK, "alive\n"),
        }
    }

    async fn readyz(&self) -> Answer {
        if self.stopping.is_cancelled() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
        }
        match tokio::time::timeout(READY_CHECK_TIMEOUT, (self.ready)()).await {
            Ok(true) => text(StatusCode::OK, "ready\n"),
            Ok(false) | Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the database does not serve\n"),
        }
    }
}

impl<B> Service<Request<B>> for Ops {
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let ops = self.clone();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        Box::pin(async move { Ok(ops.answer(&method, &path).await) })
    }
}

#[cfg(test)]
mod tests;
