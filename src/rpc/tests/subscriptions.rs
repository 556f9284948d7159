//! Subscriptions: where they are taken, how they end, and how fast they are fed.

use super::{sockets::open_as_agent, wire::Socket, *};

async fn subscribed(server: &Server, params: Value) -> Socket {
    let mut socket = open_as_agent(server).await;
    let answer = socket.call(&request(1, "toy.onTick", params)).await;
    assert!(answer["result"].is_u64(), "{answer}");
    socket
}

#[tokio::test]
async fn subscriptions_are_for_sockets_and_not_for_batches() {
    let server = Server::start().await;
    assert_eq!(server.call("toy.onTick", json!([])).await["error"]["code"], -32600);
    let mut socket = open_as_agent(&server).await;
    let answer = socket.call(&batch(&[request(1, "toy.onTick", json!([]))])).await;
    assert_eq!(answer[0]["error"]["code"], -32600);
}

#[tokio::test]
async fn a_notification_begins_nothing() {
    let server = Server::start().await;
    let mut socket = open_as_agent(&server).await;
    socket.send(&notification("toy.onTick", json!({}))).await;
    assert_eq!(socket.call(&request(1, "toy.all", json!({}))).await["result"], "all");
    assert_eq!(server.board.ticks.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_can_not_begin_is_answered_as_a_call_is() {
    let server = Server::start().await;
    let mut socket = open_as_agent(&server).await;
    for (params, code, kind) in [
        (json!({ "first": "nothing" }), -32004, "NOT_FOUND"),
        (json!({ "frist": "nothing" }), -32602, "INVALID_PARAMS"),
        (json!({ "count": -1 }), -32602, "INVALID_PARAMS"),
    ] {
        let error = socket.call(&request(1, "toy.onTick", params)).await["error"].clone();
        assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(code), &json!(kind)));
        assert!(error["data"]["requestId"].is_string());
    }
}

#[tokio::test]
async fn an_error_or_a_panic_of_the_stream_is_its_last_word() {
    let server = Server::start().await;
    for then in ["fail", "panic"] {
        let mut socket = subscribed(&server, json!({ "then": then })).await;
        assert_eq!(socket.next().await.unwrap()["params"]["result"]["n"], 0);
        let last = socket.next().await.unwrap();
        assert_eq!(last["method"], "toy.tick");
        let error = &last["params"]["error"];
        assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32603), &json!("INTERNAL")));
        assert_eq!(socket.call(&request(2, "toy.all", json!({}))).await["result"], "all");
    }
}

#[tokio::test]
async fn it_is_fed_as_fast_as_it_is_read() {
    let server = Server::start().await;
    let mut socket = subscribed(&server, json!({ "bytes": 16 * 1024 })).await;
    let ticks = || server.board.ticks.load(Ordering::SeqCst);
    // Until the kernel's buffers are full and the queue is; then it waits.
    let mut before = 0;
    let full = async {
        while ticks() != before || before == 0 {
            before = ticks();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, full).await.expect("it is fed without end");
    assert!(before < 2_000, "{before} ticks of 16 KiB went somewhere");
    for n in 0..before + 10 {
        assert_eq!(socket.next().await.unwrap()["params"]["result"]["n"], n);
    }
}

#[tokio::test]
async fn an_expired_token_ends_it() {
    let server = Server::start().await;
    let soon = Timestamp::now().plus(Duration::from_millis(500));
    let (_, brief) = issue(&server.app, server.agency, Role::Agent, Some(soon)).await;
    let head = format!("authorization: Bearer {brief}\r\n");
    let (_, mut socket) = server.wire().await.upgrade("/rpc", &head).await;
    let id = socket.call(&request(1, "toy.onTick", json!({ "count": 0 }))).await["result"].clone();
    let last = socket.next().await.unwrap();
    assert_eq!(last["params"]["subscription"], id);
    assert_eq!(last["params"]["error"]["data"]["kind"], "UNAUTHORIZED");
}
