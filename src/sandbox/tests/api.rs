//! The provider's API: making and reading sessions, keys, refusals. Events are next door.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Bench, KEY, request};
use crate::sandbox::{Method, SessionStatus};

#[tokio::test]
async fn a_session_is_made_and_read() {
    let bench = Bench::start().await;
    let made: Value = bench.post(Some("k1"), &request()).await.unwrap().json().await.unwrap();
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("cs_"));
    assert_eq!(made["url"], bench.url(&format!("/checkout/{id}")));
    for (field, expected) in [
        ("object", json!("checkout.session")),
        ("status", json!("open")),
        ("payment_status", json!("unpaid")),
        ("payment_intent", Value::Null),
        ("amount_total", json!(123_456)),
        ("currency", json!("gbp")),
        ("metadata", json!({ "ledger_id": "0191", "attempt": 1 })),
    ] {
        assert_eq!(made[field], expected, "{field}");
    }
    assert_eq!(made["expires_at"].as_i64().unwrap() - made["created"].as_i64().unwrap(), 1_800);
    assert_eq!(bench.get(&format!("/v1/checkout/sessions/{id}")).await, (StatusCode::OK, made.clone()));

    let session = bench.sandbox.session(id).unwrap();
    assert_eq!(session.status, SessionStatus::Open);
    assert_eq!(session.payment_method_types, [Method::Card, Method::OpenBanking]);
    let asked = &bench.sandbox.requests()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/v1/checkout/sessions"));
    assert_eq!((asked.idempotency_key.as_deref(), asked.authorized), (Some("k1"), true));
    assert_eq!(asked.body, Some(request()));
}

#[tokio::test]
async fn a_key_makes_one_session_and_repeats_its_answer() {
    let bench = Bench::start().await;
    let first: Value = bench.post(Some("k1"), &request()).await.unwrap().json().await.unwrap();
    bench.sandbox.pay(first["id"].as_str().unwrap(), Method::Card).await.unwrap();
    let again = bench.post(Some("k1"), &request()).await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(again.json::<Value>().await.unwrap(), first, "as it was, not as it is");

    let mut other = request();
    other["line_items"][0]["quantity"] = json!(2);
    let conflict = bench.post(Some("k1"), &other).await.unwrap();
    assert_eq!(conflict.status(), StatusCode::CONFLICT);
    assert_eq!(conflict.json::<Value>().await.unwrap()["error"]["type"], "idempotency_error");
    assert_eq!(bench.sandbox.sessions().len(), 1);

    assert_eq!(bench.post(Some(""), &request()).await.unwrap().status(), StatusCode::BAD_REQUEST);
    bench.post(Some("k2"), &request()).await.unwrap();
    assert_eq!(bench.sandbox.sessions().len(), 2);
}

#[tokio::test]
async fn concurrent_calls_with_one_key_make_one_session() {
    let bench = Bench::start().await;
    let body = request();
    let calls = (0..16).map(|_| async { bench.post(Some("k1"), &body).await.unwrap().text().await.unwrap() });
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(bench.sandbox.sessions().len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_told_in_the_envelope() {
    let bench = Bench::start().await;
    let mut flat = request();
    flat["line_items"] = json!([{ "amount": 1, "currency": "gbp", "description": "flat" }]);
    let refused = bench.post(None, &flat).await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let envelope: Value = refused.json().await.unwrap();
    assert_eq!(envelope["error"]["code"], "validation_error");
    assert_eq!(envelope["error"]["param"], "line_items.0.price_data.currency");

    let url = bench.url("/v1/checkout/sessions");
    for key in [None, Some("Bearer wrong"), Some(KEY)] {
        let request = bench.client.post(&url).json(&request());
        let request = if let Some(key) = key { request.header("authorization", key) } else { request };
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{key:?}");
        assert_eq!(refused.json::<Value>().await.unwrap()["error"]["type"], "authentication_error");
    }
    assert!(bench.sandbox.requests().iter().skip(1).all(|request| !request.authorized));

    for path in ["/v1/checkout/sessions/cs_none", "/v1/payment_intents/pi_none", "/v1/refunds", "/v1"] {
        let (status, envelope) = bench.get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(envelope["error"]["code"], "resource_missing");
    }
    let text = |body: String| bench.client.post(&url).bearer_auth(KEY).body(body).send();
    assert_eq!(text("{".to_owned()).await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(text(" ".repeat(64 * 1024)).await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(text(" ".repeat(64 * 1024 + 1)).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(bench.sandbox.sessions().is_empty());
}

#[tokio::test]
async fn a_paused_create_is_answered_after_the_webhook() {
    let bench = Bench::start().await;
    let paused = bench.sandbox.pause_creates();
    let body = request();
    let call = async { bench.post(None, &body).await.unwrap().json::<Value>().await.unwrap() };
    let tenant = async {
        while bench.sandbox.sessions().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let id = bench.sandbox.sessions()[0].id.clone();
        bench.sandbox.pay(&id, Method::Card).await.unwrap();
        assert_eq!(bench.event_types().await.len(), 2);
        drop(paused);
        id
    };
    let (answer, id) = tokio::join!(call, tenant);
    assert_eq!(answer["id"], id);
    assert_eq!(answer["status"], "open", "the answer was made before it was paid");
}

#[tokio::test]
async fn shutting_down_ends_everything_at_once() {
    let bench = Bench::start().await;
    let _paused = bench.sandbox.pause_creates();
    let body = request();
    let call = bench.post(None, &body);
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        bench.shutdown.cancel();
    };
    let (answer, ()) =
        tokio::time::timeout(Duration::from_secs(1), async { tokio::join!(call, stop) }).await.unwrap();
    assert!(answer.is_err());
    assert!(bench.post(None, &request()).await.is_err());
}
