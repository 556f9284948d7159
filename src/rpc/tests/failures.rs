//! Panics, faults, callers that hang up, bodies that are too much or too slow, and the end.

use super::*;
use crate::error::Kind;

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_connection_lives() {
    let server = Server::start().await;
    let mut wire = server.wire().await;
    for method in ["toy.panic", "toy.panicMutation", "rpc.panic"] {
        let reply = wire.post(&server.agent, &request(1, method, json!({}))).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, &error["code"]), (200, &json!(-32603)), "{method}");
        assert_eq!(error["message"], "internal error");
        assert_eq!(error["data"], json!({ "kind": "INTERNAL", "requestId": reply.header("x-request-id") }));
    }
    assert_eq!(wire.post(&server.agent, &request(1, "toy.all", json!({}))).await.json()["result"], "all");
}

#[tokio::test]
async fn a_mutation_finishes_when_its_caller_hangs_up() {
    let server = Server::start().await;
    let mut wire = server.wire().await;
    let body = request(1, "toy.mark", json!({ "name": "a", "ms": 150 }));
    let (token, length) = (&server.agent, body.len());
    wire.send(format!(
        "POST /rpc HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
    .await;
    server.board.until("mark a").await;
    drop(wire);
    server.board.until("marked a").await;
}

#[tokio::test]
async fn busy_is_503_with_the_time_to_wait() {
    let server = Server::start().await;
    let reply = server.post(&request(1, "toy.busy", json!({}))).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(reply.json()["error"]["data"]["retryAfterMs"], 1_000);
}

#[tokio::test]
async fn a_token_that_cannot_be_looked_up_in_time_is_busy_and_not_unauthorized() {
    let server = Server::start().await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    // More than there are connections, so that all are out.
    let hogs: Vec<_> = (0..16)
        .map(|_| {
            let (ledger, released) = (server.app.ledger.clone(), Arc::clone(&released));
            // `recv` fails when all are released at once, which is as good.
            let hold = move || released.lock().unwrap().recv().is_ok();
            tokio::spawn(async move { ledger.read(move |_| async move { Ok(hold()) }.boxed()).await.is_ok() })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let reply = server.post(&request(1, "toy.all", json!({}))).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(reply.json()["error"]["data"]["kind"], "BUSY");
    drop(release);
    for hog in hogs {
        hog.await.unwrap();
    }
    assert_eq!(server.call("toy.all", json!({})).await["result"], "all");
}

#[tokio::test]
async fn a_token_has_a_rate_and_each_entry_counts() {
    let server = Server::with(RpcSettings { rate_limit_per_second: 1, ..RpcSettings::default() }).await;
    let one = |id| request(id, "toy.all", json!({}));
    let answers = server.post(&batch(&[one(1), one(2), one(3)])).await;
    assert_eq!((answers.status, answers.header("retry-after")), (200, None));
    let kinds: Vec<_> =
        answers.json().as_array().unwrap().iter().map(|one| one["error"]["data"]["kind"].clone()).collect();
    assert_eq!(kinds, [Value::Null, Value::Null, json!("RATE_LIMITED")]);

    let reply = server.post(&one(4)).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("1")));
    let error = reply.json()["error"].clone();
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32029), &json!("RATE_LIMITED")));
    assert!(error["data"]["retryAfterMs"].as_u64().unwrap() <= 1_001, "{error}");

    // Others are not slowed down by it: another token, nobody.
    let mut wire = server.wire().await;
    assert_eq!(wire.post(&server.admin, &one(5)).await.json()["result"], "all");
    for id in 0..5 {
        let reply = wire.post_with("", &one(id)).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (200, &json!(-32001)));
    }
}

#[tokio::test]
async fn a_body_has_a_size() {
    let server = Server::start().await;
    let padded = |bytes: usize| {
        let call = request(1, "rpc.discover", json!({}));
        format!("{call}{}", " ".repeat(bytes - call.len()))
    };
    assert_eq!(server.post(&padded(128 * 1024)).await.status, 200);
    let reply = server.post(&padded(128 * 1024 + 1)).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (413, &json!(-32007)));
    assert_eq!(reply.header("connection"), Some("close"));

    // The same where the length was not declared.
    let mut wire = server.wire().await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    wire.send(format!("30000\r\n{}\r\n0\r\n\r\n", " ".repeat(0x30000))).await;
    assert_eq!(wire.reply().await.status, 413);
}

#[tokio::test]
async fn a_body_has_a_time() {
    let body_timeout = Duration::from_millis(200);
    let server = Server::with(RpcSettings { body_timeout, ..RpcSettings::default() }).await;
    let mut wire = server.wire().await;
    wire.send("POST /rpc HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n{").await;
    let reply = wire.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
}

#[tokio::test]
async fn a_stop_lets_calls_finish_over_http() {
    let server = Server::start().await;
    let mut wire = server.wire().await;
    let (token, board, shutdown) = (server.agent.clone(), Arc::clone(&server.board), server.shutdown.clone());
    let call = tokio::spawn(async move {
        wire.post(&token, &request(1, "toy.look", json!({ "name": "a", "ms": 200 }))).await
    });
    board.until("look a").await;
    shutdown.cancel();
    assert_eq!(call.await.unwrap().json()["result"], "a");
    server.stop().await;
}

#[test]
fn kinds_have_one_name_in_records_and_on_the_wire() {
    for kind in [
        Kind::InvalidParams,
        Kind::Unauthorized,
        Kind::Forbidden,
        Kind::NotFound,
        Kind::InvalidTransition,
        Kind::PaymentInFlight,
        Kind::OpenPaymentExists,
        Kind::AlreadyPaid,
        Kind::IdempotencyMismatch,
        Kind::InProgress,
        Kind::ProviderRejected,
        Kind::ProviderUnavailable,
        Kind::RateLimited,
        Kind::Busy,
        Kind::Internal,
    ] {
        assert_eq!(json!(kind), kind.as_str());
    }
}
