//! Parked events: kept with their bodies, taken up when their payment becomes known, given up in the end, and none
//! in the way of another.

use std::time::{Duration, Instant};

use quittance::sandbox::{Faults, Method};
use serde_json::{Value, json};

use crate::harness::{Database, Event, Options, TestApp, caller::create_params, on_both};

const AMOUNT: i64 = 25_000;

/// With every waiting time this much longer, nothing is tried again by the clock during a test.
fn only_when_woken() -> Options {
    Options { time_scale: 100.0, webhooks: false, ..Options::default() }
}

/// Verdict, tries, and whether the body is kept.
async fn row(app: &TestApp, event: &Event) -> String {
    let query = format!(
        "select verdict || ' ' || cast(tries as text) || (case when body is null then '' else ' body' end) as line
         from processed_events where event_id = '{}'",
        event.id()
    );
    app.sql().await.lines(&query).await.remove(0)
}

/// An event about an intent that names no payment.
fn nameless(event_type: &str, intent: &str) -> Event {
    Event::new(event_type, json!({ "id": intent, "amount": AMOUNT, "currency": "gbp" }))
}

/// A session was paid; without `intent` the event does not say by which.
fn session_paid(session: &str, intent: Option<&str>) -> Event {
    let object = json!({
        "id": session, "payment_status": "paid", "payment_intent": intent, "amount_total": AMOUNT, "currency": "gbp",
    });
    Event::new("checkout.session.completed", object)
}

/// Makes the database refuse every intent of this id, so that an event about it can't be applied.
async fn poison(app: &TestApp, intent: &str) {
    let statements = match app.database {
        Database::Sqlite => format!(
            "create trigger poison before insert on payment_intents when new.intent_id = '{intent}'
             begin select raise(abort, 'poisoned'); end"
        ),
        Database::Postgres => format!(
            "create function poison() returns trigger language plpgsql as $$
               begin raise exception 'poisoned'; end $$;
             create trigger poison before insert on payment_intents for each row
               when (new.intent_id = '{intent}') execute function poison()"
        ),
    };
    app.sql().await.ok(&statements).await;
}

on_both! {
    async fn an_event_is_taken_up_when_its_intent_becomes_known(app: TestApp, only_when_woken()) {
        let created = app.agent().create(AMOUNT).await;
        let refund = nameless("payment_intent.refunded", "pi_1");
        app.delivered(&refund).await;
        assert_eq!(row(&app, &refund).await, "parked 1 body");
        app.delivered(&refund).await;
        assert_eq!(row(&app, &refund).await, "parked 1 body", "a repetition is answered from a read");
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        app.until_verdict(refund.id(), "applied").await;
        assert_eq!(row(&app, &refund).await, "applied 2", "its body is not kept");
        let payment = app.payment(&created.id).await;
        assert_eq!((&payment["status"], &payment["refundedPence"]), (&json!("refunded"), &json!(AMOUNT)));
    }

    async fn an_event_is_taken_up_when_a_failed_try_names_its_intent(app: TestApp, only_when_woken()) {
        let created = app.agent().create(AMOUNT).await;
        let success = nameless("payment_intent.succeeded", "pi_1");
        app.delivered(&success).await;
        app.delivered(&Event::intent("payment_intent.processing", "pi_1", &created.id, AMOUNT)).await;
        app.until_verdict(success.id(), "applied").await;
        assert_eq!(app.payment(&created.id).await["status"], "succeeded");
    }

    async fn a_webhook_that_overtakes_the_create_call_is_taken_up_with_its_answer(app: TestApp, only_when_woken()) {
        let paused = app.calmony().pause_creates();
        let agent = app.agent().clone();
        let creating = tokio::spawn(async move { agent.create(AMOUNT).await });
        let session = loop {
            match app.calmony().sessions().pop() {
                Some(session) => break session.id,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let event = session_paid(&session, Some("pi_1"));
        app.delivered(&event).await;
        assert_eq!(row(&app, &event).await, "parked 1 body");
        drop(paused);
        let created = creating.await.expect("created");
        assert_eq!(created.session_id(), session);
        app.until_verdict(event.id(), "applied").await;
        assert_eq!(app.payment(&created.id).await["status"], "succeeded");
    }

    async fn a_webhook_with_metadata_need_not_wait_for_the_create_call(app: TestApp, only_when_woken()) {
        let paused = app.calmony().pause_creates();
        let agent = app.agent().clone();
        let params = crate::harness::caller::create_params(serde_json::json!({ "amountPence": AMOUNT }));
        let creating = tokio::spawn(async move { agent.call("payment.createPaymentTask", params).await });
        let metadata = loop {
            match app.calmony().sessions().pop() {
                Some(session) => break session.metadata,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let id = metadata["ledger_id"].as_str().expect("the ledger's id").to_owned();
        app.delivered(&Event::succeeded("pi_1", &id, AMOUNT)).await;
        assert_eq!(app.payment(&id).await["status"], "succeeded");
        drop(paused);
        let fault = creating.await.expect("answered").expect_err("it is paid");
        assert_eq!((fault.kind(), fault.data["ledgerEntryId"].as_str()), ("INVALID_TRANSITION", Some(&*id)));
        assert_eq!(app.trail(&id).await.len(), 2);
    }

    async fn a_paid_session_that_names_no_intent_is_read_back(app: TestApp, Options { webhooks: false, ..Options::default() }) {
        let created = app.agent().create(AMOUNT).await;
        let intent = app.calmony().pay(created.session_id(), Method::Card).await.expect("paid");
        let event = session_paid(created.session_id(), None);
        app.delivered(&event).await;
        app.until_verdict(event.id(), "applied").await;
        let payment = app.payment(&created.id).await;
        assert_eq!((&payment["status"], &payment["paymentIntentId"]), (&json!("succeeded"), &json!(intent)));
        assert_eq!(row(&app, &event).await, "applied 2");
    }

    async fn a_session_that_can_not_be_read_is_tried_again(app: TestApp, Options { time_scale: 0.005, webhooks: false, ..Options::default() }) {
        let created = app.agent().create(AMOUNT).await;
        app.calmony().pay(created.session_id(), Method::Card).await.expect("paid");
        app.calmony().set_faults(Faults { read_status: Some(500), ..Faults::default() });
        let event = session_paid(created.session_id(), None);
        app.delivered(&event).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(app.verdict(event.id()).await.as_deref(), Some("parked"));
        app.calmony().set_faults(Faults::default());
        app.until_status(&created.id, "succeeded").await;
    }

    async fn an_event_that_never_finds_its_payment_is_dead_in_the_end(app: TestApp, Options { time_scale: 1e-7, ..Options::default() }) {
        let event = nameless("payment_intent.succeeded", "pi_of_nobody");
        app.delivered(&event).await;
        app.until_verdict(event.id(), "dead").await;
        assert!(row(&app, &event).await.starts_with("dead 11"), "once, then after each of ten waits");
        app.delivered(&event).await;
        assert_eq!(app.verdict(event.id()).await.as_deref(), Some("dead"), "a repetition does not revive it");
    }

    async fn an_event_that_keeps_failing_is_given_up_and_holds_up_no_other(app: TestApp, Options { time_scale: 1e-7, ..Options::default() }) {
        let (one, other) = (app.agent().create(AMOUNT).await, app.agent().create(AMOUNT).await);
        poison(&app, "pi_poison").await;
        let poisoned = Event::succeeded("pi_poison", &one.id, AMOUNT);
        app.delivered(&poisoned).await;
        let refund = nameless("payment_intent.refunded", "pi_2");
        app.delivered(&refund).await;
        app.delivered(&Event::succeeded("pi_2", &other.id, AMOUNT)).await;
        app.until_status(&other.id, "refunded").await;
        app.until_verdict(poisoned.id(), "dead").await;
        assert!(row(&app, &poisoned).await.starts_with("dead 9"), "once, then eight retries");
        let payment = app.payment(&one.id).await;
        assert_eq!((&payment["status"], &payment["openAnomalies"]), (&json!("pending"), &json!(0)), "nothing of it stands");
        assert_eq!(app.trail(&one.id).await.len(), 1);
        app.delivered(&Event::succeeded("pi_3", &one.id, AMOUNT)).await;
        assert_eq!(app.payment(&one.id).await["status"], "succeeded");
    }

    async fn a_provider_that_does_not_answer_holds_up_no_other_event(
        app: TestApp,
        Options { calmony_url: Some(silent_reader().await), ..Options::default() }
    ) {
        let created = app.agent().ok("payment.createPaymentTask", create_params(json!({}))).await;
        let payment = created["ledgerEntryId"].as_str().expect("an id");
        for number in 0..3 {
            let unread = session_paid(&format!("cs_unread_{number}"), None);
            app.delivered(&unread).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        let refund = nameless("payment_intent.refunded", "pi_1");
        app.delivered(&refund).await;
        app.delivered(&Event::succeeded("pi_1", payment, AMOUNT)).await;
        app.until_verdict(refund.id(), "applied").await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
}

/// A provider that makes sessions and never answers when one is read.
async fn silent_reader() -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 16 * 1024];
                let read = socket.read(&mut head).await.unwrap_or(0);
                if head[..read].starts_with(b"POST") {
                    let session: Value = json!({ "id": "cs_made", "url": "https://pay.example/cs_made" });
                    let body = session.to_string();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\
                         content-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = socket.write_all(answer.as_bytes()).await;
                } else {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    url
}
