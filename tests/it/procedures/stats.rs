//! `payment.stats`: counts and totals of what is pending and of what came in.

use quittance::domain::Role;
use serde_json::json;

use super::{STATUSES, payment_in};
use crate::harness::on_both;

const METHOD: &str = "payment.stats";

on_both! {
    async fn an_agency_without_payments_has_zeros(app: TestApp) {
        let stranger = app.stranger(Role::Agent).await;
        stranger.create(5_000).await;
        let nothing = json!({ "count": 0, "totalPence": 0 });
        assert_eq!(app.agent().ok(METHOD, json!({})).await, json!({ "pending": nothing, "succeeded": nothing }));
    }

    async fn only_the_agencys_pending_and_succeeded_payments_count(app: TestApp) {
        let stranger = app.stranger(Role::Agent).await;
        stranger.create(5_000).await;
        for status in STATUSES {
            payment_in(&app, status).await;
        }
        app.agent().create(99_999_999).await;
        let by_hand = app.agent().create(1).await.id;
        app.agent().ok("payment.markPaymentManuallyPaid", json!({ "paymentId": by_hand })).await;
        let expected = json!({
            "pending": { "count": 2, "totalPence": 100_024_999 },
            "succeeded": { "count": 2, "totalPence": 25_001 },
        });
        assert_eq!(app.agent().ok(METHOD, json!({})).await.to_string(), expected.to_string());
    }

    async fn it_takes_no_input(app: TestApp) {
        let fault = app.agent().fails(METHOD, json!({ "tenancyId": "ten-1" })).await;
        assert_eq!((fault.kind(), &fault.data["path"]), ("INVALID_PARAMS", &json!("tenancyId")));
    }
}
