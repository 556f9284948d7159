//! `Payment` on the wire, in each state worth telling apart: every key, in its order, `null` where nothing is.

use serde_json::json;

use super::{payment_in, payment_with};
use crate::harness::{Event, on_both};

on_both! {
    async fn pending_with_everything(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let fields = json!({
            "amountPence": 200_001, "paymentType": "move_in_balance", "tenancyId": "ten-1",
            "todoId": "todo-1", "customPaymentTaskId": "task-1", "idempotencyKey": "key-1",
        });
        let id = app.agent().create_with(fields).await.id;
        pinned!(app.payment(&id).await, @r#"
        {
          "id": "[id]",
          "status": "pending",
          "paymentType": "move_in_balance",
          "method": "open_banking",
          "methodForced": true,
          "amountPence": 200001,
          "currency": "GBP",
          "description": "Replacement keys",
          "tenancyId": "ten-1",
          "todoId": "todo-1",
          "customPaymentTaskId": "task-1",
          "checkoutUrl": "[link]",
          "checkoutExpiresAt": "[time]",
          "paymentIntentId": null,
          "manuallyPaid": false,
          "manualPaymentReference": null,
          "paidAt": null,
          "failureReason": null,
          "refundedPence": 0,
          "refundedAt": null,
          "openAnomalies": 0,
          "createdBy": "Arthur Agent",
          "createdAt": "[time]",
          "updatedAt": "[time]"
        }
        "#);
    }

    async fn processing(app: TestApp) {
        let id = payment_in(&app, "processing").await;
        pinned!(app.payment(&id).await, @r#"
        {
          "id": "[id]",
          "status": "processing",
          "paymentType": "custom",
          "method": "card",
          "methodForced": false,
          "amountPence": 25000,
          "currency": "GBP",
          "description": "Replacement keys",
          "tenancyId": null,
          "todoId": null,
          "customPaymentTaskId": null,
          "checkoutUrl": null,
          "checkoutExpiresAt": null,
          "paymentIntentId": null,
          "manuallyPaid": false,
          "manualPaymentReference": null,
          "paidAt": null,
          "failureReason": null,
          "refundedPence": 0,
          "refundedAt": null,
          "openAnomalies": 0,
          "createdBy": "Arthur Agent",
          "createdAt": "[time]",
          "updatedAt": "[time]"
        }
        "#);
    }

    async fn failed(app: TestApp) {
        let id = app.agent().create(25_000).await.id;
        let mut event = Event::intent("payment_intent.payment_failed", "pi_1", &id, 25_000);
        event.object()["last_payment_error"] = json!({ "code": "card_declined", "message": "Sorry, Mrs Miggins." });
        app.delivered(&event).await;
        pinned!(app.payment(&id).await, @r#"
        {
          "id": "[id]",
          "status": "failed",
          "paymentType": "custom",
          "method": "card",
          "methodForced": false,
          "amountPence": 25000,
          "currency": "GBP",
          "description": "Replacement keys",
          "tenancyId": null,
          "todoId": null,
          "customPaymentTaskId": null,
          "checkoutUrl": "[link]",
          "checkoutExpiresAt": "[time]",
          "paymentIntentId": null,
          "manuallyPaid": false,
          "manualPaymentReference": null,
          "paidAt": null,
          "failureReason": "card_declined",
          "refundedPence": 0,
          "refundedAt": null,
          "openAnomalies": 0,
          "createdBy": "Arthur Agent",
          "createdAt": "[time]",
          "updatedAt": "[time]"
        }
        "#);
    }

    async fn paid_by_card(app: TestApp) {
        let id = payment_in(&app, "succeeded").await;
        pinned!(app.payment(&id).await, @r#"
        {
          "id": "[id]",
          "status": "succeeded",
          "paymentType": "custom",
          "method": "card",
          "methodForced": false,
          "amountPence": 25000,
          "currency": "GBP",
          "description": "Replacement keys",
          "tenancyId": null,
          "todoId": null,
          "customPaymentTaskId": null,
          "checkoutUrl": null,
          "checkoutExpiresAt": null,
          "paymentIntentId": "[intent]",
          "manuallyPaid": false,
          "manualPaymentReference": null,
          "paidAt": "[time]",
          "failureReason": null,
          "refundedPence": 0,
          "refundedAt": null,
          "openAnomalies": 0,
          "createdBy": "Arthur Agent",
          "createdAt": "[time]",
          "updatedAt": "[time]"
        }
        "#);
    }

    async fn paid_by_hand(app: TestApp) {
        let id = payment_in(&app, "pending").await;
        let params = json!({ "paymentId": id, "manualPaymentReference": "BACS 1" });
        let payment = app.agent().ok("payment.markPaymentManuallyPaid", params).await;
        pinned!(payment, @r#"
        {
          "id": "[id]",
          "status": "succeeded",
          "paymentType": "custom",
          "method": "card",
          "methodForced": false,
          "amountPence": 25000,
          "currency": "GBP",
          "description": "Replacement keys",
          "tenancyId": null,
          "todoId": null,
          "customPaymentTaskId": null,
          "checkoutUrl": null,
          "checkoutExpiresAt": null,
          "paymentIntentId": null,
          "manuallyPaid": true,
          "manualPaymentReference": "BACS 1",
          "paidAt": "[time]",
          "failureReason": null,
          "refundedPence": 0,
          "refundedAt": null,
          "openAnomalies": 0,
          "createdBy": "Arthur Agent",
          "createdAt": "[time]",
          "updatedAt": "[time]"
        }
        "#);
    }

    async fn refunded_in_part(app: TestApp) {
        let id = payment_in(&app, "succeeded").await;
        app.delivered(&Event::refunded(&format!("pi_of_{id}"), &id, 25_000, 10_000)).await;
        pinned!(app.payment(&id).await, @r#"
        {
          "id": "[id]",
          "status": "succeeded",
          "paymentType": "custom",
          "method": "card",
          "methodForced": false,
          "amountPence": 25000,
          "currency": "GBP",
          "description": "Replacement keys",
          "tenancyId": null,
          "todoId": null,
          "customPaymentTaskId": null,
          "checkoutUrl": null,
          "checkoutExpiresAt": null,
          "paymentIntentId": "[intent]",
          "manuallyPaid": false,
          "manualPaymentReference": null,
          "paidAt": "[time]",
          "failureReason": null,
          "refundedPence": 10000,
          "refundedAt": null,
          "openAnomalies": 0,
          "createdBy": "Arthur Agent",
          "createdAt": "[time]",
          "updatedAt": "[time]"
        }
        "#);
    }

    async fn refunded(app: TestApp) {
        let id = payment_in(&app, "refunded").await;
        pinned!(app.payment(&id).await, @r#"
        {
          "id": "[id]",
          "status": "refunded",
          "paymentType": "custom",
          "method": "card",
          "methodForced": false,
          "amountPence": 25000,
          "currency": "GBP",
          "description": "Replacement keys",
          "tenancyId": null,
          "todoId": null,
          "customPaymentTaskId": null,
          "checkoutUrl": null,
          "checkoutExpiresAt": null,
          "paymentIntentId": "[intent]",
          "manuallyPaid": false,
          "manualPaymentReference": null,
          "paidAt": "[time]",
          "failureReason": null,
          "refundedPence": 25000,
          "refundedAt": "[time]",
          "openAnomalies": 0,
          "createdBy": "Arthur Agent",
          "createdAt": "[time]",
          "updatedAt": "[time]"
        }
        "#);
    }

    async fn cancelled(app: TestApp) {
        let id = payment_with(&app, json!({ "tenancyId": "ten-1" }), "cancelled").await;
        pinned!(app.payment(&id).await, @r#"
        {
          "id": "[id]",
          "status": "cancelled",
          "paymentType": "custom",
          "method": "card",
          "methodForced": false,
          "amountPence": 25000,
          "currency": "GBP",
          "description": "Replacement keys",
          "tenancyId": "ten-1",
          "todoId": null,
          "customPaymentTaskId": null,
          "checkoutUrl": null,
          "checkoutExpiresAt": null,
          "paymentIntentId": null,
          "manuallyPaid": false,
          "manualPaymentReference": null,
          "paidAt": null,
          "failureReason": null,
          "refundedPence": 0,
          "refundedAt": null,
          "openAnomalies": 0,
          "createdBy": "Arthur Agent",
          "createdAt": "[time]",
          "updatedAt": "[time]"
        }
        "#);
    }

    async fn strange(app: TestApp) {
        let id = payment_in(&app, "cancelled").await;
        app.delivered(&Event::succeeded("pi_1", &id, 25_000)).await;
        app.delivered(&Event::succeeded("pi_2", &id, 25_000)).await;
        let page = app.admin().ok("payment.listAnomalies", json!({})).await;
        pinned!(page["items"][1], @r#"
        {
          "id": "[id]",
          "paymentId": "[id]",
          "kind": "paid_after_cancelled",
          "detail": "money came in after the payment was cancelled",
          "status": "open",
          "resolution": null,
          "note": null,
          "createdAt": "[time]",
          "resolvedAt": null,
          "resolvedBy": null
        }
        "#);
        pinned!(app.payment(&id).await, @r#"
        {
          "id": "[id]",
          "status": "succeeded",
          "paymentType": "custom",
          "method": "card",
          "methodForced": false,
          "amountPence": 25000,
          "currency": "GBP",
          "description": "Replacement keys",
          "tenancyId": null,
          "todoId": null,
          "customPaymentTaskId": null,
          "checkoutUrl": null,
          "checkoutExpiresAt": null,
          "paymentIntentId": "[intent]",
          "manuallyPaid": false,
          "manualPaymentReference": null,
          "paidAt": "[time]",
          "failureReason": null,
          "refundedPence": 0,
          "refundedAt": null,
          "openAnomalies": 2,
          "createdBy": "Arthur Agent",
          "createdAt": "[time]",
          "updatedAt": "[time]"
        }
        "#);
    }

    async fn audited(app: TestApp) {
        let id = payment_in(&app, "succeeded").await;
        let mut page = app.agent().ok("payment.auditTrail", json!({ "paymentId": id })).await;
        for row in page["items"].as_array_mut().unwrap() {
            // PostgreSQL keeps the keys of a document in an order of its own.
            row["changes"].as_object_mut().unwrap().sort_keys();
        }
        pinned!(page, @r#"
        {
          "items": [
            {
              "id": "[id]",
              "at": "[time]",
              "actor": "Arthur Agent",
              "action": "payment.created",
              "resourceType": "payment",
              "resourceId": "[id]",
              "from": null,
              "to": "pending",
              "changes": {
                "amountPence": 25000,
                "customPaymentTaskId": null,
                "limitAppliedPence": 200000,
                "method": "card",
                "methodForced": false,
                "paymentType": "custom",
                "tenancyId": null,
                "todoId": null
              },
              "requestId": "[id]"
            },
            {
              "id": "[id]",
              "at": "[time]",
              "actor": "calmony-pay",
              "action": "payment.succeeded",
              "resourceType": "payment",
              "resourceId": "[id]",
              "from": "pending",
              "to": "succeeded",
              "changes": {
                "attempt": 1,
                "paymentIntentId": "[intent]"
              },
              "requestId": null
            }
          ],
          "nextCursor": null
        }
        "#);
    }
}
