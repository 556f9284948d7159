//! The listener over real sockets: what it lets through, what it cuts and how it ends.
//!
//! Here are the server and the client that the tests share. The waiting times are shortened; no test asks that
//! anything happens *soon*, only that it happens before a margin far longer, and not before its limit.

mod bodies;
mod connections;
mod heads;
mod websocket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;

/// Far more than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);

/// What `/body` takes, and for how long.
const BODY_MAX_BYTES: usize = 1_024;
const BODY_TIMEOUT: Duration = Duration::from_millis(400);

/// More than the socket buffers of both sides can ever hold.
const HUGE_BYTES: usize = 64 * 1024 * 1024;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

struct Server {
    addr: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(limits, listener, tower::service_fn(route), shutdown.clone()));
        Self { addr, shutdown, task }
    }

    async fn client(&self) -> Client {
        Client(TcpStream::connect(self.addr).await.unwrap())
    }

    /// Waits until a new connection finds a slot.
    async fn until_taken(&self) {
        let taken = async { while self.client().await.get("/hello").await.status() != "200" {} };
        timeout(PATIENCE, taken).await.expect("a slot becomes free");
    }

    /// Stops the server and asserts that it ends by itself.
    async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.expect("the server ends").unwrap();
    }
}

async fn route(mut request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(match request.uri().path() {
        "/hello" => text(StatusCode::OK, "hello"),
        "/slow" => {
            sleep(ms(500)).await;
            text(StatusCode::OK, "slow")
        }
        "/id" => {
            let id = request.extensions().get::<RequestId>().expect("every request has an id").to_string();
            with_type(StatusCode::OK, "text/plain", id)
        }
        "/body" => match read_body(request.into_body(), BODY_MAX_BYTES, BODY_TIMEOUT).await {
            Ok(body) => with_type(StatusCode::OK, "application/octet-stream", body),
            Err(fault) => closing(with_type(fault.status(), "text/plain", format!("{fault:?}"))),
        },
        "/huge" => with_type(StatusCode::OK, "application/octet-stream", vec![b'x'; HUGE_BYTES]),
        "/panic" => panic!("as the test asked"),
        "/echo" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
                // A full stop ends the conversation, from this side.
                while let Ok(byte @ 1..) = from.read_u8().await {
                    to.write_u8(byte).await.unwrap();
                    if byte == b'.' {
                        return to.shutdown().await.unwrap();
                    }
                }
            });
            let mut answer = text(StatusCode::SWITCHING_PROTOCOLS, "");
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
            answer
        }
        _ => text(StatusCode::NOT_FOUND, "not found"),
    })
}

struct Client(TcpStream);

#[derive(Debug)]
struct Reply {
    head: String,
    body: String,
}

impl Reply {
    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.0.write_all(bytes.as_ref())).await.expect("it can be sent").unwrap();
    }

    async fn get(&mut self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        self.reply().await
    }

    /// The next response: its head, and as much body as it declares.
    async fn reply(&mut self) -> Reply {
        let read = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.expect("a whole head comes"));
            }
            let mut reply = Reply { head: String::from_utf8(head).unwrap(), body: String::new() };
            let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.expect("the whole body comes");
            reply.body = String::from_utf8(body).unwrap();
            reply
        };
        timeout(PATIENCE, read).await.expect("an answer comes")
    }

    /// Everything until the server closes. A reset counts as closing.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("the server closes");
        rest
    }

    /// Whether the server says nothing, nor closes, for this long.
    async fn is_quiet_for(&mut self, time: Duration) -> bool {
        timeout(time, self.0.peek(&mut [0])).await.is_err()
    }
}
