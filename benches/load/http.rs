//! HTTP/1.1 as far as a load driver needs it: whole messages with a `Content-Length` on kept connections. Our own,
//! since a client that does more would cost more than the server that is measured.

use tokio::{io::AsyncReadExt, net::TcpStream};

/// A message: its first line, and its body.
pub struct Message {
    pub first_line: String,
    pub body: Vec<u8>,
}

/// Reads the next message of a connection; `None` where it has ended. `buffer` keeps what came early.
pub async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Message> {
    loop {
        if let Some((message, length)) = whole(buffer) {
            buffer.drain(..length);
            return Some(message);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn whole(bytes: &[u8]) -> Option<(Message, usize)> {
    let head_length = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_length]).expect("heads are text");
    let mut lines = head.lines();
    let first_line = lines.next()?.to_owned();
    let mut body_length = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        assert!(!name.eq_ignore_ascii_case("transfer-encoding"), "bodies have a length: {head}");
        if name.eq_ignore_ascii_case("content-length") {
            body_length = value.trim().parse().expect("a length");
        }
    }
    let body = bytes.get(head_length..head_length + body_length)?.to_vec();
    Some((Message { first_line, body }, head_length + body_length))
}
