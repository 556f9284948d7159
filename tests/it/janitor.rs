//! The janitor: a lost webhook never hides money, an unknown outcome is found out, a dead link is replaced.

use std::time::Duration;

use quittance::sandbox::{Faults, Method};
use serde_json::json;

use crate::harness::{Event, Options, on_both};

fn deaf() -> Options {
    // No webhooks; two minutes are 120 ms.
    Options { webhooks: false, time_scale: 0.001, ..Options::default() }
}

on_both! {
    async fn money_is_found_without_any_webhook(app: TestApp, deaf()) {
        let created = app.agent().create(25_000).await;
        app.calmony().pay(created.session_id(), Method::Card).await.unwrap();
        let payment = app.until_status(&created.id, "succeeded").await;
        assert!(payment["paymentIntentId"].is_string());
        let trail = app.trail(&created.id).await;
        assert_eq!(trail.len(), 2, "{trail:?}");
        // The webhook comes after all, and changes nothing.
        let intent = payment["paymentIntentId"].as_str().unwrap();
        app.delivered(&Event::succeeded(intent, &created.id, 25_000)).await;
        assert_eq!(app.trail(&created.id).await.len(), 2);
        assert_eq!(app.anomalies(&created.id).await, Vec::<String>::new());
    }

    async fn money_is_found_for_a_cancelled_payment(app: TestApp, deaf()) {
        let created = app.agent().create(25_000).await;
        app.agent().ok("payment.cancelPayment", json!({ "paymentId": created.id })).await;
        app.calmony().pay(created.session_id(), Method::Card).await.unwrap();
        app.until_status(&created.id, "succeeded").await;
        assert_eq!(app.anomalies(&created.id).await, ["paid_after_cancelled"]);
    }

    async fn an_unknown_outcome_is_resolved_under_the_same_key(app: TestApp, deaf()) {
        app.calmony().set_faults(Faults { drop_answer: 1.0, ..Faults::default() });
        let params = json!({ "amountPence": 25_000, "paymentType": "custom", "description": "Keys" });
        let fault = app.agent().fails("payment.createPaymentTask", params).await;
        assert_eq!(fault.kind(), "PROVIDER_UNAVAILABLE");
        app.calmony().set_faults(Faults::default());
        let id = fault.data["ledgerEntryId"].as_str().unwrap().to_owned();
        for _ in 0..250 {
            if app.payment(&id).await["checkoutUrl"].is_string() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let sessions = app.calmony().sessions();
        assert_eq!(sessions.len(), 1, "asked again under the same key");
        assert_eq!(app.payment(&id).await["checkoutUrl"], json!(sessions[0].url));
    }

    async fn an_open_link_is_answered_again(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let renewed = app.agent().ok("payment.renewCheckout", json!({ "paymentId": created.id })).await;
        assert_eq!(renewed["checkoutUrl"], created.checkout_url);
        assert_eq!(renewed["ledgerEntryId"], created.id);
        assert_eq!(app.trail(&created.id).await.len(), 1);
    }

    async fn a_dead_link_is_replaced_under_the_next_attempt(app: TestApp) {
        let created = app.agent().create(25_000).await;
        app.calmony().expire(created.session_id()).await.unwrap();
        app.calmony().settled().await;
        let renewed = app.agent().ok("payment.renewCheckout", json!({ "paymentId": created.id })).await;
        assert_ne!(renewed["checkoutUrl"], created.checkout_url);
        let again = app.agent().ok("payment.renewCheckout", json!({ "paymentId": created.id })).await;
        assert_eq!(again, renewed, "one live link at a time");
        let keys: Vec<_> = app.calmony().requests().into_iter().filter_map(|r| r.idempotency_key).collect();
        assert_eq!(keys, [format!("quittance-{}-1", created.id), format!("quittance-{}-2", created.id)]);
        let trail = app.trail(&created.id).await;
        assert_eq!(trail.last().unwrap(), &("payment.checkout_renewed".into(), "pending".into(), "pending".into()));
    }

    async fn a_rejected_payment_gets_a_new_link(app: TestApp) {
        app.calmony().set_faults(Faults { reject: 1.0, ..Faults::default() });
        let params = json!({ "amountPence": 25_000, "paymentType": "custom", "description": "Keys" });
        let fault = app.agent().fails("payment.createPaymentTask", params).await;
        assert_eq!(fault.kind(), "PROVIDER_REJECTED");
        let id = fault.data["ledgerEntryId"].as_str().unwrap().to_owned();
        assert_eq!(app.payment(&id).await["status"], "failed");
        app.calmony().set_faults(Faults::default());
        app.agent().ok("payment.renewCheckout", json!({ "paymentId": id })).await;
        let payment = app.payment(&id).await;
        assert_eq!((&payment["status"], &payment["failureReason"]), (&json!("pending"), &json!(null)));
        let trail = app.trail(&id).await;
        assert_eq!(trail.last().unwrap(), &("payment.checkout_renewed".into(), "failed".into(), "pending".into()));
    }

    async fn only_pending_and_failed_payments_are_renewed(app: TestApp) {
        let created = app.agent().create(25_000).await;
        app.agent().ok("payment.cancelPayment", json!({ "paymentId": created.id })).await;
        let fault = app.agent().fails("payment.renewCheckout", json!({ "paymentId": created.id })).await;
        assert_eq!((fault.kind(), &fault.data["from"]), ("INVALID_TRANSITION", &json!("cancelled")));
        let moving = app.agent().create(25_000).await;
        app.delivered(&Event::intent("payment_intent.processing", "pi_moving", &moving.id, 25_000)).await;
        let fault = app.agent().fails("payment.renewCheckout", json!({ "paymentId": moving.id })).await;
        assert_eq!(fault.kind(), "PAYMENT_IN_FLIGHT");
    }

    async fn a_payment_processing_too_long_is_for_a_person(app: TestApp, Options { time_scale: 0.000_01, ..deaf() }) {
        let created = app.agent().create_with(json!({ "method": "open_banking" })).await;
        app.calmony().start_bank_payment(created.session_id()).await.unwrap();
        app.until_status(&created.id, "processing").await;
        // Fourteen days are twelve seconds.
        for _ in 0..100 {
            if !app.anomalies(&created.id).await.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(app.anomalies(&created.id).await, ["stuck_processing"]);
        let fault = app.agent().fails("payment.cancelPayment", json!({ "paymentId": created.id })).await;
        assert_eq!(fault.kind(), "PAYMENT_IN_FLIGHT", "an agent may not");
        let payment = app.admin().ok("payment.cancelPayment", json!({ "paymentId": created.id })).await;
        assert_eq!(payment["status"], "cancelled");
    }

    async fn an_anomaly_is_settled_once(app: TestApp) {
        let created = app.agent().create(25_000).await;
        app.delivered(&Event::succeeded("pi_a", &created.id, 25_000)).await;
        app.delivered(&Event::succeeded("pi_b", &created.id, 25_000)).await;
        assert_eq!(app.payment(&created.id).await["openAnomalies"], 1);
        let page = app.admin().ok("payment.listAnomalies", json!({ "status": "open" })).await;
        let id = page["items"][0]["id"].clone();
        let params = json!({ "anomalyId": id, "resolution": "refunded", "note": "Sent back by bank" });
        let settled = app.admin().ok("payment.resolveAnomaly", params.clone()).await;
        assert_eq!((&settled["status"], &settled["resolvedBy"]), (&json!("resolved"), &json!("Ada Admin")));
        assert_eq!(app.admin().ok("payment.resolveAnomaly", params).await, settled);
        let other = json!({ "anomalyId": id, "resolution": "accepted", "note": "No" });
        assert_eq!(app.admin().fails("payment.resolveAnomaly", other).await.kind(), "IDEMPOTENCY_MISMATCH");
        assert_eq!(app.payment(&created.id).await["openAnomalies"], 0);
        let trail = app.trail(&created.id).await;
        let settled = trail.iter().filter(|(action, ..)| action == "payment.anomaly_resolved").count();
        assert_eq!(settled, 1);
    }
}
