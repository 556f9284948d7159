//! `payment.withdrawManualPayment`: what a mistake leaves behind, and what it gives back.

use serde_json::{Value, json};

use super::payment_with;
use crate::harness::{Event, TestApp, on_both};

const METHOD: &str = "payment.withdrawManualPayment";
const MARK: &str = "payment.markPaymentManuallyPaid";

fn withdraw(id: &str, reason: &str) -> Value {
    json!({ "paymentId": id, "reason": reason })
}

/// A todo and a custom payment task, and a payment linked to both.
async fn linked(app: &TestApp, status: &str) -> String {
    app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
    app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
    payment_with(app, links(), status).await
}

fn links() -> Value {
    json!({ "todoId": "todo-1", "customPaymentTaskId": "task-1" })
}

/// How todo and task stand.
async fn linked_are(app: &TestApp) -> (String, String) {
    let todo = app.agent().ok("todo.get", json!({ "todoId": "todo-1" })).await;
    let task = app.agent().ok("customPaymentTask.get", json!({ "customPaymentTaskId": "task-1" })).await;
    let status = |row: &Value| row["status"].as_str().expect("a status").to_owned();
    assert_eq!(todo["completedAt"].is_null(), status(&todo) == "open");
    assert_eq!(task["paidAt"].is_null(), status(&task) == "pending");
    (status(&todo), status(&task))
}

on_both! {
    async fn the_payment_stands_as_if_it_had_never_been_marked(app: TestApp) {
        for status in ["pending", "failed"] {
            let id = payment_with(&app, json!({}), status).await;
            let before = app.payment(&id).await;
            app.agent().ok(MARK, json!({ "paymentId": id, "manualPaymentReference": "BACS 1" })).await;
            let after = app.admin().ok(METHOD, withdraw(&id, "Another tenancy's money")).await;
            for field in ["status", "manuallyPaid", "manualPaymentReference", "paidAt", "failureReason", "checkoutUrl"] {
                assert_eq!(after[field], before[field], "{field} of {status}");
            }
            let row = ("payment.manual_payment_withdrawn".to_owned(), "succeeded".to_owned(), status.to_owned());
            assert_eq!(app.trail(&id).await.pop(), Some(row));
            let told = app.agent().ok("payment.auditTrail", json!({ "paymentId": id, "limit": 100 })).await;
            assert!(!told.to_string().contains("Another tenancy"), "no personal text");
        }
        let stats = app.agent().ok("payment.stats", json!({})).await;
        assert_eq!(stats["succeeded"], json!({ "count": 0, "totalPence": 0 }));
    }

    async fn late_repeats_change_nothing(app: TestApp) {
        let id = payment_with(&app, json!({}), "pending").await;
        let mark = json!({ "paymentId": id, "manualPaymentReference": "BACS 1" });
        app.agent().ok(MARK, mark.clone()).await;
        let first = app.admin().ok(METHOD, withdraw(&id, "wrong")).await;
        assert_eq!(app.admin().ok(METHOD, withdraw(&id, "wrong")).await, first, "the row again");
        let refused = |fault: crate::harness::Fault| assert_eq!(fault.kind(), "INVALID_TRANSITION", "{fault:?}");
        refused(app.admin().fails(METHOD, withdraw(&id, "another reason")).await);
        refused(app.agent().fails(MARK, mark).await);
        // Marked anew, the earlier withdrawal's reason withdraws nothing.
        app.agent().ok(MARK, json!({ "paymentId": id, "manualPaymentReference": "BACS 2" })).await;
        refused(app.admin().fails(METHOD, withdraw(&id, "wrong")).await);
        assert_eq!(app.payment(&id).await["manualPaymentReference"], "BACS 2");
        assert_eq!(app.admin().ok(METHOD, withdraw(&id, "wrong again")).await["status"], "pending");
    }

    async fn only_a_standing_mark_can_be_withdrawn(app: TestApp) {
        let unmarked = payment_with(&app, json!({}), "succeeded").await;
        assert_eq!(app.admin().fails(METHOD, withdraw(&unmarked, "x")).await.kind(), "INVALID_TRANSITION");
        let covered = payment_with(&app, json!({}), "pending").await;
        app.agent().ok(MARK, json!({ "paymentId": covered })).await;
        app.admin().ok("payment.markPaymentRefunded", json!({ "paymentId": covered, "reference": "BACS 3" })).await;
        assert_eq!(app.admin().fails(METHOD, withdraw(&covered, "x")).await.kind(), "INVALID_TRANSITION");
        assert_eq!(app.payment(&covered).await["status"], "refunded");
    }

    async fn todo_and_task_open_again_unless_other_money_keeps_them(app: TestApp) {
        let first = linked(&app, "failed").await;
        app.agent().ok(MARK, json!({ "paymentId": first })).await;
        assert_eq!(linked_are(&app).await, ("complete".into(), "paid".into()));
        app.admin().ok(METHOD, withdraw(&first, "wrong one")).await;
        assert_eq!(linked_are(&app).await, ("open".into(), "pending".into()));

        // Another payment of the same task pays as well; now the mark is one payment too many.
        let second = payment_with(&app, links(), "succeeded").await;
        app.agent().ok(MARK, json!({ "paymentId": first, "manualPaymentReference": "BACS 9" })).await;
        assert_eq!(app.anomalies(&first).await, Vec::<String>::new(), "the payment that was made first pays the task");
        assert_eq!(app.anomalies(&second).await, ["double_payment"]);
        assert_eq!(app.payment(&second).await["openAnomalies"], 1);
        app.admin().ok(METHOD, withdraw(&first, "wrong one once more")).await;
        assert_eq!(linked_are(&app).await, ("complete".into(), "paid".into()), "the other payment keeps them");
        let settled = app.admin().ok("payment.listAnomalies", json!({ "paymentId": second })).await["items"][0].clone();
        assert_eq!((&settled["status"], &settled["resolution"]), (&json!("resolved"), &json!("other")));
        assert_eq!(app.payment(&second).await["openAnomalies"], 0);
        let row = ("payment.anomaly_resolved".to_owned(), "succeeded".to_owned(), "succeeded".to_owned());
        assert_eq!(app.trail(&second).await.pop(), Some(row));
    }

    async fn money_that_came_besides_keeps_the_payment_paid(app: TestApp) {
        let id = linked(&app, "pending").await;
        app.agent().ok(MARK, json!({ "paymentId": id, "manualPaymentReference": "BACS 1" })).await;
        app.delivered(&Event::succeeded("pi_1", &id, 25_000)).await;
        assert_eq!(app.anomalies(&id).await, ["double_payment"]);
        let marked = app.payment(&id).await;
        let after = app.admin().ok(METHOD, withdraw(&id, "the same money")).await;
        assert_eq!((&after["status"], &after["manuallyPaid"]), (&json!("succeeded"), &json!(false)));
        assert_eq!((&after["paymentIntentId"], &after["openAnomalies"]), (&json!("pi_1"), &json!(0)));
        assert!(after["paidAt"].is_string() && after["paidAt"] != marked["paidAt"], "when that money came");
        assert_eq!(linked_are(&app).await, ("complete".into(), "paid".into()));
        // It is one payment too many again once somebody marks it again? Nobody may: it is paid.
        let again = json!({ "paymentId": id, "manualPaymentReference": "BACS 2" });
        assert_eq!(app.agent().fails(MARK, again).await.kind(), "INVALID_TRANSITION");
    }

    async fn agents_may_not(app: TestApp) {
        let id = payment_with(&app, json!({}), "pending").await;
        app.agent().ok(MARK, json!({ "paymentId": id })).await;
        assert_eq!(app.agent().fails(METHOD, withdraw(&id, "x")).await.kind(), "FORBIDDEN");
        for reason in ["", "  ", "card 4111 1111 1111 1111"] {
            let fault = app.admin().fails(METHOD, withdraw(&id, reason)).await;
            assert_eq!((fault.kind(), &fault.data["path"]), ("INVALID_PARAMS", &json!("reason")), "{reason:?}");
        }
    }
}
