//! Order of arrival, against the database: sequences of events from every starting point, each held against an
//! oracle after its last event, and its trail against the oracle's view of every event on the way.

mod oracle;

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use quittance::{App, calmony, inbox::payment_completed_sync};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::harness::{Event, TestApp, TestCaller, on_both};
use oracle::{AMOUNT, Seen, Start, Told, expected, steps};

/// Random sequences on each database. `QUITTANCE_TEST_SEQUENCES` plays more.
const SEQUENCES: usize = 600;
/// Sequences under way at once.
const AT_ONCE: usize = 12;

const EVERYTHING: [Told; 10] = [
    Told::Processing,
    Told::Failed,
    Told::Succeeded("a"),
    Told::Succeeded("b"),
    Told::Refunded("a", AMOUNT),
    Told::Refunded("b", AMOUNT),
    Told::Refunded("a", 10_000),
    Told::Refunded("b", 1),
    Told::Wrong("w"),
    Told::WrongRefunded("w"),
];

/// Small sets, each played in all of its orders.
const SETS: [[Told; 4]; 4] = [
    [Told::Processing, Told::Failed, Told::Succeeded("a"), Told::Refunded("a", AMOUNT)],
    [Told::Succeeded("a"), Told::Succeeded("b"), Told::Refunded("a", AMOUNT), Told::Refunded("b", AMOUNT)],
    [Told::Succeeded("a"), Told::Refunded("a", 10_000), Told::Wrong("w"), Told::Failed],
    [Told::Succeeded("b"), Told::WrongRefunded("w"), Told::Wrong("w"), Told::Processing],
];

/// Who plays: everything but the sequence.
#[derive(Clone)]
struct Stage {
    app: Arc<App>,
    agent: TestCaller,
    admin: TestCaller,
}

impl Stage {
    fn of(app: &TestApp) -> Self {
        Self { app: Arc::clone(app.shared()), agent: app.agent().clone(), admin: app.admin().clone() }
    }

    /// A payment with a todo, at its starting point.
    async fn enter(&self, start: Start) -> (String, String) {
        let todo = format!("todo-{:032x}", rand::random::<u128>());
        self.agent.ok("todo.create", json!({ "id": todo, "title": "Collect" })).await;
        let payment = self.agent.create_with(json!({ "todoId": todo })).await.id;
        let id = json!({ "paymentId": payment });
        match start {
            Start::Cancelled => _ = self.agent.ok("payment.cancelPayment", id).await,
            Start::PaidByHand | Start::PaidByHandAndRefunded => {
                self.agent.ok("payment.markPaymentManuallyPaid", id).await;
            }
            Start::Pending | Start::Failed | Start::RefundedInFull => {}
        }
        if start == Start::PaidByHandAndRefunded {
            let mark = json!({ "paymentId": payment, "reference": "BACS 1" });
            self.admin.ok("payment.markPaymentRefunded", mark).await;
        }
        for told in start.told() {
            self.tell(&payment, told).await;
        }
        (payment, todo)
    }

    /// Brings an event to the inbox, as the webhook does once it believes it.
    async fn tell(&self, payment: &str, told: Told) {
        let own = |intent: &str| format!("pi_{intent}_{payment}");
        let event = match told {
            Told::Processing => Event::intent("payment_intent.processing", &own("t"), payment, AMOUNT),
            Told::Failed => Event::intent("payment_intent.failed", &own("t"), payment, AMOUNT),
            Told::Succeeded(intent) => Event::succeeded(&own(intent), payment, AMOUNT),
            Told::Refunded(intent, pence) => Event::refunded(&own(intent), payment, AMOUNT, pence),
            Told::Wrong(intent) => Event::succeeded(&own(intent), payment, AMOUNT + 1),
            Told::WrongRefunded(intent) => Event::refunded(&own(intent), payment, AMOUNT + 1, AMOUNT + 1),
        };
        let body = event.0.to_string().into_bytes();
        let event = calmony::event::Event::parse(&body).expect("a good event");
        payment_completed_sync(&self.app, &event, &body).await.expect("it is received");
    }

    async fn seen(&self, payment: &str, todo: &str) -> Seen {
        let row = self.agent.payment(payment).await;
        let page = self.admin.ok("payment.listAnomalies", json!({ "paymentId": payment })).await;
        let anomalies = page["items"].as_array().expect("rows");
        let mut anomalies: Vec<_> =
            anomalies.iter().map(|row| known(row["kind"].as_str().expect("a kind"))).collect();
        anomalies.sort_unstable();
        assert_eq!(row["openAnomalies"], anomalies.len());
        let todo = self.agent.ok("todo.get", json!({ "todoId": todo })).await;
        Seen {
            status: known(row["status"].as_str().expect("a status")),
            refunded: row["refundedPence"].as_i64().expect("pence"),
            todo_complete: todo["status"] == "complete",
            anomalies,
        }
    }

    /// Plays a sequence from a starting point and looks at everything.
    async fn play(&self, start: Start, sequence: &[Told], label: &str) {
        let (payment, todo) = self.enter(start).await;
        for told in sequence {
            self.tell(&payment, *told).await;
        }
        let context = || format!("{label}: from {start:?} {sequence:?}");
        let mut history = start.told();
        let entered = history.len();
        history.extend(sequence);
        assert_eq!(self.seen(&payment, &todo).await, expected(start, &history), "{}", context());

        let page = self.agent.ok("payment.auditTrail", json!({ "paymentId": payment, "limit": 100 })).await;
        let rows = page["items"].as_array().expect("rows");
        let word = |value: &serde_json::Value| known(value.as_str().unwrap_or("(none)"));
        let transitions: Vec<_> = rows
            .iter()
            .filter(|row| row["from"] != row["to"])
            .map(|row| (word(&row["from"]), word(&row["to"])))
            .collect();
        let mut awaited = vec![("(none)", "pending")];
        let mut status = "pending";
        let people = match start {
            Start::Cancelled => &["cancelled"][..],
            Start::PaidByHand => &["succeeded"],
            Start::PaidByHandAndRefunded => &["succeeded", "refunded"],
            Start::Pending | Start::Failed | Start::RefundedInFull => &[],
        };
        let provider = (1..=history.len()).map(|told| expected(start, &history[..told]).status);
        for next in people.iter().copied().chain(provider) {
            awaited.extend(steps(status, next));
            status = next;
        }
        assert_eq!(transitions, awaited, "{} ({entered} told before)", context());
    }
}

/// A word of the contract, for good: sequences compare thousands of them.
fn known(word: &str) -> &'static str {
    let words = [
        "pending",
        "processing",
        "succeeded",
        "failed",
        "refunded",
        "cancelled",
        "(none)",
        "double_payment",
        "paid_after_cancelled",
        "amount_mismatch",
        "currency_mismatch",
        "reference_conflict",
        "stuck_processing",
        "event_id_reuse",
    ];
    words.into_iter().find(|known| *known == word).unwrap_or_else(|| panic!("{word} is no word of ours"))
}

/// Every order of four things.
fn orders(set: [Told; 4]) -> Vec<Vec<Told>> {
    let mut orders = vec![];
    for number in 0..24 {
        let mut rest = set.to_vec();
        let mut order = vec![];
        let mut left = number;
        for size in (1..=4).rev() {
            order.push(rest.remove(left % size));
            left /= size;
        }
        orders.push(order);
    }
    orders
}

async fn play_all(stage: Stage, plays: Vec<(Start, Vec<Told>, String)>) {
    let playing = stream::iter(plays).map(|(start, sequence, label)| {
        let stage = stage.clone();
        tokio::spawn(async move { stage.play(start, &sequence, &label).await })
    });
    let mut done = playing.buffer_unordered(AT_ONCE);
    while let Some(played) = done.next().await {
        if let Err(failed) = played {
            std::panic::resume_unwind(failed.into_panic());
        }
    }
}

on_both! {
    async fn random_sequences_tell_what_the_oracle_says(app: TestApp) {
        let seed: u64 = std::env::var("QUITTANCE_TEST_SEED")
            .map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
        let count = std::env::var("QUITTANCE_TEST_SEQUENCES")
            .map_or(SEQUENCES, |count| count.parse().expect("a number"));
        let mut dice = StdRng::seed_from_u64(seed);
        let plays = (0..count).map(|number| {
            let start = Start::ALL[number % Start::ALL.len()];
            let length = dice.random_range(1..=8);
            let sequence = (0..length).map(|_| EVERYTHING[dice.random_range(0..EVERYTHING.len())]).collect();
            (start, sequence, format!("QUITTANCE_TEST_SEED={seed}, sequence {number}"))
        });
        play_all(Stage::of(&app), plays.collect()).await;
    }

    async fn every_order_of_a_small_set_tells_the_same(app: TestApp) {
        let plays = SETS.into_iter().flat_map(|set| {
            let orders = orders(set);
            let whole: std::collections::BTreeSet<_> = orders.iter().collect();
            assert_eq!(whole.len(), 24, "all orders");
            Start::ALL.into_iter().flat_map(move |start| {
                orders.clone().into_iter().map(move |order| (start, order, "an order".to_owned()))
            })
        });
        play_all(Stage::of(&app), plays.collect()).await;
    }
}
