//! Cursors: each list takes back its own and nobody else's.

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
}
