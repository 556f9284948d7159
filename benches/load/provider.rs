//! A stand-in for Calmony Pay that answers at once, so that what is measured is the server. It runs on a thread of
//! its own. The sandbox plays the provider better, and costs more.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::http::{Message, read_message};

static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// Starts it; it lives as long as the process.
pub fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    listener.set_nonblocking(true).expect("a socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
    });
    address
}

async fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = read_message(&mut stream, &mut buffer).await {
        let body = answer(&request);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(request: &Message) -> String {
    let id = match request.first_line.strip_prefix("GET /v1/checkout/sessions/") {
        // The janitor reads one back: nothing has happened.
        Some(rest) => rest.split(' ').next().unwrap_or_default().to_owned(),
        None => format!("cs_{}_{:08x}", std::process::id(), SESSIONS.fetch_add(1, Ordering::Relaxed)),
    };
    format!(r#"{{"id":"{id}","url":"https://checkout.calmonypay.com/c/{id}","status":"open"}}"#)
}
