//! `payment.resolveAnomaly`: the late-funds desk, from the anomaly to its settlement.

use quittance::domain::Role;
use serde_json::{Value, json};

use super::{all_pages, payment_in, refused};
use crate::harness::{Database, Event, Options, TestApp, on_both};

const METHOD: &str = "payment.resolveAnomaly";
const AMOUNT: i64 = 25_000;

/// A succeeded payment that was paid a second time, and the id of its anomaly.
async fn paid_twice(app: &TestApp) -> (String, String) {
    let id = payment_in(app, "succeeded").await;
    app.delivered(&Event::succeeded(&format!("pi_again_{id}"), &id, AMOUNT)).await;
    (id.clone(), open_of(app, &id).await.remove(0))
}

/// The ids of a payment's open anomalies.
async fn open_of(app: &TestApp, payment: &str) -> Vec<String> {
    let filter = json!({ "paymentId": payment, "status": "open" });
    super::ids(&all_pages(app.admin(), "payment.listAnomalies", filter, 50).await)
}

/// Makes a payment's money processing for 15 days, and its session due.
async fn grow_old(app: &TestApp, payment: &str) {
    let statement = match app.database {
        Database::Sqlite => format!(
            "update checkout_sessions set processing_since = processing_since - 15 * 86400000000, next_read_at = 0,
               leased_until = null where processing_since is not null
               and payment_id = x'{}'", payment.replace('-', "")
        ),
        Database::Postgres => format!(
            "update checkout_sessions set processing_since = processing_since - interval '15 days',
               next_read_at = 'epoch', leased_until = null where processing_since is not null
               and payment_id = '{payment}'"
        ),
    };
    app.sql().await.ok(&statement).await;
}

async fn until_stuck(app: &TestApp, payment: &str) -> String {
    for _ in 0..500 {
        if let Some(id) = open_of(app, payment).await.pop() {
            return id;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{payment} is not stuck");
}

on_both! {
    async fn it_is_settled_audited_and_moves_no_money(app: TestApp) {
        let (id, anomaly) = paid_twice(&app).await;
        let before = app.payment(&id).await;
        assert_eq!(before["openAnomalies"], 1);
        let params = json!({ "anomalyId": anomaly, "resolution": "refunded", "note": "Sent back by bank" });
        let settled = app.admin().ok(METHOD, params.clone()).await;
        for (field, value) in [
            ("id", json!(anomaly)), ("paymentId", json!(id)), ("kind", json!("double_payment")),
            ("status", json!("resolved")), ("resolution", json!("refunded")), ("note", json!("Sent back by bank")),
            ("resolvedBy", json!("Ada Admin")),
        ] {
            assert_eq!(settled[field], value, "{field}");
        }
        assert!(settled["resolvedAt"].is_string());
        let listed = all_pages(app.admin(), "payment.listAnomalies", json!({ "status": "resolved" }), 1).await;
        assert_eq!(listed, std::slice::from_ref(&settled));

        let mut after = app.payment(&id).await;
        assert_eq!(after["openAnomalies"], 0);
        for changed in ["openAnomalies", "updatedAt"] {
            after[changed] = before[changed].clone();
        }
        assert_eq!(after, before, "nothing else changed");
        let trail = app.agent().ok("payment.auditTrail", json!({ "paymentId": id })).await;
        let row = trail["items"].as_array().expect("rows").last().expect("a row").clone();
        assert_eq!((&row["action"], &row["actor"]), (&json!("payment.anomaly_resolved"), &json!("Ada Admin")));
        assert_eq!((&row["from"], &row["to"]), (&json!("succeeded"), &json!("succeeded")));
        assert_eq!(row["changes"]["anomalyId"], json!(anomaly));
        assert!(!row.to_string().contains("Sent back"), "no personal text: {row}");

        // Safe to repeat, and not to contradict.
        assert_eq!(app.admin().ok(METHOD, params).await, settled);
        let other = json!({ "anomalyId": anomaly, "resolution": "accepted", "note": "Sent back by bank" });
        assert_eq!(app.admin().fails(METHOD, other).await.kind(), "IDEMPOTENCY_MISMATCH");
        let again = app.agent().ok("payment.auditTrail", json!({ "paymentId": id })).await;
        assert_eq!(again, trail);
        // The event that raised it may come again; it stays settled.
        app.delivered(&Event::succeeded(&format!("pi_again_{id}"), &id, AMOUNT)).await;
        assert_eq!(app.payment(&id).await["openAnomalies"], 0);
    }

    async fn of_two_admins_at_the_same_instant_one_settles_it(app: TestApp) {
        for _ in 0..10 {
            let (id, anomaly) = paid_twice(&app).await;
            let settle = async |resolution: &str| {
                app.admin().call(METHOD, json!({ "anomalyId": anomaly, "resolution": resolution, "note": "x" })).await
            };
            let (one, same, other) = tokio::join!(settle("accepted"), settle("accepted"), settle("other"));
            assert_eq!(one.is_ok(), same.is_ok(), "{one:?} {same:?}");
            assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
            assert_eq!(app.payment(&id).await["openAnomalies"], 0);
            let settled = app.trail(&id).await.into_iter().filter(|(action, ..)| action == "payment.anomaly_resolved");
            assert_eq!(settled.count(), 1);
        }
    }

    async fn only_an_admin_of_the_agency_may(app: TestApp) {
        let (id, anomaly) = paid_twice(&app).await;
        let params = json!({ "anomalyId": anomaly, "resolution": "accepted", "note": "x" });
        assert_eq!(app.agent().fails(METHOD, params.clone()).await.kind(), "FORBIDDEN");
        assert_eq!(app.anonymous().fails(METHOD, params.clone()).await.kind(), "UNAUTHORIZED");
        let stranger = app.stranger(Role::Admin).await;
        assert_eq!(stranger.fails(METHOD, params.clone()).await.kind(), "NOT_FOUND");
        for absent in ["00000000-0000-7000-8000-000000000000", "x", ""] {
            let mut params = params.clone();
            params["anomalyId"] = absent.into();
            assert_eq!(app.admin().fails(METHOD, params).await.kind(), "NOT_FOUND", "{absent}");
        }
        let table = [
            ("resolution", json!("ignored")), ("resolution", Value::Null), ("note", json!("")), ("note", Value::Null),
            ("note", json!("x".repeat(501))), ("note", json!("card 4111 1111 1111 1111")), ("anomalyId", json!(1)),
        ];
        refused(app.admin(), METHOD, &params, &table).await;
        assert_eq!(app.payment(&id).await["openAnomalies"], 1);
        let mut longest = params;
        longest["note"] = "é".repeat(500).into();
        app.admin().ok(METHOD, longest).await;
    }

    async fn stuck_money_is_for_an_admin_and_may_be_stuck_again(
        app: TestApp, Options { time_scale: 1.0, webhooks: false, ..Options::default() }
    ) {
        let created = app.agent().create_with(json!({ "method": "open_banking" })).await;
        let id = created.id.clone();
        let intent = app.calmony().start_bank_payment(created.session_id()).await.expect("it starts");
        app.delivered(&Event::intent("payment_intent.processing", &intent, &id, AMOUNT)).await;
        grow_old(&app, &id).await;
        let anomaly = until_stuck(&app, &id).await;
        let ask = json!({ "paymentId": id });
        for method in ["payment.cancelPayment", "payment.markPaymentManuallyPaid"] {
            assert_eq!(app.agent().fails(method, ask.clone()).await.kind(), "PAYMENT_IN_FLIGHT", "an agent may not");
        }
        let settle = json!({ "anomalyId": anomaly, "resolution": "other", "note": "The bank lost it" });
        // Settled or not, an admin may end it.
        app.admin().ok(METHOD, settle.clone()).await;

        // The bank says no after all; a new link is asked for, and its money gets stuck as well.
        app.calmony().finish_bank_payment(&intent, false).await.expect("it fails");
        app.delivered(&Event::intent("payment_intent.payment_failed", &intent, &id, AMOUNT)).await;
        app.admin().ok(METHOD, settle).await;
        app.calmony().expire(created.session_id()).await.expect("it expires");
        let expired = Event::new("checkout.session.expired", json!({
            "id": created.session_id(), "metadata": { "ledger_id": id, "attempt": 1 },
        }));
        app.delivered(&expired).await;
        let renewed = app.agent().ok("payment.renewCheckout", ask.clone()).await;
        let session = renewed["checkoutUrl"].as_str().expect("a link").rsplit('/').next().expect("a path").to_owned();
        let intent = app.calmony().start_bank_payment(&session).await.expect("it starts");
        let mut moving = Event::intent("payment_intent.processing", &intent, &id, AMOUNT);
        moving.object()["metadata"]["attempt"] = 2.into();
        app.delivered(&moving).await;
        assert_eq!(app.payment(&id).await["status"], "processing");
        grow_old(&app, &id).await;
        until_stuck(&app, &id).await;
        let paid = app.admin().ok("payment.markPaymentManuallyPaid", ask).await;
        assert_eq!((&paid["status"], &paid["openAnomalies"]), (&json!("succeeded"), &json!(1)));
    }
}
