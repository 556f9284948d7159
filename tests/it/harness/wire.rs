//! Two clients that send exactly what they are told: HTTP in bytes, WebSocket in frames. `src/rpc/tests.rs` mounts this
//! file as well.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Far more than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// One HTTP connection.
pub struct Wire(TcpStream);

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl Wire {
    pub async fn open(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.unwrap())
    }

    /// To the host of a URL.
    pub async fn to(url: &str) -> Self {
        let host = url.split('/').nth(2).expect("a URL with a host");
        Self::open(host.parse().expect("an address")).await
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.0.write_all(bytes.as_ref())).await.expect("it can be sent").unwrap();
    }

    pub async fn post(&mut self, token: &str, body: &str) -> Reply {
        let head = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
        self.post_with(&head, body).await
    }

    /// Posts with exactly these header lines, besides host and length.
    pub async fn post_with(&mut self, head: &str, body: &str) -> Reply {
        let length = body.len();
        self.ask("POST", "/rpc", &format!("{head}content-length: {length}\r\n"), body).await
    }

    pub async fn ask(&mut self, method: &str, path: &str, head: &str, body: &str) -> Reply {
        self.send(format!("{method} {path} HTTP/1.1\r\nhost: quittance.test\r\n{head}\r\n{body}")).await;
        self.reply().await
    }

    pub async fn reply(&mut self) -> Reply {
        let read = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.expect("a whole head comes"));
            }
            let head = String::from_utf8(head).unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let mut reply = Reply { status, head, body: String::new() };
            let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.expect("the whole body comes");
            reply.body = String::from_utf8(body).unwrap();
            reply
        };
        timeout(PATIENCE, read).await.expect("an answer comes")
    }

    /// Asks for a WebSocket with these further header lines.
    pub async fn upgrade(mut self, path: &str, head: &str) -> (Reply, Socket) {
        let upgrade = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
            sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let reply = self.ask("GET", path, &format!("{upgrade}{head}"), "").await;
        (reply, Socket(self.0))
    }
}

/// One WebSocket connection.
pub struct Socket(TcpStream);

impl Socket {
    pub async fn send(&mut self, text: &str) {
        self.send_frame(0x81, text.as_bytes()).await;
    }

    /// A whole frame with this first byte: flags and kind.
    pub async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let length = payload.len();
        let mut frame = vec![first];
        match u16::try_from(length) {
            Ok(short) if length < 126 => frame.push(0x80 | short as u8),
            Ok(medium) => {
                frame.push(0x80 | 126);
                frame.extend(medium.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // Masked, as the protocol demands of clients, with the mask that changes nothing.
        frame.extend([0; 4]);
        frame.extend(payload);
        self.send_bytes(&frame).await;
    }

    /// Any bytes, whether a frame or not.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next text, or the code of the close frame.
    pub async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let (kind, payload) = self.next_frame().await;
            match kind {
                1 => return Ok(serde_json::from_slice(&payload).expect("texts are JSON")),
                8 => return Err(u16::from_be_bytes([payload[0], payload[1]])),
                _ => {}
            }
        }
    }

    /// The next frame as it comes: its kind and its payload. Pings are left out.
    pub async fn next_frame(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            loop {
                let kind = self.0.read_u8().await.expect("a frame comes") & 0x0f;
                let length = match self.0.read_u8().await.unwrap() {
                    126 => usize::from(self.0.read_u16().await.unwrap()),
                    127 => usize::try_from(self.0.read_u64().await.unwrap()).unwrap(),
                    short => usize::from(short),
                };
                let mut payload = vec![0; length];
                self.0.read_exact(&mut payload).await.unwrap();
                if kind != 9 {
                    return (kind, payload);
                }
            }
        };
        timeout(PATIENCE, read).await.expect("something comes")
    }

    pub async fn call(&mut self, text: &str) -> Value {
        self.send(text).await;
        self.next().await.expect("no close frame")
    }
}
