//! Cursors: each list takes back its own and nobody else's.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{payment_in, refused};
use crate::harness::{Event, on_both};

on_both! {
    async fn a_cursor_that_is_not_of_this_list_is_refused(app: TestApp) {
        let id = payment_in(&app, "succeeded").await;
        for intent in ["pi_2", "pi_3"] {
            app.delivered(&Event::succeeded(intent, &id, 25_000)).await;
        }
        payment_in(&app, "pending").await;
        for n in [1, 2] {
            // Eight characters, so that these cursors are as long as those made of an id of ours.
            let id = format!("host-00{n}");
            app.agent().ok("todo.create", json!({ "id": id, "title": "Collect" })).await;
            app.agent().ok("customPaymentTask.create", json!({ "id": id, "title": "Keys" })).await;
        }
        let lists = [
            ("payment.list", json!({})),
            ("payment.listAnomalies", json!({})),
            ("payment.auditTrail", json!({})),
            ("payment.auditTrail", json!({ "paymentId": id })),
            ("todo.list", json!({})),
            ("customPaymentTask.list", json!({})),
        ];
        let mut cursors = Vec::new();
        for (method, params) in &lists {
            let mut params = params.clone();
            params["limit"] = json!(1);
            let cursor = app.admin().ok(method, params).await["nextCursor"].clone();
            assert!(cursor.is_string(), "{method}");
            cursors.push(cursor);
        }
        for (number, (method, params)) in lists.iter().enumerate() {
            for (other, cursor) in cursors.iter().enumerate() {
                let mut params = params.clone();
                params["cursor"] = cursor.clone();
                if other == number {
                    app.admin().ok(method, params).await;
                } else {
                    let fault = app.admin().fails(method, params).await;
                    assert_eq!((fault.kind(), &fault.data["path"]), ("INVALID_PARAMS", &json!("cursor")));
                }
            }
            let broken = ["", "x", "!", "AAAA", "' or 1=1", &"A".repeat(22), &"A".repeat(23), &"A".repeat(1_000)]
                .map(|text| ("cursor", json!(text)));
            refused(app.admin(), method, params, &broken).await;
            let own = cursors[number].as_str().unwrap();
            let bent = [json!(format!("{own}=")), json!(&own[1..]), json!(1), Value::Bool(true)];
            refused(app.admin(), method, params, &bent.map(|value| ("cursor", value))).await;
        }
    }

    // Opaque is not secret: whoever takes a cursor apart may put in what they like, and learns nothing from it.
    async fn a_cursor_bent_by_hand_is_never_a_fault_of_ours(app: TestApp) {
        for method in ["todo.list", "customPaymentTask.list"] {
            for n in [1, 2] {
                let create = method.replace("list", "create");
                app.agent().ok(&create, json!({ "id": format!("row-{n}"), "title": "x" })).await;
            }
            let cursor = app.agent().ok(method, json!({ "limit": 1 })).await["nextCursor"].clone();
            let bytes = URL_SAFE_NO_PAD.decode(cursor.as_str().unwrap()).unwrap();
            let tail = bytes.len() - 8 - "row-2".len();
            for millis in [i64::MIN, -8_000_000_000_000_000, -1, 0, 8_000_000_000_000_000, i64::MAX] {
                let mut bent = bytes.clone();
                bent[tail..tail + 8].copy_from_slice(&millis.to_be_bytes());
                let params = json!({ "cursor": URL_SAFE_NO_PAD.encode(bent) });
                if let Err(fault) = app.agent().call(method, params).await {
                    assert_eq!((fault.kind(), &fault.data["path"]), ("INVALID_PARAMS", &json!("cursor")), "{millis}");
                }
            }
        }
        let id = payment_in(&app, "succeeded").await;
        let trail = json!({ "paymentId": id, "limit": 1 });
        let cursor = app.agent().ok("payment.auditTrail", trail.clone()).await["nextCursor"].clone();
        let bytes = URL_SAFE_NO_PAD.decode(cursor.as_str().unwrap()).unwrap();
        for number in [i64::MIN, -1, i64::MAX] {
            let mut bent = bytes.clone();
            let tail = bent.len() - 8;
            bent[tail..].copy_from_slice(&number.to_be_bytes());
            let mut params = trail.clone();
            params["cursor"] = json!(URL_SAFE_NO_PAD.encode(bent));
            app.agent().ok("payment.auditTrail", params).await;
        }
    }
}
