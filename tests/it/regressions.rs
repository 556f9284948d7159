//! What went wrong once, in a review or a drill, and must not again.

use std::time::Duration;

use futures_util::{FutureExt, future::join_all};
use quittance::{
    domain::{PaymentId, Timestamp},
    ledger::tables::SessionRow,
    sandbox::{Faults, Method},
};
use serde_json::json;

use crate::harness::{Event, Options, TestApp, caller::create_params, on_both};

/// Changes the payment's first session behind the server's back, as time would.
async fn with_session(
    app: &TestApp,
    payment: &str,
    change: impl Fn(&mut SessionRow) + Clone + Send + Sync + 'static,
) {
    let (agency, id) = (app.agency_id, PaymentId::parse(payment).expect("an id"));
    let write = app.ledger.write(move |tx| {
        async move {
            let before = tx.session(agency, id, 1).await?.expect("a session");
            let mut row = before.clone();
            change(&mut row);
            tx.update_session(&before, &row).await
        }
        .boxed()
    });
    write.await.expect("written");
}

fn long_ago() -> Timestamp {
    Timestamp::from_seconds(Timestamp::now().to_utc().timestamp() - 3_600).expect("a time")
}

on_both! {
    async fn an_expired_link_is_not_handed_out_while_the_provider_is_away(app: TestApp) {
        let created = app.agent().create(25_000).await;
        with_session(&app, &created.id, |row| row.expires_at = Some(long_ago())).await;
        app.calmony().set_faults(Faults { read_status: Some(500), ..Faults::default() });
        let fault = app.agent().fails("payment.renewCheckout", json!({ "paymentId": created.id })).await;
        assert_eq!(fault.kind(), "PROVIDER_UNAVAILABLE");
        // The provider has forgotten it: then it is dead for good, and is replaced.
        app.calmony().set_faults(Faults { read_status: Some(404), ..Faults::default() });
        let renewed = app.agent().ok("payment.renewCheckout", json!({ "paymentId": created.id })).await;
        assert_ne!(renewed["checkoutUrl"], created.checkout_url);
    }

    async fn processing_that_comes_late_is_still_looked_after(app: TestApp) {
        let created = app.agent().create_with(json!({ "method": "open_banking" })).await;
        with_session(&app, &created.id, |row| row.next_read_at = None).await;
        app.delivered(&Event::intent("payment_intent.processing", "pi_late", &created.id, 25_000)).await;
        let (agency, id) = (app.agency_id, PaymentId::parse(&created.id).expect("an id"));
        let session = app.ledger.read(move |tx| async move { tx.session(agency, id, 1).await }.boxed());
        assert!(session.await.expect("read").expect("a session").next_read_at.is_some());
    }

    async fn creates_with_one_key_and_a_task_are_one_payment(app: TestApp) {
        for round in 0..10 {
            let task = format!("task-{round}");
            app.agent().ok("customPaymentTask.create", json!({ "id": task, "title": "Keys" })).await;
            let params = create_params(json!({ "customPaymentTaskId": task, "idempotencyKey": task }));
            let calls = (0..4).map(|_| app.agent().ok("payment.createPaymentTask", params.clone()));
            let answers = join_all(calls).await;
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        }
    }

    async fn a_repeated_create_does_not_hand_out_a_dead_link(app: TestApp) {
        let params = create_params(json!({ "idempotencyKey": "key-1" }));
        let first = app.agent().ok("payment.createPaymentTask", params.clone()).await;
        let session = first["checkoutUrl"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        app.calmony().expire(&session).await.unwrap();
        app.calmony().settled().await;
        let again = app.agent().ok("payment.createPaymentTask", params.clone()).await;
        assert_eq!(again["ledgerEntryId"], first["ledgerEntryId"]);
        assert_ne!(again["checkoutUrl"], first["checkoutUrl"]);
        app.agent().ok("payment.cancelPayment", json!({ "paymentId": first["ledgerEntryId"] })).await;
        let fault = app.agent().fails("payment.createPaymentTask", params).await;
        assert_eq!((fault.kind(), &fault.data["from"]), ("INVALID_TRANSITION", &json!("cancelled")));
    }

    async fn another_amount_in_a_failure_does_not_end_a_live_link(
        app: TestApp,
        Options { webhooks: false, time_scale: 0.001, ..Options::default() }
    ) {
        let created = app.agent().create(25_000).await;
        app.delivered(&Event::intent("payment_intent.failed", "pi_odd", &created.id, 99)).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(app.payment(&created.id).await["checkoutUrl"], created.checkout_url);
        app.calmony().pay(created.session_id(), Method::Card).await.unwrap();
        app.until_status(&created.id, "succeeded").await;
    }

    async fn an_event_of_a_foreign_session_leaves_ours_alone(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let object = json!({ "id": "cs_foreign", "metadata": { "ledger_id": created.id } });
        app.delivered(&Event::new("checkout.session.expired", object)).await;
        assert_eq!(app.payment(&created.id).await["checkoutUrl"], created.checkout_url);
    }

    async fn an_id_reused_while_its_event_is_parked_is_told_once_it_has_a_payment(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let parked = Event::new("payment_intent.refunded", json!({ "id": "pi_x", "amount_refunded": 10 }));
        app.delivered(&parked).await;
        let mut other = parked.clone();
        other.object()["amount_refunded"] = 20.into();
        app.delivered(&other).await;
        app.delivered(&Event::succeeded("pi_x", &created.id, 25_000)).await;
        app.until_verdict(parked.id(), "stale").await;
        assert_eq!(app.anomalies(&created.id).await, ["event_id_reuse"]);
        assert_eq!(app.payment(&created.id).await["refundedPence"], 10, "the first stands");
    }

    async fn a_currency_that_is_no_text_does_not_pass_for_pounds(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let mut event = Event::succeeded("pi_n", &created.id, 25_000);
        event.object()["currency"] = 978.into();
        app.delivered(&event).await;
        assert_eq!(app.payment(&created.id).await["status"], "pending");
        assert_eq!(app.anomalies(&created.id).await, ["currency_mismatch"]);
    }

    async fn the_names_the_server_uses_for_itself_are_no_actors(app: TestApp) {
        for actor in ["calmony-pay", "janitor"] {
            let params = json!({ "role": "agent", "actor": actor, "expiresInSeconds": 60 });
            let fault = app.admin().fails("token.issue", params).await;
            assert_eq!((fault.kind(), &fault.data["path"]), ("INVALID_PARAMS", &json!("actor")));
        }
    }
}
