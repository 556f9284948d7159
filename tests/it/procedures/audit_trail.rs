//! `payment.auditTrail`: what happened, oldest first, of one payment or of the agency.

use quittance::domain::Role;
use serde_json::{Value, json};

use super::{all_pages, ids, keys, payment_in};
use crate::harness::on_both;

const METHOD: &str = "payment.auditTrail";

on_both! {
    async fn a_payments_trail_is_read_oldest_first_page_by_page(app: TestApp) {
        let id = payment_in(&app, "processing").await;
        payment_in(&app, "refunded").await;
        let object = json!({
            "id": "pi_1", "amount": 25_000, "currency": "gbp", "metadata": { "ledger_id": id, "attempt": 1 },
        });
        for event_type in ["payment_intent.payment_failed", "payment_intent.succeeded", "payment_intent.refunded"] {
            app.delivered(&crate::harness::Event::new(event_type, object.clone())).await;
        }
        let expected = [
            ("payment.created", Value::Null, "pending"),
            ("payment.processing", json!("pending"), "processing"),
            ("payment.failed", json!("processing"), "failed"),
            ("payment.succeeded", json!("failed"), "succeeded"),
            ("payment.refunded", json!("succeeded"), "refunded"),
        ];
        let whole = all_pages(app.agent(), METHOD, json!({ "paymentId": id }), 100).await;
        assert_eq!(whole.len(), expected.len());
        for (row, (action, from, to)) in whole.iter().zip(expected) {
            assert_eq!(row["action"], action);
            assert_eq!((&row["from"], &row["to"]), (&from, &json!(to)));
            assert_eq!((&row["resourceType"], &row["resourceId"]), (&json!("payment"), &json!(id)));
            let by_agent = action == "payment.created";
            assert_eq!(row["actor"], if by_agent { "Arthur Agent" } else { "calmony-pay" });
            assert_eq!(
                keys(row),
                ["id", "at", "actor", "action", "resourceType", "resourceId", "from", "to", "changes", "requestId"]
            );
        }
        for limit in [1, 2, 5] {
            let rows = all_pages(app.agent(), METHOD, json!({ "paymentId": id }), limit).await;
            assert_eq!(ids(&rows), ids(&whole), "in pages of {limit}");
        }
    }

    async fn the_agencys_trail_is_for_admins(app: TestApp) {
        for params in [json!({}), json!({ "paymentId": null }), json!({ "limit": 1 })] {
            let fault = app.agent().fails(METHOD, params.clone()).await;
            assert_eq!((fault.code, fault.kind()), (-32003, "FORBIDDEN"), "{fault:?}");
            assert_eq!(fault.data["required"], "admin");
            app.admin().ok(METHOD, params).await;
        }
    }

    async fn the_agencys_trail_holds_every_row_of_the_agency_and_no_other(app: TestApp) {
        let stranger = app.stranger(Role::Admin).await;
        stranger.create(100).await;
        stranger.ok("payment.updateCardLimit", json!({ "maxCardPaymentPence": 7 })).await;
        let mut expected = vec![];
        for status in ["pending", "succeeded", "cancelled"] {
            let id = payment_in(&app, status).await;
            expected.extend(ids(&all_pages(app.agent(), METHOD, json!({ "paymentId": id }), 100).await));
        }
        app.admin().ok("payment.updateCardLimit", json!({ "maxCardPaymentPence": 1 })).await;
        let rows = all_pages(app.admin(), METHOD, json!({}), 2).await;
        assert_eq!(ids(&rows)[..5], expected);
        assert_eq!(rows.len(), 6);
        assert_eq!(rows[5]["resourceId"], app.agency_id.to_string());
        let theirs = all_pages(&stranger, METHOD, json!({}), 2).await;
        assert_eq!(theirs.len(), 2);
    }

    async fn changes_hold_ids_and_pence_and_no_personal_text(app: TestApp) {
        let fields = json!({ "tenancyId": "ten-1", "description": "For Mrs Miggins", "amountPence": 300_000 });
        let id = app.agent().create_with(fields).await.id;
        let rows = all_pages(app.agent(), METHOD, json!({ "paymentId": id }), 100).await;
        let changes = &rows[0]["changes"];
        assert_eq!(changes["amountPence"], 300_000);
        assert_eq!(changes["methodForced"], true);
        assert_eq!(changes["limitAppliedPence"], 200_000);
        assert_eq!(changes["tenancyId"], "ten-1");
        assert!(!rows[0].to_string().contains("Miggins"));
    }
}
