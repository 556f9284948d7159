//! The accept loop and the limits, shared by the RPC, companion and ops listeners.
//!
//! HTTP itself is hyper's and `tower`'s; a listener is a bound socket, a service and a shutdown token. What stands here
//! is what they leave to us: how many connections there are and what the rest are told, how long they may idle, a
//! [`RequestId`] on each request and response, and a graceful end. Upgrades pass through, so that WebSockets work behind
//! it. Bodies are read by the rooms, through [`read_body`]. No TLS here: that is the proxy's work.

mod answer;
mod body;
mod connection;
mod head_timer;
pub mod limits;
mod request_id;
mod socket;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::ready;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;

pub use answer::{Answer, closing, json, text, with_type};
pub use body::{BodyFault, read_body};
pub use limits::Limits;
pub use request_id::{REQUEST_ID_HEADER, REQUEST_ID_MAX_BYTES, RequestId};

use limits::{ACCEPT_BACKOFF, MAX_REFUSALS, REFUSAL_TIMEOUT};

/// Any error, as `tower` services and HTTP bodies report it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves `service` on `listener` until `shutdown` is cancelled, under these limits.
///
/// Then it closes the listening socket at once, lets requests in hand finish (idle connections are closed,
/// busy ones after their answer), and returns when every connection is gone. There is no deadline: the
/// caller puts one around it, and what is then left ends with the process. Upgraded connections are waited for too,
/// but only their upgrader can end them.
pub async fn serve<S, B>(limits: Limits, listener: TcpListener, service: S, shutdown: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    // One slot a connection, held by its socket; and some for those that are told that there is none.
    let slots = Arc::new(Semaphore::new(limits.max_connections as usize));
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    loop {
        let next = async {
            let refusal = refusals.clone().acquire_owned().await.expect("nobody closes this semaphore");
            (refusal, accept(&listener).await)
        };
        let (refusal, (stream, peer)) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = next => accepted,
        };
        // A task of its own: what panics in there ends that connection and nothing else.
        if let Ok(slot) = slots.clone().try_acquire_owned() {
            tokio::spawn(connection::run(stream, peer, slot, limits, service.clone(), shutdown.clone()));
        } else {
            let limits = Limits { keep_alive: REFUSAL_TIMEOUT, head_timeout: REFUSAL_TIMEOUT, ..limits };
            let full = tower::service_fn(|_| ready(Ok::<_, Infallible>(full())));
            tokio::spawn(connection::run(stream, peer, refusal, limits, full, shutdown.clone()));
        }
    }
    drop(listener);
    let _all = slots.acquire_many(limits.max_connections).await;
}

/// What a connection too many is told.
fn full() -> Answer {
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, "all connections of this listener are taken\n");
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    closing(answer)
}

/// The next connection, whatever fails meanwhile.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole; waiting for more to send with them only delays them. Not being
                // able to say so costs speed, no more.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            // The client gave up while it waited: no fault of ours, and the next one may be fine.
            Err(fault) if is_of_the_client(fault.kind()) => {}
            Err(fault) => {
                tracing::error!(%fault, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn is_of_the_client(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}
