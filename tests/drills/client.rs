//! Calls and deliveries to servers that may die at any moment.
//!
//! Trouble that says nothing about the outcome (no answer, `BUSY`) is told apart from an answer. `INTERNAL` is such
//! trouble only where statements are made to fail; elsewhere it ends the drill.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    harness::{Created, Event, Fault, create_params, events::try_deliver},
    site::{Site, Who},
};

/// For a call to be answered at last, and for the work behind it to be done.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(25);

impl Site {
    /// Calls any of the servers, once; `None` where the outcome is not known.
    pub async fn attempt(&self, who: Who, method: &str, params: Value) -> Option<Result<Value, Fault>> {
        self.attempt_at(self.any(), who, method, params).await
    }

    /// Calls this server, once.
    pub async fn attempt_at(
        &self,
        number: usize,
        who: Who,
        method: &str,
        params: Value,
    ) -> Option<Result<Value, Fault>> {
        let answer = self.caller(number, who).attempt(method, params.clone()).await?;
        match &answer {
            Err(fault) if fault.kind() == "INTERNAL" => {
                assert!(self.setup.faulty, "{method} {params}: {fault:?}");
                None
            }
            Err(fault) if fault.kind() == "BUSY" => None,
            _ => Some(answer),
        }
    }

    /// Calls until the outcome is known. What is called must be safe to repeat.
    pub async fn insist(&self, who: Who, method: &str, params: Value) -> Result<Value, Fault> {
        let began = Instant::now();
        loop {
            match self.attempt(who, method, params.clone()).await {
                Some(Err(fault)) if matches!(fault.kind(), "IN_PROGRESS" | "PROVIDER_UNAVAILABLE") => {}
                Some(answer) => return answer,
                None => {}
            }
            assert!(began.elapsed() < PATIENCE, "{method} {params}: no answer in {PATIENCE:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// As [`Site::insist`], of a call that must succeed.
    pub async fn must(&self, who: Who, method: &str, params: Value) -> Value {
        let answer = self.insist(who, method, params.clone()).await;
        answer.unwrap_or_else(|fault| panic!("{method} {params}: {fault:?}"))
    }

    /// A new payment with these fields over the usual ones. Under a key of its own, so that asking again makes no
    /// second one.
    pub async fn create(&self, fields: Value) -> Created {
        let mut params = create_params(fields);
        params["idempotencyKey"] = json!(fresh("key"));
        created(&self.must(Who::Agent, "payment.createPaymentTask", params).await)
    }

    /// Delivers an event to any of the servers, once; whether it was taken.
    pub async fn deliver_once(&self, event: &Event) -> bool {
        match try_deliver(&self.http, &self.webhook_url(self.any()), event).await {
            Some(200) => true,
            Some(503) | None => false,
            Some(status) => panic!("{status} for {event:?}"),
        }
    }

    /// Delivers an event until it is taken, as the provider does; says how often it was not.
    pub async fn deliver(&self, event: &Event) -> usize {
        let began = Instant::now();
        let mut refused = 0;
        while !self.deliver_once(event).await {
            refused += 1;
            assert!(began.elapsed() < PATIENCE, "not taken in {PATIENCE:?}: {event:?}");
            tokio::time::sleep(PAUSE).await;
        }
        refused
    }

    /// Waits until a query has no rows. Else says which.
    pub async fn empties(&self, query: &str, patience: Duration) -> Result<(), String> {
        let began = Instant::now();
        let mut sql = self.sql().await;
        loop {
            let left = sql.lines(query).await;
            match left.first() {
                None => return Ok(()),
                Some(first) if began.elapsed() >= patience => {
                    return Err(format!("{first} (and {} more)", left.len() - 1));
                }
                Some(_) => tokio::time::sleep(PAUSE * 4).await,
            }
        }
    }

    /// As [`Site::empties`], of what must come to its end however long the queue before it is.
    pub async fn until_none(&self, what: &str, query: &str) {
        let waited = self.empties(query, PATIENCE * 5).await;
        waited.unwrap_or_else(|left| panic!("there still are {what}: {left}"));
    }
}

/// A name that nobody has used. All letters: a description must hold nothing that looks like the number of a card.
pub fn fresh(prefix: &str) -> String {
    let name = (0..24).map(|_| char::from(rand::random_range(b'a'..=b'z')));
    format!("{prefix}-{}", name.collect::<String>())
}

/// An id as the tables' `hex` shows it.
pub fn hex(id: &str) -> String {
    id.replace('-', "").to_uppercase()
}

/// What `payment.createPaymentTask` and `payment.renewCheckout` answered.
pub fn created(answer: &Value) -> Created {
    Created {
        id: answer["ledgerEntryId"].as_str().expect("an id").to_owned(),
        checkout_url: answer["checkoutUrl"].as_str().expect("a link").to_owned(),
    }
}
