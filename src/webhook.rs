//! The companion listener: Calmony Pay's webhooks, and the page a tenant's browser comes back to.
//!
//! Limits, then the signature over the raw bytes, then parsing, then the inbox; the answer says only whether we own
//! the event. Not here: what an event means (`inbox`). The return page is never taken as proof of payment.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ALLOW, CONTENT_ENCODING, RETRY_AFTER},
};
use hyper::body::{Bytes, Incoming};
use maud::{DOCTYPE, html};
use secrecy::SecretString;
use tracing::Instrument;

use crate::{
    App,
    calmony::{
        event::Event,
        signature::{self, SignatureFault},
    },
    domain::Verdict,
    error::Error,
    inbox::{self, Receipt},
    listener::{Answer, RequestId, closing, json, read_body, text, with_type},
};

/// Where Calmony Pay delivers its events. The seed's name.
pub const WEBHOOK_PATH: &str = "/api/webhooks/calmony-pay";
/// Where a tenant's browser comes back to.
pub const RETURN_PATH: &str = "/checkout/return";
/// The largest event that is read; theirs are about 1 KiB.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// For the whole body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The service of the companion listener.
#[derive(Clone)]
pub struct Companion {
    app: Arc<App>,
    secrets: Arc<[SecretString]>,
}

impl Companion {
    /// Takes events signed with any of these secrets.
    pub fn new(app: Arc<App>, secrets: Arc<[SecretString]>) -> Self {
        Self { app, secrets }
    }

    async fn answer(self, request: Request<Incoming>) -> Answer {
        match (request.uri().path(), request.method()) {
            (WEBHOOK_PATH, &Method::POST) => {
                let answer = self.webhook(request).await;
                let status = answer.status().as_u16().to_string();
                metrics::counter!("quittance_webhook_requests_total", "status" => status).increment(1);
                answer
            }
            (WEBHOOK_PATH, _) => not_allowed("POST"),
            (RETURN_PATH, &Method::GET | &Method::HEAD) => return_page(),
            (RETURN_PATH, _) => not_allowed("GET, HEAD"),
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    async fn webhook(self, request: Request<Incoming>) -> Answer {
        let encoding = request.headers().get(CONTENT_ENCODING);
        if encoding.is_some() {
            return closing(text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send the body without Content-Encoding\n",
            ));
        }
        let (head, body) = request.into_parts();
        let body = match read_body(body, MAX_BODY_BYTES, BODY_TIMEOUT).await {
            Ok(body) => body,
            Err(fault) => return closing(text(fault.status(), "the body could not be read\n")),
        };
        if let Err(fault) = signature::verify(&head.headers, &body, &self.secrets, chrono::Utc::now()) {
            refused(fault);
            // One answer for every fault: which one it was helps only a forger.
            return text(StatusCode::BAD_REQUEST, "signature not accepted\n");
        }
        // In a task of its own: what has begun is finished even if the provider hangs up.
        let app = Arc::clone(&self.app);
        let work = async move { receive(&app, body).await }.in_current_span();
        match self.app.tasks.spawn(work).await {
            Ok(Ok(())) => json(StatusCode::OK, r#"{"received":true}"#),
            Ok(Err(error)) => {
                tracing::error!(cause = error.story(), "a webhook could not be stored");
                unavailable()
            }
            Err(_) => unavailable(),
        }
    }
}

/// Owns the event: stored with a verdict, or known already.
async fn receive(app: &App, body: Bytes) -> Result<(), Error> {
    let receipt = match Event::parse(&body) {
        Ok(event) => {
            let span = tracing::Span::current();
            span.record("event", event.id.as_str());
            span.record("event_type", &event.event_type);
            inbox::payment_completed_sync(app, &event, &body).await?
        }
        Err(why) => inbox::quarantine(app, &body, why).boxed().await?,
    };
    let outcome = match receipt {
        Receipt::Concluded(verdict) => verdict.as_str(),
        Receipt::Duplicate => "duplicate",
        Receipt::Reused => "reused",
    };
    metrics::counter!("quittance_webhook_events_total", "outcome" => outcome).increment(1);
    if receipt == Receipt::Concluded(Verdict::Quarantined) {
        tracing::warn!("a signed webhook is no event; it is quarantined");
    }
    tracing::info!(outcome, "webhook received");
    Ok(())
}

/// Anyone can send nonsense here; only what looks like a wrong secret or clock is worth an operator's while.
fn refused(fault: SignatureFault) {
    metrics::counter!("quittance_webhook_refusals_total", "fault" => fault.to_string()).increment(1);
    match fault {
        SignatureFault::Mismatch | SignatureFault::TooOld | SignatureFault::TooNew => {
            tracing::warn!(%fault, "webhook refused");
        }
        other => tracing::debug!(fault = %other, "webhook refused"),
    }
}

fn unavailable() -> Answer {
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, "try again\n");
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    closing(answer)
}

fn return_page() -> Answer {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Thank you" }
                style { "body{font:1.1rem/1.6 system-ui,sans-serif;max-width:32rem;margin:20vh auto 0;padding:0 1.5rem;color:#1c2733}" }
            }
            body {
                h1 { "Thank you" }
                p { "You can close this page. Your letting agent is told as soon as the payment is confirmed." }
            }
        }
    };
    let mut answer = with_type(StatusCode::OK, "text/html; charset=utf-8", page.into_string());
    let headers = answer.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    headers.insert(
        "content-security-policy",
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    );
    answer
}

impl tower::Service<Request<Incoming>> for Companion {
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let request_id = request.extensions().get::<RequestId>().map(ToString::to_string);
        let span = tracing::info_span!(
            "webhook",
            method = %request.method(),
            path = request.uri().path(),
            request_id,
            event = tracing::field::Empty,
            event_type = tracing::field::Empty,
        );
        let companion = self.clone();
        Box::pin(async move { Ok(companion.answer(request).await) }.instrument(span))
    }
}
