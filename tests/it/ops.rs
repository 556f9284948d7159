//! What an operator's tools see: liveness, readiness, metrics.

use std::{process::Stdio, time::Duration};

use serde_json::json;

use crate::{
    harness::{Event, TestCaller, on_both},
    process::{another_database, dev_with},
};

on_both! {
    async fn operators_see_that_it_lives_and_what_it_did(app: TestApp) {
        let created = app.agent().create(25_000).await;
        app.delivered(&Event::succeeded("pi_a", &created.id, 25_000)).await;
        app.delivered(&Event::succeeded("pi_b", &created.id, 25_000)).await;
        let get = async |path: &str| {
            let answer = app.http.get(format!("{}{path}", app.ops_url)).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(get("/livez").await.0, 200);
        assert_eq!(get("/readyz").await.0, 200);
        let (status, metrics) = get("/metrics").await;
        assert_eq!(status, 200);
        // Servers of one process share the recorder, so only that it counts can be said, not how much.
        for line in [
            "quittance_webhook_events_total{outcome=\"applied\"}",
            "quittance_anomalies_total{kind=\"double_payment\"}",
            "quittance_checkout_sessions_total{outcome=\"made\"}",
            "quittance_rpc_requests_total{method=\"payment.createPaymentTask\",outcome=\"ok\"}",
        ] {
            assert!(metrics.contains(line), "{line} is not in\n{metrics}");
        }
    }

    async fn open_anomalies_are_counted_and_logged_until_they_are_settled(app: TestApp) {
        let url = another_database(&app).await;
        let log = tempfile::NamedTempFile::new().expect("a file");
        let settings = [("QUITTANCE_JANITOR_TIME_SCALE", "0.02")];
        let stderr = Stdio::from(log.reopen().expect("the file"));
        let (_server, ready, _output) = dev_with(&url, &settings, stderr).await;
        let text = |name: &str| ready[name].as_str().expect("a text").to_owned();
        let caller = |token| TestCaller::new(app.http.clone(), format!("{}/rpc", text("rpc")), Some(text(token)));
        let (agent, admin) = (caller("agentToken"), caller("adminToken"));
        let until_metrics = async |line: &str| {
            for _ in 0..250 {
                let answer = app.http.get(format!("{}/metrics", text("ops"))).send().await.expect("an answer");
                if answer.text().await.expect("text").lines().any(|found| found == line) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("{line} does not come");
        };
        let counted = |open: u32| format!("quittance_anomalies_open{{kind=\"amount_mismatch\"}} {open}");
        until_metrics(&counted(0)).await;
        let faults = app.http.put(format!("{}/sandbox/faults", text("sandbox"))).body(r#"{"wrong_amount":1.0}"#);
        assert!(faults.send().await.expect("an answer").status().is_success());
        let created = agent.create(25_000).await;
        let pay = format!("{}/sandbox/sessions/{}/pay", text("sandbox"), created.session_id());
        assert!(app.http.post(pay).send().await.expect("an answer").status().is_success());
        until_metrics(&counted(1)).await;
        let page = admin.ok("payment.listAnomalies", json!({ "status": "open" })).await;
        let settle = json!({ "anomalyId": page["items"][0]["id"], "resolution": "refunded", "note": "Sent back" });
        admin.ok("payment.resolveAnomaly", settle).await;
        until_metrics(&counted(0)).await;
        let logged = std::fs::read_to_string(log.path()).expect("the log");
        for words in ["anomaly raised", "anomalies wait for a person"] {
            let line = logged.lines().find(|line| line.contains(words));
            assert!(line.is_some_and(|line| line.contains("WARN")), "{words}: {logged}");
        }
    }
}
