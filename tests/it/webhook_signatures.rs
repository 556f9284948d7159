//! `Calmony-Signature` over the wire: what is believed, and that every fault gets one and the same answer.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;

use crate::harness::{Event, TestApp, WEBHOOK_SECRET, on_both};

/// The other secret in force while one replaces the other.
const OLDER_SECRET: &str = "whsec_an_older_secret_still_valid";

/// The signature as the provider's documentation defines it, written without the server's code.
fn v1(secret: &str, t: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(format!("{t}.").as_bytes());
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn signed(secret: &str, t: impl ToString, body: &[u8]) -> String {
    let t = t.to_string();
    format!("t={t},v1={}", v1(secret, &t, body))
}

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

async fn send(app: &TestApp, body: &str, lines: &[String]) -> reqwest::Response {
    let mut request = app.http.post(&app.webhook_url).body(body.to_owned());
    for line in lines {
        request = request.header("calmony-signature", line);
    }
    request.send().await.expect("an answer")
}

/// An event that would pay a payment, so that a wrongly believed one is seen.
fn body() -> (Event, String) {
    let event = Event::new("payment_intent.succeeded", json!({ "id": "pi_unknown" }));
    let body = event.0.to_string();
    (event, body)
}

on_both! {
    async fn genuine_signatures_are_believed(app: TestApp) {
        let forged = "0".repeat(64);
        type Line = Box<dyn Fn(&str) -> String>;
        let usual = |body: &str| signed(WEBHOOK_SECRET, now_ms(), body.as_bytes());
        let usual_v1 = |t: i64, body: &str| v1(WEBHOOK_SECRET, &t.to_string(), body.as_bytes());
        let table: Vec<(&str, Line)> = vec![
            ("as documented", Box::new(usual)),
            ("the second secret", Box::new(|b| signed(OLDER_SECRET, now_ms(), b.as_bytes()))),
            ("seconds", Box::new(|b| signed(WEBHOOK_SECRET, now_ms() / 1_000, b.as_bytes()))),
            ("just young enough", Box::new(|b| signed(WEBHOOK_SECRET, now_ms() - 295_000, b.as_bytes()))),
            ("a clock ahead", Box::new(|b| signed(WEBHOOK_SECRET, now_ms() + 295_000, b.as_bytes()))),
            ("order free", Box::new(move |b| { let t = now_ms(); format!("v1={},t={t}", usual_v1(t, b)) })),
            ("spaces", Box::new(move |b| { let t = now_ms(); format!(" t={t} , v1={} ", usual_v1(t, b)) })),
            ("capitals", Box::new(move |b| {
                let t = now_ms();
                format!("t={t},v1={}", usual_v1(t, b).to_ascii_uppercase())
            })),
            ("several, the last matches", Box::new({
                let forged = forged.clone();
                move |b| { let t = now_ms(); format!("t={t},v1={forged},v1=short,v1={}", usual_v1(t, b)) }
            })),
            ("several, the first matches", Box::new(move |b| {
                let t = now_ms();
                format!("t={t},v1={},v1={forged}", usual_v1(t, b))
            })),
            ("unknown parts", Box::new(move |b| format!("v0=x,{},v2=y,nonsense", usual(b)))),
        ];
        for (name, line) in table {
            let (event, body) = body();
            let answer = send(&app, &body, &[line(&body)]).await;
            assert_eq!(answer.status(), 200, "{name}");
            assert_eq!(answer.text().await.expect("a body"), r#"{"received":true}"#, "{name}");
            assert!(app.verdict(event.id()).await.is_some(), "{name}");
        }
    }

    async fn every_fault_gets_one_answer_and_stores_nothing(app: TestApp) {
        let usual = |body: &str| signed(WEBHOOK_SECRET, now_ms(), body.as_bytes());
        let (_, other_body) = body();
        type Lines = Box<dyn Fn(&str) -> Vec<String>>;
        let one = |line: fn(&str) -> String| -> Lines { Box::new(move |body| vec![line(body)]) };
        let table: Vec<(&str, Lines)> = vec![
            ("missing", Box::new(|_| vec![])),
            ("empty", one(|_| String::new())),
            ("another secret", one(|b| signed("whsec_somebody_elses_secret_0000", now_ms(), b.as_bytes()))),
            ("an empty secret", one(|b| signed("", now_ms(), b.as_bytes()))),
            ("another body", Box::new(move |_| vec![usual(&other_body)])),
            ("too old", one(|b| signed(WEBHOOK_SECRET, now_ms() - 301_000, b.as_bytes()))),
            ("too old, in seconds", one(|b| signed(WEBHOOK_SECRET, now_ms() / 1_000 - 302, b.as_bytes()))),
            ("ahead", one(|b| signed(WEBHOOK_SECRET, now_ms() + 305_000, b.as_bytes()))),
            ("another time than was signed", one(|b| {
                let t = now_ms();
                format!("t={t},v1={}", v1(WEBHOOK_SECRET, &(t - 1).to_string(), b.as_bytes()))
            })),
            ("signed without its time", one(|b| {
                format!("t={},v1={}", now_ms(), v1(WEBHOOK_SECRET, "", b.as_bytes()))
            })),
            ("two header lines", Box::new(move |b| vec![usual(b), usual(b)])),
            ("no time", one(|b| signed(WEBHOOK_SECRET, now_ms(), b.as_bytes()).split_off(16))),
            ("two times", one(|b| {
                let line = signed(WEBHOOK_SECRET, now_ms(), b.as_bytes());
                format!("t={},{line}", now_ms())
            })),
            ("a leading zero", one(|b| signed(WEBHOOK_SECRET, format!("0{}", now_ms() / 1_000), b.as_bytes()))),
            ("microseconds", one(|b| signed(WEBHOOK_SECRET, now_ms() * 1_000, b.as_bytes()))),
            ("a negative time", one(|b| signed(WEBHOOK_SECRET, -now_ms(), b.as_bytes()))),
            ("no v1", one(|_| format!("t={}", now_ms()))),
            ("only v0", one(|b| signed(WEBHOOK_SECRET, now_ms(), b.as_bytes()).replace("v1=", "v0="))),
            ("a v1 cut short", one(|b| {
                let mut line = signed(WEBHOOK_SECRET, now_ms(), b.as_bytes());
                line.truncate(line.len() - 2);
                line
            })),
            ("17 candidates", one(|b| {
                let line = signed(WEBHOOK_SECRET, now_ms(), b.as_bytes());
                format!("{line}{}", format!(",v1={}", "0".repeat(64)).repeat(16))
            })),
            ("33 parts", one(|b| {
                let line = signed(WEBHOOK_SECRET, now_ms(), b.as_bytes());
                format!("{line}{}", ",x=y".repeat(31))
            })),
            ("over 4,096 bytes", one(|b| {
                let line = signed(WEBHOOK_SECRET, now_ms(), b.as_bytes());
                format!("{line},x={}", "y".repeat(4_096))
            })),
        ];
        let mut answers = vec![];
        for (name, lines) in table {
            let (event, body) = body();
            let answer = send(&app, &body, &lines(&body)).await;
            assert_eq!(answer.status(), 400, "{name}");
            assert_eq!(app.verdict(event.id()).await, None, "{name}");
            let mut head: Vec<_> = answer
                .headers()
                .iter()
                .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
                .map(|(name, value)| format!("{name}: {value:?}"))
                .collect();
            head.sort();
            answers.push((name, head, answer.text().await.expect("a body")));
        }
        for (name, head, text) in &answers {
            assert_eq!((head, text), (&answers[0].1, &answers[0].2), "{name} is told apart");
        }
    }
}
