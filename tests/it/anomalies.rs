//! Each kind of anomaly, from the event that causes it to the payment, the list and the trail.

use serde_json::{Value, json};

use crate::harness::{Event, TestApp, on_both};

const AMOUNT: i64 = 25_000;

/// Delivers an event and looks at everything: its verdict, the payment's status and its anomalies, which the
/// payment counts and the trail tells of, once each.
async fn after(app: &TestApp, event: &Event, payment: &str) -> (String, String, Vec<String>) {
    app.delivered(event).await;
    let verdict = app.verdict(event.id()).await.expect("it is stored");
    let row = app.payment(payment).await;
    let anomalies = app.anomalies(payment).await;
    assert_eq!(row["openAnomalies"], anomalies.len(), "{row}");
    let told = app.trail(payment).await;
    let told = told.iter().filter(|(action, ..)| action == "payment.anomaly");
    assert!(told.clone().all(|(_, from, to)| from == to));
    assert_eq!(told.count(), anomalies.len());
    (verdict, row["status"].as_str().expect("a status").to_owned(), anomalies)
}

fn seen(verdict: &str, status: &str, anomalies: &[&str]) -> (String, String, Vec<String>) {
    (verdict.into(), status.into(), anomalies.iter().map(ToString::to_string).collect())
}

/// The first anomaly of a payment.
async fn anomaly(app: &TestApp, payment: &str) -> Value {
    app.admin().ok("payment.listAnomalies", json!({ "paymentId": payment })).await["items"][0].clone()
}

on_both! {
    async fn money_after_a_cancellation(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let created =
            app.agent().create_with(json!({ "todoId": "todo-1", "customPaymentTaskId": "task-1" })).await;
        app.agent().ok("payment.cancelPayment", json!({ "paymentId": created.id })).await;
        let event = Event::succeeded("pi_1", &created.id, AMOUNT);
        assert_eq!(after(&app, &event, &created.id).await, seen("applied", "succeeded", &["paid_after_cancelled"]));
        let more = Event::succeeded("pi_2", &created.id, AMOUNT);
        let both = ["double_payment", "paid_after_cancelled"];
        assert_eq!(after(&app, &more, &created.id).await, seen("stale", "succeeded", &both));
        let todo = app.agent().ok("todo.get", json!({ "todoId": "todo-1" })).await;
        assert_eq!(todo["status"], "open", "what was called off is not done");
        let task = app.agent().ok("customPaymentTask.get", json!({ "customPaymentTaskId": "task-1" })).await;
        assert_eq!(task["status"], "pending");
        let shown = anomaly(&app, &created.id).await;
        assert_eq!((&shown["status"], &shown["paymentId"]), (&json!("open"), &json!(created.id)));
    }

    async fn money_after_a_manual_mark(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let mark = json!({ "paymentId": created.id, "manualPaymentReference": "BACS 1" });
        let marked = app.agent().ok("payment.markPaymentManuallyPaid", mark).await;
        let event = Event::succeeded("pi_1", &created.id, AMOUNT);
        assert_eq!(after(&app, &event, &created.id).await, seen("stale", "succeeded", &["double_payment"]));
        let payment = app.payment(&created.id).await;
        assert_eq!(payment["paymentIntentId"], "pi_1", "the receipt is visible");
        assert_eq!((&payment["manuallyPaid"], &payment["paidAt"]), (&json!(true), &marked["paidAt"]));
    }

    async fn two_intents_for_one_payment(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        let second = Event::succeeded("pi_2", &created.id, AMOUNT);
        assert_eq!(after(&app, &second, &created.id).await, seen("stale", "succeeded", &["double_payment"]));
        assert_eq!(app.payment(&created.id).await["paymentIntentId"], "pi_1", "the first stays");
        assert!(anomaly(&app, &created.id).await["detail"].as_str().expect("a text").contains("pi_2"));
        let third = Event::succeeded("pi_3", &created.id, AMOUNT);
        let two = ["double_payment", "double_payment"];
        assert_eq!(after(&app, &third, &created.id).await, seen("stale", "succeeded", &two));
    }

    async fn two_payments_for_one_custom_task(app: TestApp) {
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let first = app.agent().create_with(json!({ "customPaymentTaskId": "task-1" })).await;
        app.delivered(&Event::intent("payment_intent.failed", "pi_1", &first.id, AMOUNT)).await;
        let second = app.agent().create_with(json!({ "customPaymentTaskId": "task-1" })).await;
        app.delivered(&Event::succeeded("pi_2", &second.id, AMOUNT)).await;
        assert_eq!(app.anomalies(&second.id).await, Vec::<String>::new());
        // The tenant goes back to the first link and pays there as well. Which came first does not matter: the payment that
        // was made first pays the task, and the other is one too many.
        let event = Event::succeeded("pi_3", &first.id, AMOUNT);
        assert_eq!(after(&app, &event, &first.id).await, seen("applied", "succeeded", &[]));
        assert_eq!(app.anomalies(&second.id).await, ["double_payment"]);
        assert_eq!(app.payment(&second.id).await["openAnomalies"], 1);
        let row = app.trail(&second.id).await.pop().expect("a row");
        assert_eq!(row, ("payment.anomaly".into(), "succeeded".into(), "succeeded".into()));
    }

    async fn a_wrong_amount(app: TestApp) {
        for amount in [json!(AMOUNT - 1), json!(AMOUNT + 1), json!(0), json!("25000"), json!(25_000.5), json!(-1)] {
            let created = app.agent().create(AMOUNT).await;
            let intent = format!("pi_{}", created.id);
            let mut event = Event::succeeded(&intent, &created.id, AMOUNT);
            event.object()["amount"] = amount.clone();
            assert_eq!(after(&app, &event, &created.id).await, seen("stale", "pending", &["amount_mismatch"]), "{amount}");
            let payment = app.payment(&created.id).await;
            assert_eq!((&payment["paymentIntentId"], &payment["paidAt"]), (&json!(null), &json!(null)));
            let right = Event::succeeded(&format!("{intent}_2"), &created.id, AMOUNT);
            assert_eq!(after(&app, &right, &created.id).await, seen("applied", "succeeded", &["amount_mismatch"]));
        }
    }

    async fn a_wrong_amount_of_a_session(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let object = json!({
            "id": created.session_id(), "payment_status": "paid", "payment_intent": "pi_1",
            "amount_total": AMOUNT + 5, "currency": "gbp", "metadata": { "ledger_id": created.id },
        });
        let event = Event::new("checkout.session.completed", object);
        assert_eq!(after(&app, &event, &created.id).await, seen("stale", "pending", &["amount_mismatch"]));
    }

    async fn a_wrong_currency(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let mut event = Event::succeeded("pi_1", &created.id, AMOUNT + 1);
        event.object()["currency"] = "eur".into();
        let found = after(&app, &event, &created.id).await;
        assert_eq!(found, seen("stale", "pending", &["currency_mismatch"]), "the currency is looked at first");
        for currency in [json!("GBP"), json!("Gbp"), Value::Null] {
            let created = app.agent().create(AMOUNT).await;
            let mut event = Event::succeeded(&format!("pi_{}", created.id), &created.id, AMOUNT);
            event.object()["currency"] = currency.clone();
            assert_eq!(after(&app, &event, &created.id).await, seen("applied", "succeeded", &[]), "{currency}");
        }
    }

    async fn contradictory_readings_of_one_intent(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        let other = Event::succeeded("pi_1", &created.id, AMOUNT + 1);
        assert_eq!(after(&app, &other, &created.id).await, seen("stale", "succeeded", &["amount_mismatch"]));
        let again = Event::succeeded("pi_1", &created.id, AMOUNT + 1);
        assert_eq!(after(&app, &again, &created.id).await, seen("stale", "succeeded", &["amount_mismatch"]));
    }

    async fn an_intent_that_names_another_payment(app: TestApp) {
        let (one, other) = (app.agent().create(AMOUNT).await, app.agent().create(AMOUNT).await);
        app.delivered(&Event::succeeded("pi_1", &one.id, AMOUNT)).await;
        let event = Event::succeeded("pi_1", &other.id, AMOUNT);
        assert_eq!(after(&app, &event, &one.id).await, seen("stale", "succeeded", &["reference_conflict"]));
        let row = app.payment(&other.id).await;
        assert_eq!((&row["status"], &row["openAnomalies"]), (&json!("pending"), &json!(0)), "no fact is recorded");
        let refund = Event::refunded("pi_1", &other.id, AMOUNT, AMOUNT);
        assert_eq!(after(&app, &refund, &one.id).await, seen("stale", "succeeded", &["reference_conflict"]));
        assert_eq!(app.payment(&one.id).await["refundedPence"], 0);
        let nowhere = Event::succeeded("pi_1", "00000000-0000-7000-8000-000000000000", AMOUNT);
        assert_eq!(after(&app, &nowhere, &one.id).await.0, "stale");
    }

    async fn an_event_that_names_another_agency(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let mut event = Event::succeeded("pi_1", &created.id, AMOUNT);
        event.object()["metadata"]["agency_id"] = "00000000-0000-7000-8000-000000000000".into();
        assert_eq!(after(&app, &event, &created.id).await, seen("stale", "pending", &["reference_conflict"]));
        let mut event = Event::succeeded("pi_1", &created.id, AMOUNT);
        event.object()["metadata"]["agency_id"] = app.agency_id.to_string().into();
        let found = after(&app, &event, &created.id).await;
        assert_eq!(found, seen("applied", "succeeded", &["reference_conflict"]), "the intent was not taken by it");
    }

    async fn a_session_of_another_payment(app: TestApp) {
        let (one, other) = (app.agent().create(AMOUNT).await, app.agent().create(AMOUNT).await);
        let object = json!({
            "id": other.session_id(), "payment_status": "paid", "payment_intent": "pi_1",
            "amount_total": AMOUNT, "currency": "gbp", "metadata": { "ledger_id": one.id },
        });
        let event = Event::new("checkout.session.completed", object);
        assert_eq!(after(&app, &event, &one.id).await, seen("stale", "pending", &["reference_conflict"]));
        assert_eq!(app.payment(&other.id).await["status"], "pending");
        assert_eq!(app.anomalies(&other.id).await, Vec::<String>::new());
    }

    async fn an_event_id_used_twice(app: TestApp) {
        let (one, other) = (app.agent().create(AMOUNT).await, app.agent().create(AMOUNT).await);
        let first = Event::succeeded("pi_1", &one.id, AMOUNT);
        app.delivered(&first).await;
        for reuse in [
            Event::succeeded("pi_2", &other.id, AMOUNT),
            Event::succeeded("pi_1", &one.id, AMOUNT + 1),
            Event::intent("payment_intent.failed", "pi_1", &one.id, AMOUNT),
            Event::refunded("pi_1", &one.id, AMOUNT, AMOUNT),
        ] {
            let reuse = reuse.with_id(first.id());
            assert_eq!(after(&app, &reuse, &one.id).await, seen("applied", "succeeded", &["event_id_reuse"]));
        }
        assert_eq!(app.payment(&one.id).await["refundedPence"], 0);
        assert_eq!(app.payment(&other.id).await["status"], "pending");
        assert_eq!(app.anomalies(&other.id).await, Vec::<String>::new());
    }

    async fn an_event_id_used_twice_at_the_same_instant(app: TestApp) {
        for round in 0..20 {
            let created = app.agent().create(AMOUNT).await;
            let one = Event::succeeded(&format!("pi_{round}a"), &created.id, AMOUNT);
            let other = Event::succeeded(&format!("pi_{round}b"), &created.id, AMOUNT).with_id(one.id());
            tokio::join!(app.delivered(&one), app.delivered(&other));
            assert_eq!(app.anomalies(&created.id).await, ["event_id_reuse"], "round {round}");
        }
    }

    async fn an_agency_sees_only_its_own_anomalies(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT + 1)).await;
        let stranger = app.stranger(quittance::domain::Role::Admin).await;
        let page = stranger.ok("payment.listAnomalies", json!({})).await;
        assert_eq!(page["items"], json!([]));
    }
}
