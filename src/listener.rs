//! The accept loop and the limits, shared by the RPC, companion and ops listeners.
//!
//! It knows HTTP/1.1 but no route: a listener is a bound socket, a `tower` service and a shutdown token. What it
//! adds to every service alike: limits on heads, waiting and connections ([`Limits`]), a [`RequestId`] on each
//! request and response, upgrades (so that jsonrpsee's WebSocket works behind it), and a graceful end.
//! Bodies are read by the rooms, through [`read_body`]. No TLS here: that is the proxy's work.

mod answer;
mod body;
mod connection;
mod io;
pub mod limits;
mod pulse;
mod request_id;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;

pub use answer::{Answer, closing, json, text, with_type};
pub use body::{BodyFault, read_body};
pub use limits::Limits;
pub use request_id::{REQUEST_ID_HEADER, REQUEST_ID_MAX_BYTES, RequestId};

use limits::ACCEPT_BACKOFF;

/// Any error, as `tower` services and HTTP bodies report it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves `service` on `listener` until `shutdown` is cancelled, under the limits Quittance promises.
///
/// Then it closes the listening socket at once, lets requests in hand finish (idle connections are closed,
/// busy ones after their answer), and returns when every connection is gone. There is no deadline: the
/// caller puts one around it, and what is then left ends with the process. Upgraded connections are waited for too, but only their upgrader can end
/// them; jsonrpsee does when its own stop handle says so.
pub async fn serve<S, B>(listener: TcpListener, service: S, shutdown: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    serve_with(Limits::default(), listener, service, shutdown).await;
}

/// [`serve`], with other limits.
pub async fn serve_with<S, B>(limits: Limits, listener: TcpListener, service: S, shutdown: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    // One slot a connection, held by its socket. Taken before accepting: whoever finds none free waits in the
    // kernel's backlog and costs us nothing.
    let slots = Arc::new(Semaphore::new(limits.max_connections as usize));
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await.expect("nobody closes this semaphore");
            (slot, accept(&listener).await)
        };
        let (slot, (stream, peer)) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = next => accepted,
        };
        // A task of its own: what panics in there ends that connection and nothing else.
        tokio::spawn(connection::run(stream, peer, slot, limits, service.clone(), shutdown.clone()));
    }
    drop(listener);
    let _all = slots.acquire_many(limits.max_connections).await;
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
