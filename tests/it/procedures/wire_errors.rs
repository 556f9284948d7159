//! Errors on the wire, one of each kind that can be had at will: code, message and data, in their order.

use quittance::sandbox::Faults;
use serde_json::{Value, json};

use super::payment_in;
use crate::harness::{Options, TestCaller, create_params, on_both};

const CREATE: &str = "payment.createPaymentTask";

/// The whole error, as it stands on the wire.
async fn error(caller: &TestCaller, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer: Value = caller.post(&body).await.json().await.expect("JSON");
    let mut error = answer["error"].clone();
    if let Some(wait) = error.pointer_mut("/data/retryAfterMs") {
        assert!((1..=2_000).contains(&wait.as_u64().expect("a whole number")), "{wait}");
        *wait = json!("[ms]");
    }
    error
}

on_both! {
    async fn about_the_call(app: TestApp) {
        let wrong = json!({ "amountPence": 0 });
        pinned!(error(app.agent(), CREATE, create_params(wrong)).await, @r#"
        {
          "code": -32602,
          "message": "amountPence: must be a whole number of pence from 1 to 99,999,999",
          "data": {
            "kind": "INVALID_PARAMS",
            "path": "amountPence",
            "reason": "must be a whole number of pence from 1 to 99,999,999",
            "requestId": "[id]"
          }
        }
        "#);
        let unknown = json!({ "ammountPence": 1 });
        pinned!(error(app.agent(), CREATE, create_params(unknown)).await, @r#"
        {
          "code": -32602,
          "message": "ammountPence: is not a field of this procedure; did you mean `amountPence`?",
          "data": {
            "kind": "INVALID_PARAMS",
            "path": "ammountPence",
            "reason": "is not a field of this procedure; did you mean `amountPence`?",
            "requestId": "[id]"
          }
        }
        "#);
        pinned!(error(app.agent(), "payment.list", json!([1])).await, @r#"
        {
          "code": -32602,
          "message": "params must be an object",
          "data": {
            "kind": "INVALID_PARAMS",
            "path": "",
            "reason": "params must be an object",
            "requestId": "[id]"
          }
        }
        "#);
        pinned!(error(&app.anonymous(), "payment.stats", json!({})).await, @r#"
        {
          "code": -32001,
          "message": "a valid bearer token is required",
          "data": {
            "kind": "UNAUTHORIZED",
            "requestId": "[id]"
          }
        }
        "#);
        pinned!(error(app.agent(), "payment.getCardLimit", json!({})).await, @r#"
        {
          "code": -32003,
          "message": "this needs the role admin",
          "data": {
            "kind": "FORBIDDEN",
            "required": "admin",
            "requestId": "[id]"
          }
        }
        "#);
        pinned!(error(app.agent(), "payment.delete", json!({})).await, @r#"
        {
          "code": -32601,
          "message": "Method not found"
        }
        "#);
    }

    async fn about_rows(app: TestApp) {
        let unknown = json!({ "paymentId": "no-such-payment" });
        pinned!(error(app.agent(), "payment.getPaymentStatus", unknown).await, @r#"
        {
          "code": -32004,
          "message": "payment no-such-payment was not found",
          "data": {
            "kind": "NOT_FOUND",
            "what": "payment",
            "id": "no-such-payment",
            "requestId": "[id]"
          }
        }
        "#);
        let succeeded = json!({ "paymentId": payment_in(&app, "succeeded").await });
        pinned!(error(app.agent(), "payment.cancelPayment", succeeded).await, @r#"
        {
          "code": -32012,
          "message": "a payment that is succeeded can't be cancelled",
          "data": {
            "kind": "INVALID_TRANSITION",
            "from": "succeeded",
            "asked": "cancelled",
            "requestId": "[id]"
          }
        }
        "#);
        let processing = json!({ "paymentId": payment_in(&app, "processing").await });
        pinned!(error(app.agent(), "payment.cancelPayment", processing).await, @r#"
        {
          "code": -32012,
          "message": "the payment is processing: money is on its way, so it can't be cancelled now",
          "data": {
            "kind": "PAYMENT_IN_FLIGHT",
            "asked": "cancelled",
            "requestId": "[id]"
          }
        }
        "#);
    }

    async fn about_what_was_there_before(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let fields = json!({ "customPaymentTaskId": "task-1", "idempotencyKey": "key-1" });
        let id = app.agent().create_with(fields).await.id;
        let params = create_params(json!({ "customPaymentTaskId": "task-1" }));
        pinned!(error(app.agent(), CREATE, params.clone()).await, @r#"
        {
          "code": -32009,
          "message": "the custom payment task has a payment under way",
          "data": {
            "kind": "OPEN_PAYMENT_EXISTS",
            "ledgerEntryId": "[id]",
            "requestId": "[id]"
          }
        }
        "#);
        app.agent().ok("payment.markPaymentManuallyPaid", json!({ "paymentId": id })).await;
        pinned!(error(app.agent(), CREATE, params).await, @r#"
        {
          "code": -32009,
          "message": "the custom payment task has been paid",
          "data": {
            "kind": "ALREADY_PAID",
            "ledgerEntryId": "[id]",
            "requestId": "[id]"
          }
        }
        "#);
        let params = create_params(json!({ "idempotencyKey": "key-1" }));
        pinned!(error(app.agent(), CREATE, params).await, @r#"
        {
          "code": -32009,
          "message": "idempotencyKey was used before with other values",
          "data": {
            "kind": "IDEMPOTENCY_MISMATCH",
            "ledgerEntryId": "[id]",
            "requestId": "[id]"
          }
        }
        "#);
        let params = json!({ "id": "todo-1", "title": "Another" });
        pinned!(error(app.agent(), "todo.create", params).await, @r#"
        {
          "code": -32009,
          "message": "id was used before with other values",
          "data": {
            "kind": "IDEMPOTENCY_MISMATCH",
            "requestId": "[id]"
          }
        }
        "#);
    }

    async fn about_the_provider(app: TestApp) {
        app.calmony().set_faults(Faults { reject: 1.0, ..Faults::default() });
        pinned!(error(app.agent(), CREATE, create_params(json!({}))).await, @r#"
        {
          "code": -32050,
          "message": "Calmony Pay refused the payment; it is now failed",
          "data": {
            "kind": "PROVIDER_REJECTED",
            "ledgerEntryId": "[id]",
            "requestId": "[id]"
          }
        }
        "#);
        app.calmony().set_faults(Faults { status: Some(503), ..Faults::default() });
        pinned!(error(app.agent(), CREATE, create_params(json!({}))).await, @r#"
        {
          "code": -32051,
          "message": "Calmony Pay did not answer; the payment stays as it is: call payment.renewCheckout, or repeat the call with the same idempotencyKey if it had one",
          "data": {
            "kind": "PROVIDER_UNAVAILABLE",
            "ledgerEntryId": "[id]",
            "requestId": "[id]"
          }
        }
        "#);
    }

    async fn about_the_rate(app: TestApp, Options { rate_limit: 1, ..Default::default() }) {
        for _ in 0..2 {
            app.agent().ok("payment.stats", json!({})).await;
        }
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "payment.stats" });
        assert_eq!(app.agent().post(&body).await.status(), 429);
        pinned!(error(app.agent(), "payment.stats", json!({})).await, @r#"
        {
          "code": -32029,
          "message": "too many requests with this token",
          "data": {
            "kind": "RATE_LIMITED",
            "retryAfterMs": "[ms]",
            "requestId": "[id]"
          }
        }
        "#);
    }
}
