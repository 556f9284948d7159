//! `payment.createPaymentTask` when Calmony Pay refuses, fails, breaks off or is overtaken by its own webhook.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use quittance::{
    domain::{PaymentId, SessionState, Timestamp},
    sandbox::{Faults, Method},
};
use serde_json::{Value, json};

use super::{create_calls, sessions_of};
use crate::harness::{Fault, Options, TestApp, create_params, on_both};

const METHOD: &str = "payment.createPaymentTask";

/// Calls create, with its answer held back, and waits until Calmony Pay has made the session. Gives the call under
/// way and the payment's id.
async fn hanging_create(app: &TestApp) -> (tokio::task::JoinHandle<Result<Value, Fault>>, String) {
    let agent = app.agent().clone();
    let call = tokio::spawn(async move { agent.call(METHOD, create_params(json!({}))).await });
    while app.calmony().sessions().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let page = app.agent().ok("payment.list", json!({})).await;
    (call, page["items"][0]["id"].as_str().expect("a payment").to_owned())
}

on_both! {
    async fn a_refusal_fails_the_payment(app: TestApp) {
        app.calmony().set_faults(Faults { reject: 1.0, ..Faults::default() });
        let params = create_params(json!({ "idempotencyKey": "key-1" }));
        let fault = app.agent().fails(METHOD, params.clone()).await;
        assert_eq!((fault.code, fault.kind()), (-32050, "PROVIDER_REJECTED"), "{fault:?}");
        assert!(!fault.message.contains("told to answer"), "the provider's prose: {fault:?}");
        let id = fault.data["ledgerEntryId"].as_str().unwrap();
        let payment = app.payment(id).await;
        assert_eq!(payment["status"], "failed");
        assert_eq!(payment["failureReason"], "fault_on_request");
        assert_eq!((&payment["checkoutUrl"], &payment["checkoutExpiresAt"]), (&Value::Null, &Value::Null));
        let failed = ("payment.failed".to_owned(), "pending".to_owned(), "failed".to_owned());
        assert_eq!(app.trail(id).await[1..], [failed]);

        // The same again, even when Calmony Pay has come to other thoughts.
        app.calmony().set_faults(Faults::default());
        let again = app.agent().fails(METHOD, params).await;
        assert_eq!((again.kind(), &again.data["ledgerEntryId"]), ("PROVIDER_REJECTED", &json!(id)));
        assert_eq!(create_calls(&app).len(), 1);
        assert_eq!(app.trail(id).await.len(), 2);
    }

    async fn a_refusal_has_three_statuses(app: TestApp) {
        for status in [400, 404, 422] {
            app.calmony().set_faults(Faults { status: Some(status), ..Faults::default() });
            let fault = app.agent().fails(METHOD, create_params(json!({}))).await;
            assert_eq!(fault.kind(), "PROVIDER_REJECTED", "{status}: {fault:?}");
        }
    }

    // At full scale, so that neither the janitor nor the breaker comes between.
    async fn an_unknown_outcome_leaves_the_payment_pending_until_asked_again(
        app: TestApp, Options { time_scale: 1.0, ..Default::default() }
    ) {
        let off = Faults::default;
        let status = |status| Faults { status: Some(status), ..off() };
        let table = [
            ("before", Faults { fail_before: 1.0, ..off() }),
            ("after", Faults { fail_after: 1.0, ..off() }),
            ("dropped", Faults { drop_answer: 1.0, ..off() }),
            ("broken", Faults { broken_answer: 1.0, ..off() }),
            ("302", status(302)),
            ("307", status(307)),
            ("401", status(401)),
            ("403", status(403)),
            ("408", status(408)),
            ("409", status(409)),
            ("425", status(425)),
            ("429", status(429)),
            ("500", status(500)),
            ("503", status(503)),
            ("204", status(204)),
        ];
        for (name, faults) in table {
            app.calmony().set_faults(faults);
            let params = create_params(json!({ "idempotencyKey": name }));
            let fault = app.agent().fails(METHOD, params.clone()).await;
            assert_eq!((fault.code, fault.kind()), (-32051, "PROVIDER_UNAVAILABLE"), "{name}: {fault:?}");
            let id = fault.data["ledgerEntryId"].as_str().unwrap();
            let payment = app.payment(id).await;
            assert_eq!(payment["status"], "pending", "{name}");
            assert_eq!(payment["checkoutUrl"], Value::Null, "{name}");

            app.calmony().set_faults(off());
            let result = app.agent().ok(METHOD, params).await;
            assert_eq!(result["ledgerEntryId"], id, "{name}");
            assert_eq!(sessions_of(&app, id), 1, "{name}");
            assert_eq!(app.payment(id).await["checkoutUrl"], result["checkoutUrl"], "{name}");
            assert_eq!(app.trail(id).await.len(), 1, "{name}");
        }
        let keys: std::collections::BTreeSet<_> =
            create_calls(&app).into_iter().map(|call| call.idempotency_key).collect();
        assert_eq!(keys.len(), 15, "one provider key for each payment");
    }

    async fn an_open_breaker_still_makes_the_row(app: TestApp, Options { time_scale: 1.0, ..Default::default() }) {
        app.calmony().set_faults(Faults { status: Some(503), ..Faults::default() });
        for _ in 0..7 {
            let fault = app.agent().fails(METHOD, create_params(json!({}))).await;
            assert_eq!(fault.kind(), "PROVIDER_UNAVAILABLE", "{fault:?}");
            let id = fault.data["ledgerEntryId"].as_str().unwrap();
            assert_eq!(app.payment(id).await["status"], "pending");
        }
        assert_eq!(create_calls(&app).len(), 5);
    }

    async fn a_payment_cancelled_while_its_link_is_made_has_none_to_give(app: TestApp) {
        let paused = app.calmony().pause_creates();
        let (call, id) = hanging_create(&app).await;
        app.agent().ok("payment.cancelPayment", json!({ "paymentId": id })).await;
        drop(paused);
        let fault = call.await.unwrap().unwrap_err();
        assert_eq!((fault.code, fault.kind()), (-32012, "INVALID_TRANSITION"), "{fault:?}");
        assert_eq!(fault.data["from"], "cancelled");
        let payment = app.payment(&id).await;
        assert_eq!((&payment["status"], &payment["checkoutUrl"]), (&json!("cancelled"), &Value::Null));

        // The link exists all the same, so whoever has it can pay.
        let session = app.calmony().sessions().pop().unwrap();
        let (agency, row) = (app.agency_id, PaymentId::parse(&id).unwrap());
        let stored = app.ledger.read(move |tx| async move { tx.session(agency, row, 1).await }.boxed()).await;
        let stored = stored.unwrap().unwrap();
        assert_eq!((stored.state, stored.url), (SessionState::Open, Some(session.url)));
        app.calmony().pay(&session.id, Method::Card).await.unwrap();
        app.until_status(&id, "succeeded").await;
        assert_eq!(app.anomalies(&id).await, ["paid_after_cancelled"]);
    }

    async fn a_create_is_finished_when_its_caller_hangs_up(
        app: TestApp, Options { time_scale: 1.0, ..Default::default() }
    ) {
        let paused = app.calmony().pause_creates();
        let (call, id) = hanging_create(&app).await;
        call.abort();
        // For the server to see that the connection is gone.
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(paused);
        let began = Instant::now();
        while app.payment(&id).await["checkoutUrl"].is_null() {
            assert!(began.elapsed() < Duration::from_secs(5), "the janitor would only come after ten");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(app.payment(&id).await["checkoutUrl"], json!(app.calmony().sessions()[0].url));
    }

    async fn a_webhook_may_overtake_the_answer(app: TestApp) {
        let paused = app.calmony().pause_creates();
        let (call, id) = hanging_create(&app).await;
        let session = app.calmony().sessions().pop().unwrap();
        app.calmony().pay(&session.id, Method::Card).await.unwrap();
        app.until_status(&id, "succeeded").await;
        drop(paused);
        let fault = call.await.unwrap().unwrap_err();
        assert_eq!((fault.kind(), &fault.data["ledgerEntryId"]), ("INVALID_TRANSITION", &json!(id)), "{fault:?}");
        app.calmony().settled().await;
        assert_eq!(app.payment(&id).await["status"], "succeeded");
        assert_eq!(app.anomalies(&id).await, Vec::<String>::new());
        assert_eq!(app.trail(&id).await.len(), 2);
    }

    // Two waits of eight seconds, at the same time: of a call that Calmony Pay never answers, and of one under a key
    // that somebody else is at work on.
    async fn nobody_waits_longer_than_eight_seconds(
        app: TestApp, Options { time_scale: 1.0, ..Default::default() }
    ) {
        let params = |key: &str| create_params(json!({ "idempotencyKey": key }));
        app.calmony().set_faults(Faults { hang: 1.0, ..Faults::default() });
        let began = Instant::now();
        let (agent, hangs) = (app.agent().clone(), params("hangs"));
        let hung = tokio::spawn(async move { agent.call(METHOD, hangs).await });
        while app.calmony().sessions().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }

        app.calmony().set_faults(Faults { fail_before: 1.0, ..Faults::default() });
        let fault = app.agent().fails(METHOD, params("leased")).await;
        let id = PaymentId::parse(fault.data["ledgerEntryId"].as_str().unwrap()).unwrap();
        let now = Timestamp::now();
        let until = now.plus(Duration::from_secs(60));
        let agency = app.agency_id;
        let lease = app.ledger.write(move |tx| async move { tx.lease_session(agency, id, 1, now, until).await }.boxed());
        assert!(lease.await.unwrap());
        let fault = app.agent().fails(METHOD, params("leased")).await;
        assert_eq!((fault.code, fault.kind()), (-32009, "IN_PROGRESS"), "{fault:?}");
        assert_eq!(fault.data["ledgerEntryId"], id.to_string());
        let fault = hung.await.unwrap().unwrap_err();
        assert_eq!(fault.kind(), "PROVIDER_UNAVAILABLE", "{fault:?}");
        let waited = began.elapsed();
        assert!((8.0..12.0).contains(&waited.as_secs_f64()), "{waited:?}");

        app.calmony().set_faults(Faults::default());
        let result = app.agent().ok(METHOD, params("hangs")).await;
        assert_eq!(result["ledgerEntryId"], fault.data["ledgerEntryId"]);
        assert_eq!(app.calmony().sessions().len(), 1);
    }

    async fn work_in_hand_is_finished_when_the_caller_hangs_up(app: TestApp) {
        let paused = app.calmony().pause_creates();
        let (call, id) = hanging_create(&app).await;
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        drop(paused);
        for _ in 0..200 {
            if app.payment(&id).await["checkoutUrl"].is_string() {
                return app.stop().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the link was not stored");
    }
}
