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
    for (head, echoed) in [
        (format!("authorization: Bearer {token}\r\n"), None),
        (format!("sec-websocket-protocol: quittance.v1, bearer.{token}\r\n"), ours),
        (format!("sec-websocket-protocol: bearer.{token}\r\nsec-websocket-protocol: quittance.v1\r\n"), ours),
    ] {
        let (reply, mut socket) = open(&server, &head).await;
        assert_eq!((reply.status, reply.header("sec-websocket-protocol")), (101, echoed), "{head}");
        assert_eq!(socket.call(&request(1, "toy.all", json!({}))).await["result"], "all");
        assert_eq!(socket.call(&request(2, "rpc.discover", json!({}))).await["result"], "the document");
    }
}

#[tokio::test]
async fn without_a_valid_token_none_is_opened() {
    let server = Server::start().await;
    let (expired, revoked) = (Timestamp::now().plus(Duration::from_millis(1)), server.agent_id);
    let (_, expired) = issue(&server.app, server.agency, Role::Agent, Some(expired)).await;
    server.app.tokens.revoke(revoked, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    for head in [
        String::new(),
        "authorization: Bearer qt_nobodys\r\n".to_owned(),
        "sec-websocket-protocol: other\r\n".to_owned(),
        "sec-websocket-protocol: quittance.v1, bearer.qt_nobodys\r\n".to_owned(),
        format!("authorization: Bearer {expired}\r\n"),
        format!("sec-websocket-protocol: quittance.v1, bearer.{expired}\r\n"),
        format!("authorization: Bearer {}\r\n", server.agent),
    ] {
        let (reply, _) = open(&server, &head).await;
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")), "{head}");
        assert!(reply.header("x-request-id").is_some() && reply.body.contains("token"), "{reply:?}");
    }
}

#[tokio::test]
async fn of_1_024_that_one_token_asks_for_it_gets_64_and_http_has_room() {
    let server = Server::start().await;
    let head = format!("authorization: Bearer {}\r\n", server.agent);
    let mut opened = Vec::new();
    let mut refused = 0;
    for _ in 0..1_024 {
        let (reply, socket) = open(&server, &head).await;
        match reply.status {
            101 => opened.push(socket),
            503 => {
                assert!(
                    reply.body.contains("this token") && reply.header("retry-after").is_some(),
                    "{reply:?}"
                );
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((opened.len(), refused), (64, 960));
    assert_eq!(server.call("toy.all", json!({})).await["result"], "all");
    let other = format!("authorization: Bearer {}\r\n", server.admin);
    assert_eq!(open(&server, &other).await.0.status, 101, "another token has its own");

    // One that goes makes room for one.
    drop(opened.pop());
    let again = async { while open(&server, &head).await.0.status != 101 {} };
    timeout(PATIENCE, again).await.expect("its place is given back");
}

#[tokio::test]
async fn of_one_that_sends_much_and_reads_nothing_little_is_held_and_nothing_lost() {
    const CALLS: usize = 1_000;
    let server = Server::start().await;
    let mut greedy = open_as_agent(&server).await;
    for id in 0..CALLS {
        greedy.send(&request(id as u32, "toy.big", json!({ "bytes": 500_000 }))).await;
    }
    // Until no more are begun: what the kernel holds of the answers, and what we may.
    let begun = || server.board.big_answers.load(Ordering::SeqCst);
    let mut before = 0;
    while begun() == 0 || begun() != before {
        before = begun();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(begun() <= 100, "{} answers of half a megabyte were made for nobody", begun());
    assert_eq!(server.call("toy.all", json!({})).await["result"], "all");

    let mut answered: Vec<bool> = vec![false; CALLS];
    for _ in 0..CALLS {
        let answer = greedy.next().await.expect("an answer");
        assert_eq!(answer["result"].as_str().map(str::len), Some(500_000));
        answered[answer["id"].as_u64().unwrap() as usize] = true;
    }
    assert!(answered.into_iter().all(|is_answered| is_answered));
}

#[tokio::test]
async fn of_one_no_more_than_32_calls_and_a_mebibyte_of_messages_are_held() {
    let server = Server::start().await;
    let begun = || server.board.log().iter().filter(|line| line.starts_with("look ")).count();
    for (padding_bytes, held) in [(0, 32..=32), (100 * 1024, 9..=10)] {
        let mut socket = open_as_agent(&server).await;
        let before = begun();
        let padding = "x".repeat(padding_bytes);
        for n in 0..40 {
            let call = request(n, "toy.look", json!({ "name": format!("{n}"), "ms": 1_500 }));
            socket.send(&format!("{call}{}", padding.replace('x', " "))).await;
        }
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(held.contains(&(begun() - before)), "{padding_bytes}: {}", begun() - before);
        for _ in 0..40 {
            assert!(socket.next().await.unwrap()["result"].is_string());
        }
    }
}

#[tokio::test]
async fn notifications_and_broken_messages_give_their_room_back() {
    let server = Server::start().await;
    let mut socket = open_as_agent(&server).await;
    for _ in 0..100 {
        socket.send(&notification("toy.all", json!({}))).await;
        socket.send(&batch(&[notification("toy.all", json!({}))])).await;
    }
    for sent in ["{", "hello", "[]", r#"{"jsonrpc":"2.0","id":1.5,"method":"toy.all"}"#] {
        for _ in 0..50 {
            assert!(socket.call(sent).await["error"]["code"].is_i64(), "{sent}");
        }
    }
    assert_eq!(socket.call(&request(1, "toy.all", json!({}))).await["result"], "all");
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
    let head = format!("authorization: Bearer {}\r\nx-request-id: the-upgrade\r\n", server.agent);
    let (_, mut socket) = open(&server, &head).await;
    let call = request(1, "toy.admin", json!({}));
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
        socket.call(&request(2, "toy.big", json!({ "bytes": 9_000_000 }))).await["error"]["code"],
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
