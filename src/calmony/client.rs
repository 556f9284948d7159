//! The client of Calmony Pay's API: make a session, read a session, read an intent.
//!
//! Every answer is checked before anything believes it, and every failure is one of two: the provider said no, or
//! the outcome is unknown. Nothing is tried twice here; whoever asks knows when to ask again.

mod breaker;
mod probe;

use std::{num::NonZeroU32, time::Duration};

use governor::{DefaultDirectRateLimiter, Quota};
use reqwest::{StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;

pub use breaker::Breaker;
pub use probe::Probe;

pub use super::answer::{IntentReading, Made, SessionReading, is_safe_link};

use super::{
    answer::is_loopback,
    event::failure_code,
    json::{Document, Json},
};
use crate::{
    domain::{AgencyId, IntentId, OneLine, PaymentId, PaymentMethod, Pence, SessionId},
    error::with_causes,
    tls,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For a whole call, connecting included. docs/money.md, "Checkout".
pub const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// Read-backs a second at most. docs/money.md, "Janitor"; the provider's limit is 100 calls for all of us.
const READS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How long a link lives: the longest the provider grants (its documentation, "Hosted checkout sessions").
pub const SESSION_LIFETIME: Duration = Duration::from_secs(86_400);

/// Speaks to Calmony Pay.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    secret_key: SecretString,
    breaker: Breaker,
    /// Read-backs wait here: whoever makes them, they are few enough not to hinder the creates.
    reads: DefaultDirectRateLimiter,
}

/// What a session is asked for.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The payment.
    pub payment_id: PaymentId,
    /// Its agency.
    pub agency_id: AgencyId,
    /// Which of its sessions this is.
    pub attempt: i32,
    /// The key that makes asking again harmless.
    pub provider_key: String,
    /// What is to be paid.
    pub amount: Pence,
    /// Shown to the tenant.
    pub description: OneLine<500>,
    /// How it may be paid.
    pub method: PaymentMethod,
    /// Where the tenant's browser goes after paying.
    pub success_url: String,
    /// Where it goes without.
    pub cancel_url: String,
}

/// Why there is no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// The provider refused: 400, 404 or 422. Asking again will not help.
    #[error("refused ({code})")]
    Rejected {
        /// The provider's code, if it gave a short one.
        code: String,
        /// It says that there is no such object: 404 with an error of its own form.
        absent: bool,
    },
    /// Anything else: the outcome is unknown.
    #[error("outcome unknown: {why}")]
    Unknown {
        /// For the log.
        why: String,
    },
}

impl CallFault {
    fn unknown(why: impl std::fmt::Display) -> Self {
        Self::Unknown { why: why.to_string() }
    }
}

impl Client {
    /// A client of the API at `base`, which must pass [`is_safe_link`]. `time_scale` shortens the breaker's wait.
    pub fn new(base: Url, secret_key: SecretString, time_scale: f64) -> Result<Self, reqwest::Error> {
        let http = http_client(&base)?;
        // One at a time, evenly spaced: a burst would make the first second twice as full.
        let quota = Quota::per_second(READS_PER_SECOND).allow_burst(NonZeroU32::MIN);
        let reads = DefaultDirectRateLimiter::direct(quota);
        Ok(Self { http, base, secret_key, breaker: Breaker::new(time_scale), reads })
    }

    /// Makes a session, or finds the one made before under the same key.
    pub async fn create_session(&self, new: &NewSession) -> Result<Made, CallFault> {
        let body = json!({
            "line_items": [{
                "price_data": {
                    "currency": "gbp",
                    "unit_amount": new.amount,
                    "product_data": { "name": new.description.as_str() },
                },
                "quantity": 1,
            }],
            "success_url": new.success_url,
            "cancel_url": new.cancel_url,
            "expires_in": SESSION_LIFETIME.as_secs(),
            "metadata": { "ledger_id": new.payment_id, "agency_id": new.agency_id, "attempt": new.attempt },
            "payment_method_types": [new.method],
        });
        let request = self.http.post(self.at(&["checkout", "sessions"])?).json(&body);
        let answer = self.call(request.header("idempotency-key", &new.provider_key)).await?;
        Made::read(&answer, is_loopback(&self.base)).map_err(CallFault::unknown)
    }

    /// Reads how a session stands.
    pub async fn read_session(&self, id: &SessionId) -> Result<SessionReading, CallFault> {
        self.admit_read().await?;
        let answer = match self.call(self.http.get(self.at(&["checkout", "sessions", id.as_str()])?)).await {
            // Nobody can pay through what is not there.
            Err(CallFault::Rejected { absent: true, .. }) => {
                return Ok(SessionReading { expired: true, ..SessionReading::default() });
            }
            answer => answer?,
        };
        SessionReading::read(&answer, id).ok_or_else(|| CallFault::unknown("an answer about another session"))
    }

    /// Reads how an intent stands.
    pub async fn read_intent(&self, id: &IntentId) -> Result<IntentReading, CallFault> {
        self.admit_read().await?;
        let answer = self.call(self.http.get(self.at(&["payment_intents", id.as_str()])?)).await?;
        IntentReading::read(&answer, id).ok_or_else(|| CallFault::unknown("an answer about another intent"))
    }

    /// Waits for one's turn to read. Where many wait, no longer than a call may take: whoever reads holds a lease.
    async fn admit_read(&self) -> Result<(), CallFault> {
        let turn = tokio::time::timeout(CALL_TIMEOUT, self.reads.until_ready()).await;
        turn.map_err(|_| CallFault::unknown("too many reads wait"))
    }

    /// The address of an endpoint; ids are encoded, so that none can climb out of its path.
    fn at(&self, path: &[&str]) -> Result<Url, CallFault> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| CallFault::unknown("the API's address can't have a path"))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> Result<Document<'static>, CallFault> {
        self.breaker.admit()?;
        let outcome = self.send(request).await;
        self.breaker.record(&outcome);
        outcome
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Document<'static>, CallFault> {
        let (status, _, body) = self.exchange(request).await?;
        match status {
            StatusCode::OK | StatusCode::CREATED => {
                let answer =
                    Document::read(&body).ok_or_else(|| CallFault::unknown("an answer that is no JSON"))?;
                Ok(answer.into_owned())
            }
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
                let envelope = Document::read(&body);
                let error = envelope.as_ref().map(error_of);
                let code = error.and_then(failure_code).unwrap_or_else(|| "provider_rejected".into());
                // A proxy on the way, or a wrong path in our settings, answers 404 as well, but not in this form.
                let absent = status == StatusCode::NOT_FOUND && error.is_some_and(Json::is_object);
                Err(CallFault::Rejected { code, absent })
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                tracing::error!(%status, "Calmony Pay refuses our secret key: check CALMONY_PAY_SECRET_KEY");
                Err(CallFault::unknown(status))
            }
            _ => Err(CallFault::unknown(status)),
        }
    }

    /// Sends a request with our key and reads the answer, whatever it is.
    async fn exchange(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<(StatusCode, header::HeaderMap, Vec<u8>), CallFault> {
        let mut bearer =
            header::HeaderValue::from_str(&format!("Bearer {}", self.secret_key.expose_secret()))
                .map_err(|_| CallFault::unknown("the secret key holds characters no header can"))?;
        bearer.set_sensitive(true);
        let response = request.header(header::AUTHORIZATION, bearer).send().await;
        let mut response = response.map_err(unanswered)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(CallFault::unknown("an answer over 64 KiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, headers, body))
    }
}

/// The error of an error envelope.
fn error_of<'a>(envelope: &'a Document<'_>) -> Json<'a> {
    let [error] = envelope.root().fields(["error"]);
    error
}

/// No answer, or half of one. Without its address, which may hold an id: the log has that already.
fn unanswered(error: reqwest::Error) -> CallFault {
    CallFault::unknown(with_causes(&error.without_url()))
}

/// A client for calls to one service: bounded in time, following no redirects, trusting what this machine trusts. A proxy
/// of the environment is used, but not to reach this machine itself.
pub fn http_client(base: &Url) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(CALL_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("quittance/", env!("CARGO_PKG_VERSION")));
    if is_loopback(base) { builder.no_proxy().build() } else { builder.build() }
}
