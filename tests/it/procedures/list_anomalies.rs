//! `payment.listAnomalies`: what is strange, newest first.

use quittance::domain::Role;
use serde_json::{Value, json};

use super::{all_pages, ids, keys, payment_in, refused};
use crate::harness::{Event, on_both};

const METHOD: &str = "payment.listAnomalies";

on_both! {
    async fn anomalies_are_listed_newest_first_page_by_page(app: TestApp) {
        let id = payment_in(&app, "succeeded").await;
        for n in 1..=5 {
            app.delivered(&Event::succeeded(&format!("pi_{n}"), &id, 25_000 + n)).await;
        }
        let whole = all_pages(app.admin(), METHOD, json!({}), 100).await;
        assert_eq!(whole.len(), 5);
        for (row, n) in whole.iter().zip([5, 4, 3, 2, 1]) {
            assert_eq!(
                keys(row),
                ["id", "paymentId", "kind", "detail", "status", "resolution", "note", "createdAt", "resolvedAt",
                    "resolvedBy"]
            );
            assert_eq!((&row["kind"], &row["paymentId"]), (&json!("amount_mismatch"), &json!(id)));
            let detail = row["detail"].as_str().unwrap();
            assert!(detail.contains(&format!("pi_{n}")) && detail.contains(&format!("{}", 25_000 + n)), "{detail}");
            assert_eq!(row["status"], "open");
            for field in ["resolution", "note", "resolvedAt", "resolvedBy"] {
                assert_eq!(row[field], Value::Null, "{field}");
            }
        }
        for limit in [1, 2, 5] {
            assert_eq!(ids(&all_pages(app.admin(), METHOD, json!({}), limit).await), ids(&whole));
        }
        assert_eq!(app.payment(&id).await["openAnomalies"], 5);
    }

    async fn filters_narrow_together(app: TestApp) {
        let (one, two) = (payment_in(&app, "succeeded").await, payment_in(&app, "cancelled").await);
        for id in [&one, &two] {
            app.delivered(&Event::succeeded(&format!("pi_{id}"), id, 25_000)).await;
        }
        let quiet = payment_in(&app, "pending").await;
        let table = [
            (json!({ "paymentId": null, "status": null }), 2),
            (json!({ "status": "open" }), 2),
            (json!({ "status": "resolved" }), 0),
            (json!({ "paymentId": two }), 1),
            (json!({ "paymentId": quiet }), 0),
            (json!({ "paymentId": one, "status": "resolved" }), 0),
        ];
        for (filter, count) in table {
            assert_eq!(all_pages(app.admin(), METHOD, filter.clone(), 1).await.len(), count, "{filter}");
        }
        assert_eq!(app.anomalies(&two).await, ["paid_after_cancelled"]);
        let table = [("status", json!("closed")), ("limit", json!(0)), ("paymentId", json!(1))];
        refused(app.admin(), METHOD, &json!({}), &table).await;
    }

    async fn another_agencys_anomalies_stay_out_of_sight(app: TestApp) {
        let id = payment_in(&app, "cancelled").await;
        app.delivered(&Event::succeeded("pi_1", &id, 25_000)).await;
        let stranger = app.stranger(Role::Admin).await;
        assert_eq!(stranger.ok(METHOD, json!({})).await, json!({ "items": [], "nextCursor": null }));
        let fault = stranger.fails(METHOD, json!({ "paymentId": id })).await;
        assert_eq!(fault.kind(), "NOT_FOUND");
    }
}
