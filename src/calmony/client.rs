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
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

pub use breaker::Breaker;
pub use probe::Probe;

use super::event::{currency, machine_word, pence, text};
use crate::domain::{
    AgencyId, FreeText, IntentId, PaymentId, PaymentMethod, Pence, SessionId,
    lifecycle::{Report, Reported},
};
use crate::error::with_causes;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For a whole call, connecting included. README, "Checkout".
pub const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// Read-backs a second at most. README, "Janitor"; the provider's limit is 100 calls for all of us.
const READS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap();
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The longest link that is believed.
const MAX_URL_BYTES: usize = 2_048;
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
    pub description: FreeText<500>,
    /// How it may be paid.
    pub method: PaymentMethod,
    /// Where the tenant's browser goes afterwards.
    pub return_url: Url,
}

/// A session that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub session_id: SessionId,
    /// The link for the tenant.
    pub url: String,
}

/// How a session stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionReading {
    /// It was completed, or says that it is paid.
    pub complete: bool,
    /// The provider says that it is paid.
    pub paid: bool,
    /// Its link is dead.
    pub expired: bool,
    /// The intent that paid it.
    pub intent_id: Option<IntentId>,
}

/// How an intent stands: what an event about it would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentReading {
    /// What happened; `None` where nothing has yet.
    pub report: Option<Report>,
    /// Its amount.
    pub amount: Reported,
    /// Its currency, as sent.
    pub currency: Option<String>,
    /// `metadata.ledger_id`, as sent.
    pub ledger_ref: Option<String>,
    /// `metadata.agency_id`, as sent.
    pub agency_ref: Option<String>,
    /// Its code for a failure.
    pub failure_code: Option<String>,
}

/// Why there is no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// The provider refused: 400, 404 or 422. Asking again will not help.
    #[error("refused ({code})")]
    Rejected {
        /// The provider's code, if it gave a short one.
        code: String,
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
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("quittance/", env!("CARGO_PKG_VERSION")))
            .build()?;
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
            "success_url": new.return_url.as_str(),
            "cancel_url": new.return_url.as_str(),
            "expires_in": SESSION_LIFETIME.as_secs(),
            "metadata": { "ledger_id": new.payment_id, "agency_id": new.agency_id, "attempt": new.attempt },
            "payment_method_types": [new.method],
        });
        let request = self.http.post(self.at(&["checkout", "sessions"])?).json(&body);
        let answer = self.call(request.header("idempotency-key", &new.provider_key)).await?;
        #[derive(Deserialize)]
        struct Answer {
            id: String,
            url: String,
        }
        let Answer { id, url } =
            serde_json::from_value(answer).map_err(|_| CallFault::unknown("an answer without id and url"))?;
        let session_id = SessionId::parse(&id).ok_or_else(|| CallFault::unknown("an unusable session id"))?;
        if url.len() > MAX_URL_BYTES || !Url::parse(&url).is_ok_and(|url| is_safe_link(&url)) {
            return Err(CallFault::unknown("a link that is neither https nor loopback"));
        }
        Ok(Made { session_id, url })
    }

    /// Reads how a session stands.
    pub async fn read_session(&self, id: &SessionId) -> Result<SessionReading, CallFault> {
        self.reads.until_ready().await;
        let answer = self.call(self.http.get(self.at(&["checkout", "sessions", id.as_str()])?)).await?;
        if answer["id"].as_str() != Some(id.as_str()) {
            return Err(CallFault::unknown("an answer about another session"));
        }
        let (status, paid) = (answer["status"].as_str(), answer["payment_status"].as_str() == Some("paid"));
        let intent = &answer["payment_intent"];
        Ok(SessionReading {
            complete: status == Some("complete") || paid,
            paid,
            expired: status == Some("expired"),
            intent_id: intent.as_str().or_else(|| intent["id"].as_str()).and_then(IntentId::parse),
        })
    }

    /// Reads how an intent stands.
    pub async fn read_intent(&self, id: &IntentId) -> Result<IntentReading, CallFault> {
        self.reads.until_ready().await;
        let answer = self.call(self.http.get(self.at(&["payment_intents", id.as_str()])?)).await?;
        if answer["id"].as_str() != Some(id.as_str()) {
            return Err(CallFault::unknown("an answer about another intent"));
        }
        let report = match (answer["status"].as_str(), pence(&answer["amount_refunded"])) {
            (_, Reported::Pence(refunded)) if refunded > Pence::ZERO => {
                Some(Report::Refunded(Some(refunded)))
            }
            (Some("succeeded"), _) => Some(Report::Succeeded),
            (Some("processing"), _) => Some(Report::Processing),
            (Some("failed" | "requires_payment_method"), _) => Some(Report::Failed),
            _ => None,
        };
        Ok(IntentReading {
            report,
            amount: pence(&answer["amount"]),
            currency: currency(&answer["currency"]),
            ledger_ref: text(&answer["metadata"]["ledger_id"]),
            agency_ref: text(&answer["metadata"]["agency_id"]),
            failure_code: answer["last_payment_error"]["code"].as_str().and_then(machine_word),
        })
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

    async fn call(&self, request: reqwest::RequestBuilder) -> Result<Value, CallFault> {
        self.breaker.admit()?;
        let outcome = self.send(request).await;
        self.breaker.record(&outcome);
        outcome
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, CallFault> {
        let (status, _, body) = self.exchange(request).await?;
        match status {
            StatusCode::OK | StatusCode::CREATED => {
                serde_json::from_slice(&body).map_err(|_| CallFault::unknown("an answer that is no JSON"))
            }
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
                let envelope: Value = serde_json::from_slice(&body).unwrap_or_default();
                let code = envelope["error"]["code"].as_str().and_then(machine_word);
                Err(CallFault::Rejected { code: code.unwrap_or_else(|| "provider_rejected".into()) })
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

/// No answer, or half of one. Without its address, which may hold an id: the log has that already.
fn unanswered(error: reqwest::Error) -> CallFault {
    CallFault::unknown(with_causes(&error.without_url()))
}

/// Whether a browser, or we, may be sent there: https anywhere, http on a loopback address only.
pub fn is_safe_link(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => match url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        },
        _ => false,
    }
}
