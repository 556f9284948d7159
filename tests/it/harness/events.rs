//! Webhook events as a test writes them, signed as the provider signs them.

use quittance::calmony::signature::sign;
use serde_json::{Value, json};

/// What the server under test takes signatures of.
pub const WEBHOOK_SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

/// An event to deliver.
#[derive(Clone, Debug)]
pub struct Event(pub Value);

impl Event {
    /// An event of a type about an object. Each has an id of its own; see [`Event::with_id`].
    pub fn new(event_type: &str, object: Value) -> Self {
        let id = format!("evt_{:032x}", rand::random::<u128>());
        let created = chrono::Utc::now().timestamp();
        Self(json!({ "id": id, "type": event_type, "created": created, "data": { "object": object } }))
    }

    /// The money of an intent came, for a payment.
    pub fn succeeded(intent: &str, payment: &str, amount_pence: i64) -> Self {
        Self::intent("payment_intent.succeeded", intent, payment, amount_pence)
    }

    /// Any `payment_intent.*` event about a payment's first attempt.
    pub fn intent(event_type: &str, intent: &str, payment: &str, amount_pence: i64) -> Self {
        Self::new(
            event_type,
            json!({
                "id": intent, "object": "payment_intent", "amount": amount_pence, "currency": "gbp",
                "metadata": { "ledger_id": payment, "attempt": 1 },
            }),
        )
    }

    /// So many pence of an intent went back, in all.
    pub fn refunded(intent: &str, payment: &str, amount_pence: i64, refunded_pence: i64) -> Self {
        let mut event = Self::intent("payment_intent.refunded", intent, payment, amount_pence);
        event.object()["amount_refunded"] = refunded_pence.into();
        event
    }

    /// The same event under another id.
    pub fn with_id(mut self, id: &str) -> Self {
        self.0["id"] = id.into();
        self
    }

    /// The object, to change it.
    pub fn object(&mut self) -> &mut Value {
        &mut self.0["data"]["object"]
    }

    pub fn id(&self) -> &str {
        self.0["id"].as_str().expect("an id")
    }
}

/// The signature header of a body, made now.
pub fn sign_now(body: &[u8]) -> String {
    sign(WEBHOOK_SECRET, chrono::Utc::now().timestamp_millis(), body)
}

/// Delivers an event; the status of the answer.
pub async fn deliver(http: &reqwest::Client, url: &str, event: &Event) -> u16 {
    try_deliver(http, url, event).await.expect("an answer")
}

/// As [`deliver`], to a server that may be gone before it answers: then there is no status.
pub async fn try_deliver(http: &reqwest::Client, url: &str, event: &Event) -> Option<u16> {
    let body = event.0.to_string();
    let request = http.post(url).header("calmony-signature", sign_now(body.as_bytes())).body(body);
    Some(request.send().await.ok()?.status().as_u16())
}
