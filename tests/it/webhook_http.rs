//! The webhook endpoint as HTTP: methods, sizes, encodings, and bodies that are no events. Whatever is signed is
//! owned and answered 200; nothing is ever answered in a way that makes the provider give up.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use sha2::Digest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Event, TestApp, on_both, sign_now};

const KIB: usize = 1024;

async fn post(app: &TestApp, body: impl Into<Vec<u8>>, headers: &[(&str, &str)]) -> (u16, String) {
    let body = body.into();
    let mut request = app.http.post(&app.webhook_url).header("calmony-signature", sign_now(&body)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

/// The key under which an unreadable body is stored.
fn key(body: &[u8]) -> String {
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(body)))
}

/// An event of exactly so many bytes.
fn event_of(bytes: usize) -> (Event, Vec<u8>) {
    let mut event = Event::new("customer.created", json!({ "id": "cus_1", "padding": "" }));
    let missing = bytes - event.0.to_string().len();
    event.object()["padding"] = "x".repeat(missing).into();
    let body = event.0.to_string().into_bytes();
    assert_eq!(body.len(), bytes);
    (event, body)
}

/// A raw connection to the companion listener, with the head of a webhook sent already.
async fn started(app: &TestApp, fields: &str) -> TcpStream {
    let url: reqwest::Url = app.webhook_url.parse().expect("a URL");
    let address = (url.host_str().expect("a host"), url.port().expect("a port"));
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let head = format!("POST {} HTTP/1.1\r\nhost: test\r\n{fields}\r\n", url.path());
    socket.write_all(head.as_bytes()).await.expect("it takes the head");
    socket
}

on_both! {
    async fn an_event_is_received(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let event = Event::succeeded("pi_1", &created.id, 25_000);
        let answer = post(&app, event.0.to_string(), &[]).await;
        assert_eq!(answer, (200, r#"{"received":true}"#.to_owned()));
        assert_eq!(app.payment(&created.id).await["status"], "succeeded");
        assert_eq!(app.verdict(event.id()).await.as_deref(), Some("applied"));
    }

    async fn no_content_type_is_needed_and_any_will_do(app: TestApp) {
        for headers in [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/json")]] {
            let event = Event::new("customer.created", json!({ "id": "cus_1" }));
            assert_eq!(post(&app, event.0.to_string(), headers).await.0, 200, "{headers:?}");
        }
    }

    async fn a_type_we_have_no_use_for_is_ignored(app: TestApp) {
        for event_type in ["customer.created", "payment_intent.created", "payment_intent.SUCCEEDED", "x"] {
            let created = app.agent().create(25_000).await;
            let event = Event::intent(event_type, &format!("pi_{event_type}"), &created.id, 25_000);
            app.delivered(&event).await;
            assert_eq!(app.verdict(event.id()).await.as_deref(), Some("ignored"), "{event_type}");
            assert_eq!(app.payment(&created.id).await["status"], "pending");
        }
    }

    async fn signed_bodies_that_are_no_events_are_quarantined(app: TestApp) {
        let bodies = [
            "", "not json", "[]", "null", "\"evt_1\"", "{", r#"{"id":"evt_1"}"#,
            r#"{"type":"x","data":{"object":{}}}"#, r#"{"id":7,"type":"x","data":{"object":{}}}"#,
            r#"{"id":"","type":"x","data":{"object":{}}}"#, r#"{"id":"evt_1","data":{"object":{}}}"#,
            r#"{"id":"evt_1","type":"x"}"#, r#"{"id":"evt_1","type":"x","data":{}}"#,
            r#"{"id":"evt_1","type":"x","data":{"object":[]}}"#,
            r#"{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{}}}"#,
        ];
        let bodies: Vec<Vec<u8>> =
            bodies.iter().map(|body| body.as_bytes().to_vec()).chain([b"\xff\xfe{}".to_vec()]).collect();
        for body in bodies {
            let shown = String::from_utf8_lossy(&body).into_owned();
            for _ in 0..2 {
                let answer = post(&app, body.clone(), &[]).await;
                assert_eq!(answer, (200, r#"{"received":true}"#.to_owned()), "{shown}");
            }
            assert_eq!(app.verdict(&key(&body)).await.as_deref(), Some("quarantined"), "{shown}");
        }
        assert_eq!(app.verdict("evt_1").await, None, "a broken event does not take the place of its id");
        let kept = "select cast(count(*) as text) as line from processed_events where body is not null";
        assert_eq!(app.sql().await.lines(kept).await, ["16"]);
    }

    async fn an_event_for_no_payment_we_know_is_received(app: TestApp) {
        let stranger = "00000000-0000-7000-8000-000000000000";
        for payment in [stranger, "not-an-id", ""] {
            let event = Event::succeeded("pi_of_nobody", payment, 25_000);
            app.delivered(&event).await;
            assert_eq!(app.verdict(event.id()).await.as_deref(), Some("parked"), "{payment}");
        }
    }

    async fn a_content_encoding_is_refused_before_the_signature_is_looked_at(app: TestApp) {
        let event = Event::new("customer.created", json!({ "id": "cus_1" }));
        for encoding in ["gzip", "identity", "br, gzip", ""] {
            assert_eq!(post(&app, event.0.to_string(), &[("content-encoding", encoding)]).await.0, 415);
        }
        let unsigned = app.http.post(&app.webhook_url).header("content-encoding", "gzip").body("x");
        assert_eq!(unsigned.send().await.expect("an answer").status(), 415);
        assert_eq!(app.verdict(event.id()).await, None);
    }

    async fn a_body_may_have_256_kib_and_no_more(app: TestApp) {
        let (event, body) = event_of(256 * KIB);
        assert_eq!(post(&app, body, &[]).await.0, 200);
        assert_eq!(app.verdict(event.id()).await.as_deref(), Some("ignored"));

        let (event, body) = event_of(256 * KIB + 1);
        assert_eq!(post(&app, body.clone(), &[]).await.0, 413);
        let mut socket = started(&app, "transfer-encoding: chunked\r\n").await;
        socket.write_all(format!("{:x}\r\n", body.len()).as_bytes()).await.expect("a chunk");
        socket.write_all(&body).await.expect("its bytes");
        let mut start = [0; 12];
        socket.read_exact(&mut start).await.expect("an answer");
        assert_eq!(&start, b"HTTP/1.1 413");
        assert_eq!(app.verdict(event.id()).await, None);
    }

    async fn a_body_that_takes_longer_than_ten_seconds_is_timed_out(app: TestApp) {
        let began = Instant::now();
        let mut socket = started(&app, "content-length: 100\r\n").await;
        socket.write_all(b"{").await.expect("a byte");
        let mut start = [0; 12];
        socket.read_exact(&mut start).await.expect("an answer");
        assert_eq!(&start, b"HTTP/1.1 408");
        assert!((9..=12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }

    async fn other_methods_and_paths_are_refused(app: TestApp) {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = app.http.request(method.clone(), &app.webhook_url).send().await.expect("an answer");
            assert_eq!(answer.status(), 405, "{method}");
            assert_eq!(answer.headers()["allow"], "POST");
        }
        let base = app.webhook_url.trim_end_matches("/api/webhooks/calmony-pay");
        for path in ["/", "/api/webhooks/calmony-pay/", "/api/webhooks", "/API/webhooks/calmony-pay", "/rpc"] {
            let answer = app.http.post(format!("{base}{path}")).body("{}").send().await.expect("an answer");
            assert_eq!(answer.status(), 404, "{path}");
        }
        let query = app.http.post(format!("{}?a=b", app.webhook_url)).body("{}").send().await;
        assert_eq!(query.expect("an answer").status(), 400, "a query does not make it another page");
    }

    async fn a_minimal_event_is_enough(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let body = json!({
            "id": "evt_minimal", "type": "payment_intent.succeeded",
            "data": { "object": { "id": "pi_minimal", "metadata": { "ledger_id": created.id } } },
        });
        assert_eq!(post(&app, body.to_string(), &[]).await.0, 200);
        let payment = app.payment(&created.id).await;
        assert_eq!(payment["status"], "succeeded");
        assert_eq!(payment["paymentIntentId"], "pi_minimal");
        assert_eq!(app.anomalies(&created.id).await, Vec::<String>::new());
    }

    async fn whoever_hangs_up_after_sending_is_still_heard(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let event = Event::succeeded("pi_1", &created.id, 25_000);
        let body = event.0.to_string();
        let fields = format!("content-length: {}\r\ncalmony-signature: {}\r\n", body.len(), sign_now(body.as_bytes()));
        let mut socket = started(&app, &fields).await;
        socket.write_all(body.as_bytes()).await.expect("the body");
        // Long enough to be read, mostly too short to be answered.
        tokio::time::sleep(Duration::from_millis(2)).await;
        drop(socket);
        // If the server saw the end before the body it owes nothing; the provider comes again.
        app.delivered(&event).await;
        let trail = app.trail(&created.id).await;
        assert_eq!(trail.iter().filter(|(action, ..)| action == "payment.succeeded").count(), 1);
    }
}
