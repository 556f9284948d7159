//! Inngest, spoken here: its event API, and what our events look like there.
//!
//! Provider events go as `calmony-pay/<type>` under the provider's id, transitions of a payment as `payment/<status>`
//! under the id of their audit row; Inngest counts an id once, so that sending again is harmless. Ids, words, pence
//! and times, no personal text. Not here: what is sent when, and again (`jobs::outbox`).

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use crate::{
    calmony::client::http_client,
    domain::Timestamp,
    error::with_causes,
    ledger::tables::{UnsentChange, UnsentEvent},
};

/// Of an answer no more is read; only its status counts.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The longest name Inngest takes (its documentation, "Usage limits").
const MAX_NAME_CHARS: usize = 256;

/// Speaks to Inngest.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    event_key: SecretString,
}

/// An event as Inngest takes it.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    id: String,
    name: String,
    data: Value,
    /// Milliseconds since 1970. Never in the future: Inngest would wait for it.
    ts: i64,
}

/// Why Inngest has not taken a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendFault {
    /// It refuses the key.
    #[error("Inngest refuses the event key ({0}): check INNGEST_EVENT_KEY")]
    WrongKey(StatusCode),
    /// It answers anything else but success. Redirects are not followed.
    #[error("Inngest answers {0}")]
    Status(StatusCode),
    /// It does not answer.
    #[error("Inngest does not answer: {0}")]
    Unreachable(String),
}

impl Client {
    /// A client of the event API at `base`, which must pass [`crate::calmony::client::is_safe_link`].
    pub fn new(base: Url, event_key: SecretString) -> Result<Self, reqwest::Error> {
        Ok(Self { http: http_client(&base)?, base, event_key })
    }

    /// Sends events. All of them are taken, or none is known to be.
    pub async fn send(&self, messages: &[Message]) -> Result<(), SendFault> {
        // The key is part of the address, so no error may carry one.
        let unreachable = |error: reqwest::Error| SendFault::Unreachable(with_causes(&error.without_url()));
        let mut answer = self.http.post(self.endpoint()?).json(messages).send().await.map_err(unreachable)?;
        // Read to its end where that is near, so that the connection can be used again.
        let mut read = 0;
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            read += chunk.len();
            if read > MAX_ANSWER_BYTES {
                break;
            }
        }
        match answer.status() {
            status if status.is_success() => Ok(()),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {
                Err(SendFault::WrongKey(status))
            }
            status => Err(SendFault::Status(status)),
        }
    }

    /// `{base}/e/{event key}`
    fn endpoint(&self) -> Result<Url, SendFault> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| SendFault::Unreachable("its address can't have a path".into()))?
            .pop_if_empty()
            .extend(["e", self.event_key.expose_secret()]);
        Ok(url)
    }
}

impl Message {
    /// A provider event, with the agency of its payment where that is known.
    pub fn of_event(event: UnsentEvent) -> Self {
        let UnsentEvent {
            event_id,
            event_type,
            event_created_at,
            object_id,
            intent_id,
            session_id,
            amount_pence,
            currency,
            payment_status,
            refunded_pence,
            verdict,
            agency_id,
            payment_id,
            received_at,
        } = event;
        let data = json!({
            "eventId": event_id,
            "type": event_type,
            "agencyId": agency_id,
            "paymentId": payment_id,
            "objectId": object_id,
            "paymentIntentId": intent_id,
            "checkoutSessionId": session_id,
            "amountPence": amount_pence,
            "currency": currency,
            "paymentStatus": payment_status,
            "refundedPence": refunded_pence,
            "verdict": verdict,
            "createdAt": event_created_at,
            "receivedAt": received_at,
        });
        let at = event_created_at.unwrap_or(received_at).min(received_at);
        Self { id: event_id.to_string(), name: name(&["calmony-pay/", &event_type]), data, ts: millis(at) }
    }

    /// A row of the audit log, where it is a transition of a payment; its creation is one.
    pub fn of_change(change: &UnsentChange) -> Option<Self> {
        let UnsentChange {
            id,
            agency_id,
            payment_id,
            version,
            from_status,
            to_status,
            amount_pence,
            at,
            sequence,
        } = change;
        let to = to_status.filter(|to| *from_status != Some(*to))?;
        let data = json!({
            "paymentId": payment_id,
            "agencyId": agency_id,
            "status": to,
            "from": from_status,
            "amountPence": amount_pence,
            "currency": "GBP",
            "version": version,
            "sequence": sequence,
            "at": at,
        });
        Some(Self { id: id.to_string(), name: name(&["payment/", to.as_str()]), data, ts: millis(*at) })
    }
}

fn name(parts: &[&str]) -> String {
    parts.concat().chars().take(MAX_NAME_CHARS).collect()
}

fn millis(at: Timestamp) -> i64 {
    at.to_utc().timestamp_millis()
}
