//! `payment.cancelPayment`: from where it is allowed, and what follows.

use serde_json::{Value, json};

use super::{STATUSES, payment_in, payment_with};
use crate::harness::{Event, on_both};

const METHOD: &str = "payment.cancelPayment";

on_both! {
    async fn only_payments_without_money_can_be_cancelled(app: TestApp) {
        for status in STATUSES {
            let id = payment_in(&app, status).await;
            let before = app.payment(&id).await;
            let trail = app.trail(&id).await;
            let answer = app.agent().call(METHOD, json!({ "paymentId": id })).await;
            match status {
                "pending" | "failed" => {
                    let payment = answer.unwrap();
                    assert_eq!(payment["status"], "cancelled");
                    assert_eq!((&payment["checkoutUrl"], &payment["checkoutExpiresAt"]), (&Value::Null, &Value::Null));
                    assert_eq!(payment, app.payment(&id).await);
                    let row = ("payment.cancelled".to_owned(), status.to_owned(), "cancelled".to_owned());
                    assert_eq!(app.trail(&id).await[trail.len()..], [row]);
                    continue;
                }
                "cancelled" => assert_eq!(answer.unwrap(), before),
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

    async fn the_log_names_who_and_by_which_request(app: TestApp) {
        let id = payment_in(&app, "pending").await;
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": METHOD, "params": { "paymentId": id } });
        let answer = app.admin().post(&body).await;
        let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let rows = app.agent().ok("payment.auditTrail", json!({ "paymentId": id })).await;
        assert_eq!(rows["items"][1]["actor"], "Ada Admin");
        assert_eq!(rows["items"][1]["requestId"], request_id);
    }

    async fn money_for_a_cancelled_payment_counts_and_is_strange(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        let id = payment_with(&app, json!({ "todoId": "todo-1" }), "cancelled").await;
        app.delivered(&Event::succeeded("pi_1", &id, 25_000)).await;
        assert_eq!(app.payment(&id).await["status"], "succeeded");
        assert_eq!(app.anomalies(&id).await, ["paid_after_cancelled"]);
        let todo = app.agent().ok("todo.get", json!({ "todoId": "todo-1" })).await;
        assert_eq!(todo["status"], "open");
    }
}
