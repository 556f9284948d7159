//! What the three paths answer, and to whom.

use http::Response;
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::ServiceExt;

use super::*;

fn ops(database_answers: bool, stopping: &CancellationToken) -> Ops {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || metrics::counter!("payments_total").increment(3));
    let ready: ReadyCheck = Arc::new(move || Box::pin(async move { database_answers }));
    Ops::new(ready, stopping.clone(), recorder.handle())
}

async fn ask(ops: &Ops, method: Method, path: &str) -> (StatusCode, Response<String>) {
    let request = Request::builder().method(method).uri(path).body(()).unwrap();
    let (parts, body) = ops.clone().oneshot(request).await.unwrap().into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, Response::from_parts(parts, body))
}

#[tokio::test]
async fn livez_answers_whatever_the_database_does() {
    let stopping = CancellationToken::new();
    let ops = ops(false, &stopping);
    stopping.cancel();
    assert_eq!(ask(&ops, Method::GET, "/livez").await.0, StatusCode::OK);
    assert_eq!(ask(&ops, Method::HEAD, "/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn readyz_follows_the_database_and_the_shutdown() {
    let stopping = CancellationToken::new();
    let up = ops(true, &stopping);
    assert_eq!(ask(&up, Method::GET, "/readyz").await.0, StatusCode::OK);
    assert_eq!(ask(&ops(false, &stopping), Method::GET, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);

    stopping.cancel();
    let (status, answer) = ask(&up, Method::GET, "/readyz").await;
    assert_eq!((status, answer.body().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"));
}

#[tokio::test]
async fn a_database_that_never_answers_is_not_ready() {
    let mut ops = ops(true, &CancellationToken::new());
    ops.ready = Arc::new(|| Box::pin(std::future::pending()));
    assert_eq!(ask(&ops, Method::GET, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn metrics_are_in_prometheus_text() {
    let (status, answer) =
        ask(&ops(true, &CancellationToken::new()), Method::GET, "/metrics?name=payments").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], METRICS_CONTENT_TYPE);
    assert!(answer.body().contains("payments_total 3"), "{}", answer.body());
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let ops = ops(true, &CancellationToken::new());
    let (status, answer) = ask(&ops, Method::POST, "/readyz").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers()["allow"], "GET, HEAD");
    assert_eq!(ask(&ops, Method::GET, "/").await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&ops, Method::POST, "/healthz").await.0, StatusCode::NOT_FOUND);
}
