//! What each event of the provider means for its payment: the fact, the status, the trail and the verdict.

use serde_json::{Value, json};

use crate::harness::{Created, Event, TestApp, on_both};

const AMOUNT: i64 = 25_000;

/// An event about a payment's checkout session.
fn session_event(event_type: &str, created: &Created, fields: Value) -> Event {
    let mut object = json!({
        "id": created.session_id(), "object": "checkout.session", "amount_total": AMOUNT, "currency": "gbp",
        "metadata": { "ledger_id": created.id, "attempt": 1 },
    });
    for (name, value) in fields.as_object().expect("fields") {
        object[name] = value.clone();
    }
    Event::new(event_type, object)
}

fn failed(intent: &str, payment: &str, code: &str) -> Event {
    let mut event = Event::intent("payment_intent.payment_failed", intent, payment, AMOUNT);
    event.object()["last_payment_error"] = json!({ "code": code, "message": "Prose for the tenant." });
    event
}

/// The trail as `action from→to` lines.
async fn trail(app: &TestApp, id: &str) -> Vec<String> {
    app.trail(id).await.iter().map(|(action, from, to)| format!("{action} {from}→{to}")).collect()
}

async fn verdict(app: &TestApp, event: &Event) -> String {
    app.delivered(event).await;
    app.verdict(event.id()).await.expect("it is stored")
}

on_both! {
    async fn a_success_pays(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let event = Event::succeeded("pi_1", &created.id, AMOUNT);
        assert_eq!(verdict(&app, &event).await, "applied");
        let payment = app.payment(&created.id).await;
        assert_eq!(payment["status"], "succeeded");
        assert_eq!(payment["paymentIntentId"], "pi_1");
        assert_eq!(payment["manuallyPaid"], false);
        assert_eq!(payment["refundedPence"], 0);
        assert_eq!(trail(&app, &created.id).await, [
            "payment.created -→pending", "payment.succeeded pending→succeeded",
        ]);
        assert_eq!(verdict(&app, &event).await, "applied", "a repetition changes nothing");
        let other = Event::succeeded("pi_1", &created.id, AMOUNT);
        assert_eq!(verdict(&app, &other).await, "stale", "nor does another event for the same intent");
        assert_eq!(trail(&app, &created.id).await.len(), 2);
        assert_eq!(app.payment(&created.id).await, payment);
    }

    async fn the_time_of_payment_is_the_events_where_that_is_plausible(app: TestApp) {
        let now = chrono::Utc::now().timestamp();
        for (name, event_time, is_believed) in
            [("this second", json!(now + 1), true), ("long ago", json!(1_000), false),
             ("ahead", json!(now + 9_999), false), ("absent", Value::Null, false), ("a word", json!("now"), false)]
        {
            let created = app.agent().create(AMOUNT).await;
            let mut event = Event::succeeded(&format!("pi_{}", created.id), &created.id, AMOUNT);
            event.0["created"] = event_time.clone();
            if is_believed {
                // Whole seconds: wait until that second lies between the payment's creation and now.
                let start = chrono::DateTime::from_timestamp(now + 1, 0).expect("a time");
                let payment = app.payment(&created.id).await;
                let made: chrono::DateTime<chrono::Utc> =
                    payment["createdAt"].as_str().expect("a time").parse().expect("RFC 3339");
                if made > start {
                    continue;
                }
                while chrono::Utc::now() <= start {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            }
            app.delivered(&event).await;
            let payment = app.payment(&created.id).await;
            let paid_at: chrono::DateTime<chrono::Utc> =
                payment["paidAt"].as_str().expect("paid").parse().expect("RFC 3339");
            if is_believed {
                assert_eq!(Some(paid_at.timestamp()), event_time.as_i64(), "{name}");
            } else {
                assert!((chrono::Utc::now() - paid_at).num_seconds() <= 5, "{name}: {paid_at}");
            }
        }
    }

    async fn processing_then_success(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let processing = Event::intent("payment_intent.processing", "pi_1", &created.id, AMOUNT);
        assert_eq!(verdict(&app, &processing).await, "applied");
        let payment = app.payment(&created.id).await;
        assert_eq!((&payment["status"], &payment["paymentIntentId"]), (&json!("processing"), &json!(null)));
        assert_eq!(verdict(&app, &Event::succeeded("pi_1", &created.id, AMOUNT)).await, "applied");
        assert_eq!(trail(&app, &created.id).await, [
            "payment.created -→pending", "payment.processing pending→processing",
            "payment.succeeded processing→succeeded",
        ]);
    }

    async fn success_before_processing_leaves_processing_stale(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        let late = Event::intent("payment_intent.processing", "pi_1", &created.id, AMOUNT);
        assert_eq!(verdict(&app, &late).await, "stale");
        assert_eq!(app.payment(&created.id).await["status"], "succeeded");
        assert_eq!(app.trail(&created.id).await.len(), 2);
    }

    async fn a_failed_try_says_why_and_a_later_success_forgets_it(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let failure = failed("pi_1", &created.id, "card_declined");
        assert_eq!(verdict(&app, &failure).await, "applied");
        let payment = app.payment(&created.id).await;
        assert_eq!((&payment["status"], &payment["failureReason"]), (&json!("failed"), &json!("card_declined")));
        assert!(!payment.to_string().contains("Prose"), "the provider's prose is not kept");
        // Why the newest try failed; one that says nothing leaves that as it is.
        assert_eq!(verdict(&app, &failed("pi_1", &created.id, "insufficient_funds")).await, "stale");
        app.delivered(&Event::intent("payment_intent.payment_failed", "pi_1", &created.id, AMOUNT)).await;
        assert_eq!(app.payment(&created.id).await["failureReason"], "insufficient_funds");
        assert_eq!(verdict(&app, &Event::succeeded("pi_2", &created.id, AMOUNT)).await, "applied");
        let payment = app.payment(&created.id).await;
        assert_eq!((&payment["status"], &payment["failureReason"]), (&json!("succeeded"), &json!(null)));
        assert_eq!(trail(&app, &created.id).await, [
            "payment.created -→pending", "payment.failed pending→failed", "payment.succeeded failed→succeeded",
        ]);
        assert_eq!(app.anomalies(&created.id).await, Vec::<String>::new());
    }

    async fn the_other_name_of_a_failure_means_the_same(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let mut failure = failed("pi_1", &created.id, "insufficient_funds");
        failure.0["type"] = "payment_intent.failed".into();
        assert_eq!(verdict(&app, &failure).await, "applied");
        assert_eq!(app.payment(&created.id).await["failureReason"], "insufficient_funds");
    }

    async fn failed_is_past_processing(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&failed("pi_1", &created.id, "card_declined")).await;
        let late = Event::intent("payment_intent.processing", "pi_1", &created.id, AMOUNT);
        assert_eq!(verdict(&app, &late).await, "stale");
        assert_eq!(app.payment(&created.id).await["status"], "failed");
    }

    async fn a_report_of_an_attempt_nobody_knows_is_stale(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        for (number, attempt) in [json!(2), json!("7"), json!("x"), json!(-1), json!(1.5)].into_iter().enumerate() {
            for event_type in ["payment_intent.processing", "payment_intent.failed"] {
                let mut event = Event::intent(event_type, &format!("pi_{number}"), &created.id, AMOUNT);
                event.object()["metadata"]["attempt"] = attempt.clone();
                assert_eq!(verdict(&app, &event).await, "stale", "{attempt}");
            }
        }
        assert_eq!(app.payment(&created.id).await["status"], "pending");
        let mut text = Event::intent("payment_intent.processing", "pi_text", &created.id, AMOUNT);
        text.object()["metadata"]["attempt"] = "1".into();
        assert_eq!(verdict(&app, &text).await, "applied", "the number may be text");
    }

    async fn a_paid_session_is_the_success_of_its_intent(app: TestApp) {
        for intent in [json!("pi_text"), json!({ "id": "pi_object" })] {
            let created = app.agent().create(AMOUNT).await;
            let fields = json!({ "payment_status": "paid", "payment_intent": intent });
            let event = session_event("checkout.session.completed", &created, fields);
            assert_eq!(verdict(&app, &event).await, "applied");
            let payment = app.payment(&created.id).await;
            assert_eq!(payment["status"], "succeeded");
            let id = intent.as_str().or(intent["id"].as_str()).expect("an id");
            assert_eq!(payment["paymentIntentId"], id);
            let same = Event::succeeded(id, &created.id, AMOUNT);
            assert_eq!(verdict(&app, &same).await, "stale", "the intent's own event tells the same");
            assert_eq!(app.anomalies(&created.id).await, Vec::<String>::new());
        }
    }

    async fn a_session_is_found_by_its_id_alone(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let mut event = session_event(
            "checkout.session.completed", &created, json!({ "payment_status": "paid", "payment_intent": "pi_1" }),
        );
        event.object()["metadata"] = json!({});
        assert_eq!(verdict(&app, &event).await, "applied");
        assert_eq!(app.payment(&created.id).await["status"], "succeeded");
    }

    async fn a_completed_session_that_is_not_paid_is_processing(app: TestApp) {
        for fields in [json!({ "payment_status": "unpaid" }), json!({})] {
            let created = app.agent().create(AMOUNT).await;
            let event = session_event("checkout.session.completed", &created, fields);
            assert_eq!(verdict(&app, &event).await, "applied");
            assert_eq!(app.payment(&created.id).await["status"], "processing");
        }
    }

    async fn an_expired_session_leaves_the_status(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let event = session_event("checkout.session.expired", &created, json!({}));
        assert_eq!(verdict(&app, &event).await, "stale");
        let payment = app.payment(&created.id).await;
        assert_eq!(payment["status"], "pending");
        assert_eq!(payment["checkoutUrl"], json!(null), "a dead link is no live link");
        assert_eq!(app.trail(&created.id).await.len(), 1);
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        assert_eq!(app.payment(&created.id).await["status"], "succeeded", "money is money");
    }

    async fn two_event_ids_for_one_intent_make_one_transition(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        let created = app.agent().create_with(json!({ "todoId": "todo-1" })).await;
        let of_intent = Event::succeeded("pi_1", &created.id, AMOUNT);
        let of_session = session_event(
            "checkout.session.completed", &created, json!({ "payment_status": "paid", "payment_intent": "pi_1" }),
        );
        tokio::join!(app.delivered(&of_intent), app.delivered(&of_session));
        let mut verdicts =
            [app.verdict(of_intent.id()).await.expect("stored"), app.verdict(of_session.id()).await.expect("stored")];
        verdicts.sort();
        assert_eq!(verdicts, ["applied", "stale"]);
        assert_eq!(app.trail(&created.id).await.len(), 2);
        assert_eq!(app.payment(&created.id).await["openAnomalies"], 0);
    }
}
