//! `payment.list`: the agency's payments, newest first, page by page.

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use quittance::domain::Role;
use serde_json::{Value, json};

use super::{STATUSES, all_pages, ids, payment_in, payment_with, refused};
use crate::harness::{TestApp, on_both};

const METHOD: &str = "payment.list";

/// Makes so many payments, several at once; their ids, newest first.
async fn make(app: &TestApp, count: usize) -> Vec<String> {
    let calls = stream::iter(0..count).map(async |_| Ok::<_, ()>(app.agent().create(100).await.id));
    let mut made: Vec<String> = calls.buffer_unordered(16).try_collect().await.unwrap();
    made.sort();
    made.reverse();
    made
}

on_both! {
    async fn pages_have_no_gaps_and_no_repeats_while_rows_are_added(app: TestApp) {
        app.stranger(Role::Agent).await.create(100).await;
        let made = make(&app, 250).await;
        assert_eq!(ids(&all_pages(app.agent(), METHOD, json!({}), 100).await), made);

        let (mut seen, mut cursor) = (Vec::new(), Value::Null);
        for expected in [100, 100, 50] {
            let page = app.agent().ok(METHOD, json!({ "limit": 100, "cursor": cursor })).await;
            seen.extend(ids(page["items"].as_array().unwrap()));
            assert_eq!(page["items"].as_array().unwrap().len(), expected);
            cursor = page["nextCursor"].clone();
            app.agent().create(100).await;
        }
        assert_eq!(seen, made);
        assert_eq!(cursor, Value::Null);
    }

    async fn newest_come_first(app: TestApp) {
        let mut made = Vec::new();
        for _ in 0..5 {
            made.insert(0, app.agent().create(100).await.id);
        }
        let page = app.agent().ok(METHOD, json!({})).await;
        assert_eq!(ids(page["items"].as_array().unwrap()), made);
        assert_eq!(page["nextCursor"], Value::Null);
        let times: Vec<_> = page["items"].as_array().unwrap().iter().map(|row| row["createdAt"].as_str()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    }

    async fn filters_narrow_together(app: TestApp) {
        for status in STATUSES {
            for (tenancy, payment_type) in [("ten-1", "custom"), ("ten-2", "custom"), ("ten-2", "renewal_fee")] {
                payment_with(&app, json!({ "tenancyId": tenancy, "paymentType": payment_type }), status).await;
            }
        }
        let table = [
            (json!({}), 18),
            (json!({ "tenancyId": null, "status": null, "paymentType": null }), 18),
            (json!({ "tenancyId": "ten-1" }), 6),
            (json!({ "tenancyId": "ten-2" }), 12),
            (json!({ "tenancyId": "ten-" }), 0),
            (json!({ "tenancyId": "TEN-1" }), 0),
            (json!({ "paymentType": "custom" }), 12),
            (json!({ "paymentType": "holding_deposit" }), 0),
            (json!({ "tenancyId": "ten-2", "paymentType": "custom" }), 6),
            (json!({ "status": "refunded" }), 3),
            (json!({ "status": "failed", "tenancyId": "ten-2", "paymentType": "renewal_fee" }), 1),
        ];
        for (filter, count) in table {
            let rows = all_pages(app.agent(), METHOD, filter.clone(), 2).await;
            assert_eq!(rows.len(), count, "{filter}");
            for (field, value) in filter.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()) {
                assert!(rows.iter().all(|row| row[field] == *value), "{filter}");
            }
        }
    }

    async fn the_limit_is_1_to_100_and_20_unless_said(app: TestApp) {
        make(&app, 21).await;
        let count = async |params| {
            app.agent().ok(METHOD, params).await["items"].as_array().unwrap().len()
        };
        assert_eq!(count(json!({})).await, 20);
        assert_eq!(count(json!({ "limit": null })).await, 20);
        assert_eq!(count(json!({ "limit": 1 })).await, 1);
        assert_eq!(count(json!({ "limit": 21 })).await, 21);
        assert_eq!(count(json!({ "limit": 100 })).await, 21);
        let page = app.agent().ok(METHOD, json!({ "limit": 21 })).await;
        assert_eq!(page["nextCursor"], Value::Null, "a full last page is the last");
    }

    async fn filters_out_of_bounds_are_refused_by_name(app: TestApp) {
        let table = [
            ("limit", json!(0)),
            ("limit", json!(101)),
            ("limit", json!(-1)),
            ("limit", json!(1.0)),
            ("limit", json!("20")),
            ("status", json!("paid")),
            ("status", json!("")),
            ("paymentType", json!("rent")),
            ("tenancyId", json!("a b")),
            ("tenancyId", json!("")),
        ];
        refused(app.agent(), METHOD, &json!({}), &table).await;
    }

    async fn another_agency_sees_nothing(app: TestApp) {
        payment_in(&app, "pending").await;
        let stranger = app.stranger(Role::Admin).await;
        assert_eq!(stranger.ok(METHOD, json!({})).await, json!({ "items": [], "nextCursor": null }));
    }

    async fn four_full_pages_of_the_longest_texts_fit_into_one_batch(app: TestApp) {
        // Four bytes a character.
        let description = "😀".repeat(500);
        let fields = json!({ "description": description, "tenancyId": "t".repeat(64), "idempotencyKey": null });
        for _ in 0..5 {
            join_all((0..20).map(|_| app.agent().create_with(fields.clone()))).await;
        }
        let entry = |id| json!({ "jsonrpc": "2.0", "id": id, "method": METHOD, "params": { "limit": 100 } });
        let answers: Vec<Value> = app.agent().post(&json!([entry(1), entry(2), entry(3), entry(4)])).await.json().await.unwrap();
        for answer in &answers {
            assert_eq!(answer["result"]["items"].as_array().map(Vec::len), Some(100), "{}", answer["error"]);
        }
        assert_eq!(answers.len(), 4);
    }
}
