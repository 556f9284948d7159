//! `quittance events`: the inbox beside a running server.

use serde_json::{Value, json};

use crate::{
    harness::{Event, Options, TestApp, on_both, sign_now},
    process::{json_of, refusal},
};

const AMOUNT: i64 = 25_000;

async fn listed(app: &TestApp, verdict: &str) -> Vec<Value> {
    let page = json_of(&["events", "list", "--verdict", verdict], &app.url).await;
    page["events"].as_array().expect("events").clone()
}

on_both! {
    async fn every_verdict_is_listed_and_shown(app: TestApp) {
        let created = app.agent().create(AMOUNT).await;
        let applied = Event::succeeded("pi_1", &created.id, AMOUNT);
        let stale = Event::succeeded("pi_1", &created.id, AMOUNT);
        let ignored = Event::new("invoice.paid", json!({ "id": "in_1" }));
        for event in [&applied, &stale, &ignored] {
            app.delivered(event).await;
        }
        let body = br#"{"type":"payment_intent.succeeded","data":{"object":{}}}"#.to_vec();
        let request = app.http.post(&app.webhook_url).header("calmony-signature", sign_now(&body)).body(body);
        assert_eq!(request.send().await.expect("an answer").status(), 200);

        for (verdict, id) in [("applied", &applied), ("stale", &stale), ("ignored", &ignored)] {
            let found = listed(&app, verdict).await;
            assert_eq!(found.len(), 1, "{verdict}");
            assert_eq!(found[0]["eventId"], id.id());
            assert_eq!(json_of(&["events", "show", id.id()], &app.url).await, found[0]);
            let told = refusal(&["events", "replay", id.id()], &[("DATABASE_URL", &app.url)]).await;
            assert!(told.contains("neither parked nor dead"), "{told}");
        }
        let quarantined = listed(&app, "quarantined").await;
        assert_eq!(quarantined.len(), 1);
        let id = quarantined[0]["eventId"].as_str().expect("an id");
        assert!(id.starts_with("sha256:") && quarantined[0]["reason"].is_string(), "{quarantined:?}");
        assert_eq!(json_of(&["events", "show", id], &app.url).await["verdict"], "quarantined");
        let all = json_of(&["events", "list"], &app.url).await;
        assert_eq!(all["events"].as_array().expect("events").len(), 4);
        let one = json_of(&["events", "list", "--limit", "1"], &app.url).await;
        assert_eq!(one["events"][0]["eventId"], id, "newest first");
        let told = refusal(&["events", "show", "evt_nobody"], &[("DATABASE_URL", &app.url)]).await;
        assert!(told.contains("there is no event evt_nobody"), "{told}");
    }

    async fn a_dead_event_is_replayed_once_its_payment_is_known(app: TestApp, Options { time_scale: 1e-7, webhooks: false, ..Options::default() }) {
        let created = app.agent().create(AMOUNT).await;
        let refund = Event::new("payment_intent.refunded", json!({ "id": "pi_1", "amount": AMOUNT, "currency": "gbp" }));
        app.delivered(&refund).await;
        app.until_verdict(refund.id(), "dead").await;
        app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT)).await;
        assert_eq!(app.payment(&created.id).await["status"], "succeeded");
        let replayed = json_of(&["events", "replay", refund.id()], &app.url).await;
        assert_eq!((&replayed["verdict"], &replayed["tries"]), (&json!("parked"), &json!(0)));
        app.until_status(&created.id, "refunded").await;
        app.until_verdict(refund.id(), "applied").await;
    }
}
