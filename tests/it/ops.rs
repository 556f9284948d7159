//! What an operator's tools see: liveness, readiness, metrics.

use crate::harness::{Event, on_both};

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
}
