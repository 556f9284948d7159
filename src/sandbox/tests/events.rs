//! What a tenant does, and the events that tell of it.

use std::time::Duration;

use serde_json::json;

use super::Bench;
use crate::sandbox::{IntentStatus, Method, Refusal, SessionStatus};

#[tokio::test]
async fn paid_by_card() {
    let bench = Bench::start().await;
    let id = bench.open().await;
    let intent_id = bench.sandbox.pay(&id, Method::Card).await.unwrap();

    assert_eq!(bench.event_types().await, ["checkout.session.completed", "payment_intent.succeeded"]);
    let succeeded = bench.event("payment_intent.succeeded").await;
    assert!(succeeded["id"].as_str().unwrap().starts_with("evt_"));
    assert!(succeeded["created"].is_i64());
    let intent = &succeeded["data"]["object"];
    assert_eq!((&intent["id"], &intent["amount"]), (&json!(intent_id), &json!(123_456)));
    assert_eq!((&intent["status"], &intent["currency"]), (&json!("succeeded"), &json!("gbp")));
    assert_eq!(intent["metadata"], json!({ "ledger_id": "0191", "attempt": 1 }));
    let completed = bench.event("checkout.session.completed").await;
    let session = &completed["data"]["object"];
    assert_eq!((&session["id"], &session["payment_status"]), (&json!(id), &json!("paid")));
    assert_eq!((&session["payment_intent"], &session["amount_total"]), (&json!(intent_id), &json!(123_456)));
    assert_eq!(session["metadata"], intent["metadata"]);

    assert_eq!(bench.get(&format!("/v1/payment_intents/{intent_id}")).await.1, *intent);
    assert_eq!(bench.get(&format!("/v1/checkout/sessions/{id}")).await.1, *session);
    assert_eq!(bench.sandbox.pay(&id, Method::Card).await, Err(Refusal::NotOpen));
}

#[tokio::test]
async fn paid_by_bank() {
    let bench = Bench::start().await;
    let id = bench.open().await;
    let intent_id = bench.sandbox.pay(&id, Method::OpenBanking).await.unwrap();
    assert_eq!(bench.sandbox.intent(&intent_id).unwrap().status, IntentStatus::Processing);
    let session = bench.get(&format!("/v1/checkout/sessions/{id}")).await.1;
    assert_eq!((&session["status"], &session["payment_status"]), (&json!("complete"), &json!("unpaid")));
    assert_eq!(session["payment_intent"], json!(intent_id));

    let events = bench.events().await;
    assert_eq!(events[0]["type"], "payment_intent.processing");
    assert_eq!(events[0]["data"]["object"]["status"], "processing");
    assert_eq!(bench.event_types().await.len(), 3);
    assert_eq!(bench.sandbox.intent(&intent_id).unwrap().status, IntentStatus::Succeeded);
}

#[tokio::test]
async fn a_bank_that_does_not_pay() {
    let bench = Bench::start().await;
    let id = bench.open().await;
    let intent_id = bench.sandbox.start_bank_payment(&id).await.unwrap();
    assert_eq!(bench.event_types().await, ["payment_intent.processing"]);
    bench.sandbox.finish_bank_payment(&intent_id, false).await.unwrap();
    let failed = bench.event("payment_intent.payment_failed").await;
    assert_eq!(failed["data"]["object"]["last_payment_error"]["code"], "bank_payment_declined");
    assert_eq!(bench.sandbox.session(&id).unwrap().status, SessionStatus::Open);
    assert_eq!(bench.sandbox.finish_bank_payment(&intent_id, true).await, Err(Refusal::NotProcessing));
    bench.sandbox.pay(&id, Method::Card).await.unwrap();
}

#[tokio::test]
async fn declined_then_paid() {
    let bench = Bench::start().await;
    let id = bench.open().await;
    let declined = bench.sandbox.decline(&id).await.unwrap();
    let failed = bench.event("payment_intent.payment_failed").await;
    let object = &failed["data"]["object"];
    assert_eq!((&object["id"], &object["status"]), (&json!(declined), &json!("requires_payment_method")));
    assert_eq!(object["last_payment_error"]["code"], "card_declined");
    let session = bench.get(&format!("/v1/checkout/sessions/{id}")).await.1;
    assert_eq!((&session["status"], &session["payment_intent"]), (&json!("open"), &json!(null)));

    let paid = bench.sandbox.pay(&id, Method::Card).await.unwrap();
    assert_ne!(paid, declined);
    assert_eq!(bench.event("payment_intent.succeeded").await["data"]["object"]["id"], json!(paid));
}

#[tokio::test]
async fn expired() {
    let bench = Bench::start().await;
    let id = bench.open().await;
    bench.sandbox.expire(&id).await.unwrap();
    let event = bench.event("checkout.session.expired").await;
    assert_eq!(event["data"]["object"]["id"], json!(id));
    assert_eq!(bench.get(&format!("/v1/checkout/sessions/{id}")).await.1["status"], "expired");
    assert_eq!(bench.sandbox.pay(&id, Method::Card).await, Err(Refusal::NotOpen));
    assert_eq!(bench.sandbox.expire(&id).await, Err(Refusal::NotOpen));
    assert_eq!(bench.sandbox.expire("cs_none").await, Err(Refusal::Unknown));
}

#[tokio::test]
async fn time_expires_sessions_by_itself() {
    let bench = Bench::start().await;
    let id = bench.open().await;
    bench.sandbox.state().age(&id, 1_801);
    assert_eq!(bench.get(&format!("/v1/checkout/sessions/{id}")).await.1["status"], "expired");
    assert_eq!(bench.event_types().await, ["checkout.session.expired"]);

    let unread = bench.open().await;
    bench.sandbox.state().age(&unread, 1_801);
    tokio::time::timeout(Duration::from_secs(3), async {
        while bench.sandbox.session(&unread).unwrap().status == SessionStatus::Open {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn refunded_in_part_then_in_full() {
    let bench = Bench::start().await;
    let id = bench.open().await;
    let intent_id = bench.sandbox.pay(&id, Method::Card).await.unwrap();
    assert_eq!(bench.sandbox.refund(&intent_id, Some(123_457)).await, Err(Refusal::NotRefundable));
    assert_eq!(bench.sandbox.refund(&intent_id, Some(0)).await, Err(Refusal::NotRefundable));
    assert_eq!(bench.sandbox.refund(&intent_id, Some(1_000)).await, Ok(1_000));
    let refunded = bench.event("payment_intent.refunded").await;
    assert_eq!(refunded["data"]["object"]["amount_refunded"], 1_000);
    assert_eq!(bench.sandbox.refund(&intent_id, None).await, Ok(123_456));
    assert_eq!(bench.sandbox.refund(&intent_id, None).await, Err(Refusal::NotRefundable));
    let (_, intent) = bench.get(&format!("/v1/payment_intents/{intent_id}")).await;
    assert_eq!((&intent["status"], &intent["amount_refunded"]), (&json!("succeeded"), &json!(123_456)));
    let declined = bench.sandbox.decline(&bench.open().await).await.unwrap();
    assert_eq!(bench.sandbox.refund(&declined, None).await, Err(Refusal::NotRefundable));
}

#[tokio::test]
async fn only_what_the_session_allows() {
    let bench = Bench::start().await;
    let mut body = super::request();
    body["payment_method_types"] = json!(["open_banking"]);
    bench.post(None, &body).await.unwrap();
    let id = bench.sandbox.sessions()[0].id.clone();
    assert_eq!(bench.sandbox.pay(&id, Method::Card).await, Err(Refusal::MethodNotAllowed));
    bench.sandbox.pay(&id, Method::OpenBanking).await.unwrap();
}

#[tokio::test]
async fn retried_until_accepted_and_signed_afresh() {
    let bench = Bench::start().await;
    bench.answers.lock().unwrap().extend([503, 500]);
    let id = bench.sandbox.deliver("payment_intent.succeeded", json!({ "id": "pi_made_up" }));
    let events = bench.events().await;
    assert_eq!(events.len(), 3, "two refusals and one that was taken");
    assert!(events.iter().all(|event| *event == events[0] && event["id"] == json!(id)));
    let statuses: Vec<_> = bench.sandbox.deliveries().iter().map(|delivery| delivery.status).collect();
    assert_eq!(statuses, [Some(500), Some(503), Some(200)]);
}

#[tokio::test]
async fn dropped_after_the_last_try() {
    let bench = Bench::start().await;
    bench.answers.lock().unwrap().extend([500; 9]);
    bench.sandbox.deliver("payment_intent.succeeded", json!({}));
    assert_eq!(bench.events().await.len(), 3);
    bench.sandbox.set_webhook_url("http://127.0.0.1:1/nobody".to_owned());
    bench.sandbox.deliver("payment_intent.succeeded", json!({}));
    bench.sandbox.settled().await;
    assert_eq!(bench.sandbox.deliveries().last().unwrap().status, None);
}
