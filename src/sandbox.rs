//! Calmony Pay's twin: it plays the provider over real HTTP, for `quittance dev` and for the integration tests.
//! No money moves and no card number is asked for. `dev` lets it keep its sessions in a file, so that open links outlive
//! a restart.
//!
//! Lives here: the handle ([`Sandbox`]) through which a test or `dev` starts it, plays the tenant and looks at
//! what was asked. Does not live here: anything of Quittance's own. It knows of the rest of the crate only how
//! to sign an event, so that the two sides cannot agree on a mistake. `serve` never starts it.
//!
//! What it answers to:
//!
//! | who | request | for |
//! |---|---|---|
//! | Quittance | `POST /v1/checkout/sessions`, `GET /v1/checkout/sessions/:id`, `GET /v1/payment_intents/:id` | the provider's API (`api`) |
//! | a tenant | `GET /checkout/:session_id`, and its buttons | the hosted page (`page`) |
//! | a developer | `GET /` | the latest sessions, with links (`page`) |
//! | a script | `GET /sandbox/sessions` | every session with its state, newest first (`control`) |
//! | a script | `POST /sandbox/sessions/:id/pay` (`{"method":"card"}` or `open_banking`; optional) | the tenant pays |
//! | a script | `POST /sandbox/sessions/:id/decline`, `POST /sandbox/sessions/:id/expire` | the try fails · time passes |
//! | a script | `POST /sandbox/intents/:id/refund` (`{"amount":1250}` in pence; optional, default: the rest) | money goes back |
//! | a script | `GET /sandbox/faults`, `PUT /sandbox/faults` | what goes wrong: [`Faults`] as JSON, absent fields are off |
//!
//! ```sh
//! curl -X PUT http://127.0.0.1:4010/sandbox/faults -d '{"duplicate":1.0,"delay":0.5,"delay_ms":[50,2000]}'
//! ```

mod api;
mod checkout;
mod control;
mod delivery;
mod exchange;
mod faults;
mod model;
mod page;
mod server;
mod state;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use delivery::DeliveryRecord;
use faults::Dice;
pub use faults::Faults;
pub use model::{Intent, IntentStatus, Method, PaymentError, Refusal, Session, SessionStatus};

use delivery::{Event, Outbox};
use state::State;
use store::Store;

/// How long a bank takes to make a payment: long enough that `processing` can be seen.
const BANK_PAYMENT_TIME: Duration = Duration::from_millis(500);
/// How often sessions whose time is over are looked for. A read looks as well.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// How often what changed is written to the file, if there is one.
const SAVE_INTERVAL: Duration = Duration::from_millis(250);
/// A receiver that is restarted has about a minute and a half to come back.
const DEFAULT_RETRY_DELAYS_MS: [u64; 8] = [500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 30_000];

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// The bearer key its API asks for.
    pub secret_key: SecretString,
    /// What events are signed with.
    pub webhook_secret: SecretString,
    /// Where events are delivered.
    pub webhook_url: String,
    /// Where the faults' random choices start from.
    pub seed: u64,
    /// The waits between the tries to deliver an event; after the last of them it is dropped.
    pub retry_delays_ms: Vec<u64>,
    /// Where sessions are kept over a restart; nowhere if there is no path.
    pub file: Option<PathBuf>,
}

impl SandboxConfig {
    /// A sandbox with the usual retries and seed 0, that keeps nothing.
    pub fn new(secret_key: SecretString, webhook_secret: SecretString, webhook_url: String) -> Self {
        let retry_delays_ms = DEFAULT_RETRY_DELAYS_MS.to_vec();
        Self { secret_key, webhook_secret, webhook_url, seed: 0, retry_delays_ms, file: None }
    }
}

/// One API request, as it came in: what the provider was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path without query.
    pub path: String,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// Did it carry the right bearer key?
    pub authorized: bool,
    /// The JSON body, if there was one.
    pub body: Option<Value>,
}

/// A running sandbox. Clones are handles to the same one.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    secret_key: SecretString,
    state: Mutex<State>,
    store: Option<Store>,
    outbox: Outbox,
    /// How many `CreatesPaused` guards are alive.
    creates_paused: watch::Sender<usize>,
    shutdown: CancellationToken,
}

/// While this lives, create calls make their sessions but are not answered.
#[must_use = "creates go on as soon as this is dropped"]
pub struct CreatesPaused(Sandbox);

impl Drop for CreatesPaused {
    fn drop(&mut self) {
        self.0.inner.creates_paused.send_modify(|guards| *guards -= 1);
    }
}

impl Sandbox {
    /// Starts serving on `listener`. All it spawned ends at once when `shutdown` is cancelled.
    pub async fn start(listener: TcpListener, config: SandboxConfig, shutdown: CancellationToken) -> Self {
        let address = listener.local_addr().expect("a bound listener has an address");
        let store = config.file.map(Store);
        let mut state = State::new(config.seed, config.webhook_url);
        let under_way = store.as_ref().map(|store| state.take_up(store.read())).unwrap_or_default();
        let inner = Inner {
            url: format!("http://{address}"),
            secret_key: config.secret_key,
            state: Mutex::new(state),
            store,
            outbox: Outbox::new(config.webhook_secret, config.retry_delays_ms),
            creates_paused: watch::Sender::new(0),
            shutdown: shutdown.clone(),
        };
        let sandbox = Self { inner: Arc::new(inner) };
        sandbox.spawn(server::serve(listener, sandbox.clone()));
        sandbox.spawn(sandbox.clone().watch_expiries());
        sandbox.spawn(sandbox.clone().keep_saving());
        for intent_id in under_way {
            sandbox.finish_bank_payment_later(intent_id);
        }
        sandbox
    }

    /// `http://127.0.0.1:PORT`. The API's base address is this and `/v1`.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Every API request received, oldest first.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state().requests.iter().cloned().collect()
    }

    /// Every try to deliver an event, forgeries included, oldest first.
    pub fn deliveries(&self) -> Vec<DeliveryRecord> {
        self.state().deliveries.iter().cloned().collect()
    }

    /// One session.
    pub fn session(&self, id: &str) -> Option<Session> {
        self.state().session(id).ok().cloned()
    }

    /// All sessions, oldest first.
    pub fn sessions(&self) -> Vec<Session> {
        self.state().sessions().cloned().collect()
    }

    /// One payment intent.
    pub fn intent(&self, id: &str) -> Option<Intent> {
        self.state().intent(id).ok().cloned()
    }

    /// The faults that are switched on.
    pub fn faults(&self) -> Faults {
        self.state().faults.clone()
    }

    /// Switches faults on and off, from the next create call and event on.
    ///
    /// # Panics
    /// When a field is out of bounds: that is a mistake in the test.
    pub fn set_faults(&self, faults: Faults) {
        assert_eq!(faults.fault(), None, "faults out of bounds");
        let mut state = self.state();
        if let Some(seed) = faults.seed {
            state.dice = Dice::new(seed);
        }
        state.faults = faults;
    }

    /// Where events go from the next try on. Ports are picked at run time, so this is often known late.
    pub fn set_webhook_url(&self, url: String) {
        self.state().webhook_url = url;
    }

    /// A tenant pays; answers with the intent. By bank it is processing first and succeeds half a second later.
    pub async fn pay(&self, session_id: &str, how: Method) -> Result<String, Refusal> {
        let intent_id = self.start_payment(session_id, how)?;
        if how == Method::OpenBanking {
            self.finish_bank_payment_later(intent_id.clone());
        }
        Ok(intent_id)
    }

    /// A tenant starts a payment by bank, which stays processing until `finish_bank_payment`.
    pub async fn start_bank_payment(&self, session_id: &str) -> Result<String, Refusal> {
        self.start_payment(session_id, Method::OpenBanking)
    }

    /// The bank makes the payment, or does not: then the session is open again.
    pub async fn finish_bank_payment(&self, intent_id: &str, accepted: bool) -> Result<(), Refusal> {
        let events = self.state().finish_bank_payment(intent_id, accepted)?;
        self.emit(events);
        Ok(())
    }

    /// A try to pay fails; answers with its intent. The session stays open.
    pub async fn decline(&self, session_id: &str) -> Result<String, Refusal> {
        let (intent_id, events) = self.state().decline(session_id)?;
        self.emit(events);
        Ok(intent_id)
    }

    /// The session's time is over.
    pub async fn expire(&self, session_id: &str) -> Result<(), Refusal> {
        let events = self.state().expire(session_id)?;
        self.emit(events);
        Ok(())
    }

    /// Gives back `amount_pence`, or all that is left; answers with the pence given back altogether.
    pub async fn refund(&self, intent_id: &str, amount_pence: Option<i64>) -> Result<i64, Refusal> {
        let (refunded_pence, events) = self.state().refund(intent_id, amount_pence)?;
        self.emit(events);
        Ok(refunded_pence)
    }

    /// Sends an event of the caller's own making, signed; answers with its id. For what no tenant can bring about.
    pub fn deliver(&self, event_type: &str, object: Value) -> String {
        let event = Event::new(event_type, object);
        let id = event.id.clone();
        self.emit(vec![event]);
        id
    }

    /// Writes what has changed to the file, if there is one. It does so by itself all the time; this is for the end.
    pub fn save(&self) {
        let Some(store) = &self.inner.store else { return };
        let unsaved = self.state().take_unsaved();
        if let Some(Err(error)) = unsaved.map(|kept| store.write(&kept)) {
            tracing::warn!(file = %store.0.display(), %error, "the sandbox's sessions could not be kept");
        }
    }

    /// Waits until no bank payment started by `pay` is under way and no delivery is queued, retries included.
    pub async fn settled(&self) {
        self.inner.outbox.settled().await;
    }

    /// Holds the answers of create calls back until the guard is dropped. The sessions are made, can be paid,
    /// and events about them arrive: so a webhook overtakes the answer.
    pub fn pause_creates(&self) -> CreatesPaused {
        self.inner.creates_paused.send_modify(|guards| *guards += 1);
        CreatesPaused(self.clone())
    }

    fn finish_bank_payment_later(&self, intent_id: String) {
        let (sandbox, under_way) = (self.clone(), self.outstanding());
        self.spawn(async move {
            tokio::time::sleep(BANK_PAYMENT_TIME).await;
            // Somebody else may have finished it meanwhile: then there is nothing left to do.
            let _ = sandbox.finish_bank_payment(&intent_id, true).await;
            drop(under_way);
        });
    }

    async fn creates_resumed(&self) {
        // Only a dropped sender fails, and `self` keeps it.
        let _ = self.inner.creates_paused.subscribe().wait_for(|guards| *guards == 0).await;
    }

    fn start_payment(&self, session_id: &str, how: Method) -> Result<String, Refusal> {
        let (intent_id, events) = self.state().pay(session_id, how)?;
        self.emit(events);
        Ok(intent_id)
    }

    fn expire_due(&self) {
        let events = self.state().expire_due();
        self.emit(events);
    }

    async fn watch_expiries(self) {
        let mut ticks = tokio::time::interval(EXPIRY_INTERVAL);
        loop {
            ticks.tick().await;
            self.expire_due();
        }
    }

    async fn keep_saving(self) {
        let mut ticks = tokio::time::interval(SAVE_INTERVAL);
        loop {
            ticks.tick().await;
            self.save();
        }
    }

    /// Held for one look or one change, never across an await nor while calling anything that looks again.
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held is a test's failed assertion at worst; the others may go on.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until it is done or the sandbox is shut down.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.inner.shutdown.clone().run_until_cancelled_owned(work));
    }
}
