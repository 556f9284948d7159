//! What Calmony Pay answers is checked as hostile input: size, form, redirects, ids, links. And when it fails again and
//! again it is left alone for a while.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use quittance::sandbox::Faults;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::create_calls;
use crate::harness::{Database, Options, TestApp, create_params, on_both};

const METHOD: &str = "payment.createPaymentTask";

/// A provider that answers every request with the bytes that are set, and closes.
struct Provider {
    url: String,
    answer: Arc<Mutex<Vec<u8>>>,
    paths: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
        let provider = Self { url, answer: Arc::default(), paths: Arc::default() };
        let (answer, paths) = (Arc::clone(&provider.answer), Arc::clone(&provider.paths));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = [0; 16 * 1024];
                let read = socket.read(&mut head).await.unwrap_or(0);
                let line =
                    String::from_utf8_lossy(&head[..read]).lines().next().unwrap_or_default().to_owned();
                paths.lock().expect("whole").push(line);
                let bytes = answer.lock().expect("whole").clone();
                let _ = socket.write_all(&bytes).await;
            }
        });
        provider
    }

    fn says(&self, head: &str, body: &str) {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        *self.answer.lock().expect("whole") = answer.into_bytes();
    }
}

/// A server beside the test's own, whose provider this is. Its breaker closes at once.
async fn asking(app: &TestApp, provider: &Provider) -> TestApp {
    let options = Options { calmony_url: Some(provider.url.clone()), time_scale: 1e-6, ..Options::default() };
    TestApp::start(app.database, options).await
}

on_both! {
    async fn an_answer_that_is_not_as_it_should_be_is_no_answer(quiet: TestApp) {
        let provider = Provider::start().await;
        let app = asking(&quiet, &provider).await;
        let link = "https://pay.example/c/cs_1";
        let session = |id: Value, url: Value| json!({ "id": id, "url": url }).to_string();
        let elsewhere = format!("302 Found\r\nlocation: {}/v1/elsewhere", provider.url);
        let permanent = format!("308 Permanent Redirect\r\nlocation: {}/v1/elsewhere", provider.url);
        let padded = |bytes: usize| json!({ "id": "cs_1", "url": link, "padding": "x".repeat(bytes) }).to_string();
        let table = [
            ("over 64 KiB", "200 OK", padded(64 * 1024)),
            ("no JSON", "200 OK", "<html>".to_owned()),
            ("empty", "200 OK", String::new()),
            ("no object", "200 OK", "[]".to_owned()),
            ("no id", "200 OK", json!({ "url": link }).to_string()),
            ("no url", "200 OK", json!({ "id": "cs_1" }).to_string()),
            ("an id that is a number", "200 OK", session(json!(1), json!(link))),
            ("an empty id", "200 OK", session(json!(""), json!(link))),
            ("an id with spaces", "200 OK", session(json!("cs 1"), json!(link))),
            ("a long id", "200 OK", session(json!("c".repeat(256)), json!(link))),
            ("a script for a link", "200 OK", session(json!("cs_1"), json!("javascript:alert(1)"))),
            ("an open link", "200 OK", session(json!("cs_1"), json!("http://pay.example/c"))),
            ("a link to nowhere", "200 OK", session(json!("cs_1"), json!("https://"))),
            ("half a link", "200 OK", session(json!("cs_1"), json!("/c/cs_1"))),
            ("a long link", "200 OK", session(json!("cs_1"), json!(format!("{link}?{}", "x".repeat(2_048))))),
            ("a link with a password", "200 OK", session(json!("cs_1"), json!("https://me:pw@pay.example/c"))),
            ("a link with a user", "200 OK", session(json!("cs_1"), json!("https://pay.example@evil.example/c"))),
            ("a port that is none", "200 OK", session(json!("cs_1"), json!("https://pay.example:99999/c"))),
            ("a NUL in a host", "200 OK", session(json!("cs_1"), json!("https://pay\0.example/c"))),
            ("a NUL in an id", "200 OK", session(json!("cs\0"), json!(link))),
            ("half a character in an id", "200 OK", format!(r#"{{"id":"cs_\ud83d","url":"{link}"}}"#)),
            ("a redirect", &elsewhere, session(json!("cs_1"), json!(link))),
            ("another redirect", &permanent, session(json!("cs_1"), json!(link))),
            ("another success", "202 Accepted", session(json!("cs_1"), json!(link))),
        ];
        for (name, head, body) in table {
            provider.says(head, &body);
            let fault = app.agent().fails(METHOD, create_params(json!({}))).await;
            assert_eq!((fault.code, fault.kind()), (-32051, "PROVIDER_UNAVAILABLE"), "{name}: {fault:?}");
            let payment = app.payment(fault.data["ledgerEntryId"].as_str().expect("an id")).await;
            assert_eq!((&payment["status"], &payment["checkoutUrl"]), (&json!("pending"), &Value::Null), "{name}");
        }
        let paths = provider.paths.lock().expect("whole").clone();
        assert!(paths.iter().all(|line| line == "POST /v1/checkout/sessions HTTP/1.1"), "{paths:?}");
        app.stop().await;

        // What is as it should be passes, at its largest.
        let app = asking(&quiet, &provider).await;
        provider.says("200 OK", &padded(64 * 1024 - 100));
        app.agent().ok(METHOD, create_params(json!({}))).await;
        // A link is handed out as it was checked, however it came.
        for (n, link) in ["https:pay.example/c", " https://pay.example/c\n", "https://pay.\texample\\c"].iter().enumerate() {
            provider.says("200 OK", &session(json!(format!("cs_link_{n}")), json!(link)));
            let created = app.agent().ok(METHOD, create_params(json!({}))).await;
            assert_eq!(created["checkoutUrl"], "https://pay.example/c");
        }
        provider.says("200 OK", &session(json!("cs_nul"), json!("https://pay.example/a\0b c")));
        let created = app.agent().ok(METHOD, create_params(json!({}))).await;
        assert_eq!(created["checkoutUrl"], "https://pay.example/a%00b%20c");
        // And a session is given to one payment alone.
        provider.says("200 OK", &session(json!("cs_1"), json!(link)));
        let fault = app.agent().fails(METHOD, create_params(json!({}))).await;
        assert_eq!(fault.kind(), "PROVIDER_UNAVAILABLE", "{fault:?}");
        app.stop().await;
    }

    async fn the_janitors_failures_open_the_breaker_and_the_row_is_still_made(
        app: TestApp, Options { time_scale: 1.0, webhooks: false, ..Options::default() }
    ) {
        for _ in 0..5 {
            app.agent().create(25_000).await;
        }
        assert_eq!(create_calls(&app).len(), 5);
        app.calmony().set_faults(Faults { read_status: Some(500), ..Faults::default() });
        let past = if app.database == Database::Sqlite { "0" } else { "'epoch'" };
        app.sql().await.ok(&format!("update checkout_sessions set next_read_at = {past}")).await;
        let reads = || app.calmony().requests().iter().filter(|request| request.method == "GET").count();
        for _ in 0..500 {
            if reads() == 5 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let opened = Instant::now();
        app.calmony().set_faults(Faults::default());
        let params = create_params(json!({ "idempotencyKey": "key-1" }));
        let fault = app.agent().fails(METHOD, params.clone()).await;
        assert_eq!(fault.kind(), "PROVIDER_UNAVAILABLE", "{fault:?}");
        let id = fault.data["ledgerEntryId"].as_str().expect("an id").to_owned();
        assert_eq!(app.payment(&id).await["status"], "pending");
        assert_eq!((create_calls(&app).len(), reads()), (5, 5), "nobody was asked");
        // It closes by itself, after ten seconds; the janitor asks again.
        while app.payment(&id).await["checkoutUrl"].is_null() {
            assert!(opened.elapsed() < Duration::from_secs(40), "it stays open");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(opened.elapsed() > Duration::from_secs(9), "{:?}", opened.elapsed());
        assert_eq!(app.agent().ok(METHOD, params).await["ledgerEntryId"], id);
    }
}
