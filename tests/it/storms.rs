//! Much at once: the same event a thousand times, and people and provider at the same instant. Whatever the order,
//! each payment changes as the lifecycle allows, once, and no receipt is lost from sight.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Created, Event, TestApp, TestCaller, WEBHOOK_SECRET, on_both};

const AMOUNT: i64 = 25_000;

/// Delivers bodies over so many connections, each again after a 503, as the provider does. Counts the answers by
/// status.
async fn pour(app: &TestApp, connections: usize, bodies: Vec<String>) -> BTreeMap<u16, usize> {
    let share = bodies.len().div_ceil(connections);
    let bodies = Arc::new(bodies);
    let start = Arc::new(tokio::sync::Barrier::new(connections));
    let clients = (0..connections).map(|number| {
        let (bodies, start, url) = (Arc::clone(&bodies), Arc::clone(&start), app.webhook_url.clone());
        let http = app.http.clone();
        tokio::spawn(async move {
            start.wait().await;
            let mut statuses = vec![];
            for body in bodies.iter().skip(number * share).take(share) {
                let now = chrono::Utc::now().timestamp_millis();
                let line = quittance::calmony::signature::sign(WEBHOOK_SECRET, now, body.as_bytes());
                let request = http.post(&url).header("calmony-signature", line).body(body.clone());
                let again = request.try_clone().expect("a body in memory");
                statuses.push(request.send().await.expect("an answer").status().as_u16());
                if statuses.last() == Some(&503) {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    statuses.push(again.send().await.expect("an answer").status().as_u16());
                }
            }
            statuses
        })
    });
    let done = join_all(clients).await;
    let mut counts = BTreeMap::new();
    for status in done.into_iter().flat_map(|statuses| statuses.expect("no panic")) {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

async fn with_todo(app: &TestApp) -> Created {
    app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
    app.agent().create_with(json!({ "todoId": "todo-1" })).await
}

/// One transition, one row of it, one completed todo, nothing strange.
async fn assert_paid_once(app: &TestApp, payment: &str) {
    let row = app.payment(payment).await;
    assert_eq!((&row["status"], &row["openAnomalies"]), (&json!("succeeded"), &json!(0)));
    let page = app.agent().ok("payment.auditTrail", json!({ "paymentId": payment })).await;
    let rows = page["items"].as_array().expect("rows");
    let actions: Vec<_> = rows.iter().map(|row| row["action"].as_str().expect("an action")).collect();
    assert_eq!(actions, ["payment.created", "payment.succeeded"]);
    assert_eq!(rows[1]["changes"]["completedTodoId"], "todo-1");
    let todo = app.agent().ok("todo.get", json!({ "todoId": "todo-1" })).await;
    assert_eq!((&todo["status"], &todo["completedAt"]), (&json!("complete"), &rows[1]["at"]));
}

/// How many rows of these payments' trails say in `changes` that they completed it.
async fn completions(app: &TestApp, payments: [&Created; 2], key: &str, id: &str) -> usize {
    let mut found = 0;
    for payment in payments {
        let page = app.agent().ok("payment.auditTrail", json!({ "paymentId": payment.id })).await;
        let rows = page["items"].as_array().expect("rows").clone();
        found += rows.iter().filter(|row| row["changes"][key] == id).count();
    }
    found
}

/// Whether a call passed; a refusal must be that the status forbids it.
async fn tried(caller: TestCaller, method: &str, payment: String) -> bool {
    match caller.call(method, json!({ "paymentId": payment })).await {
        Ok(_) => true,
        Err(fault) => {
            assert_eq!(fault.kind(), "INVALID_TRANSITION", "{method}: {fault:?}");
            false
        }
    }
}

on_both! {
    async fn a_thousand_deliveries_of_one_success_pay_once(app: TestApp) {
        let created = with_todo(&app).await;
        let event = Event::succeeded("pi_1", &created.id, AMOUNT);
        let answers = pour(&app, 100, vec![event.0.to_string(); 1_000]).await;
        assert_eq!(answers, BTreeMap::from([(200, 1_000)]));
        assert_eq!(app.verdict(event.id()).await.as_deref(), Some("applied"));
        assert_paid_once(&app, &created.id).await;
    }

    async fn a_thousand_deliveries_of_two_events_for_one_intent_pay_once(app: TestApp) {
        let created = with_todo(&app).await;
        let one = Event::succeeded("pi_1", &created.id, AMOUNT);
        let object = json!({
            "id": created.session_id(), "payment_status": "paid", "payment_intent": "pi_1",
            "amount_total": AMOUNT, "currency": "gbp", "metadata": { "ledger_id": created.id, "attempt": 1 },
        });
        let other = Event::new("checkout.session.completed", object);
        let bodies = (0..1_000).map(|number| if number % 2 == 0 { &one } else { &other }.0.to_string());
        assert_eq!(pour(&app, 100, bodies.collect()).await, BTreeMap::from([(200, 1_000)]));
        let mut verdicts =
            [app.verdict(one.id()).await.expect("stored"), app.verdict(other.id()).await.expect("stored")];
        verdicts.sort();
        assert_eq!(verdicts, ["applied", "stale"]);
        assert_paid_once(&app, &created.id).await;
    }

    async fn a_thousand_events_of_their_own_ids_for_one_intent_pay_once(app: TestApp) {
        let created = with_todo(&app).await;
        let bodies = (0..1_000).map(|_| Event::succeeded("pi_1", &created.id, AMOUNT).0.to_string());
        let answers = pour(&app, 100, bodies.collect()).await;
        // All of them want one row: on PostgreSQL one may wait past the pool's time, and is told to come again.
        assert_eq!(answers[&200], 1_000, "{answers:?}");
        assert_paid_once(&app, &created.id).await;
        let verdicts = "select verdict || ' ' || cast(count(*) as text) as line
            from processed_events group by verdict order by verdict";
        assert_eq!(app.sql().await.lines(verdicts).await, ["applied 1", "stale 999"]);
    }

    async fn cancel_mark_and_success_at_the_same_instant(app: TestApp) {
        let mut seen = BTreeMap::<Vec<String>, u32>::new();
        for round in 0..10 {
            let created = join_all((0..20).map(|_| app.agent().create(AMOUNT))).await;
            let races = created.iter().enumerate().map(|(number, created)| {
                let event = Event::succeeded(&format!("pi_{}", created.id), &created.id, AMOUNT);
                let (app, agent) = (&app, app.agent());
                let after = move |order: usize| {
                    // Each of the three goes first in a third of the races.
                    let pause = Duration::from_millis(((number + order + round) % 3) as u64);
                    tokio::time::sleep(pause)
                };
                async move {
                    let cancelled = async {
                        after(0).await;
                        tried(agent.clone(), "payment.cancelPayment", created.id.clone()).await
                    };
                    let marked = async {
                        after(1).await;
                        tried(agent.clone(), "payment.markPaymentManuallyPaid", created.id.clone()).await
                    };
                    let paid = async {
                        after(2).await;
                        app.delivered(&event).await;
                    };
                    let (cancelled, marked, ()) = tokio::join!(cancelled, marked, paid);
                    (created, event.clone(), cancelled, marked)
                }
            });
            for (created, event, cancelled, marked) in join_all(races).await {
                let payment = app.payment(&created.id).await;
                let steps: Vec<_> = app.trail(&created.id).await.into_iter().skip(1).collect();
                let steps: Vec<_> = steps.iter().map(|(action, from, to)| format!("{action} {from}→{to}")).collect();
                let (verdict, anomalies, told): (_, &[&str], &[&str]) = match (cancelled, marked) {
                    (false, false) => ("applied", &[], &["payment.succeeded pending→succeeded"]),
                    (true, false) => ("applied", &["paid_after_cancelled"], &[
                        "payment.cancelled pending→cancelled", "payment.succeeded cancelled→succeeded",
                        "payment.anomaly succeeded→succeeded",
                    ]),
                    (false, true) => ("stale", &["double_payment"], &[
                        "payment.manually_paid pending→succeeded", "payment.anomaly succeeded→succeeded",
                    ]),
                    (true, true) => panic!("a cancelled payment was marked paid, or a paid one cancelled"),
                };
                assert_eq!(steps, told);
                assert_eq!(app.anomalies(&created.id).await, anomalies);
                assert_eq!(app.verdict(event.id()).await.as_deref(), Some(verdict));
                assert_eq!(payment["status"], "succeeded");
                assert_eq!(payment["manuallyPaid"], marked);
                assert_eq!(payment["paymentIntentId"], format!("pi_{}", created.id), "the receipt is visible");
                assert_eq!(payment["openAnomalies"], anomalies.len());
                *seen.entry(steps).or_default() += 1;
            }
        }
        assert!(seen.len() == 3, "all three outcomes come up: {seen:?}");
    }

    async fn one_intent_claimed_for_two_payments_at_the_same_instant(app: TestApp) {
        for round in 0..40 {
            let (one, other) = tokio::join!(app.agent().create(AMOUNT), app.agent().create(AMOUNT));
            let intent = format!("pi_{round}");
            let events =
                [Event::succeeded(&intent, &one.id, AMOUNT), Event::succeeded(&intent, &other.id, AMOUNT)];
            tokio::join!(app.delivered(&events[0]), app.delivered(&events[1]));
            let verdicts = [app.verdict(events[0].id()).await, app.verdict(events[1].id()).await];
            let (payer, loser) = match verdicts.each_ref().map(Option::as_deref) {
                [Some("applied"), Some("stale")] => (one, other),
                [Some("stale"), Some("applied")] => (other, one),
                verdicts => panic!("{verdicts:?}"),
            };
            assert_eq!(app.payment(&payer.id).await["status"], "succeeded");
            assert_eq!(app.anomalies(&payer.id).await, ["reference_conflict"]);
            assert_eq!(app.payment(&loser.id).await["status"], "pending");
            assert_eq!(app.anomalies(&loser.id).await, Vec::<String>::new());
        }
    }

    async fn two_payments_of_one_task_paid_at_the_same_instant(app: TestApp) {
        for round in 0..20 {
            let task = format!("task-{round}");
            app.agent().ok("customPaymentTask.create", json!({ "id": task, "title": "Keys" })).await;
            let linked = || app.agent().create_with(json!({ "customPaymentTaskId": task }));
            let one = linked().await;
            app.delivered(&Event::intent("payment_intent.failed", &format!("pi_{round}x"), &one.id, AMOUNT)).await;
            let other = linked().await;
            let events = [
                Event::succeeded(&format!("pi_{round}a"), &one.id, AMOUNT),
                Event::succeeded(&format!("pi_{round}b"), &other.id, AMOUNT),
            ];
            tokio::join!(app.delivered(&events[0]), app.delivered(&events[1]));
            for payment in [&one, &other] {
                assert_eq!(app.payment(&payment.id).await["status"], "succeeded");
            }
            let strange = [app.anomalies(&one.id).await, app.anomalies(&other.id).await];
            assert_eq!(strange, [vec![], vec!["double_payment".to_owned()]], "round {round}: whichever came first");
            let shown: Value = app.agent().ok("customPaymentTask.get", json!({ "customPaymentTaskId": task })).await;
            assert_eq!(shown["status"], "paid");
            // The second one paid it, too, where it came first.
            let paid = completions(&app, [&one, &other], "paidCustomPaymentTaskId", &task).await;
            assert!((1..=2).contains(&paid), "{paid}");
        }
    }

    async fn two_payments_of_one_todo_paid_at_the_same_instant(app: TestApp) {
        for round in 0..20 {
            let todo = format!("todo-{round}");
            app.agent().ok("todo.create", json!({ "id": todo, "title": "Collect" })).await;
            let linked = || app.agent().create_with(json!({ "todoId": todo }));
            let (one, other) = tokio::join!(linked(), linked());
            let events = [&one, &other].map(|of| Event::succeeded(&format!("pi_{}", of.id), &of.id, AMOUNT));
            tokio::join!(app.delivered(&events[0]), app.delivered(&events[1]));
            for payment in [&one, &other] {
                assert_eq!(app.payment(&payment.id).await["status"], "succeeded");
            }
            let shown: Value = app.agent().ok("todo.get", json!({ "todoId": todo })).await;
            assert_eq!(shown["status"], "complete");
            assert_eq!(completions(&app, [&one, &other], "completedTodoId", &todo).await, 1);
        }
    }

    async fn a_thousand_deliveries_of_events_without_a_payment_store_each_once(app: TestApp) {
        let ignored = Event::new("customer.created", json!({ "id": "cus_1" }));
        let unplaced = Event::succeeded("pi_1", "nowhere", AMOUNT);
        let bodies = (0..1_000).map(|number| if number % 2 == 0 { &ignored } else { &unplaced }.0.to_string());
        assert_eq!(pour(&app, 100, bodies.collect()).await, BTreeMap::from([(200, 1_000)]));
        assert_eq!(app.verdict(ignored.id()).await.as_deref(), Some("ignored"));
        assert_eq!(app.verdict(unplaced.id()).await.as_deref(), Some("parked"));
        let stored = "select cast(count(*) as text) as line from processed_events where reused_at is null";
        assert_eq!(app.sql().await.lines(stored).await, ["2"]);
    }

    async fn an_id_used_for_a_known_and_an_unknown_payment_at_the_same_instant(app: TestApp) {
        for round in 0..20 {
            let created = app.agent().create(AMOUNT).await;
            let intent = format!("pi_{round}");
            let placed = Event::succeeded(&intent, &created.id, AMOUNT);
            let unplaced = Event::succeeded(&format!("{intent}x"), "nowhere", AMOUNT).with_id(placed.id());
            tokio::join!(app.delivered(&placed), app.delivered(&unplaced));
            let first_stands = match app.verdict(placed.id()).await.as_deref() {
                Some("applied") => "succeeded",
                Some("parked") => "pending",
                verdict => panic!("{verdict:?}"),
            };
            assert_eq!(app.payment(&created.id).await["status"], first_stands);
            let reused = format!(
                "select event_id as line from processed_events where event_id = '{}' and reused_at is not null",
                placed.id()
            );
            assert_eq!(app.sql().await.lines(&reused).await, [placed.id()]);
        }
    }
}
