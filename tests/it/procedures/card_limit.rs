//! `payment.getCardLimit`, `payment.updateCardLimit`, and what the limit does to a new payment.

use quittance::domain::Role;
use serde_json::{Value, json};

use super::{all_pages, refused};
use crate::harness::{TestApp, on_both};

/// How a payment of so many pence is to be made: method, and whether the limit forced it.
async fn method_of(app: &TestApp, pence: i64, asked: Value) -> (String, bool) {
    let created = app.agent().create_with(json!({ "amountPence": pence, "method": asked })).await;
    let payment = app.payment(&created.id).await;
    let session = app.calmony().session(created.session_id()).unwrap();
    let types = serde_json::to_value(session.payment_method_types).unwrap();
    assert_eq!(types, json!([payment["method"]]), "Calmony Pay is asked for the method decided");
    (payment["method"].as_str().unwrap().to_owned(), payment["methodForced"].as_bool().unwrap())
}

async fn set(app: &TestApp, limit: Value) {
    let params = json!({ "maxCardPaymentPence": limit });
    assert_eq!(app.admin().ok("payment.updateCardLimit", params.clone()).await, params);
    assert_eq!(app.admin().ok("payment.getCardLimit", json!({})).await, params);
}

on_both! {
    async fn an_amount_above_the_limit_is_forced_to_pay_by_bank(app: TestApp) {
        let limit = app.admin().ok("payment.getCardLimit", json!({})).await;
        assert_eq!(limit, json!({ "maxCardPaymentPence": 200_000 }));
        let (card, bank, forced) =
            (("card".to_owned(), false), ("open_banking".to_owned(), false), ("open_banking".to_owned(), true));
        for asked in [Value::Null, json!("card")] {
            assert_eq!(method_of(&app, 199_999, asked.clone()).await, card);
            assert_eq!(method_of(&app, 200_000, asked.clone()).await, card);
            assert_eq!(method_of(&app, 200_001, asked).await, forced);
        }
        assert_eq!(method_of(&app, 1, json!("open_banking")).await, bank);
        assert_eq!(method_of(&app, 200_001, json!("open_banking")).await, bank);

        set(&app, Value::Null).await;
        assert_eq!(method_of(&app, 99_999_999, Value::Null).await, card);
        set(&app, json!(0)).await;
        assert_eq!(method_of(&app, 1, json!("card")).await, forced);
        assert_eq!(method_of(&app, 1, json!("open_banking")).await, bank);
        set(&app, json!(99_999_999)).await;
        assert_eq!(method_of(&app, 99_999_999, Value::Null).await, card);
    }

    async fn payments_that_exist_keep_their_method(app: TestApp) {
        let created = app.agent().create(150_000).await;
        set(&app, json!(100)).await;
        let payment = app.payment(&created.id).await;
        assert_eq!((&payment["method"], &payment["methodForced"]), (&json!("card"), &json!(false)));
    }

    async fn the_limit_must_be_named_and_in_bounds(app: TestApp) {
        for nothing in [json!({}), json!([]), json!(null)] {
            let fault = app.admin().fails("payment.updateCardLimit", nothing).await;
            assert_eq!((fault.kind(), &fault.data["path"]), ("INVALID_PARAMS", &json!("maxCardPaymentPence")));
        }
        let table = [json!(-1), json!(100_000_000), json!(1.0), json!("100"), json!(false), json!([])];
        let table = table.map(|value| ("maxCardPaymentPence", value));
        refused(app.admin(), "payment.updateCardLimit", &json!({}), &table).await;
        let fault = app.admin().fails("payment.getCardLimit", json!({ "agencyId": "x" })).await;
        assert_eq!(fault.data["path"], "agencyId");
        let limit = app.admin().ok("payment.getCardLimit", json!({})).await;
        assert_eq!(limit["maxCardPaymentPence"], 200_000);
    }

    async fn a_change_is_audited_once_and_no_change_is_not(app: TestApp) {
        for limit in [json!(200_000), json!(5), json!(5), Value::Null, Value::Null] {
            set(&app, limit).await;
        }
        let rows = all_pages(app.admin(), "payment.auditTrail", json!({}), 100).await;
        assert_eq!(rows.len(), 2);
        let from_to = |row: &Value| row["changes"]["maxCardPaymentPence"].clone();
        assert_eq!(from_to(&rows[0]), json!({ "from": 200_000, "to": 5 }));
        assert_eq!(from_to(&rows[1]), json!({ "from": 5, "to": null }));
        for row in rows {
            assert_eq!(row["action"], "payment.card_limit_updated");
            assert_eq!(row["resourceId"], app.agency_id.to_string());
            assert_eq!(row["actor"], "Ada Admin");
            assert_eq!((&row["from"], &row["to"]), (&Value::Null, &Value::Null));
        }
    }

    async fn each_agency_has_its_own_limit(app: TestApp) {
        let stranger = app.stranger(Role::Admin).await;
        stranger.ok("payment.updateCardLimit", json!({ "maxCardPaymentPence": 1 })).await;
        assert_eq!(method_of(&app, 200_000, Value::Null).await.0, "card");
        let limit = app.admin().ok("payment.getCardLimit", json!({})).await;
        assert_eq!(limit["maxCardPaymentPence"], 200_000);
    }
}
