//! What goes to Inngest: every accepted event and every transition, at least once, in order, in nobody's way.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use quittance::jobs;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{Database, Event, FakeInngest, INNGEST_EVENT_KEY, Mood, Options, TestApp, TestCaller, on_both},
    process::{another_database, dev_with},
};

const AMOUNT: i64 = 25_000;

/// A server that sends to `fake`.
fn to(fake: &FakeInngest) -> Options {
    Options { inngest_url: Some(fake.url.clone()), webhooks: false, ..Options::default() }
}

/// Starts a server beside `app`, whose own sends nothing.
async fn sending_to(app: &TestApp, fake: &FakeInngest) -> TestApp {
    TestApp::start(app.database, to(fake)).await
}

fn named(fake: &FakeInngest, id: &str) -> Option<Value> {
    fake.taken().into_iter().find(|event| event["id"] == id)
}

/// Every column of what is kept for Inngest, added up.
async fn kept(app: &TestApp) -> Vec<String> {
    let one = if app.database == Database::Sqlite { "unsent" } else { "unsent::int" };
    let query = format!(
        "select cast((select coalesce(sum({one}), 0) from processed_events) as text) || ' ' ||
           cast((select count(*) from inngest_cursors) as text) || ' ' ||
           cast((select count(*) from jobs where kind = 'inngest') as text) as line"
    );
    app.sql().await.lines(&query).await
}

on_both! {
    async fn every_accepted_event_and_every_transition_goes_out(quiet: TestApp) {
        let fake = FakeInngest::start(&[]).await;
        let app = sending_to(&quiet, &fake).await;
        let created = app.agent().create(AMOUNT).await;
        let moving = Event::intent("payment_intent.processing", "pi_1", &created.id, AMOUNT);
        let success = Event::succeeded("pi_1", &created.id, AMOUNT);
        let stale = Event::succeeded("pi_1", &created.id, AMOUNT);
        let refund = Event::refunded("pi_1", &created.id, AMOUNT, AMOUNT);
        let ignored = Event::new("invoice.paid", json!({ "id": "in_1" }));
        let parked = Event::new("payment_intent.succeeded", json!({ "id": "pi_of_nobody" }));
        let long = Event::new(&"x".repeat(255), json!({ "id": "in_2" }));
        for event in [&moving, &success, &stale, &refund, &ignored, &parked, &long, &success] {
            app.delivered(event).await;
        }
        fake.until("all events", |fake| {
            [&moving, &success, &stale, &refund, &ignored, &parked, &long].iter().all(|event| named(fake, event.id()).is_some())
        }).await;
        fake.until("all transitions", |fake| fake.names("status", "refunded").len() == 1).await;

        let words = ["payment/pending", "payment/processing", "payment/succeeded", "payment/refunded"];
        let of_payment: Vec<_> = fake.names("paymentId", &created.id);
        let changes: Vec<_> = of_payment.iter().filter(|name| name.starts_with("payment/")).collect();
        assert_eq!(changes, words, "in order");
        let events: Vec<_> = of_payment.iter().filter(|name| name.starts_with("calmony-pay/")).collect();
        let types = ["processing", "succeeded", "succeeded", "refunded"];
        assert_eq!(events, types.map(|word| format!("calmony-pay/payment_intent.{word}")).iter().collect::<Vec<_>>());
        assert_eq!(fake.taken().len(), 7 + 4, "each once: nothing went wrong");

        let now = chrono::Utc::now().timestamp_millis();
        for call in fake.calls() {
            assert_eq!(call.path, format!("/e/{INNGEST_EVENT_KEY}"));
            for event in &call.events {
                let fields: Vec<_> = event.as_object().expect("an object").keys().collect();
                assert_eq!(fields, ["id", "name", "data", "ts"]);
                let at = event["ts"].as_i64().expect("milliseconds");
                assert!((now - 60_000..=now).contains(&at), "{event}");
                let text = event.to_string();
                for personal in ["Arthur", "Holding", "Keys", "description", "actor"] {
                    assert!(!text.contains(personal), "{personal}: {event}");
                }
            }
        }
        let sent = named(&fake, success.id()).expect("sent");
        for (field, value) in [
            ("type", json!("payment_intent.succeeded")), ("paymentId", json!(created.id)),
            ("agencyId", json!(app.agency_id)), ("paymentIntentId", json!("pi_1")), ("amountPence", json!(AMOUNT)),
            ("verdict", json!("applied")), ("eventId", json!(success.id())),
        ] {
            assert_eq!(sent["data"][field], value, "{sent}");
        }
        let nowhere = named(&fake, parked.id()).expect("sent");
        assert_eq!((&nowhere["data"]["paymentId"], &nowhere["data"]["verdict"]), (&Value::Null, &json!("parked")));
        let name = named(&fake, long.id()).expect("sent")["name"].as_str().expect("a name").len();
        assert_eq!(name, 256, "as long as Inngest takes");
        let paid = fake.taken().into_iter().find(|event| event["name"] == "payment/succeeded").expect("sent");
        for (field, value) in [
            ("paymentId", json!(created.id)), ("agencyId", json!(app.agency_id)), ("status", json!("succeeded")),
            ("from", json!("processing")), ("amountPence", json!(AMOUNT)), ("currency", json!("GBP")),
        ] {
            assert_eq!(paid["data"][field], value, "{paid}");
        }
        for _ in 0..250 {
            if kept(&app).await == ["0 1 1"] {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(kept(&app).await, ["0 1 1"], "no event is left, and one agency has a cursor");
        app.stop().await;
    }

    async fn where_it_is_not_configured_nothing_accumulates(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        app.delivered(&Event::new("invoice.paid", json!({ "id": "in_1" }))).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(kept(&app).await, ["0 0 0"]);
    }

    async fn whatever_inngest_does_it_gets_everything_in_the_end(quiet: TestApp) {
        let moods = [
            Mood::Status(500), Mood::Breaks, Mood::Redirect, Mood::Status(401), Mood::Status(429), Mood::Status(400),
            Mood::Status(302), Mood::Breaks,
        ];
        let fake = FakeInngest::start(&moods).await;
        let app = sending_to(&quiet, &fake).await;
        let mut events = Vec::new();
        let mut payments = Vec::new();
        for number in 0..20 {
            let created = app.agent().create(AMOUNT).await;
            let event = Event::succeeded(&format!("pi_{number}"), &created.id, AMOUNT);
            app.delivered(&event).await;
            assert_eq!(app.payment(&created.id).await["status"], "succeeded", "it waits for nobody");
            events.push(event);
            payments.push(created.id);
        }
        fake.until("all events", |fake| events.iter().all(|event| named(fake, event.id()).is_some())).await;
        for payment in &payments {
            fake.until("both transitions", |fake| {
                let names = fake.names("paymentId", payment);
                let changes: Vec<_> = names.iter().filter(|name| name.starts_with("payment/")).collect();
                changes == ["payment/pending", "payment/succeeded"]
            }).await;
        }
        assert!(fake.calls().iter().all(|call| call.path != "/elsewhere"), "no redirect is followed");
        assert!(fake.calls().len() > moods.len(), "each mood was seen");
        assert!(fake.taken().len() > 60, "what was taken but not acknowledged came again");
        app.stop().await;
    }

    async fn an_inngest_that_does_not_answer_is_in_nobodys_way(quiet: TestApp) {
        let fake = FakeInngest::start(&[Mood::Silent]).await;
        let app = sending_to(&quiet, &fake).await;
        let first = app.agent().create(AMOUNT).await;
        fake.until("a call that hangs", |fake| fake.calls().len() == 1).await;
        let began = Instant::now();
        let event = Event::succeeded("pi_1", &first.id, AMOUNT);
        app.delivered(&event).await;
        assert_eq!(app.payment(&first.id).await["status"], "succeeded");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        // The call is given up after eight seconds.
        fake.until("the rest", |fake| named(fake, event.id()).is_some()).await;
        assert!((7.0..13.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
        fake.until("the same again", |fake| fake.taken().iter().filter(|e| e["name"] == "payment/pending").count() == 2).await;
        app.stop().await;
    }

    async fn several_instances_share_the_work(quiet: TestApp) {
        let fake = FakeInngest::start(&[]).await;
        let app = sending_to(&quiet, &fake).await;
        let stopping = CancellationToken::new();
        let others = [(); 3].map(|()| tokio::spawn(jobs::run(app.shared().clone(), stopping.clone())));
        let mut events = Vec::new();
        for number in 0..30 {
            let created = app.agent().create(AMOUNT).await;
            events.push(Event::succeeded(&format!("pi_{number}"), &created.id, AMOUNT));
            app.delivered(&events[number]).await;
        }
        fake.until("all events", |fake| events.iter().all(|event| named(fake, event.id()).is_some())).await;
        fake.until("all transitions", |fake| fake.taken().len() >= 90).await;
        assert_eq!((fake.most_at_once(), fake.taken().len()), (1, 90), "one at a time, and each once");
        stopping.cancel();
        for other in others {
            other.await.expect("it ends");
        }
        app.stop().await;
    }

    async fn an_agency_with_much_to_tell_keeps_no_other_waiting(quiet: TestApp) {
        let fake = FakeInngest::start(&[]).await;
        let app = sending_to(&quiet, &fake).await;
        let stranger = app.stranger(quittance::domain::Role::Agent).await;
        for _ in 0..30 {
            app.agent().create(AMOUNT).await;
        }
        let theirs = stranger.create(AMOUNT).await;
        fake.until("theirs", |fake| fake.names("paymentId", &theirs.id) == ["payment/pending"]).await;
        fake.until("all", |fake| fake.taken().len() == 31).await;
        app.stop().await;
    }

    async fn what_a_killed_server_had_not_confirmed_is_sent_again(app: TestApp) {
        let url = another_database(&app).await;
        let fake = FakeInngest::start(&[]).await;
        fake.be(Mood::Silent);
        let log = tempfile::NamedTempFile::new().expect("a file");
        let settings = [
            ("INNGEST_EVENT_KEY", INNGEST_EVENT_KEY), ("INNGEST_BASE_URL", fake.url.as_str()), ("RUST_LOG", "trace"),
        ];
        let stderr = || Stdio::from(log.reopen().expect("the file"));
        let (server, ready, _output) = dev_with(&url, &settings, stderr()).await;
        let text = |name: &str| ready[name].as_str().expect("a text").to_owned();
        let agent = TestCaller::new(app.http.clone(), format!("{}/rpc", text("rpc")), Some(text("agentToken")));
        let created = agent.create(AMOUNT).await;
        let pay = format!("{}/sandbox/sessions/{}/pay", text("sandbox"), created.session_id());
        assert!(app.http.post(pay).send().await.expect("an answer").status().is_success());
        fake.until("a call that hangs", |fake| !fake.calls().is_empty()).await;
        for _ in 0..200 {
            if agent.payment(&created.id).await["status"] == "succeeded" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(server); // kill -9
        let unconfirmed = fake.taken();
        assert!(!unconfirmed.is_empty());

        // As if the time of its lease had passed.
        let mut sql = crate::harness::Sql::open(app.database, &url).await;
        sql.ok("update jobs set leased_until = null where kind = 'inngest'").await;
        fake.be(Mood::Status(500));
        let (_server, _, _output) = dev_with(&url, &settings, stderr()).await;
        fake.until("a refusal", |fake| fake.calls().len() >= 2).await;
        fake.be(Mood::Content);
        fake.until("the transitions", |fake| {
            let names = fake.names("paymentId", &created.id);
            ["payment/pending", "payment/succeeded", "calmony-pay/payment_intent.succeeded"]
                .iter()
                .all(|name| names.iter().any(|sent| sent == name))
        }).await;
        fake.until("everything again", |fake| {
            let taken = fake.taken();
            unconfirmed.iter().all(|event| taken.iter().filter(|sent| sent["id"] == event["id"]).count() == 2)
        }).await;
        let logged = std::fs::read_to_string(log.path()).expect("the log");
        assert!(logged.contains("could be sent to Inngest"), "it is told of");
        assert!(!logged.contains(INNGEST_EVENT_KEY), "but not the key");
    }

    async fn sending_begins_when_it_is_configured_and_not_before(app: TestApp) {
        let url = another_database(&app).await;
        let fake = FakeInngest::start(&[]).await;
        let on = [("INNGEST_EVENT_KEY", INNGEST_EVENT_KEY), ("INNGEST_BASE_URL", fake.url.as_str())];
        let mut payments = Vec::new();
        for settings in [&[][..], &on, &on, &[], &on] {
            let (mut server, ready, _output) = dev_with(&url, settings, Stdio::null()).await;
            let text = |name: &str| ready[name].as_str().expect("a text").to_owned();
            let agent = TestCaller::new(app.http.clone(), format!("{}/rpc", text("rpc")), Some(text("agentToken")));
            let created = agent.create(AMOUNT).await;
            if settings.is_empty() {
                tokio::time::sleep(Duration::from_millis(300)).await;
            } else {
                fake.until("the payment", |fake| !fake.names("paymentId", &created.id).is_empty()).await;
            }
            payments.push(created.id);
            server.signal("-TERM");
            assert_eq!(server.ended().await.code(), Some(0));
        }
        let sent: Vec<_> = payments.iter().map(|id| fake.names("paymentId", id).len()).collect();
        assert_eq!(sent, [0, 1, 1, 0, 1], "nothing of the times when it was off");
    }
}
