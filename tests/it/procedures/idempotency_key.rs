//! `payment.createPaymentTask` under an `idempotencyKey`: one key, one payment, one link.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, future::join_all};
use quittance::{
    domain::{PaymentId, Role, Timestamp},
    sandbox::Faults,
};
use serde_json::{Value, json};

use super::{create_calls, sessions_of};
use crate::harness::{Options, create_params, on_both};

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

    async fn whoever_waits_too_long_is_told_so(app: TestApp, Options { time_scale: 1.0, ..Default::default() }) {
        let params = create_params(json!({ "idempotencyKey": "key-1" }));
        app.calmony().set_faults(Faults { fail_before: 1.0, ..Faults::default() });
        let fault = app.agent().fails(METHOD, params.clone()).await;
        let id = PaymentId::parse(fault.data["ledgerEntryId"].as_str().unwrap()).unwrap();
        // Another instance is at work on it, for longer than anybody waits.
        let now = Timestamp::now();
        let until = now.plus(Duration::from_secs(60));
        let leased = app
            .ledger
            .write(move |tx| async move { Ok(tx.lease_session(id, 1, now, until).await?) }.boxed())
            .await;
        assert!(leased.unwrap());
        let began = Instant::now();
        let fault = app.agent().fails(METHOD, params).await;
        assert!((7..10).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert_eq!((fault.code, fault.kind()), (-32009, "IN_PROGRESS"), "{fault:?}");
        assert_eq!(fault.data["ledgerEntryId"], id.to_string());
    }

    async fn a_key_outlives_its_payments_end(app: TestApp) {
        let params = create_params(json!({ "idempotencyKey": "key-1" }));
        let first = app.agent().ok(METHOD, params.clone()).await;
        let id = first["ledgerEntryId"].as_str().unwrap();
        let paid = crate::harness::Event::succeeded("pi_1", id, 25_000);
        app.delivered(&paid).await;
        assert_eq!(app.agent().ok(METHOD, params).await["ledgerEntryId"], id);
        assert_eq!(sessions_of(&app, id), 1);
        assert_eq!(app.agent().ok("payment.list", json!({})).await["nextCursor"], Value::Null);
    }
}
