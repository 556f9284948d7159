//! Mixed load: callers who ask for money with and without keys, cancel, mark, withdraw, renew; events, repeated; tenants
//! who pay. The book holds what was acknowledged, in the words of the query that looks for it (`kill`).

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use quittance::sandbox::Method;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    client::{created, fresh, hex},
    harness::{Created, Event, Fault, create_params},
    site::{Site, Who},
};

const AMOUNT: i64 = 25_000;
/// Payments that callers still think of: few, so that they meet on them.
const RECENT: usize = 40;
/// Between two deeds of one caller.
const PAUSE: Duration = Duration::from_millis(2);
/// After a call without an answer: most likely nobody is there.
const LONG_PAUSE: Duration = Duration::from_millis(20);

/// What was acknowledged.
#[derive(Default)]
pub struct Book {
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    acknowledged: BTreeSet<String>,
    payments: Vec<Created>,
    events: Vec<Event>,
    todos: Vec<String>,
    tasks: Vec<String>,
    unanswered: usize,
}

impl Book {
    pub fn acknowledged(&self) -> BTreeSet<String> {
        self.pages().acknowledged.clone()
    }

    pub fn unanswered(&self) -> usize {
        self.pages().unanswered
    }

    fn note(&self, line: String) {
        self.pages().acknowledged.insert(line);
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().expect("no panic while it is held")
    }
}

/// Callers at work.
pub struct Load {
    pub book: Arc<Book>,
    /// Also where the drill fails: nobody goes on after it.
    stopping: DropGuard,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(site: &Arc<Site>, callers: usize, mut dice: StdRng) -> Self {
        let (book, stopping) = (Arc::<Book>::default(), CancellationToken::new());
        let callers = (0..callers).map(|_| {
            let dice = StdRng::seed_from_u64(dice.random());
            let caller =
                Caller { site: Arc::clone(site), book: Arc::clone(&book), dice, again: None, unanswered: 0 };
            tokio::spawn(caller.work(stopping.clone()))
        });
        let callers = callers.collect();
        Self { book, stopping: stopping.drop_guard(), callers }
    }

    /// Lets everybody finish what they are at.
    pub async fn stop(self) -> Arc<Book> {
        drop(self.stopping);
        for caller in self.callers {
            caller.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
        }
        self.book
    }
}

struct Caller {
    site: Arc<Site>,
    book: Arc<Book>,
    dice: StdRng,
    /// A keyed create that was not answered: it is asked for again before anything else.
    again: Option<Value>,
    unanswered: usize,
}

impl Caller {
    async fn work(mut self, stopping: CancellationToken) {
        while !stopping.is_cancelled() {
            let unanswered = self.unanswered;
            match self.again.take() {
                Some(params) => self.ask_for_money(params).await,
                None => self.deed().await,
            }
            tokio::time::sleep(if self.unanswered == unanswered { PAUSE } else { LONG_PAUSE }).await;
        }
    }

    async fn deed(&mut self) {
        let payment = {
            let pages = self.book.pages();
            let recent = &pages.payments[pages.payments.len().saturating_sub(RECENT)..];
            recent.choose(&mut self.dice).cloned()
        };
        let Some(payment) = payment else { return self.new_payment().await };
        match self.dice.random_range(0..100) {
            0..25 => self.new_payment().await,
            25..30 => self.todo().await,
            30..35 => self.task().await,
            35..65 => self.event(&payment).await,
            65..75 => self.tenant(&payment).await,
            75..83 => {
                let id = json!({ "paymentId": payment.id });
                if self.change("payment.cancelPayment", Who::Agent, id).await.is_some() {
                    self.book.note(format!("cancelled {}", hex(&payment.id)));
                }
            }
            83..90 => {
                // Under one reference a payment is marked once: after it was withdrawn, that is a late repeat.
                let reference = ["BACS", "CASH"][self.dice.random_range(0..2)];
                let mark = json!({ "paymentId": payment.id, "manualPaymentReference": reference });
                if self.change("payment.markPaymentManuallyPaid", Who::Agent, mark).await.is_some() {
                    self.book.note(format!("paid {} {reference}", hex(&payment.id)));
                }
            }
            90..93 => {
                let mark = json!({ "paymentId": payment.id, "reference": "CHQ" });
                if self.change("payment.markPaymentRefunded", Who::Admin, mark).await.is_some() {
                    self.book.note(format!("refunded {} CHQ", hex(&payment.id)));
                }
            }
            93..97 => {
                let reason = ["mistaken", "bounced"][self.dice.random_range(0..2)];
                let mistake = json!({ "paymentId": payment.id, "reason": reason });
                if self.change("payment.withdrawManualPayment", Who::Admin, mistake).await.is_some() {
                    self.book.note(format!("withdrawn {} {reason}", hex(&payment.id)));
                }
            }
            _ => {
                let id = json!({ "paymentId": payment.id });
                if let Some(answer) = self.change("payment.renewCheckout", Who::Agent, id).await {
                    self.has_link(created(&answer));
                }
            }
        }
    }

    async fn new_payment(&mut self) {
        let mut params = create_params(json!({ "amountPence": AMOUNT }));
        if self.dice.random_bool(0.6) {
            params["idempotencyKey"] = json!(fresh("key"));
        }
        if self.dice.random_bool(0.4) {
            params["todoId"] = json!(self.book.pages().todos.choose(&mut self.dice));
        }
        if self.dice.random_bool(0.3) {
            params["customPaymentTaskId"] = json!(self.book.pages().tasks.choose(&mut self.dice));
        }
        self.ask_for_money(params).await;
    }

    async fn ask_for_money(&mut self, params: Value) {
        let key = params["idempotencyKey"].as_str().map(str::to_owned);
        let id = match self.call("payment.createPaymentTask", Who::Agent, params.clone()).await {
            Some(Ok(answer)) => {
                let link = created(&answer);
                self.book.pages().payments.push(link.clone());
                let id = link.id.clone();
                self.has_link(link);
                Some(id)
            }
            Some(Err(fault)) => match fault.kind() {
                "IN_PROGRESS" | "PROVIDER_UNAVAILABLE" => {
                    self.again = key.is_some().then_some(params);
                    Some(fault.data["ledgerEntryId"].as_str().expect("an id").to_owned())
                }
                // Cancelled by somebody, or its task taken, before this caller was answered.
                "INVALID_TRANSITION" | "OPEN_PAYMENT_EXISTS" | "ALREADY_PAID" | "PAYMENT_IN_FLIGHT" => None,
                _ => panic!("{params}: {fault:?}"),
            },
            None => {
                self.again = key.is_some().then_some(params);
                None
            }
        };
        if let Some(id) = id {
            self.book.note(format!("payment {}", hex(&id)));
            if let Some(key) = key {
                self.book.note(format!("key {key} {}", hex(&id)));
            }
        }
    }

    fn has_link(&self, link: Created) {
        self.book.note(format!("link {} {}", hex(&link.id), link.checkout_url));
    }

    async fn todo(&mut self) {
        let id = fresh("todo");
        if let Some(Ok(_)) =
            self.call("todo.create", Who::Agent, json!({ "id": id, "title": "Collect" })).await
        {
            self.book.note(format!("todo {id}"));
            self.book.pages().todos.push(id);
        }
    }

    async fn task(&mut self) {
        let id = fresh("task");
        let params = json!({ "id": id, "title": "Keys" });
        if let Some(Ok(_)) = self.call("customPaymentTask.create", Who::Agent, params).await {
            self.book.note(format!("task {id}"));
            self.book.pages().tasks.push(id);
        }
    }

    async fn event(&mut self, payment: &Created) {
        let repeated = {
            let pages = self.book.pages();
            let recent = &pages.events[pages.events.len().saturating_sub(RECENT)..];
            recent.choose(&mut self.dice).filter(|_| self.dice.random_bool(0.3)).cloned()
        };
        let intent = format!("pi_{}_{}", ["a", "b"][self.dice.random_range(0..2)], payment.id);
        let (intent, id) = (intent.as_str(), payment.id.as_str());
        let event = repeated.unwrap_or_else(|| match self.dice.random_range(0..10) {
            0 | 1 => Event::intent("payment_intent.processing", intent, id, AMOUNT),
            2 | 3 => Event::intent("payment_intent.payment_failed", intent, id, AMOUNT),
            4 => Event::succeeded(&format!("{intent}_wrong"), id, AMOUNT + 1),
            5 => Event::refunded(intent, id, AMOUNT, 1_000),
            6 => Event::refunded(intent, id, AMOUNT, AMOUNT),
            _ => Event::succeeded(intent, id, AMOUNT),
        });
        self.book.pages().events.push(event.clone());
        match self.site.deliver_once(&event).await {
            true => self.book.note(format!("event {}", event.id())),
            false => self.has_no_answer(),
        }
    }

    /// The provider refuses what a session's state forbids; that is fine.
    async fn tenant(&mut self, payment: &Created) {
        let (sandbox, session) = (&self.site.sandbox, payment.session_id());
        match self.dice.random_range(0..4) {
            // The drill's own events speak of intents that the sandbox does not know. Where one of those has paid an
            // attempt, the janitor asks no more: only the sandbox's own webhooks tell of its money.
            0 | 1 if self.site.setup.webhooks => _ = sandbox.pay(session, Method::Card).await,
            2 => _ = sandbox.decline(session).await,
            _ => _ = sandbox.expire(session).await,
        }
    }

    /// A change of a payment; the answer where it was made. Whether it may be made is the status's to say.
    async fn change(&mut self, method: &str, who: Who, params: Value) -> Option<Value> {
        match self.call(method, who, params.clone()).await? {
            Ok(answer) => Some(answer),
            Err(fault) => {
                let known = [
                    "INVALID_TRANSITION",
                    "PAYMENT_IN_FLIGHT",
                    "OPEN_PAYMENT_EXISTS",
                    "ALREADY_PAID",
                    "IN_PROGRESS",
                    "PROVIDER_UNAVAILABLE",
                ];
                assert!(known.contains(&fault.kind()), "{method} {params}: {fault:?}");
                None
            }
        }
    }

    async fn call(&mut self, method: &str, who: Who, params: Value) -> Option<Result<Value, Fault>> {
        let answer = self.site.attempt(who, method, params).await;
        if answer.is_none() {
            self.has_no_answer();
        }
        answer
    }

    fn has_no_answer(&mut self) {
        self.unanswered += 1;
        self.book.pages().unanswered += 1;
    }
}
