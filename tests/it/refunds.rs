//! Refunds: in full, in part, before their success, of a surplus, by mark; and new money after one.

use serde_json::json;

use crate::harness::{Event, TestApp, on_both};

const AMOUNT: i64 = 25_000;

async fn trail(app: &TestApp, id: &str) -> Vec<String> {
    let line = |(action, from, to): &(String, String, String)| format!("{action} {from}→{to}");
    app.trail(id).await.iter().map(line).collect()
}

async fn verdict(app: &TestApp, event: &Event) -> String {
    app.delivered(event).await;
    app.verdict(event.id()).await.expect("it is stored")
}

/// Status and refunded pence.
async fn state(app: &TestApp, id: &str) -> (String, i64) {
    let payment = app.payment(id).await;
    assert!(payment["status"] != "refunded" || payment["refundedAt"].is_string(), "{payment}");
    (payment["status"].as_str().expect("a status").into(), payment["refundedPence"].as_i64().expect("pence"))
}

on_both! {
    async fn a_full_refund_makes_the_payment_refunded(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        assert_eq!(verdict(&app, &Event::refunded("pi_1", &created.id, AMOUNT, AMOUNT)).await, "applied");
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), AMOUNT));
        assert_eq!(trail(&app, &created.id).await, [
            "payment.created -→pending", "payment.succeeded pending→succeeded",
            "payment.refunded succeeded→refunded",
        ]);
        let late = Event::succeeded("pi_1", &created.id, AMOUNT);
        assert_eq!(verdict(&app, &late).await, "stale", "the success of a refunded intent is no new money");
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), AMOUNT));
    }

    async fn a_partial_refund_leaves_it_succeeded_until_all_is_back(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        assert_eq!(verdict(&app, &Event::refunded("pi_1", &created.id, AMOUNT, 10_000)).await, "stale");
        assert_eq!(state(&app, &created.id).await, ("succeeded".into(), 10_000));
        app.delivered(&Event::refunded("pi_1", &created.id, AMOUNT, 4_000)).await;
        assert_eq!(state(&app, &created.id).await, ("succeeded".into(), 10_000), "the largest figure counts");
        assert_eq!(verdict(&app, &Event::refunded("pi_1", &created.id, AMOUNT, AMOUNT)).await, "applied");
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), AMOUNT));
        assert_eq!(trail(&app, &created.id).await[2..], [
            "payment.refunded succeeded→succeeded", "payment.refunded succeeded→refunded",
        ], "each rise is told, and only the last is a transition");
    }

    async fn a_refund_without_a_figure_is_of_the_full_amount(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        app.delivered(&Event::intent("payment_intent.refunded", "pi_1", &created.id, AMOUNT)).await;
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), AMOUNT));
    }

    async fn a_refunded_charge_refunds_its_intent(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        let charge = json!({
            "id": "ch_1", "object": "charge", "payment_intent": "pi_1", "amount": AMOUNT, "currency": "gbp",
            "amount_refunded": AMOUNT,
        });
        assert_eq!(verdict(&app, &Event::new("charge.refunded", charge)).await, "applied");
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), AMOUNT));
        let twin = Event::refunded("pi_1", &created.id, AMOUNT, AMOUNT);
        assert_eq!(verdict(&app, &twin).await, "stale", "both names of one refund count once");
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), AMOUNT));
    }

    async fn a_refund_before_its_success_proves_it_and_makes_two_audit_rows(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        let created = app.agent().create_with(json!({ "todoId": "todo-1" })).await;
        assert_eq!(verdict(&app, &Event::refunded("pi_1", &created.id, AMOUNT, AMOUNT)).await, "applied");
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), AMOUNT));
        assert_eq!(trail(&app, &created.id).await, [
            "payment.created -→pending", "payment.succeeded pending→succeeded",
            "payment.refunded succeeded→refunded",
        ]);
        assert_eq!(app.agent().ok("todo.get", json!({ "todoId": "todo-1" })).await["status"], "complete");
        assert_eq!(verdict(&app, &Event::succeeded("pi_1", &created.id, AMOUNT)).await, "stale");
        assert_eq!(app.trail(&created.id).await.len(), 3);
    }

    async fn a_partial_refund_before_its_success_pays(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        assert_eq!(verdict(&app, &Event::refunded("pi_1", &created.id, AMOUNT, 1)).await, "applied");
        assert_eq!(state(&app, &created.id).await, ("succeeded".into(), 1));
    }

    async fn giving_back_a_surplus_never_unpays(app: TestApp) {
        for (refunded, kept) in [("pi_a", "pi_b"), ("pi_b", "pi_a")] {
            let created = app.agent().create(AMOUNT).await;
            let own = |intent: &str| format!("{intent}_{}", created.id);
            app.delivered(&Event::succeeded(&own(refunded), &created.id, AMOUNT)).await;
            app.delivered(&Event::succeeded(&own(kept), &created.id, AMOUNT)).await;
            app.delivered(&Event::refunded(&own(refunded), &created.id, AMOUNT, AMOUNT)).await;
            assert_eq!(state(&app, &created.id).await, ("succeeded".into(), AMOUNT));
            assert_eq!(app.anomalies(&created.id).await, ["double_payment"]);
            app.delivered(&Event::refunded(&own(kept), &created.id, AMOUNT, AMOUNT)).await;
            assert_eq!(state(&app, &created.id).await, ("refunded".into(), 2 * AMOUNT));
        }
    }

    async fn the_refund_of_an_intent_beside_a_manual_mark_never_unpays(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.agent().ok("payment.markPaymentManuallyPaid", json!({ "paymentId": created.id })).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        app.delivered(&Event::refunded("pi_1", &created.id, AMOUNT, AMOUNT)).await;
        assert_eq!(state(&app, &created.id).await, ("succeeded".into(), AMOUNT));
    }

    async fn new_money_after_a_refund_mark_pays_again(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        let mark = json!({ "paymentId": created.id, "reference": "BACS 77" });
        app.admin().ok("payment.markPaymentRefunded", mark.clone()).await;
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), 0));
        assert_eq!(verdict(&app, &Event::succeeded("pi_1", &created.id, AMOUNT)).await, "stale");
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), 0), "that money is covered by the mark");
        assert_eq!(verdict(&app, &Event::succeeded("pi_2", &created.id, AMOUNT)).await, "applied");
        assert_eq!(state(&app, &created.id).await, ("succeeded".into(), 0));
        assert_eq!(trail(&app, &created.id).await[2..4], [
            "payment.refunded succeeded→refunded", "payment.succeeded refunded→succeeded",
        ]);
        assert_eq!(app.anomalies(&created.id).await, ["double_payment"]);
    }

    async fn the_refund_of_an_unknown_intent_on_a_refunded_payment_makes_no_transition(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::refunded("pi_1", &created.id, AMOUNT, AMOUNT)).await;
        let before = app.trail(&created.id).await.len();
        let other = Event::refunded("pi_2", &created.id, AMOUNT, AMOUNT);
        assert_eq!(verdict(&app, &other).await, "stale");
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), 2 * AMOUNT));
        let rows = trail(&app, &created.id).await;
        let told = ["payment.refunded refunded→refunded", "payment.anomaly refunded→refunded"];
        assert_eq!(rows[before..], told, "what went back, and that it was one payment too many: no transition");
    }

    async fn the_refund_of_wrong_money_never_pays(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT + 1)).await;
        app.delivered(&Event::refunded("pi_1", &created.id, AMOUNT + 1, AMOUNT + 1)).await;
        assert_eq!(state(&app, &created.id).await, ("pending".into(), 0));
        assert_eq!(app.anomalies(&created.id).await, ["amount_mismatch"]);
    }

    async fn a_refund_in_the_sandbox_arrives(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let calmony = app.calmony();
        let intent = calmony.pay(created.session_id(), quittance::sandbox::Method::Card).await.expect("paid");
        calmony.refund(&intent, Some(5_000)).await.expect("some of it back");
        calmony.settled().await;
        assert_eq!(state(&app, &created.id).await, ("succeeded".into(), 5_000));
        calmony.refund(&intent, None).await.expect("the rest back");
        calmony.settled().await;
        assert_eq!(state(&app, &created.id).await, ("refunded".into(), AMOUNT));
        assert_eq!(app.anomalies(&created.id).await, Vec::<String>::new());
    }
}
