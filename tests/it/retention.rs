//! How long the body of an event is kept: while somebody may need it, and 30 days.

use serde_json::json;

use crate::{
    harness::{Database, Event, Options, TestApp, on_both, sign_now},
    process::{json_of, refusal},
};

/// With every waiting time this much shorter an hour is 36 ms, and an event without a payment dead after 2 s; ten times
/// as long where it is to stay parked.
fn in_a_hurry(times: f64) -> Options {
    Options { time_scale: 1e-5 * times, webhooks: false, ..Options::default() }
}

/// Whether the event's body is still there.
async fn has_body(app: &TestApp, event: &str) -> bool {
    let query = format!(
        "select case when body is null then 'gone' else 'kept' end as line from processed_events where event_id = '{event}'"
    );
    app.sql().await.lines(&query).await == ["kept"]
}

/// Makes every event this many days older.
async fn age(app: &TestApp, days: i64) {
    let statement = match app.database {
        Database::Sqlite => {
            format!("update processed_events set received_at = received_at - {days} * 86400000000")
        }
        Database::Postgres => {
            format!("update processed_events set received_at = received_at - interval '{days} days'")
        }
    };
    app.sql().await.ok(&statement).await;
}

on_both! {
    async fn the_body_of_a_dead_or_unreadable_event_goes_after_30_days(app: TestApp, in_a_hurry(1.0)) {
        let dead = Event::new("payment_intent.succeeded", json!({ "id": "pi_of_nobody" }));
        app.delivered(&dead).await;
        app.until_verdict(dead.id(), "dead").await;
        let body = b"not JSON".to_vec();
        let request = app.http.post(&app.webhook_url).header("calmony-signature", sign_now(&body)).body(body);
        assert_eq!(request.send().await.expect("an answer").status(), 200);
        let unreadable = app.sql().await.lines("select event_id as line from processed_events where verdict = 'quarantined'").await;
        let unreadable = unreadable[0].as_str();

        age(&app, 29).await;
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        assert!(has_body(&app, dead.id()).await && has_body(&app, unreadable).await, "after 29 days they are there");
        age(&app, 1).await;
        for _ in 0..200 {
            if !has_body(&app, dead.id()).await && !has_body(&app, unreadable).await {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(!has_body(&app, dead.id()).await && !has_body(&app, unreadable).await, "after 30 days they are gone");
        let shown = json_of(&["events", "show", dead.id()], &app.url).await;
        assert_eq!((&shown["verdict"], &shown["paymentIntentId"]), (&json!("dead"), &json!("pi_of_nobody")), "the facts stay");
        let told = refusal(&["events", "replay", dead.id()], &[("DATABASE_URL", &app.url)]).await;
        assert!(told.contains("its body is gone"), "{told}");
    }

    async fn a_parked_event_keeps_its_body_however_old_it_is(app: TestApp, in_a_hurry(10.0)) {
        let created = app.agent().create(25_000).await;
        let parked = Event::new("payment_intent.refunded", json!({ "id": "pi_1", "amount": 25_000, "currency": "gbp" }));
        app.delivered(&parked).await;
        // Far from due, so that no retry comes between.
        let far = match app.database {
            Database::Sqlite => "due_at + 90 * 86400000000",
            Database::Postgres => "due_at + interval '90 days'",
        };
        app.sql().await.ok(&format!("update processed_events set verdict = 'parked', concluded_at = null, leased_until = null, due_at = {far} where due_at is not null")).await;
        let verdict = app.verdict(parked.id()).await;
        age(&app, 60).await;
        tokio::time::sleep(std::time::Duration::from_millis(1_000)).await;
        assert_eq!(verdict.as_deref(), Some("parked"), "its clock was set ahead in time");
        assert!(has_body(&app, parked.id()).await);
        app.delivered(&Event::succeeded("pi_1", &created.id, 25_000)).await;
        app.until_verdict(parked.id(), "applied").await;
        assert_eq!(app.payment(&created.id).await["status"], "refunded");
    }
}
