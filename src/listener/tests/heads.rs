//! Request heads: how many fields, how big, how slow; and the request id they may bring.

use tokio::time::Instant;

use super::limits::HEAD_MAX_BYTES;
use super::*;

fn head_with(fields: impl IntoIterator<Item = String>) -> String {
    let mut head = String::from("GET /hello HTTP/1.1\r\n");
    head.extend(fields.into_iter().map(|field| field + "\r\n"));
    head + "\r\n"
}

#[tokio::test]
async fn sixty_four_fields_pass_and_one_more_is_431() {
    let server = Server::start(Limits::default()).await;
    let fields = |count| head_with((0..count).map(|n| format!("x-{n}: {n}")));

    let mut client = server.client().await;
    client.send(fields(64)).await;
    assert_eq!(client.reply().await.status(), "200");

    client.send(fields(65)).await;
    assert_eq!(client.reply().await.status(), "431");
    assert_eq!(client.rest().await, b"");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_head_of_16_kib_passes_and_one_byte_more_is_431() {
    let server = Server::start(Limits::default()).await;
    let bare_bytes = head_with([String::from("x-big: ")]).len();
    let sized = |bytes| head_with([format!("x-big: {}", "b".repeat(bytes - bare_bytes))]);

    let mut client = server.client().await;
    client.send(sized(HEAD_MAX_BYTES)).await;
    assert_eq!(client.reply().await.status(), "200");
    // Buffers that a body has used before change nothing.
    client.send(format!("POST /body HTTP/1.1\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1000))).await;
    assert_eq!(client.reply().await.status(), "200");

    client.send(sized(HEAD_MAX_BYTES + 1)).await;
    assert_eq!(client.reply().await.status(), "431");
    assert_eq!(client.rest().await, b"");

    let mut fresh = server.client().await;
    fresh.send(sized(10 * HEAD_MAX_BYTES)).await;
    assert_eq!(fresh.reply().await.status(), "431");
    drop((client, fresh));
    server.stop().await;
}

#[tokio::test]
async fn a_malformed_request_line_is_400() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    client.send("ceci n'est pas une requête\r\n\r\n").await;
    assert_eq!(client.reply().await.status(), "400");
    assert_eq!(client.rest().await, b"");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_dripping_head_is_cut_at_its_limit_however_long_idling_may_last() {
    let limits = Limits { head_timeout: ms(500), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut client = server.client().await;
    assert_eq!(client.get("/hello").await.status(), "200");
    // The pause is idleness, and not charged to the head.
    assert!(client.is_quiet_for(ms(700)).await);

    let began = Instant::now();
    client.send("GET /hello HTTP/1.1\r\nx-slow: ").await;
    while client.is_quiet_for(ms(50)).await {
        assert!(began.elapsed() < PATIENCE, "still not cut");
        // Fails when the server has just closed; then the next look sees it.
        let _ = client.0.write_all(b"z").await;
    }
    assert!(began.elapsed() >= ms(450), "cut after {:?}", began.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn a_head_may_take_longer_than_idling_may_last() {
    let limits = Limits { keep_alive: ms(300), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut client = server.client().await;
    client.send("GET /hello HTTP/1.1\r\n").await;
    sleep(ms(700)).await;
    client.send("host: test\r\n\r\n").await;
    assert_eq!(client.reply().await.body, "hello");
    server.stop().await;
}

#[tokio::test]
async fn a_usable_request_id_is_kept_and_any_other_replaced() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    let longest = "i".repeat(REQUEST_ID_MAX_BYTES);
    for id in ["req_01-A.b", longest.as_str()] {
        client.send(format!("GET /id HTTP/1.1\r\nx-request-id: {id}\r\n\r\n")).await;
        let reply = client.reply().await;
        assert_eq!((reply.body.as_str(), reply.header("x-request-id")), (id, Some(id)));
    }
    let too_long = "i".repeat(REQUEST_ID_MAX_BYTES + 1);
    for id in ["", "two words", "a;b", "é", too_long.as_str()] {
        client.send(format!("GET /id HTTP/1.1\r\nx-request-id: {id}\r\n\r\n")).await;
        let reply = client.reply().await;
        let fresh = uuid::Uuid::parse_str(&reply.body).expect("a fresh id is a UUID");
        assert_eq!(fresh.get_version_num(), 7);
        assert_eq!(reply.header("x-request-id"), Some(reply.body.as_str()));
    }
    server.stop().await;
}

#[tokio::test]
async fn refusals_bear_the_request_id_too() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    client.send("GET /nowhere HTTP/1.1\r\nx-request-id: r-404\r\n\r\n").await;
    let reply = client.reply().await;
    assert_eq!((reply.status(), reply.header("x-request-id")), ("404", Some("r-404")));

    client.send("POST /body HTTP/1.1\r\nx-request-id: r-413\r\ncontent-length: 5000\r\n\r\n").await;
    let reply = client.reply().await;
    assert_eq!((reply.status(), reply.header("x-request-id")), ("413", Some("r-413")));
    drop(client);
    server.stop().await;
}
