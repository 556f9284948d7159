//! Events on their way to the webhook: signing, retrying, and the faults that befall them.
//!
//! Lives here: the envelope, and one task per event that sees it delivered or gives up. Does not live here: what
//! an event is about (`state`), and which fault hits it (`faults`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, watch};

use super::Sandbox;
use super::faults::EventFate;
use super::model::new_id;
use crate::calmony::signature::{SIGNATURE_HEADER, sign};

/// Tries under way at once; waiting between tries does not count.
const MAX_CONCURRENT_TRIES: usize = 32;
/// A receiver that takes longer than this has not taken the event.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an event waits to be overtaken when no other follows.
const MAX_HOLD: Duration = Duration::from_secs(1);
/// Signs forgeries. Whoever accepts this accepts anything.
const FORGERS_SECRET: &str = "not-the-webhook-secret";

/// An event as it will be sent.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) id: String,
    event_type: String,
    created: i64,
    object: Value,
}

impl Event {
    /// The object is a picture of the moment: later changes do not show in it.
    pub(super) fn new(event_type: &str, object: Value) -> Self {
        let created = Utc::now().timestamp();
        Self { id: new_id("evt"), event_type: event_type.to_owned(), created, object }
    }

    fn body(&self) -> Vec<u8> {
        let envelope = json!({
            "id": self.id, "type": self.event_type, "created": self.created, "data": { "object": self.object },
        });
        envelope.to_string().into_bytes()
    }

    /// Under a fresh id, so that no deduplication hides that it was believed.
    fn forgery(&self) -> Self {
        let mut forged = Self::new(&self.event_type, self.object.clone());
        for amount in ["amount", "amount_total"] {
            if let Some(pence) = forged.object.get_mut(amount) {
                *pence = json!(1);
            }
        }
        forged
    }
}

/// One try to deliver an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// `evt_…`
    pub event_id: String,
    /// `payment_intent.succeeded`, …
    pub event_type: String,
    /// What the receiver answered; nothing when it could not be reached or did not answer in time.
    pub status: Option<u16>,
    /// Was this a forgery, made on request?
    pub forged: bool,
}

/// The way out of the sandbox.
pub(super) struct Outbox {
    client: reqwest::Client,
    webhook_secret: SecretString,
    retry_delays_ms: Vec<u64>,
    tries: Semaphore,
    outstanding: watch::Sender<usize>,
    /// The event that waits to be overtaken, if one does.
    held_back: Mutex<Option<Arc<Notify>>>,
}

/// Something that `settled` waits for.
pub(super) struct Outstanding(Sandbox);

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.inner.outbox.outstanding.send_modify(|count| *count -= 1);
    }
}

impl Outbox {
    pub(super) fn new(webhook_secret: SecretString, retry_delays_ms: Vec<u64>) -> Self {
        // The client is built with TLS in it and panics without a provider. One that is installed already wins.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(TRY_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_certs_only([])
            .build()
            .expect("a client without certificates or proxies of its own can always be built");
        Self {
            client,
            webhook_secret,
            retry_delays_ms,
            tries: Semaphore::new(MAX_CONCURRENT_TRIES),
            outstanding: watch::Sender::new(0),
            held_back: Mutex::new(None),
        }
    }

    pub(super) async fn settled(&self) {
        // Only a dropped sender fails, and `self` has it.
        let _ = self.outstanding.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// Who waits for whom when events change places.
struct Order {
    /// Wait for this before going out.
    after: Option<Arc<Notify>>,
    /// Tell this once out.
    before: Option<Arc<Notify>>,
}

impl Sandbox {
    /// Counts as outstanding until it is dropped.
    pub(super) fn outstanding(&self) -> Outstanding {
        self.inner.outbox.outstanding.send_modify(|count| *count += 1);
        Outstanding(self.clone())
    }

    /// Queues events. Different events travel at the same time and may overtake each other, as the provider's do.
    pub(super) fn emit(&self, events: Vec<Event>) {
        for event in events {
            let fate = {
                let mut state = self.state();
                let faults = state.faults.clone();
                state.dice.event(&faults)
            };
            if fate.lost {
                tracing::info!(event_id = event.id, event_type = event.event_type, "event lost on request");
                continue;
            }
            let order = self.order(fate.held_back);
            let (sandbox, outstanding) = (self.clone(), self.outstanding());
            self.spawn(async move {
                sandbox.send(event, fate, order).await;
                drop(outstanding);
            });
        }
    }

    /// An event that finds another one waiting goes first and then lets it go.
    fn order(&self, held_back: bool) -> Order {
        let mut waiting = self.inner.outbox.held_back.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.take() {
            Some(overtaken) => Order { after: None, before: Some(overtaken) },
            None if held_back => {
                let after = waiting.insert(Arc::default()).clone();
                Order { after: Some(after), before: None }
            }
            None => Order { after: None, before: None },
        }
    }

    async fn send(&self, event: Event, fate: EventFate, order: Order) {
        if let Some(after) = order.after {
            // Not being overtaken in time is fine: then nothing followed.
            let _ = tokio::time::timeout(MAX_HOLD, after.notified()).await;
            self.stop_waiting(&after);
        }
        tokio::time::sleep(Duration::from_millis(fate.delay_ms)).await;
        if fate.forged {
            self.try_once(&event.forgery(), FORGERS_SECRET, true).await;
        }
        self.send_until_accepted(&event).await;
        if let Some(before) = order.before {
            before.notify_one();
        }
        if fate.duplicated {
            self.send_until_accepted(&event).await;
        }
    }

    fn stop_waiting(&self, waiter: &Arc<Notify>) {
        let mut waiting = self.inner.outbox.held_back.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.as_ref().is_some_and(|waiting| Arc::ptr_eq(waiting, waiter)) {
            *waiting = None;
        }
    }

    async fn send_until_accepted(&self, event: &Event) {
        let outbox = &self.inner.outbox;
        let secret = outbox.webhook_secret.expose_secret();
        if self.try_once(event, secret, false).await {
            return;
        }
        for delay_ms in &outbox.retry_delays_ms {
            tokio::time::sleep(Duration::from_millis(*delay_ms)).await;
            if self.try_once(event, secret, false).await {
                return;
            }
        }
        let (event_id, event_type) = (&event.id, &event.event_type);
        tracing::warn!(event_id, event_type, "event dropped: the webhook accepted none of the tries");
    }

    /// Was it accepted? Signed afresh each time: a signature goes stale while a receiver is away.
    async fn try_once(&self, event: &Event, secret: &str, forged: bool) -> bool {
        // The semaphore is never closed; a try without a permit would only be one too many.
        let _permit = self.inner.outbox.tries.acquire().await;
        let url = self.state().webhook_url.clone();
        let body = event.body();
        let signature = sign(secret, Utc::now().timestamp_millis(), &body);
        let request = self.inner.outbox.client.post(url).header(SIGNATURE_HEADER, signature);
        let answer = request.header(http::header::CONTENT_TYPE, "application/json").body(body).send().await;
        let status = match answer {
            Ok(answer) => Some(answer.status().as_u16()),
            Err(error) => {
                tracing::debug!(event_id = event.id, %error, "the webhook could not be reached");
                None
            }
        };
        self.state().record_delivery(DeliveryRecord {
            event_id: event.id.clone(),
            event_type: event.event_type.clone(),
            status,
            forged,
        });
        status.is_some_and(|status| (200..300).contains(&status))
    }
}
