//! The sandbox's memory: sessions, intents, and what paying, declining, expiring and refunding does to them.
//!
//! Lives here: the rules, as plain functions that change the state and return the events they give rise to.
//! Does not live here: sockets, clocks that tick by themselves, and deliveries (`server`,
//! `sandbox`, `delivery`).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use chrono::Utc;
use serde_json::Value;

use super::RecordedRequest;
use super::checkout::CheckoutRequest;
use super::delivery::{DeliveryRecord, Event};
use super::faults::{Dice, Faults};
use super::model::{Intent, IntentStatus, Method, PaymentError, Refusal, Session, SessionStatus, new_id};
use super::store::{Kept, KeptAnswer};

/// How long an `Idempotency-Key` is remembered, as the provider documents it.
const KEY_LIFE_SECONDS: i64 = 86_400;
/// Requests and deliveries kept for inspection; the oldest go first, so that `dev` may run for weeks.
const MAX_RECORDS: usize = 10_000;
/// Sessions that outlive a restart; the newest do.
const MAX_KEPT_SESSIONS: usize = 1_000;

/// What a create call under a key came to.
pub(super) enum Created {
    New(Value),
    Replayed(Value),
    /// The key was used for another body.
    Conflict,
}

/// Everything the sandbox remembers.
pub(super) struct State {
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    pub(super) webhook_url: String,
    pub(super) requests: VecDeque<RecordedRequest>,
    pub(super) deliveries: VecDeque<DeliveryRecord>,
    sessions: HashMap<String, Session>,
    /// Session ids in the order they were made.
    order: Vec<String>,
    /// Open sessions by the time they end.
    expiries: BTreeSet<(i64, String)>,
    intents: HashMap<String, Intent>,
    keys: HashMap<String, KeptAnswer>,
    /// Something changed that is to outlive a restart.
    unsaved: bool,
}

impl State {
    pub(super) fn new(seed: u64, webhook_url: String) -> Self {
        Self {
            dice: Dice::new(seed),
            faults: Faults::default(),
            webhook_url,
            requests: VecDeque::new(),
            deliveries: VecDeque::new(),
            sessions: HashMap::new(),
            order: Vec::new(),
            expiries: BTreeSet::new(),
            intents: HashMap::new(),
            keys: HashMap::new(),
            unsaved: false,
        }
    }

    /// Takes up what an earlier run left. Answers the intents whose bank payments were under way.
    pub(super) fn take_up(&mut self, kept: Kept) -> Vec<String> {
        for session in kept.sessions {
            if session.status == SessionStatus::Open {
                self.expiries.insert((session.expires_at, session.id.clone()));
            }
            self.order.push(session.id.clone());
            self.sessions.insert(session.id.clone(), session);
        }
        self.keys.extend(kept.keys);
        self.intents.extend(kept.intents.into_iter().map(|intent| (intent.id.clone(), intent)));
        let under_way = self.intents.values().filter(|intent| intent.status == IntentStatus::Processing);
        under_way.map(|intent| intent.id.clone()).collect()
    }

    /// What is to outlive a restart, if that has changed since it was last asked for.
    pub(super) fn take_unsaved(&mut self) -> Option<Kept> {
        if !std::mem::take(&mut self.unsaved) {
            return None;
        }
        let newest = self.order.len().saturating_sub(MAX_KEPT_SESSIONS);
        let kept: HashSet<&str> = self.order[newest..].iter().map(String::as_str).collect();
        let is_kept = |id: &str| kept.contains(id);
        let sessions = self.order[newest..].iter().filter_map(|id| self.sessions.get(id));
        let intents = self.intents.values().filter(|intent| is_kept(&intent.session_id));
        let keys = self.keys.iter().filter(|(_, kept)| kept.answer["id"].as_str().is_some_and(is_kept));
        Some(Kept {
            sessions: sessions.cloned().collect(),
            intents: intents.cloned().collect(),
            keys: keys.map(|(key, kept)| (key.clone(), kept.clone())).collect(),
        })
    }

    pub(super) fn session(&self, id: &str) -> Result<&Session, Refusal> {
        self.sessions.get(id).ok_or(Refusal::Unknown)
    }

    pub(super) fn intent(&self, id: &str) -> Result<&Intent, Refusal> {
        self.intents.get(id).ok_or(Refusal::Unknown)
    }

    /// All sessions, oldest first.
    pub(super) fn sessions(&self) -> impl DoubleEndedIterator<Item = &Session> {
        self.order.iter().filter_map(|id| self.sessions.get(id))
    }

    /// Looks the key up and makes the session in one step, so two calls with one key can never make two.
    pub(super) fn create(
        &mut self,
        host: &str,
        key: Option<&str>,
        body: &Value,
        asked: CheckoutRequest,
    ) -> Created {
        let now = Utc::now().timestamp();
        let kept = key.and_then(|key| self.keys.get(key));
        if let Some(kept) = kept.filter(|kept| kept.created > now - KEY_LIFE_SECONDS) {
            return if kept.body == *body {
                Created::Replayed(kept.answer.clone())
            } else {
                Created::Conflict
            };
        }
        let id = new_id("cs");
        let session = Session {
            url: format!("{host}/checkout/{id}"),
            id: id.clone(),
            status: SessionStatus::Open,
            paid: false,
            amount_pence: asked.amount_pence,
            currency: asked.currency,
            description: asked.description,
            metadata: asked.metadata,
            payment_method_types: asked.payment_method_types,
            payment_intent: None,
            last_payment_error: None,
            success_url: asked.success_url,
            cancel_url: asked.cancel_url,
            created: now,
            expires_at: now + asked.expires_in_seconds,
        };
        let answer = session.json();
        self.unsaved = true;
        self.expiries.insert((session.expires_at, id.clone()));
        self.order.push(id.clone());
        self.sessions.insert(id, session);
        if let Some(key) = key {
            let kept = KeptAnswer { body: body.clone(), answer: answer.clone(), created: now };
            self.keys.insert(key.to_owned(), kept);
        }
        Created::New(answer)
    }

    /// By card the money is taken at once; by bank this only starts it (`finish_bank_payment` ends it).
    pub(super) fn pay(&mut self, session_id: &str, method: Method) -> Result<(String, Vec<Event>), Refusal> {
        let asked_pence = self.open_session(session_id, Some(method))?.amount_pence;
        self.unsaved = true;
        let amount_pence = self.dice.amount_pence(&self.faults, asked_pence);
        let status = match method {
            Method::Card => IntentStatus::Succeeded,
            Method::OpenBanking => IntentStatus::Processing,
        };
        let intent = self.new_intent(session_id, amount_pence, status, None)?;
        let session = self.open_session(session_id, Some(method))?;
        session.status = SessionStatus::Complete;
        session.last_payment_error = None;
        session.payment_intent = Some(intent.id.clone());
        let expiry = (session.expires_at, session.id.clone());
        self.expiries.remove(&expiry);
        let events = match method {
            Method::Card => self.take_money(&intent.id)?,
            Method::OpenBanking => vec![Event::new("payment_intent.processing", intent.json())],
        };
        Ok((intent.id, events))
    }

    /// The bank's word on a payment that is processing. A refusal opens the session again.
    pub(super) fn finish_bank_payment(
        &mut self,
        intent_id: &str,
        accepted: bool,
    ) -> Result<Vec<Event>, Refusal> {
        let intent = self.intents.get_mut(intent_id).ok_or(Refusal::Unknown)?;
        if intent.status != IntentStatus::Processing {
            return Err(Refusal::NotProcessing);
        }
        self.unsaved = true;
        if accepted {
            return self.take_money(intent_id);
        }
        let error = refused(Method::OpenBanking);
        intent.status = IntentStatus::RequiresPaymentMethod;
        intent.last_payment_error = Some(error.clone());
        let object = intent.json();
        let session = self.sessions.get_mut(&intent.session_id).ok_or(Refusal::Unknown)?;
        session.status = SessionStatus::Open;
        session.payment_intent = None;
        session.last_payment_error = Some(error);
        self.expiries.insert((session.expires_at, session.id.clone()));
        Ok(vec![Event::new("payment_intent.payment_failed", object)])
    }

    /// A try that fails. The session stays open for another.
    pub(super) fn decline(&mut self, session_id: &str) -> Result<(String, Vec<Event>), Refusal> {
        let session = self.open_session(session_id, None)?;
        let amount_pence = session.amount_pence;
        let method = if session.payment_method_types.contains(&Method::Card) {
            Method::Card
        } else {
            Method::OpenBanking
        };
        let error = refused(method);
        session.last_payment_error = Some(error.clone());
        self.unsaved = true;
        let status = IntentStatus::RequiresPaymentMethod;
        let intent = self.new_intent(session_id, amount_pence, status, Some(error))?;
        let event = Event::new("payment_intent.payment_failed", intent.json());
        Ok((intent.id, vec![event]))
    }

    pub(super) fn expire(&mut self, session_id: &str) -> Result<Vec<Event>, Refusal> {
        let session = self.open_session(session_id, None)?;
        session.status = SessionStatus::Expired;
        let expiry = (session.expires_at, session.id.clone());
        let event = Event::new("checkout.session.expired", session.json());
        self.expiries.remove(&expiry);
        self.unsaved = true;
        Ok(vec![event])
    }

    /// Ends every session whose time is over.
    pub(super) fn expire_due(&mut self) -> Vec<Event> {
        let now = Utc::now().timestamp();
        let due = self.expiries.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<String> = due.map(|(_, id)| id.clone()).collect();
        due.iter().filter_map(|id| self.expire(id).ok()).flatten().collect()
    }

    /// Gives back `amount_pence`, or all that is left. Answers with what was given back altogether.
    pub(super) fn refund(
        &mut self,
        intent_id: &str,
        amount_pence: Option<i64>,
    ) -> Result<(i64, Vec<Event>), Refusal> {
        let intent = self.intents.get_mut(intent_id).ok_or(Refusal::Unknown)?;
        let left_pence = intent.amount_pence - intent.amount_refunded_pence;
        let amount_pence = amount_pence.unwrap_or(left_pence);
        if intent.status != IntentStatus::Succeeded || !(1..=left_pence).contains(&amount_pence) {
            return Err(Refusal::NotRefundable);
        }
        intent.amount_refunded_pence += amount_pence;
        self.unsaved = true;
        let event = Event::new("payment_intent.refunded", intent.json());
        Ok((intent.amount_refunded_pence, vec![event]))
    }

    /// Makes a session older than it is.
    #[cfg(test)]
    pub(super) fn age(&mut self, session_id: &str, seconds: i64) {
        let session = self.open_session(session_id, None).unwrap();
        let expiry = (session.expires_at, session.id.clone());
        session.expires_at -= seconds;
        let aged = (session.expires_at, session.id.clone());
        self.expiries.remove(&expiry);
        self.expiries.insert(aged);
    }

    pub(super) fn record_request(&mut self, request: RecordedRequest) {
        push_bounded(&mut self.requests, request);
    }

    pub(super) fn record_delivery(&mut self, delivery: DeliveryRecord) {
        push_bounded(&mut self.deliveries, delivery);
    }

    fn take_money(&mut self, intent_id: &str) -> Result<Vec<Event>, Refusal> {
        let intent = self.intents.get_mut(intent_id).ok_or(Refusal::Unknown)?;
        let session = self.sessions.get_mut(&intent.session_id).ok_or(Refusal::Unknown)?;
        intent.status = IntentStatus::Succeeded;
        session.paid = true;
        session.amount_pence = intent.amount_pence;
        Ok(vec![
            Event::new("payment_intent.succeeded", intent.json()),
            Event::new("checkout.session.completed", session.json()),
        ])
    }

    fn open_session(&mut self, id: &str, method: Option<Method>) -> Result<&mut Session, Refusal> {
        let session = self.sessions.get_mut(id).ok_or(Refusal::Unknown)?;
        match method {
            _ if session.status != SessionStatus::Open => Err(Refusal::NotOpen),
            Some(method) if !session.payment_method_types.contains(&method) => Err(Refusal::MethodNotAllowed),
            Some(_) | None => Ok(session),
        }
    }

    fn new_intent(
        &mut self,
        session_id: &str,
        amount_pence: i64,
        status: IntentStatus,
        last_payment_error: Option<PaymentError>,
    ) -> Result<Intent, Refusal> {
        let session = self.session(session_id)?;
        let intent = Intent {
            id: new_id("pi"),
            session_id: session.id.clone(),
            amount_pence,
            currency: session.currency.clone(),
            status,
            metadata: session.metadata.clone(),
            amount_refunded_pence: 0,
            last_payment_error,
            created: Utc::now().timestamp(),
        };
        self.intents.insert(intent.id.clone(), intent.clone());
        Ok(intent)
    }
}

fn refused(method: Method) -> PaymentError {
    let (code, message) = match method {
        Method::Card => ("card_declined", "The card was declined."),
        Method::OpenBanking => ("bank_payment_declined", "The bank did not make the payment."),
    };
    PaymentError { code: code.to_owned(), message: message.to_owned() }
}

fn push_bounded<T>(records: &mut VecDeque<T>, record: T) {
    if records.len() == MAX_RECORDS {
        records.pop_front();
    }
    records.push_back(record);
}
