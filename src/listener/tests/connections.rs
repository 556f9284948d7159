//! Connections: how long they idle, how many there are, how they are upgraded, and how they end.

use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn a_connection_serves_many_requests_pipelined_ones_too() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/hello").await.body, "hello");
    }
    let one = "GET /hello HTTP/1.1\r\nhost: test\r\n\r\n";
    client.send(one.repeat(20)).await;
    for _ in 0..20 {
        assert_eq!(client.reply().await.body, "hello");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_the_limit_and_not_before() {
    let limits = Limits { keep_alive: ms(700), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut client = server.client().await;
    let mut silent = server.client().await;
    for _ in 0..3 {
        // Each request begins the time anew: together the pauses are longer than the limit.
        assert_eq!(client.get("/hello").await.status(), "200");
        assert!(client.is_quiet_for(ms(300)).await);
    }
    let began = Instant::now();
    assert_eq!(client.get("/hello").await.status(), "200");
    assert_eq!(client.rest().await, b"");
    assert!(began.elapsed() >= ms(650), "closed after {:?}", began.elapsed());
    // One that never said a word is idle too.
    assert_eq!(silent.rest().await, b"");
    server.stop().await;
}

#[tokio::test]
async fn a_request_in_hand_is_neither_idle_nor_slow() {
    let limits = Limits { keep_alive: ms(150), head_timeout: ms(150), ..Limits::default() };
    let server = Server::start(limits).await;
    assert_eq!(server.client().await.get("/slow").await.body, "slow");
    server.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = Server::start(Limits { max_connections: 2, ..Limits::default() }).await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    assert_eq!(first.get("/hello").await.status(), "200");
    assert_eq!(second.get("/hello").await.status(), "200");

    let mut third = server.client().await;
    let refused = third.get("/hello").await;
    assert_eq!(
        (refused.status(), refused.header("connection"), refused.header("retry-after")),
        ("503", Some("close"), Some("1"))
    );
    assert!(refused.body.contains("connections") && refused.header("x-request-id").is_some(), "{refused:?}");
    assert_eq!(third.rest().await, b"");
    // Those that it has go on, and a place that was given back is taken again.
    assert_eq!(second.get("/hello").await.status(), "200");
    drop(first);
    server.until_taken().await;
    server.stop().await;
}

#[tokio::test]
async fn who_is_refused_and_says_nothing_is_left_at_once() {
    let server = Server::start(Limits { max_connections: 1, ..Limits::default() }).await;
    let mut first = server.client().await;
    assert_eq!(first.get("/hello").await.status(), "200");
    let mut silent = server.client().await;
    assert_eq!(silent.rest().await, b"");
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_never_reads_is_cut() {
    let limits = Limits { write_timeout: ms(400), max_connections: 1, ..Limits::default() };
    let server = Server::start(limits).await;
    let mut stalled = server.client().await;
    stalled.send("GET /huge HTTP/1.1\r\nhost: test\r\n\r\n").await;

    // The only slot is taken until the stalled reader is gone.
    server.until_taken().await;
    assert!(stalled.rest().await.len() < HUGE_BYTES);
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_reads_gets_a_huge_answer_whole() {
    let server = Server::start(Limits { write_timeout: ms(7_000), ..Limits::default() }).await;
    let mut client = server.client().await;
    assert_eq!(client.get("/huge").await.body.len(), HUGE_BYTES);
    assert_eq!(client.get("/hello").await.status(), "200");
    server.stop().await;
}

#[tokio::test]
async fn an_upgraded_connection_outlives_the_limits_but_keeps_its_slot() {
    let limits = Limits {
        keep_alive: ms(200),
        head_timeout: ms(200),
        write_timeout: ms(200),
        max_connections: 1,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let mut client = server.client().await;
    client.send("GET /echo HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    let reply = client.reply().await;
    assert_eq!(reply.status(), "101");
    assert!(reply.header("x-request-id").is_some());

    for word in [b"ping", b"pong"] {
        assert!(client.is_quiet_for(ms(500)).await);
        client.send(word).await;
        let mut echoed = [0; 4];
        timeout(PATIENCE, client.0.read_exact(&mut echoed)).await.unwrap().unwrap();
        assert_eq!(&echoed, word);
    }
    assert_eq!(server.client().await.get("/hello").await.status(), "503");
    drop(client);
    server.until_taken().await;
    server.stop().await;
}

#[tokio::test]
async fn shutdown_waits_for_an_upgraded_connection() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    client.send("GET /echo HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    assert_eq!(client.reply().await.status(), "101");

    server.shutdown.cancel();
    sleep(ms(300)).await;
    assert!(!server.task.is_finished());
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn an_upgrader_that_hangs_up_is_not_made_to_wait_for_the_client() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.client().await;
    client.send("GET /echo HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
    assert_eq!(client.reply().await.status(), "101");
    client.send("bye.").await;
    assert_eq!(client.rest().await, b"bye.");
    // The client's socket is still open.
    server.stop().await;
    drop(client);
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_nothing_else() {
    let server = Server::start(Limits::default()).await;
    let mut bystander = server.client().await;
    assert_eq!(bystander.get("/hello").await.status(), "200");

    let mut unlucky = server.client().await;
    unlucky.send("GET /panic HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert_eq!(unlucky.rest().await, b"");

    assert_eq!(bystander.get("/hello").await.status(), "200");
    assert_eq!(server.client().await.get("/hello").await.status(), "200");
    server.stop().await;
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_hand_and_refuses_the_rest() {
    let server = Server::start(Limits { linger_timeout: 10 * PATIENCE, ..Limits::default() }).await;
    let mut idle = server.client().await;
    idle.send("POST /body HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(idle.reply().await.status(), "200");
    let mut busy = server.client().await;
    busy.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(busy.is_quiet_for(ms(100)).await);

    server.shutdown.cancel();
    // Idle connections are closed at once, while the busy one still waits for its answer.
    assert_eq!(idle.rest().await, b"");
    let refused = async { while TcpStream::connect(server.addr).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("new connections are refused");

    let reply = busy.reply().await;
    assert_eq!((reply.body.as_str(), reply.header("connection")), ("slow", Some("close")));
    assert_eq!(busy.rest().await, b"");
    // The idle client has not closed its end: nobody waits for it.
    server.stop().await;
    drop(idle);
}
