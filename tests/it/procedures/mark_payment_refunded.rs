//! `payment.markPaymentRefunded`: from where it is allowed, and what follows.

use serde_json::{Value, json};

use super::{STATUSES, payment_in, payment_with, refused};
use crate::harness::{Event, on_both};

const METHOD: &str = "payment.markPaymentRefunded";

on_both! {
    async fn only_succeeded_payments_can_be_marked(app: TestApp) {
        for status in STATUSES {
            let id = payment_in(&app, status).await;
            let before = app.payment(&id).await;
            let trail = app.trail(&id).await;
            let params = json!({ "paymentId": id, "reference": "BACS 1", "reason": "moved out" });
            let answer = app.admin().call(METHOD, params).await;
            if status == "succeeded" {
                let payment = answer.unwrap();
                assert_eq!(payment["status"], "refunded");
                assert!(payment["refundedAt"].is_string());
                assert_eq!(payment["refundedPence"], 0, "nothing went back through Calmony Pay");
                for kept in ["paidAt", "paymentIntentId"] {
                    assert_eq!(payment[kept], before[kept]);
                }
                assert_eq!(payment, app.payment(&id).await);
                let row = ("payment.refunded".to_owned(), "succeeded".to_owned(), "refunded".to_owned());
                assert_eq!(app.trail(&id).await[trail.len()..], [row]);
                continue;
            }
            let fault = answer.unwrap_err();
            assert_eq!((fault.code, fault.kind()), (-32012, "INVALID_TRANSITION"), "{status}: {fault:?}");
            assert_eq!(fault.data["from"], status);
            assert_eq!(app.payment(&id).await, before, "{status}");
            assert_eq!(app.trail(&id).await, trail, "{status}");
        }
    }

    async fn repeating_it_with_the_same_reference_changes_nothing(app: TestApp) {
        let id = payment_in(&app, "succeeded").await;
        let params = json!({ "paymentId": id, "reference": "BACS 1" });
        let first = app.admin().ok(METHOD, params.clone()).await;
        assert_eq!(app.admin().ok(METHOD, params).await, first);
        let fault = app.admin().fails(METHOD, json!({ "paymentId": id, "reference": "BACS 2" })).await;
        assert_eq!((fault.kind(), &fault.data["from"]), ("INVALID_TRANSITION", &json!("refunded")));
        assert_eq!(app.trail(&id).await.len(), 3);
    }

    async fn it_covers_a_manual_payment_too(app: TestApp) {
        let id = payment_in(&app, "pending").await;
        app.agent().ok("payment.markPaymentManuallyPaid", json!({ "paymentId": id })).await;
        let payment = app.admin().ok(METHOD, json!({ "paymentId": id, "reference": "BACS 1" })).await;
        assert_eq!((&payment["status"], &payment["manuallyPaid"]), (&json!("refunded"), &json!(true)));
    }

    async fn new_money_makes_it_succeeded_again(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect" })).await;
        let id = payment_with(&app, json!({ "todoId": "todo-1" }), "succeeded").await;
        let before = app.payment(&id).await;
        app.admin().ok(METHOD, json!({ "paymentId": id, "reference": "BACS 1" })).await;
        let todo = app.agent().ok("todo.get", json!({ "todoId": "todo-1" })).await;
        assert_eq!(todo["status"], "complete", "nothing undoes a todo");
        // What is covered stays covered, however often it is reported.
        let covered = before["paymentIntentId"].as_str().unwrap();
        app.delivered(&Event::succeeded(covered, &id, 25_000)).await;
        assert_eq!(app.payment(&id).await["status"], "refunded");

        app.delivered(&Event::succeeded("pi_new", &id, 25_000)).await;
        let payment = app.payment(&id).await;
        assert_eq!(payment["status"], "succeeded");
        assert_eq!((&payment["paidAt"], &payment["paymentIntentId"]), (&before["paidAt"], &before["paymentIntentId"]));
        assert_eq!(app.anomalies(&id).await, ["double_payment"]);
        let steps: Vec<_> = app.trail(&id).await.into_iter().map(|(_, from, to)| format!("{from}>{to}")).collect();
        let expected = ["->pending", "pending>succeeded", "succeeded>refunded", "refunded>succeeded"];
        assert_eq!(steps.iter().filter(|step| !is_note(step)).collect::<Vec<_>>(), expected);

        let again = app.admin().ok(METHOD, json!({ "paymentId": id, "reference": "BACS 2" })).await;
        assert_eq!(again["status"], "refunded");
    }

    async fn its_texts_have_bounds(app: TestApp) {
        let usual = json!({ "paymentId": payment_in(&app, "succeeded").await, "reference": "BACS 1" });
        let table = [
            ("reference", json!("")),
            ("reference", Value::Null),
            ("reference", json!("é".repeat(201))),
            ("reference", json!("a\tb")),
            ("reason", json!("")),
            ("reason", json!("é".repeat(501))),
            ("reason", json!("to card 4111 1111 1111 1111")),
            ("reason", json!("a\0b")),
            ("reason", json!("\n")),
            ("reason", json!("from \u{2066}left to right")),
        ];
        refused(app.admin(), METHOD, &usual, &table).await;
        let mut missing = usual.clone();
        missing.as_object_mut().unwrap().remove("reference");
        assert_eq!(app.admin().fails(METHOD, missing).await.data["path"], "reference");
        let mut full = usual;
        full["reference"] = json!("é".repeat(200));
        full["reason"] = json!("é\n".repeat(250));
        app.admin().ok(METHOD, full).await;
    }

    async fn no_personal_text_reaches_the_log(app: TestApp) {
        let id = payment_in(&app, "succeeded").await;
        app.admin().ok(METHOD, json!({ "paymentId": id, "reference": "REF-X", "reason": "WHY-X" })).await;
        let rows = app.agent().ok("payment.auditTrail", json!({ "paymentId": id })).await.to_string();
        assert!(!rows.contains("REF-X") && !rows.contains("WHY-X"), "{rows}");
    }
}

/// Whether a row is no transition.
fn is_note(step: &str) -> bool {
    step.split_once('>').is_some_and(|(from, to)| from == to)
}
