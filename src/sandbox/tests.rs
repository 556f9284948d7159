//! The sandbox run for real, over sockets: this file is the bench, its children are the behaviours.
//!
//! Lives here: a sandbox with a client, and a receiver that checks signatures as Quittance does. Does not live
//! here: what Quittance makes of the events.

mod api;
mod events;
mod faults;
mod page;
mod restart;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use http::StatusCode;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Sandbox, SandboxConfig};
use crate::calmony::signature::verify;

const KEY: &str = "sk_test_key";
const WEBHOOK_SECRET: &str = "whsec_test";

/// What the receiver took: the event, and whether its signature was right.
type Taken = Arc<Mutex<Vec<(bool, Value)>>>;

struct Bench {
    sandbox: Sandbox,
    client: reqwest::Client,
    /// Every delivery, in the order it came in.
    taken: Taken,
    /// Statuses the receiver answers before it is content with 200, last first.
    answers: Arc<Mutex<Vec<u16>>>,
    shutdown: CancellationToken,
    _ends_all: DropGuard,
}

impl Bench {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shutdown = CancellationToken::new();
        let (taken, answers) = (Taken::default(), Arc::default());
        let webhook_url = receive(Arc::clone(&taken), Arc::clone(&answers), shutdown.clone()).await;
        let config = SandboxConfig {
            seed: 42,
            retry_delays_ms: vec![10, 20],
            ..SandboxConfig::new(KEY.into(), WEBHOOK_SECRET.into(), webhook_url)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sandbox = Sandbox::start(listener, config, shutdown.clone()).await;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()
            .unwrap();
        let ends_all = shutdown.clone().drop_guard();
        Self { sandbox, client, taken, answers, shutdown, _ends_all: ends_all }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.url())
    }

    async fn post(&self, key: Option<&str>, body: &Value) -> reqwest::Result<reqwest::Response> {
        let request = self.client.post(self.url("/v1/checkout/sessions")).bearer_auth(KEY).json(body);
        match key {
            Some(key) => request.header("Idempotency-Key", key).send().await,
            None => request.send().await,
        }
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let answer = self.client.get(self.url(path)).bearer_auth(KEY).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// A fresh session's id.
    async fn open(&self) -> String {
        let answer: Value = self.post(None, &request()).await.unwrap().json().await.unwrap();
        answer["id"].as_str().unwrap().to_owned()
    }

    /// What was taken with a right signature once all is delivered.
    async fn events(&self) -> Vec<Value> {
        self.sandbox.settled().await;
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|(genuine, _)| *genuine).map(|(_, event)| event.clone()).collect()
    }

    /// The sorted types of these events: different events may overtake each other.
    async fn event_types(&self) -> Vec<String> {
        let events = self.events().await;
        let mut types: Vec<String> =
            events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
        types.sort();
        types
    }

    /// The one event of this type.
    async fn event(&self, event_type: &str) -> Value {
        let mut events = self.events().await;
        events.retain(|event| event["type"] == event_type);
        assert_eq!(events.len(), 1, "{event_type}: {events:?}");
        events.remove(0)
    }
}

fn request() -> Value {
    json!({
        "line_items": [{ "price_data": { "currency": "gbp", "unit_amount": 123_456,
            "product_data": { "name": "Holding deposit <b>& more</b>" } }, "quantity": 1 }],
        "success_url": "https://agency.example/done?a=1", "cancel_url": "http://127.0.0.1:9/back",
        "metadata": { "ledger_id": "0191", "attempt": 1 },
    })
}

async fn receive(taken: Taken, answers: Arc<Mutex<Vec<u16>>>, shutdown: CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/webhooks/calmony-pay", listener.local_addr().unwrap());
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (taken, answers) = (Arc::clone(&taken), Arc::clone(&answers));
            let service = service_fn(move |request: http::Request<Incoming>| {
                let (taken, answers) = (Arc::clone(&taken), Arc::clone(&answers));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let genuine = verify(&head.headers, &body, &[WEBHOOK_SECRET.into()], Utc::now()).is_ok();
                    taken.lock().unwrap().push((genuine, serde_json::from_slice(&body).unwrap()));
                    let content = if genuine { answers.lock().unwrap().pop().unwrap_or(200) } else { 400 };
                    let answer =
                        http::Response::builder().status(content).body(Empty::<Bytes>::new()).unwrap();
                    Ok::<_, Infallible>(answer)
                }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(async move {
                let _ = connection.await;
            }));
        }
    }));
    url
}
