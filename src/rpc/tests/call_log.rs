//! What is left behind of a call: figures, log lines, and no secret in either.

use std::io::Write;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logging_to(log: &Log) -> tracing::subscriber::DefaultGuard {
    let log = log.clone();
    let filter = tracing_subscriber::EnvFilter::new("quittance=trace");
    let lines = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(move || log.clone());
    tracing::subscriber::set_default(lines.finish())
}

// These run on one thread, where thread-local recorders and subscribers see everything.

#[tokio::test]
async fn calls_are_counted_by_method_and_outcome_and_only_known_methods_are_named() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = Server::start().await;
    server.call("toy.all", json!({})).await;
    server.post(&batch(&[request(1, "toy.all", json!({})), request(2, "toy.admin", json!({}))])).await;
    server.call("no.such-method", json!({})).await;
    server.call("toy.panic", json!({})).await;
    let figures = recorder.handle().render();
    for line in [
        r#"quittance_rpc_requests_total{method="toy.all",outcome="ok"} 2"#,
        r#"quittance_rpc_requests_total{method="toy.admin",outcome="FORBIDDEN"} 1"#,
        r#"quittance_rpc_requests_total{method="unknown",outcome="METHOD_NOT_FOUND"} 1"#,
        r#"quittance_rpc_requests_total{method="toy.panic",outcome="INTERNAL"} 1"#,
        r#"quittance_rpc_duration_seconds_count{method="toy.all"} 2"#,
    ] {
        assert!(figures.contains(line), "{line} is not in\n{figures}");
    }
    assert!(!figures.contains("no.such-method"));
}

#[tokio::test]
async fn a_call_nobody_waits_for_is_counted_as_abandoned() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = Server::start().await;
    let (_, mut socket) =
        server.wire().await.upgrade("/rpc", &format!("authorization: Bearer {}\r\n", server.agent)).await;
    socket.send(&request(1, "toy.mark", json!({ "name": "a", "ms": 100 }))).await;
    server.board.until("mark a").await;
    drop(socket);
    server.board.until("marked a").await;
    let figures = recorder.handle().render();
    assert!(figures.contains(r#"{method="toy.mark",outcome="abandoned"} 1"#), "{figures}");
}

#[tokio::test]
async fn a_call_leaves_one_line_with_who_what_and_how_long_and_no_secret() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let server = Server::start().await;
    let reply = server.post(&request(1, "toy.mark", json!({ "name": "hush" }))).await;
    let lines = log.lines();
    let answered: Vec<_> = lines.iter().filter(|line| line["fields"]["message"] == "answered").collect();
    assert_eq!(answered.len(), 1, "{lines:?}");
    let span = &answered[0]["span"];
    assert_eq!(span["method"], "toy.mark");
    assert_eq!(span["request_id"], reply.header("x-request-id").unwrap());
    assert_eq!(span["agency"], server.agency.to_string());
    assert_eq!(span["token"], server.agent_id.to_string());
    assert_eq!(span["subject"], reply.json()["result"]["toyId"]);
    assert_eq!(span["outcome"], "ok");
    assert!(span["duration_ms"].is_number());
    let all = format!("{lines:?}");
    assert!(!all.contains(&server.agent) && !all.contains("hush"), "{all}");
}

#[tokio::test]
async fn a_call_is_logged_with_the_id_it_names_but_not_with_anything_else_in_its_place() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let server = Server::start().await;
    for sent in ["01890a5d-ac96-774b-bcce-b302099a8057", "hush"] {
        server.call("toy.find", json!({ "toyId": sent })).await;
    }
    let lines = log.lines();
    let answered: Vec<_> = lines.iter().filter(|line| line["fields"]["message"] == "answered").collect();
    assert_eq!(answered[0]["span"]["subject"], "01890a5d-ac96-774b-bcce-b302099a8057");
    assert_eq!(answered[1]["span"].get("subject"), None);
    assert!(!format!("{lines:?}").contains("hush"));
}

#[tokio::test]
async fn a_refused_page_is_logged_once_with_the_setting_that_would_let_it_in() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let server = Server::start().await;
    let call = request(1, "rpc.discover", json!({}));
    for _ in 0..2 {
        server.wire().await.post_with("origin: https://app.example\r\n", &call).await;
        server.wire().await.upgrade("/rpc", "origin: https://app.example\r\n").await;
    }
    server.wire().await.post_with("origin: https://quittance.test\r\n", &call).await;
    let lines: Vec<_> = log.lines().into_iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["fields"]["origin"], "https://app.example");
    assert!(lines[0]["fields"]["message"].as_str().unwrap().contains("QUITTANCE_CORS_ORIGINS"));
    // There is an end to what strangers can write into it.
    for n in 0..200 {
        server.wire().await.post_with(&format!("origin: https://{n}.example\r\n"), &call).await;
    }
    assert_eq!(log.lines().iter().filter(|line| line["level"] == "WARN").count(), 100);
}

#[tokio::test]
async fn a_fault_is_told_to_the_log_once_and_to_nobody_else() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let server = Server::start().await;
    for (method, story) in
        [("toy.fault", "only the log may know"), ("toy.panic", "toy.panic panicked: in a query")]
    {
        let reply = server.post(&request(1, method, json!({}))).await;
        assert!(!reply.body.contains(story), "{reply:?}");
        let lines = log.lines();
        let told: Vec<_> = lines.iter().filter(|line| line.to_string().contains(story)).collect();
        assert_eq!(told.len(), 1, "{lines:?}");
        assert_eq!(told[0]["level"], "ERROR");
        assert_eq!(told[0]["fields"]["request_id"], reply.header("x-request-id").unwrap());
    }
}

#[tokio::test]
async fn a_fault_nobody_waited_for_is_told_to_the_log_as_well() {
    let log = Log::default();
    let _guard = logging_to(&log);
    let server = Server::start().await;
    let reply = server.post(&notification("toy.fault", json!({}))).await;
    assert_eq!(reply.status, 204);
    assert!(format!("{:?}", log.lines()).contains("only the log may know"));
}
