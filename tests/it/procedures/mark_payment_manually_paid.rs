//! `payment.markPaymentManuallyPaid`: from where it is allowed, and what follows.

use serde_json::{Value, json};

use super::{STATUSES, payment_in, payment_with, refused};
use crate::harness::{Event, on_both};

const METHOD: &str = "payment.markPaymentManuallyPaid";

on_both! {
    async fn pending_and_failed_payments_can_be_marked(app: TestApp) {
        for status in STATUSES {
            let id = payment_in(&app, status).await;
            let before = app.payment(&id).await;
            let trail = app.trail(&id).await;
            let params = json!({ "paymentId": id, "manualPaymentReference": "BACS 1" });
            let answer = app.agent().call(METHOD, params).await;
            match status {
                "pending" | "failed" => {
                    let payment = answer.unwrap();
                    assert_eq!(payment["status"], "succeeded");
                    assert_eq!(payment["manuallyPaid"], true);
                    assert_eq!(payment["manualPaymentReference"], "BACS 1");
                    assert!(payment["paidAt"].is_string());
                    for field in ["paymentIntentId", "failureReason", "checkoutUrl", "checkoutExpiresAt"] {
                        assert_eq!(payment[field], Value::Null, "{field}");
                    }
                    assert_eq!(payment, app.payment(&id).await);
                    let row = ("payment.manually_paid".to_owned(), status.to_owned(), "succeeded".to_owned());
                    assert_eq!(app.trail(&id).await[trail.len()..], [row]);
                    continue;
                }
                "processing" => {
                    let fault = answer.unwrap_err();
                    assert_eq!((fault.code, fault.kind()), (-32012, "PAYMENT_IN_FLIGHT"), "{fault:?}");
                }
                _ => {
                    let fault = answer.unwrap_err();
                    assert_eq!((fault.code, fault.kind()), (-32012, "INVALID_TRANSITION"), "{fault:?}");
                    assert_eq!(fault.data["from"], status);
                }
            }
            assert_eq!(app.payment(&id).await, before, "{status}");
            assert_eq!(app.trail(&id).await, trail, "{status}");
        }
    }

    async fn repeating_it_with_the_same_reference_changes_nothing(app: TestApp) {
        for reference in [json!("BACS 1"), Value::Null] {
            let id = payment_in(&app, "pending").await;
            let params = json!({ "paymentId": id, "manualPaymentReference": reference });
            let first = app.agent().ok(METHOD, params.clone()).await;
            assert_eq!(app.admin().ok(METHOD, params).await, first);
            for other in [json!("BACS 2"), json!("bacs 1")] {
                let params = json!({ "paymentId": id, "manualPaymentReference": other });
                let fault = app.agent().fails(METHOD, params).await;
                assert_eq!((fault.kind(), &fault.data["from"]), ("INVALID_TRANSITION", &json!("succeeded")));
            }
            assert_eq!(app.trail(&id).await.len(), 2);
        }
    }

    async fn it_completes_the_todo_and_pays_the_task(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let linked = json!({ "todoId": "todo-1", "customPaymentTaskId": "task-1" });
        let id = payment_with(&app, linked, "pending").await;
        app.agent().ok(METHOD, json!({ "paymentId": id })).await;
        let todo = app.agent().ok("todo.get", json!({ "todoId": "todo-1" })).await;
        assert_eq!((&todo["status"], &todo["completedBy"]), (&json!("complete"), &json!("Arthur Agent")));
        assert!(todo["completedAt"].is_string());
        let task = app.agent().ok("customPaymentTask.get", json!({ "customPaymentTaskId": "task-1" })).await;
        assert_eq!(task["status"], "paid");
        assert!(task["paidAt"].is_string());
        let rows = app.agent().ok("payment.auditTrail", json!({ "paymentId": id })).await;
        let changes = &rows["items"][1]["changes"];
        assert_eq!(changes["completedTodoId"], "todo-1");
        assert_eq!(changes["paidCustomPaymentTaskId"], "task-1");
    }

    async fn money_that_comes_as_well_is_a_double_payment(app: TestApp) {
        let id = payment_in(&app, "pending").await;
        app.agent().ok(METHOD, json!({ "paymentId": id })).await;
        app.delivered(&Event::succeeded("pi_1", &id, 25_000)).await;
        let payment = app.payment(&id).await;
        assert_eq!((&payment["status"], &payment["openAnomalies"]), (&json!("succeeded"), &json!(1)));
        assert_eq!((&payment["manuallyPaid"], &payment["paymentIntentId"]), (&json!(true), &json!("pi_1")));
        assert_eq!(app.anomalies(&id).await, ["double_payment"]);
    }

    async fn the_reference_is_1_to_200_characters(app: TestApp) {
        let id = payment_in(&app, "pending").await;
        let table = [json!(""), json!("é".repeat(201)), json!("a\nb"), json!("a\0"), json!(1)]
            .map(|value| ("manualPaymentReference", value));
        refused(app.agent(), METHOD, &json!({ "paymentId": id }), &table).await;
        // A reference is no prose: digits are what it is made of.
        for reference in ["é".repeat(200), "4242424242424242".to_owned()] {
            let id = payment_in(&app, "pending").await;
            let params = json!({ "paymentId": id, "manualPaymentReference": reference });
            assert_eq!(app.agent().ok(METHOD, params).await["manualPaymentReference"], reference);
        }
    }
}
