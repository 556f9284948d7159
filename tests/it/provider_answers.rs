//! What Calmony Pay says in events and answers, read for what it is: fields nobody uses cost nothing, amounts received
//! count, links are checked, and a session that is called dead is asked after before it is replaced.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use quittance::sandbox::{Faults, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::harness::{Event, Options, TestApp, create_params, on_both, sign_now};

/// Fields that no reader of a whole document would get past.
const RUBBISH: &[u8] = b"\"half\":\"\\ud83d\",\"\\ud83d\":1,\"latin\":\"\xA35\",\"huge\":1e999,\"nul\":\"\\u0000\",\"twice\":1,\"twice\":{}";

/// An object's fields, and rubbish before and after them.
fn amid_rubbish(object: &Value) -> Vec<u8> {
    let deep = format!(",\"deep\":{}{}", "[".repeat(500), "]".repeat(500)).into_bytes();
    let fields = object.to_string();
    let fields = &fields.as_bytes()[1..fields.len() - 1];
    [b"{", RUBBISH, &deep, b",", fields, b",", RUBBISH, b"}"].concat()
}

/// A provider that answers each path with the body set for it, 404 elsewhere.
struct Provider {
    url: String,
    answers: Arc<Mutex<HashMap<String, Vec<u8>>>>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
        let answers: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
        let known = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = [0; 16 * 1024];
                let read = socket.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let body = known.lock().expect("whole").get(&path).cloned();
                let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
                let body = body.unwrap_or_else(|| b"<html>".to_vec());
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
            }
        });
        Self { url, answers }
    }

    fn says(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.answers.lock().expect("whole").insert(format!("/v1/{path}"), body.into());
    }
}

/// A server beside the test's own, whose provider this is; two minutes are 12 ms. And its payment, with session `cs_1`.
async fn asking(app: &TestApp, provider: &Provider) -> (TestApp, String) {
    provider
        .says("checkout/sessions", amid_rubbish(&json!({ "id": "cs_1", "url": "https://pay.example/1" })));
    let options = Options { calmony_url: Some(provider.url.clone()), time_scale: 1e-4, ..Options::default() };
    let app = TestApp::start(app.database, options).await;
    let created =
        app.agent().ok("payment.createPaymentTask", create_params(json!({ "amountPence": 25_000 }))).await;
    (app, created["ledgerEntryId"].as_str().expect("an id").to_owned())
}

async fn until_anomaly(app: &TestApp, payment: &str, kind: &str) {
    for _ in 0..500 {
        if app.anomalies(payment).await == [kind] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no {kind}: {:?}", app.anomalies(payment).await);
}

fn session(fields: Value) -> Value {
    let mut session = json!({ "id": "cs_1" });
    session.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    session
}

on_both! {
    async fn what_we_do_not_use_of_an_event_costs_nothing(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let object = json!({ "id": "pi_1", "amount": 25_000, "currency": "gbp", "metadata": { "ledger_id": created.id } });
        let object = [&amid_rubbish(&object)[..], b",", RUBBISH].concat();
        let body = [b"{", RUBBISH, br#","id":"evt_1","type":"payment_intent.succeeded","data":{"object":"#, &object[..], b"}}"].concat();
        let send = || app.http.post(&app.webhook_url).header("calmony-signature", sign_now(&body)).body(body.clone()).send();
        for _ in 0..2 {
            assert_eq!(send().await.expect("an answer").status(), 200);
        }
        assert_eq!(app.verdict("evt_1").await.as_deref(), Some("applied"));
        assert_eq!(app.payment(&created.id).await["status"], "succeeded");
        // Metadata is whatever the merchant made of it.
        let other = app.agent().create(25_000).await;
        let metadata = format!(r#"{{"note":"\ud83d","n":1e999,"list":[[]],"ledger_id":"{}","attempt":{{}}}}"#, other.id);
        let body = format!(r#"{{"id":"evt_2","type":"payment_intent.succeeded","data":{{"object":{{"id":"pi_2","metadata":{metadata}}}}}}}"#);
        let request = app.http.post(&app.webhook_url).header("calmony-signature", sign_now(body.as_bytes())).body(body);
        assert_eq!(request.send().await.expect("an answer").status(), 200);
        assert_eq!(app.payment(&other.id).await["status"], "succeeded");
    }

    async fn texts_that_no_database_holds_are_stored_all_the_same(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let bad = ["\\u0000", "\\ud83d", "\\u0000\\ud83d\\u001b[31m"];
        for (n, bad) in bad.iter().enumerate() {
            let body = format!(
                r#"{{"id":"evt_{n}","type":"x{bad}","data":{{"object":{{"id":"o{bad}","currency":"{bad}","payment_status":"{bad}",
                   "payment_intent":"pi{bad}","checkout_session":"cs{bad}","last_payment_error":{{"code":"{bad}"}}}}}}}}"#
            );
            let request = app.http.post(&app.webhook_url).header("calmony-signature", sign_now(body.as_bytes())).body(body);
            assert_eq!(request.send().await.expect("an answer").status(), 200);
            assert_eq!(app.verdict(&format!("evt_{n}")).await.as_deref(), Some("ignored"));
            // In an id of its own it is no event; in the reference to a payment it is another's.
            let id = format!(r#"{{"id":"evt{bad}","type":"x","data":{{"object":{{}}}}}}"#);
            let reference = format!(
                r#"{{"id":"evt_r{n}","type":"payment_intent.succeeded","data":{{"object":{{"id":"pi_r{n}","amount":25000,
                   "currency":"g{bad}","metadata":{{"ledger_id":"{}"}}}}}}}}"#, created.id
            );
            for body in [id, reference] {
                let request = app.http.post(&app.webhook_url).header("calmony-signature", sign_now(body.as_bytes())).body(body);
                assert_eq!(request.send().await.expect("an answer").status(), 200);
            }
            assert_eq!(app.verdict(&format!("evt_r{n}")).await.as_deref(), Some("stale"), "a foreign currency");
        }
        assert_eq!(app.payment(&created.id).await["status"], "pending");
        assert!(app.anomalies(&created.id).await.iter().all(|kind| kind == "currency_mismatch"));
    }

    async fn what_was_received_is_the_amount(app: TestApp) {
        for event_type in ["payment_intent.succeeded", "payment_intent.refunded"] {
            let created = app.agent().create(25_000).await;
            let mut event = Event::intent(event_type, &format!("pi_{event_type}"), &created.id, 25_000);
            event.object()["amount_received"] = 20_000.into();
            app.delivered(&event).await;
            assert_eq!(app.payment(&created.id).await["status"], "pending", "{event_type}");
            assert_eq!(app.anomalies(&created.id).await, ["amount_mismatch"], "{event_type}");
            let created = app.agent().create(25_000).await;
            let mut event = Event::intent(event_type, &format!("pi_more_{event_type}"), &created.id, 30_000);
            event.object()["amount_received"] = 25_000.into();
            app.delivered(&event).await;
            assert_ne!(app.payment(&created.id).await["status"], "pending", "{event_type}");
        }
        // Nothing is received yet, and nothing ever.
        for (event_type, status) in [("payment_intent.processing", "processing"), ("payment_intent.failed", "failed")] {
            let created = app.agent().create(25_000).await;
            let mut event = Event::intent(event_type, &format!("pi_{event_type}"), &created.id, 25_000);
            event.object()["amount_received"] = 0.into();
            app.delivered(&event).await;
            assert_eq!(app.payment(&created.id).await["status"], status);
        }
    }

    async fn read_backs_say_what_was_received(quiet: TestApp) {
        let provider = Provider::start().await;
        let (app, payment) = asking(&quiet, &provider).await;
        let intent = json!({
            "id": "pi_1", "status": "succeeded", "amount": 25_000, "amount_received": 20_000, "currency": "gbp",
            "metadata": { "ledger_id": payment },
        });
        provider.says("payment_intents/pi_1", amid_rubbish(&intent));
        provider.says("checkout/sessions/cs_1", amid_rubbish(&session(json!({
            "status": "complete", "payment_status": "paid", "payment_intent": "pi_1", "amount_total": 25_000,
        }))));
        until_anomaly(&app, &payment, "amount_mismatch").await;
        assert_eq!(app.payment(&payment).await["status"], "pending");
        app.stop().await;
    }

    async fn an_event_of_a_paid_session_is_settled_by_what_its_intent_received(quiet: TestApp) {
        let provider = Provider::start().await;
        let (app, payment) = asking(&quiet, &provider).await;
        provider.says("payment_intents/pi_1", json!({
            "id": "pi_1", "status": "succeeded", "amount": 25_000, "amount_received": 20_000, "currency": "gbp",
        }).to_string());
        let paid = json!({ "status": "complete", "payment_status": "paid", "payment_intent": "pi_1", "amount_total": 25_000 });
        provider.says("checkout/sessions/cs_1", session(paid).to_string());
        let object = json!({ "id": "cs_1", "payment_status": "paid", "amount_total": 25_000, "currency": "gbp" });
        app.delivered(&Event::new("checkout.session.completed", object)).await;
        until_anomaly(&app, &payment, "amount_mismatch").await;
        assert_eq!(app.payment(&payment).await["status"], "pending");
        app.stop().await;
    }

    async fn a_read_back_finds_a_payment_on_its_way_and_one_that_was_called_off(quiet: TestApp) {
        let provider = Provider::start().await;
        let (app, payment) = asking(&quiet, &provider).await;
        let on_its_way = json!({ "status": "complete", "payment_status": "unpaid" });
        provider.says("checkout/sessions/cs_1", session(on_its_way).to_string());
        app.until_status(&payment, "processing").await;
        let canceled = json!({ "id": "pi_1", "status": "canceled", "last_payment_error": { "code": "abandoned" } });
        provider.says("payment_intents/pi_1", canceled.to_string());
        let named = json!({ "status": "complete", "payment_status": "unpaid", "payment_intent": { "id": "pi_1" } });
        provider.says("checkout/sessions/cs_1", session(named).to_string());
        assert_eq!(app.until_status(&payment, "failed").await["failureReason"], "abandoned");
        app.stop().await;
    }

    async fn a_wrong_address_of_the_api_does_not_end_a_link(quiet: TestApp) {
        let provider = Provider::start().await;
        let (app, payment) = asking(&quiet, &provider).await;
        // Read again and again, and answered 404 by whoever sits there.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let renewed = app.agent().ok("payment.renewCheckout", json!({ "paymentId": payment })).await;
        assert_eq!(renewed["checkoutUrl"], "https://pay.example/1");
        app.stop().await;
    }

    async fn more_types_have_a_meaning(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let mut canceled = Event::intent("payment_intent.canceled", "pi_c", &created.id, 25_000);
        canceled.object()["last_payment_error"] = json!({ "code": "abandoned" });
        app.delivered(&canceled).await;
        let payment = app.payment(&created.id).await;
        assert_eq!((&payment["status"], &payment["failureReason"]), (&json!("failed"), &json!("abandoned")));

        let event = |event_type: &str, session: &str, fields: Value| {
            let mut object = json!({ "id": session, "amount_total": 25_000, "currency": "gbp" });
            object.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
            Event::new(event_type, object)
        };
        let created = app.agent().create(25_000).await;
        let session = created.session_id();
        let unpaid = json!({ "payment_status": "unpaid" });
        app.delivered(&event("checkout.session.completed", session, unpaid.clone())).await;
        assert_eq!(app.payment(&created.id).await["status"], "processing");
        let paid = json!({ "payment_status": "paid", "payment_intent": "pi_a" });
        app.delivered(&event("checkout.session.async_payment_succeeded", session, paid)).await;
        assert_eq!(app.payment(&created.id).await["status"], "succeeded");

        let created = app.agent().create(25_000).await;
        app.delivered(&event("checkout.session.completed", created.session_id(), unpaid.clone())).await;
        app.delivered(&event("checkout.session.async_payment_failed", created.session_id(), unpaid)).await;
        assert_eq!(app.payment(&created.id).await["status"], "failed");
    }

    async fn a_refund_that_names_no_intent_is_kept_for_a_person(app: TestApp, Options { time_scale: 1e-7, ..Options::default() }) {
        let created = app.agent().create(25_000).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, 25_000)).await;
        let charge = json!({ "id": "ch_1", "amount_refunded": 500, "metadata": { "ledger_id": created.id } });
        let refund = Event::new("charge.refunded", charge);
        app.delivered(&refund).await;
        app.until_verdict(refund.id(), "dead").await;
        assert_eq!(app.payment(&created.id).await["refundedPence"], 0);
    }

    async fn a_type_we_do_not_know_makes_us_ask(app: TestApp, Options { time_scale: 100.0, webhooks: false, ..Options::default() }) {
        let created = app.agent().create_with(json!({ "amountPence": 25_000, "method": "open_banking" })).await;
        let intent = app.calmony().start_bank_payment(created.session_id()).await.unwrap();
        app.delivered(&Event::intent("payment_intent.processing", &intent, &created.id, 25_000)).await;
        app.calmony().finish_bank_payment(&intent, true).await.unwrap();
        let hint = Event::new("payment_intent.settled", json!({ "id": intent }));
        app.delivered(&hint).await;
        assert_eq!(app.verdict(hint.id()).await.as_deref(), Some("ignored"));
        app.until_status(&created.id, "succeeded").await;
        // About any other payment it changes nothing.
        let created = app.agent().create(25_000).await;
        app.calmony().pay(created.session_id(), Method::Card).await.unwrap();
        app.delivered(&Event::intent("payment_intent.settled", "pi_x", &created.id, 25_000)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(app.payment(&created.id).await["status"], "pending");
    }

    async fn a_link_that_an_event_called_dead_is_read_before_it_is_replaced(app: TestApp, Options { time_scale: 100.0, webhooks: false, ..Options::default() }) {
        let created = app.agent().create(25_000).await;
        app.calmony().pay(created.session_id(), Method::Card).await.unwrap();
        let expired = Event::new("checkout.session.expired", json!({ "id": created.session_id() }));
        app.delivered(&expired).await;
        assert_eq!(app.payment(&created.id).await["checkoutUrl"], Value::Null);
        app.calmony().set_faults(Faults { read_status: Some(500), ..Faults::default() });
        let fault = app.agent().fails("payment.renewCheckout", json!({ "paymentId": created.id })).await;
        assert_eq!(fault.kind(), "PROVIDER_UNAVAILABLE");
        app.calmony().set_faults(Faults::default());
        let fault = app.agent().fails("payment.renewCheckout", json!({ "paymentId": created.id })).await;
        assert_eq!((fault.kind(), &fault.data["from"]), ("INVALID_TRANSITION", &json!("succeeded")));
    }

    async fn a_session_that_the_provider_does_not_know_is_replaced(app: TestApp, Options { time_scale: 0.001, ..Options::default() }) {
        let created = app.agent().create(25_000).await;
        app.calmony().set_faults(Faults { read_status: Some(404), ..Faults::default() });
        for _ in 0..500 {
            if app.payment(&created.id).await["checkoutUrl"].is_null() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let renewed = app.agent().ok("payment.renewCheckout", json!({ "paymentId": created.id })).await;
        assert_ne!(renewed["checkoutUrl"], created.checkout_url);
        assert_eq!(app.payment(&created.id).await["status"], "pending");
    }
}
