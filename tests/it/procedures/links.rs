//! A link is handed out only for a payment that may be paid: pending or failed, and its custom payment task neither paid
//! nor taken by another payment. Whoever asks for it, and however.

use serde_json::{Value, json};

use super::payment_with;
use crate::harness::{Event, TestApp, caller::create_params, on_both};

const CREATE: &str = "payment.createPaymentTask";
const RENEW: &str = "payment.renewCheckout";

/// Two payments of one task, of which the first has failed and its link is still open.
async fn two_of_one_task(app: &TestApp) -> (String, String) {
    app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
    let first =
        payment_with(app, json!({ "customPaymentTaskId": "task-1", "idempotencyKey": "first" }), "failed")
            .await;
    let second = payment_with(app, json!({ "customPaymentTaskId": "task-1" }), "pending").await;
    (first, second)
}

/// Asks for a link of the payment in every way there is; says how each was refused.
async fn asked(app: &TestApp, id: &str, key: &str, fields: Value) -> Vec<(String, Value)> {
    let mut params = create_params(fields);
    params["idempotencyKey"] = json!(key);
    let renewed = app.agent().fails(RENEW, json!({ "paymentId": id })).await;
    let repeated = app.agent().fails(CREATE, params).await;
    assert_eq!(app.payment(id).await["checkoutUrl"], Value::Null);
    [renewed, repeated].map(|fault| (fault.kind().to_owned(), fault.data["ledgerEntryId"].clone())).into()
}

on_both! {
    async fn not_while_another_payment_has_the_tasks_place(app: TestApp) {
        let (first, second) = two_of_one_task(&app).await;
        let refused = ("OPEN_PAYMENT_EXISTS".to_owned(), json!(second));
        let fields = json!({ "customPaymentTaskId": "task-1" });
        assert_eq!(asked(&app, &first, "first", fields).await, [refused.clone(), refused]);
        // Given up, the place is free again, and the link is shown and given.
        app.agent().ok("payment.cancelPayment", json!({ "paymentId": second })).await;
        assert!(app.payment(&first).await["checkoutUrl"].is_string());
        app.agent().ok(RENEW, json!({ "paymentId": first })).await;
    }

    async fn not_once_another_payment_has_paid_the_task(app: TestApp) {
        let (first, second) = two_of_one_task(&app).await;
        app.delivered(&Event::succeeded("pi_2", &second, 25_000)).await;
        let refused = ("ALREADY_PAID".to_owned(), json!(second));
        let fields = json!({ "customPaymentTaskId": "task-1" });
        assert_eq!(asked(&app, &first, "first", fields).await, [refused.clone(), refused]);
    }

    async fn not_for_a_pending_payment_whose_task_an_earlier_one_has_paid_after_all(app: TestApp) {
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let first = payment_with(&app, json!({ "customPaymentTaskId": "task-1" }), "failed").await;
        let fields = json!({ "customPaymentTaskId": "task-1", "idempotencyKey": "second" });
        let second = payment_with(&app, fields, "pending").await;
        assert!(app.payment(&second).await["checkoutUrl"].is_string());
        app.delivered(&Event::succeeded("pi_1", &first, 25_000)).await;
        let refused = ("ALREADY_PAID".to_owned(), json!(first));
        let fields = json!({ "customPaymentTaskId": "task-1" });
        assert_eq!(asked(&app, &second, "second", fields).await, [refused.clone(), refused]);
    }

    async fn the_status_is_asked_first(app: TestApp) {
        for (status, kind) in [
            ("processing", "PAYMENT_IN_FLIGHT"),
            ("succeeded", "INVALID_TRANSITION"),
            ("refunded", "INVALID_TRANSITION"),
            ("cancelled", "INVALID_TRANSITION"),
        ] {
            let id = payment_with(&app, json!({ "idempotencyKey": status }), status).await;
            let refused = (kind.to_owned(), json!(id));
            assert_eq!(asked(&app, &id, status, json!({})).await, [refused.clone(), refused], "{status}");
        }
        let id = payment_with(&app, json!({ "idempotencyKey": "by-hand" }), "pending").await;
        app.agent().ok("payment.markPaymentManuallyPaid", json!({ "paymentId": id })).await;
        let refused = ("INVALID_TRANSITION".to_owned(), json!(id));
        assert_eq!(asked(&app, &id, "by-hand", json!({})).await, [refused.clone(), refused]);
    }

    async fn nor_to_whoever_waited_for_another_caller(app: TestApp) {
        let paused = app.calmony().pause_creates();
        let params = create_params(json!({ "idempotencyKey": "key-1" }));
        let calls: Vec<_> = (0..2)
            .map(|_| {
                let (agent, params) = (app.agent().clone(), params.clone());
                tokio::spawn(async move { agent.call(CREATE, params).await })
            })
            .collect();
        while app.calmony().sessions().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let id = app.agent().ok("payment.list", json!({})).await["items"][0]["id"].clone();
        app.agent().ok("payment.cancelPayment", json!({ "paymentId": id })).await;
        drop(paused);
        for call in calls {
            let fault = call.await.unwrap().unwrap_err();
            assert_eq!((fault.kind(), &fault.data["ledgerEntryId"]), ("INVALID_TRANSITION", &id), "{fault:?}");
        }
    }
}
