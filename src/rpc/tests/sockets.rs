//! WebSockets: how a token comes in, how long it counts, limits, the end.

use jsonrpsee::{
    core::{
        client::{ClientT, Subscription, SubscriptionClientT},
        params::ObjectParams,
    },
    rpc_params,
    ws_client::WsClientBuilder,
};

use super::*;
use wire::Socket;

async fn open(server: &Server, head: &str) -> (Reply, Socket) {
    server.wire().await.upgrade("/rpc", head).await
}

pub(super) async fn open_as_agent(server: &Server) -> Socket {
    open(server, &format!("authorization: Bearer {}\r\n", server.agent)).await.1
}

#[tokio::test]
async fn a_token_comes_in_the_header_or_as_a_subprotocol() {
    let server = Server::start().await;
    let token = &server.agent;
    let ours = Some("quittance.v1");
    for (head, echoed, works) in [
        (format!("authorization: Bearer {token}\r\n"), None, true),
        (format!("sec-websocket-protocol: quittance.v1, bearer.{token}\r\n"), ours, true),
        (
            format!("sec-websocket-protocol: bearer.{token}\r\nsec-websocket-protocol: quittance.v1\r\n"),
            ours,
            true,
        ),
        ("sec-websocket-protocol: quittance.v1, bearer.qt_nobodys\r\n".into(), ours, false),
        ("sec-websocket-protocol: other\r\n".into(), None, false),
        (String::new(), None, false),
    ] {
        let (reply, mut socket) = open(&server, &head).await;
        assert_eq!((reply.status, reply.header("sec-websocket-protocol")), (101, echoed), "{head}");
        let answer = socket.call(&request(1, "toy.all", json!({}))).await;
        assert_eq!(answer["result"] == "all", works, "{head}");
        assert_eq!(answer["error"]["data"]["kind"] == "UNAUTHORIZED", !works, "{head}");
        assert_eq!(socket.call(&request(2, "rpc.discover", json!({}))).await["result"], "the document");
    }
}

#[tokio::test]
async fn jsonrpsees_own_client_calls_in_batches_and_alone() {
    let server = Server::start().await;
    let headers = [("authorization", format!("Bearer {}", server.agent))];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let url = format!("ws://{}/rpc", server.addr);
    let client =
        WsClientBuilder::new().set_headers(http::HeaderMap::from_iter(headers)).build(url).await.unwrap();
    let mut params = ObjectParams::new();
    params.insert("text", "a").unwrap();
    let answer: Value = client.request("toy.echo", params).await.unwrap();
    assert_eq!(answer["actor"], "agent");
    client.notification("toy.mark", rpc_params![json!({ "name": "told" })]).await.unwrap();
    server.board.until("marked told").await;

    let mut params = ObjectParams::new();
    params.insert("count", 1).unwrap();
    let mut ticks: Subscription<Value> = client.subscribe("toy.onTick", params, "toy.offTick").await.unwrap();
    assert_eq!(timeout(PATIENCE, ticks.next()).await.unwrap().unwrap().unwrap()["n"], 0);
    ticks.unsubscribe().await.unwrap();
}

#[tokio::test]
async fn a_revocation_holds_on_an_open_socket() {
    let server = Server::start().await;
    let mut socket = open_as_agent(&server).await;
    let call = request(1, "toy.all", json!({}));
    assert_eq!(socket.call(&call).await["result"], "all");
    server.app.tokens.revoke(server.agent_id, None).await.unwrap();
    assert_eq!(socket.call(&call).await["error"]["data"]["kind"], "UNAUTHORIZED");
}

#[tokio::test]
async fn each_call_has_a_request_id_of_its_own() {
    let server = Server::start().await;
    let (_, mut socket) = open(&server, "x-request-id: the-upgrade\r\n").await;
    let call = request(1, "toy.all", json!({}));
    let first = socket.call(&call).await["error"]["data"]["requestId"].clone();
    let second = socket.call(&call).await["error"]["data"]["requestId"].clone();
    assert!(first.is_string() && first != second && first != "the-upgrade", "{first} {second}");
}

#[tokio::test]
async fn messages_have_sizes_and_panics_are_answered() {
    let server = Server::start().await;
    let mut socket = open_as_agent(&server).await;
    let long = request(1, "toy.echo", json!({ "text": "x".repeat(128 * 1024) }));
    assert_eq!(socket.call(&long).await["error"]["code"], -32007);
    assert_eq!(
        socket.call(&request(2, "toy.big", json!({ "bytes": 1_100_000 }))).await["error"]["code"],
        -32008
    );
    assert_eq!(socket.call(&request(3, "toy.panic", json!({}))).await["error"]["code"], -32603);
    assert_eq!(socket.call(&request(4, "rpc.panic", json!({}))).await["error"]["code"], -32603);
    assert_eq!(socket.call(&request(5, "toy.all", json!({}))).await["result"], "all");
}

#[tokio::test]
async fn a_mutation_finishes_when_the_socket_is_gone() {
    let server = Server::start().await;
    let mut socket = open_as_agent(&server).await;
    socket.send(&request(1, "toy.mark", json!({ "name": "a", "ms": 150 }))).await;
    server.board.until("mark a").await;
    drop(socket);
    server.board.until("marked a").await;
}

#[tokio::test]
async fn only_a_proper_handshake_on_the_right_path_opens_a_socket() {
    let server = Server::start().await;
    let broken = "connection: Upgrade\r\nupgrade: websocket\r\n";
    assert_eq!(server.wire().await.ask("GET", "/rpc", broken, "").await.status, 400);
    assert_eq!(server.wire().await.upgrade("/", "").await.0.status, 405);
    // A post that asks for an upgrade is a post.
    let reply = server.wire().await.post_with(broken, &request(1, "rpc.discover", json!({}))).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_stop_lets_calls_finish_and_closes_the_socket() {
    let server = Server::start().await;
    let mut busy = open_as_agent(&server).await;
    let mut idle = open_as_agent(&server).await;
    let mut subscribed = open_as_agent(&server).await;
    assert!(subscribed.call(&request(1, "toy.onTick", json!({ "count": 1 }))).await["result"].is_number());
    assert_eq!(subscribed.next().await.unwrap()["method"], "toy.tick");
    busy.send(&request(1, "toy.look", json!({ "name": "a", "ms": 200 }))).await;
    server.board.until("look a").await;
    server.shutdown.cancel();
    assert_eq!(idle.next().await, Err(1000));
    assert_eq!(subscribed.next().await, Err(1000));
    assert_eq!(busy.next().await.unwrap()["result"], "a");
    assert_eq!(busy.next().await, Err(1000));
    server.stop().await;
}
