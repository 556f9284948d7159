//! Many callers at once: one of them changes the row, and the others see that it has changed.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{all_pages, payment_in};
use crate::harness::{Event, create_params, on_both};

on_both! {
    async fn a_repeated_mutation_writes_one_audit_row(app: TestApp) {
        let (cancelled, paid, refunded) = (
            payment_in(&app, "pending").await,
            payment_in(&app, "failed").await,
            payment_in(&app, "succeeded").await,
        );
        for (method, id, fields) in [
            ("payment.cancelPayment", &cancelled, json!({})),
            ("payment.markPaymentManuallyPaid", &paid, json!({ "manualPaymentReference": "BACS 1" })),
            ("payment.markPaymentRefunded", &refunded, json!({ "reference": "BACS 2" })),
        ] {
            let before = app.trail(id).await.len();
            let mut params = fields;
            params["paymentId"] = json!(id);
            let answers = join_all((0..12).map(|_| app.admin().ok(method, params.clone()))).await;
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{method}");
            assert_eq!(app.trail(id).await.len(), before + 1, "{method}");
        }
    }

    async fn of_cancelling_and_marking_paid_one_wins(app: TestApp) {
        for _ in 0..8 {
            let id = payment_in(&app, "pending").await;
            let params = json!({ "paymentId": id });
            let (cancelled, paid) = tokio::join!(
                app.agent().call("payment.cancelPayment", params.clone()),
                app.admin().call("payment.markPaymentManuallyPaid", params.clone()),
            );
            let status = app.payment(&id).await["status"].clone();
            let loser = match status.as_str() {
                Some("cancelled") => paid.and(cancelled),
                _ => cancelled.and(paid),
            };
            let fault = loser.unwrap_err();
            assert_eq!((fault.kind(), &fault.data["from"]), ("INVALID_TRANSITION", &status));
            assert_eq!(app.trail(&id).await.len(), 2);
        }
    }

    async fn cancelling_and_being_paid_end_in_one_place_whichever_is_first(app: TestApp) {
        for n in 0..8 {
            let id = payment_in(&app, "pending").await;
            let paid = Event::succeeded(&format!("pi_{n}"), &id, 25_000);
            let (cancelled, ()) = tokio::join!(
                app.agent().call("payment.cancelPayment", json!({ "paymentId": id })),
                app.delivered(&paid),
            );
            assert_eq!(app.payment(&id).await["status"], "succeeded");
            let (kinds, rows) = (app.anomalies(&id).await, app.trail(&id).await.len());
            match cancelled {
                Ok(_) => assert_eq!((kinds, rows), (vec!["paid_after_cancelled".to_owned()], 4)),
                Err(fault) => {
                    assert_eq!(fault.kind(), "INVALID_TRANSITION");
                    assert_eq!((kinds, rows), (vec![], 2));
                }
            }
        }
    }

    async fn one_host_id_makes_one_row(app: TestApp) {
        for (create, list) in [("todo.create", "todo.list"), ("customPaymentTask.create", "customPaymentTask.list")] {
            let same = json!({ "id": "row-1", "title": "Same" });
            let answers = join_all((0..12).map(|_| app.agent().ok(create, same.clone()))).await;
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{create}");
            let call = |n: u8| app.agent().call(create, json!({ "id": "row-2", "title": format!("title {n}") }));
            let answers = join_all((0..12).map(call)).await;
            assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{create}");
            for fault in answers.into_iter().filter_map(Result::err) {
                assert_eq!(fault.kind(), "IDEMPOTENCY_MISMATCH");
            }
            assert_eq!(all_pages(app.agent(), list, json!({}), 1).await.len(), 2);
        }
    }

    async fn each_change_of_the_card_limit_is_audited_from_what_it_found(app: TestApp) {
        let set = |pence: u32| app.admin().ok("payment.updateCardLimit", json!({ "maxCardPaymentPence": pence }));
        join_all((1..=12).map(set)).await;
        let rows = all_pages(app.admin(), "payment.auditTrail", json!({}), 100).await;
        assert_eq!(rows.len(), 12);
        let mut limit = json!(200_000);
        let mut changes: Vec<Value> = rows.iter().map(|row| row["changes"]["maxCardPaymentPence"].clone()).collect();
        while let Some(next) = changes.iter().position(|change| change["from"] == limit) {
            limit = changes.swap_remove(next)["to"].clone();
        }
        assert_eq!(changes, Vec::<Value>::new(), "the changes form a chain");
        let last = app.admin().ok("payment.getCardLimit", json!({})).await;
        assert_eq!(last["maxCardPaymentPence"], limit);
    }

    async fn eight_creates_of_one_batch_wait_for_the_provider_together(app: TestApp) {
        let batch: Vec<Value> = (1..=8)
            .map(|n| {
                let params = create_params(json!({ "amountPence": n }));
                json!({ "jsonrpc": "2.0", "id": n, "method": "payment.createPaymentTask", "params": params })
            })
            .collect();
        let paused = app.calmony().pause_creates();
        let all_asked = async {
            while app.calmony().sessions().len() < 8 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            drop(paused);
        };
        let batch = json!(batch);
        // While the provider answers none of them, it is asked for all.
        let (answers, ()) = tokio::join!(app.agent().post(&batch), all_asked);
        let answers: Vec<Value> = answers.json().await.unwrap();
        for (n, answer) in (1..).zip(&answers) {
            assert_eq!(answer["id"], n);
            let id = answer["result"]["ledgerEntryId"].as_str().unwrap();
            assert_eq!(app.payment(id).await["amountPence"], n, "answers stand in the order of the calls");
        }
        assert_eq!(answers.len(), 8);
    }
}
