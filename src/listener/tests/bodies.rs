//! Request bodies too large or too slow, and clients that must still hear of it.

use super::*;

fn post(content_length: usize, body: &str) -> String {
    format!("POST /body HTTP/1.1\r\nhost: test\r\ncontent-length: {content_length}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    let body = "b".repeat(BODY_MAX_BYTES);
    client.send(post(BODY_MAX_BYTES, &body)).await;
    assert_eq!(client.reply().await.body, body);
    // Read to its end, so the connection is good for another.
    assert_eq!(client.get("/hello").await.status(), "200");
    server.stop().await;
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_unread() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    // Not a byte of body, and no invitation to send it.
    client
        .send("POST /body HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 1025\r\n\r\n")
        .await;
    let reply = client.reply().await;
    assert_eq!((reply.status(), reply.body.as_str()), ("413", "TooLarge"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(client.rest().await, b"");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn an_undeclared_length_is_counted() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    client.send("POST /body HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..3 {
        client.send(format!("200\r\n{}\r\n", "c".repeat(512))).await;
    }
    let reply = client.reply().await;
    assert_eq!((reply.status(), reply.body.as_str()), ("413", "TooLarge"));
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn malformed_chunks_are_broken() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    client.send("POST /body HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await;
    let reply = client.reply().await;
    assert_eq!((reply.status(), reply.body.as_str()), ("400", "Broken"));
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_writes_all_before_it_reads_still_gets_the_413() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    let length = 3 * 1024 * 1024;
    client.send(post(length, "")).await;
    for _ in 0..length / 65_536 {
        client.send([b'x'; 65_536]).await;
        tokio::task::yield_now().await;
    }
    let reply = client.reply().await;
    assert_eq!((reply.status(), reply.body.as_str()), ("413", "TooLarge"));
    assert_eq!(client.rest().await, b"");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn an_endless_body_is_not_read_for_ever() {
    // By the number of bytes, not by the time.
    let server = Server::start(Limits { linger_timeout: 10 * PATIENCE, ..Limits::default() }).await;
    let mut client = server.client().await;
    client.send(post(usize::MAX / 4, "")).await;
    let sending = async { while client.0.write_all(&[b'x'; 65_536]).await.is_ok() {} };
    timeout(PATIENCE, sending).await.expect("the server hangs up");
    server.stop().await;
}

#[tokio::test]
async fn a_refused_client_that_neither_sends_nor_closes_is_left_after_a_while() {
    let limits = Limits { linger_timeout: ms(300), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut client = server.client().await;
    client.send(post(5_000, "")).await;
    assert_eq!(client.reply().await.status(), "413");
    // The client's socket stays open: only the limit can end the connection.
    server.stop().await;
    drop(client);
}

#[tokio::test]
async fn a_slow_body_is_408() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    client.send(post(100, "only this")).await;
    assert!(client.is_quiet_for(ms(300)).await);
    let reply = client.reply().await;
    assert_eq!((reply.status(), reply.body.as_str()), ("408", "TooSlow"));
    assert_eq!(client.rest().await, b"");
    drop(client);
    server.stop().await;
}
