//! `payment.createPaymentTask`: what comes of it, what Calmony Pay is asked, and what stands in its way.

use futures_util::future::join_all;
use quittance::domain::Role;
use serde_json::{Value, json};

use super::{create_calls, keys, payment_with};
use crate::harness::{Event, create_params, on_both};

on_both! {
    async fn a_payment_with_every_field_is_entered_as_asked(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let params = json!({
            "amountPence": 99_999,
            "paymentType": "holding_deposit",
            "description": "Holding deposit, 12 Elm Rd ✓",
            "method": "open_banking",
            "tenancyId": "ten_1-A",
            "todoId": "todo-1",
            "customPaymentTaskId": "task-1",
            "idempotencyKey": "!key~1",
        });
        let result = app.agent().ok("payment.createPaymentTask", params.clone()).await;
        assert_eq!(keys(&result), ["checkoutUrl", "ledgerEntryId"]);
        let id = result["ledgerEntryId"].as_str().unwrap();
        assert_eq!(uuid::Uuid::try_parse(id).unwrap().get_version_num(), 7);

        let payment = app.payment(id).await;
        for field in ["amountPence", "paymentType", "description", "method", "tenancyId", "todoId",
            "customPaymentTaskId"]
        {
            assert_eq!(payment[field], params[field], "{field}");
        }
        assert_eq!(payment["id"], id);
        assert_eq!(payment["status"], "pending");
        assert_eq!(payment["methodForced"], false);
        assert_eq!(payment["currency"], "GBP");
        assert_eq!(payment["checkoutUrl"], result["checkoutUrl"]);
        assert_eq!(payment["createdBy"], "Arthur Agent");
        let (made, ends) = (time(&payment["createdAt"]), time(&payment["checkoutExpiresAt"]));
        let lives = (ends - made).num_seconds();
        assert!((86_400..86_410).contains(&lives), "the link lives {lives} s");
        assert_eq!(app.trail(id).await, [("payment.created".into(), "-".into(), "pending".into())]);
    }

    async fn every_payment_type_is_taken(app: TestApp) {
        for payment_type in ["holding_deposit", "move_in_balance", "renewal_fee", "custom"] {
            let created = app.agent().create_with(json!({ "paymentType": payment_type })).await;
            assert_eq!(app.payment(&created.id).await["paymentType"], payment_type);
        }
    }

    async fn calmony_pay_is_asked_once_with_all_it_needs(app: TestApp) {
        for (method, types) in [(Value::Null, "card"), (json!("open_banking"), "open_banking")] {
            let fields = json!({ "amountPence": 12_345, "description": "Keys", "method": method });
            let created = app.agent().create_with(fields).await;
            let calls = create_calls(&app);
            let call = calls.last().unwrap();
            let return_url = app.webhook_url.replace("/api/webhooks/calmony-pay", "/checkout/return");
            let return_url = |outcome| format!("{return_url}?payment={}&outcome={outcome}", created.id);
            assert_eq!(call.path, "/v1/checkout/sessions");
            assert!(call.authorized);
            assert_eq!(call.idempotency_key, Some(format!("quittance-{}-1", created.id)));
            let expected = json!({
                "line_items": [{
                    "price_data": {
                        "currency": "gbp", "unit_amount": 12_345, "product_data": { "name": "Keys" },
                    },
                    "quantity": 1,
                }],
                "success_url": return_url("paid"),
                "cancel_url": return_url("left"),
                "expires_in": 86_400,
                "metadata": { "ledger_id": created.id, "agency_id": app.agency_id, "attempt": 1 },
                "payment_method_types": [types],
            });
            assert_eq!(call.body, Some(expected));
        }
        assert_eq!(create_calls(&app).len(), 2);
    }

    async fn a_todo_or_task_that_is_not_the_agencys_is_not_found(app: TestApp) {
        let stranger = app.stranger(Role::Agent).await;
        stranger.ok("todo.create", json!({ "id": "theirs", "title": "Theirs" })).await;
        stranger.ok("customPaymentTask.create", json!({ "id": "theirs", "title": "Theirs" })).await;
        let too_long = "x".repeat(65);
        for field in ["todoId", "customPaymentTaskId"] {
            for id in ["unknown", "theirs", "", "a b", "a/b", "é", "' or 1=1", &too_long] {
                let params = create_params(json!({ (field): id }));
                let fault = app.agent().fails("payment.createPaymentTask", params).await;
                assert_eq!((fault.code, fault.kind()), (-32004, "NOT_FOUND"), "{field} {id}: {fault:?}");
            }
        }
        assert_eq!(app.agent().ok("payment.list", json!({})).await["items"], json!([]));
        assert_eq!(create_calls(&app), []);
    }

    async fn a_task_has_one_open_payment_at_most(app: TestApp) {
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let params = create_params(json!({ "customPaymentTaskId": "task-1" }));
        for status in ["pending", "processing"] {
            let open = payment_with(&app, json!({ "customPaymentTaskId": "task-1" }), status).await;
            let fault = app.agent().fails("payment.createPaymentTask", params.clone()).await;
            assert_eq!((fault.code, fault.kind()), (-32009, "OPEN_PAYMENT_EXISTS"), "{fault:?}");
            assert_eq!(fault.data["ledgerEntryId"], open);
            let failed = Event::intent("payment_intent.failed", &format!("pi_of_{open}"), &open, 25_000);
            app.delivered(&failed).await;
        }
        payment_with(&app, json!({ "customPaymentTaskId": "task-1" }), "cancelled").await;
        // Failed and cancelled payments leave the task free.
        app.agent().ok("payment.createPaymentTask", params).await;
    }

    async fn a_paid_task_takes_no_payment(app: TestApp) {
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let paid = payment_with(&app, json!({ "customPaymentTaskId": "task-1" }), "refunded").await;
        let params = create_params(json!({ "customPaymentTaskId": "task-1" }));
        let fault = app.agent().fails("payment.createPaymentTask", params).await;
        assert_eq!((fault.code, fault.kind()), (-32009, "ALREADY_PAID"), "{fault:?}");
        assert_eq!(fault.data["ledgerEntryId"], paid);
    }

    async fn of_many_at_once_for_one_task_one_gets_through(app: TestApp) {
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let params = create_params(json!({ "customPaymentTaskId": "task-1" }));
        let call = || app.agent().call("payment.createPaymentTask", params.clone());
        let answers = join_all((0..16).map(|_| call())).await;
        let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1);
        let id = made[0].as_ref().unwrap()["ledgerEntryId"].clone();
        for fault in refused.into_iter().map(Result::unwrap_err) {
            assert_eq!((fault.kind(), &fault.data["ledgerEntryId"]), ("OPEN_PAYMENT_EXISTS", &id));
        }
        assert_eq!(create_calls(&app).len(), 1);
    }

    async fn a_todo_may_have_many_payments(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        for _ in 0..2 {
            app.agent().create_with(json!({ "todoId": "todo-1" })).await;
        }
    }
}

fn time(value: &Value) -> chrono::DateTime<chrono::FixedOffset> {
    chrono::DateTime::parse_from_rfc3339(value.as_str().expect("a time")).expect("RFC 3339")
}
