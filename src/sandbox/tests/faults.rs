//! Each fault, seen from the other side.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use super::{Bench, request};
use crate::sandbox::{Faults, Method};

async fn bench(faults: Faults) -> Bench {
    let bench = Bench::start().await;
    bench.sandbox.set_faults(faults);
    bench
}

#[tokio::test]
async fn duplicate() {
    let bench = bench(Faults { duplicate: 1.0, ..Faults::default() }).await;
    bench.sandbox.deliver("a", json!({}));
    let events = bench.events().await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0], events[1]);
}

#[tokio::test]
async fn reorder() {
    let bench = bench(Faults { reorder: 1.0, ..Faults::default() }).await;
    for event_type in ["a", "b"] {
        bench.sandbox.deliver(event_type, json!({}));
    }
    let types: Vec<Value> = bench.events().await.iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["b", "a"]);
    bench.sandbox.deliver("c", json!({}));
    assert_eq!(bench.events().await.len(), 3, "an event that nothing overtakes goes out in the end");
}

#[tokio::test]
async fn delay() {
    let bench = bench(Faults { delay: 1.0, delay_ms: (200, 250), ..Faults::default() }).await;
    let before = Instant::now();
    bench.sandbox.deliver("a", json!({}));
    assert_eq!(bench.events().await.len(), 1);
    assert!(before.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn loss() {
    let bench = bench(Faults { loss: 1.0, ..Faults::default() }).await;
    let id = bench.open().await;
    let intent_id = bench.sandbox.pay(&id, Method::Card).await.unwrap();
    assert!(bench.events().await.is_empty());
    let (_, intent) = bench.get(&format!("/v1/payment_intents/{intent_id}")).await;
    assert_eq!(intent["status"], "succeeded", "the money was taken all the same");
}

#[tokio::test]
async fn forged() {
    let bench = bench(Faults { forged: 1.0, ..Faults::default() }).await;
    let real = bench.sandbox.deliver("payment_intent.succeeded", json!({ "amount": 5 }));
    bench.sandbox.settled().await;
    let taken = bench.taken.lock().unwrap().clone();
    assert_eq!(taken.iter().map(|(genuine, _)| *genuine).collect::<Vec<_>>(), [false, true]);
    assert_ne!(taken[0].1["id"], json!(real));
    assert_eq!(taken[0].1["data"]["object"]["amount"], 1);
    assert_eq!(taken[1].1["data"]["object"]["amount"], 5);
    assert!(bench.sandbox.deliveries()[0].forged);
}

#[tokio::test]
async fn wrong_amount() {
    let bench = bench(Faults { wrong_amount: 1.0, ..Faults::default() }).await;
    let id = bench.open().await;
    let intent_id = bench.sandbox.pay(&id, Method::Card).await.unwrap();
    let told = bench.event("payment_intent.succeeded").await["data"]["object"]["amount"].clone();
    assert_ne!(told, 123_456);
    assert_eq!(bench.event("checkout.session.completed").await["data"]["object"]["amount_total"], told);
    assert_eq!(bench.get(&format!("/v1/payment_intents/{intent_id}")).await.1["amount"], told);
}

#[tokio::test]
async fn creates_that_are_refused_make_nothing() {
    for (faults, status) in [
        (Faults { fail_before: 1.0, ..Faults::default() }, 500),
        (Faults { reject: 1.0, ..Faults::default() }, 400),
        (Faults { status: Some(429), ..Faults::default() }, 429),
        (Faults { status: Some(302), ..Faults::default() }, 302),
    ] {
        let bench = bench(faults).await;
        let answer = bench.post(Some("k1"), &request()).await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers().contains_key("location"), status == 302);
        assert!(bench.sandbox.sessions().is_empty());
        bench.sandbox.set_faults(Faults::default());
        assert_eq!(bench.post(Some("k1"), &request()).await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn creates_that_go_unheard_make_the_session_all_the_same() {
    for faults in [
        Faults { fail_after: 1.0, ..Faults::default() },
        Faults { hang: 1.0, ..Faults::default() },
        Faults { drop_answer: 1.0, ..Faults::default() },
        Faults { broken_answer: 1.0, ..Faults::default() },
    ] {
        let bench = bench(faults.clone()).await;
        let impatient = Duration::from_millis(300);
        let body = request();
        let heard = async { bench.post(Some("k1"), &body).await?.error_for_status()?.json::<Value>().await };
        let heard = tokio::time::timeout(impatient, heard).await;
        assert_eq!(heard.is_err(), faults.hang > 0.0, "{faults:?}");
        assert!(!matches!(heard, Ok(Ok(_))), "{faults:?}");
        assert_eq!(bench.sandbox.sessions().len(), 1);

        bench.sandbox.set_faults(Faults::default());
        let again: Value = bench.post(Some("k1"), &body).await.unwrap().json().await.unwrap();
        assert_eq!(again["id"], bench.sandbox.sessions()[0].id, "the same key learns of the session");
        assert_eq!(bench.sandbox.sessions().len(), 1);
    }
}

#[tokio::test]
async fn reads_that_fail() {
    let bench = bench(Faults { read_status: Some(503), ..Faults::default() }).await;
    let id = bench.open().await;
    assert_eq!(bench.get(&format!("/v1/checkout/sessions/{id}")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(bench.get("/v1/payment_intents/pi_1").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn faults_over_http() {
    let bench = Bench::start().await;
    let put = |body: &'static str| bench.client.put(bench.url("/sandbox/faults")).body(body).send();
    assert_eq!(put(r#"{"loss":0.25}"#).await.unwrap().status(), StatusCode::OK);
    let loss = Faults { loss: 0.25, ..Faults::default() };
    assert_eq!(bench.sandbox.faults(), loss);
    assert_eq!(bench.get("/sandbox/faults").await.1, json!(loss));
    for wrong in [r#"{"loss":2}"#, r#"{"lost":1}"#, "{"] {
        assert_eq!(put(wrong).await.unwrap().status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(bench.sandbox.faults(), loss);
    put("").await.unwrap();
    assert_eq!(bench.sandbox.faults(), Faults::default());
}

#[tokio::test]
async fn one_seed_meets_the_same_faults_again() {
    let bench = Bench::start().await;
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        bench
            .client
            .put(bench.url("/sandbox/faults"))
            .body(format!(r#"{{"loss":0.5,"seed":{seed}}}"#))
            .send()
            .await
            .unwrap();
        let before = bench.events().await.len();
        for number in 0..64 {
            bench.sandbox.deliver("a", json!({ "number": number }));
        }
        let events = bench.events().await.split_off(before);
        let mut numbers: Vec<i64> =
            events.iter().map(|event| event["data"]["object"]["number"].as_i64().unwrap()).collect();
        numbers.sort();
        runs.push(numbers);
    }
    assert!((10..54).contains(&runs[0].len()), "some are lost: {runs:?}");
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}
