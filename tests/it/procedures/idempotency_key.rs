//! `payment.createPaymentTask` under an `idempotencyKey`: one key, one payment, one link.

use std::time::Duration;

use futures_util::future::join_all;
use quittance::domain::Role;
use serde_json::{Value, json};

use super::{create_calls, sessions_of};
use crate::harness::{Event, create_params, on_both};

const METHOD: &str = "payment.createPaymentTask";

on_both! {
    async fn the_same_key_and_values_answer_the_same_payment(app: TestApp) {
        let params = create_params(json!({ "idempotencyKey": "key-1", "tenancyId": "ten-1" }));
        let first = app.agent().ok(METHOD, params.clone()).await;
        for _ in 0..3 {
            assert_eq!(app.agent().ok(METHOD, params.clone()).await, first);
        }
        // Whoever of the agency asks.
        assert_eq!(app.admin().ok(METHOD, params).await, first);
        assert_eq!(create_calls(&app).len(), 1);
        assert_eq!(app.trail(first["ledgerEntryId"].as_str().unwrap()).await.len(), 1);
    }

    async fn null_the_default_and_leaving_out_are_the_same_values(app: TestApp) {
        let spelt = [
            json!({}),
            json!({ "method": null, "tenancyId": null, "todoId": null, "customPaymentTaskId": null }),
            json!({ "method": "card" }),
        ];
        let mut answers = Vec::new();
        for mut fields in spelt {
            fields["idempotencyKey"] = json!("key-1");
            answers.push(app.agent().ok(METHOD, create_params(fields)).await);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1);
    }

    async fn other_values_under_a_key_are_a_mismatch(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let created = app.agent().create_with(json!({ "idempotencyKey": "key-1" })).await;
        let others = [
            json!({ "amountPence": 25_001 }),
            json!({ "paymentType": "renewal_fee" }),
            json!({ "description": "Replacement keys " }),
            json!({ "method": "open_banking" }),
            json!({ "tenancyId": "ten-1" }),
            json!({ "todoId": "todo-1" }),
            json!({ "customPaymentTaskId": "task-1" }),
        ];
        for mut fields in others {
            fields["idempotencyKey"] = json!("key-1");
            let fault = app.agent().fails(METHOD, create_params(fields.clone())).await;
            assert_eq!((fault.code, fault.kind()), (-32009, "IDEMPOTENCY_MISMATCH"), "{fields}: {fault:?}");
            assert_eq!(fault.data["ledgerEntryId"], created.id);
        }
        assert_eq!(create_calls(&app).len(), 1);
    }

    async fn keys_are_case_sensitive_and_each_agencys_own(app: TestApp) {
        let stranger = app.stranger(Role::Agent).await;
        let params = |key: &str| create_params(json!({ "idempotencyKey": key }));
        let ours = app.agent().ok(METHOD, params("key-1")).await;
        let upper = app.agent().ok(METHOD, params("KEY-1")).await;
        let theirs = stranger.ok(METHOD, params("key-1")).await;
        let other = create_params(json!({ "idempotencyKey": "key-1", "amountPence": 1 }));
        assert_ne!(ours["ledgerEntryId"], upper["ledgerEntryId"]);
        assert_ne!(ours["ledgerEntryId"], theirs["ledgerEntryId"]);
        let fault = stranger.fails(METHOD, other).await;
        assert_eq!(fault.data["ledgerEntryId"], theirs["ledgerEntryId"]);
    }

    async fn without_a_key_every_call_makes_a_payment(app: TestApp) {
        let (one, two) = (app.agent().create(100).await, app.agent().create(100).await);
        assert_ne!(one.id, two.id);
        assert_ne!(one.checkout_url, two.checkout_url);
    }

    async fn sixty_four_at_once_make_one_payment_and_one_session(app: TestApp) {
        let params = create_params(json!({ "idempotencyKey": "key-1" }));
        let answers = join_all((0..64).map(|_| app.agent().ok(METHOD, params.clone()))).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        let rows = app.agent().ok("payment.list", json!({})).await;
        assert_eq!(rows["items"].as_array().unwrap().len(), 1);
        assert_eq!(app.calmony().sessions().len(), 1);
        assert_eq!(create_calls(&app).len(), 1);
    }

    async fn whoever_comes_second_waits_for_the_first(app: TestApp) {
        let params = create_params(json!({ "idempotencyKey": "key-1" }));
        let paused = app.calmony().pause_creates();
        let call = || app.agent().ok(METHOD, params.clone());
        let let_go = async {
            while app.calmony().sessions().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(paused);
        };
        let (first, second, ()) = tokio::join!(call(), call(), let_go);
        assert_eq!(first, second);
        assert_eq!(create_calls(&app).len(), 1);
    }

    async fn a_key_outlives_its_payments_end(app: TestApp) {
        let params = create_params(json!({ "idempotencyKey": "key-1" }));
        let first = app.agent().ok(METHOD, params.clone()).await;
        let id = first["ledgerEntryId"].as_str().unwrap();
        app.delivered(&Event::succeeded("pi_1", id, 25_000)).await;
        app.admin().ok("payment.updateCardLimit", json!({ "maxCardPaymentPence": 0 })).await;
        let fault = app.agent().fails(METHOD, params).await;
        assert_eq!((fault.kind(), &fault.data["ledgerEntryId"]), ("INVALID_TRANSITION", &json!(id)), "no link to pay again");
        assert_eq!(fault.data["from"], "succeeded");
        assert_eq!(sessions_of(&app, id), 1);
        assert_eq!(app.agent().ok("payment.list", json!({})).await["nextCursor"], Value::Null);
    }

    async fn the_http_header_is_the_key(app: TestApp) {
        let mut wire = app.wire().await;
        let token = app.agent().token.clone().unwrap();
        let mut post = async |header: &str, body: &Value| {
            let head = format!("authorization: Bearer {token}\r\n{header}");
            wire.post_with(&head, &body.to_string()).await.json()
        };
        let body = |params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": METHOD, "params": params });
        let first = post("Idempotency-Key: key-1\r\n", &body(create_params(json!({})))).await["result"].clone();
        assert!(first["ledgerEntryId"].is_string(), "{first}");
        let said = create_params(json!({ "idempotencyKey": "key-1" }));
        assert_eq!(app.agent().ok(METHOD, said.clone()).await, first);
        assert_eq!(post("idempotency-key: key-1\r\n", &body(said.clone())).await["result"], first);

        // Two keys, or one of another form: which was meant can't be told.
        let long = format!("idempotency-key: {}\r\n", "k".repeat(65));
        for header in ["idempotency-key: key-2\r\n", "idempotency-key:\r\n", "idempotency-key: a b\r\n", &long] {
            for params in [said.clone(), create_params(json!({}))] {
                if header.ends_with("key-2\r\n") && params != said {
                    continue;
                }
                let error = post(header, &body(params)).await["error"].clone();
                assert_eq!((&error["code"], &error["data"]["path"]), (&json!(-32602), &json!("idempotencyKey")), "{header}");
            }
        }
        let refused = post("idempotency-key: key-3\r\n", &json!([body(create_params(json!({})))])).await;
        assert_eq!(refused["error"]["code"], -32600);
        // A notification makes the payment, too; any other method ignores the header.
        let told = json!({ "jsonrpc": "2.0", "method": METHOD, "params": create_params(json!({})) });
        let head = format!("authorization: Bearer {token}\r\nidempotency-key: key-1\r\n");
        assert_eq!(app.wire().await.post_with(&head, &told.to_string()).await.status, 204);
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "payment.list" });
        let rows = post("idempotency-key: key-1\r\n", &list).await["result"]["items"].clone();
        assert_eq!(rows.as_array().unwrap().len(), 1);
        assert_eq!(create_calls(&app).len(), 1);
    }
}
