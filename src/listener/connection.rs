//! One connection from its first byte to its last: hyper with our limits, and the request id.
//!
//! Not here: the accept loop ([`super::serve`]).

use std::net::SocketAddr;
use std::pin::pin;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder};
use tower_http::request_id::PropagateRequestIdLayer;

use super::head_timer::HeadTimer;
use super::limits::{BUFFER_MAX_BYTES, HEAD_MAX_BYTES, HEAD_MAX_FIELDS, Limits};
use super::socket::Socket;
use super::{BoxError, REQUEST_ID_HEADER, RequestId};

/// Serves one connection until it ends, is cut, is upgraded, or (after `shutdown`) has nothing in hand.
pub(super) async fn run<S, B>(
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
    limits: Limits,
    service: S,
    shutdown: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let socket = Socket::new(stream, slot, limits, shutdown.clone());
    let service = ServiceBuilder::new()
        .map_request(name)
        .layer(PropagateRequestIdLayer::new(REQUEST_ID_HEADER))
        .service(service);
    let connection = http1::Builder::new()
        .max_headers(HEAD_MAX_FIELDS)
        .max_header_size(HEAD_MAX_BYTES)
        .max_buf_size(BUFFER_MAX_BYTES)
        .timer(HeadTimer::new(limits, socket.received_bytes()))
        .header_read_timeout(limits.head_timeout)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service))
        .with_upgrades();

    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Ok(()) => {}
        Err(fault) if fault.is_user() => {
            tracing::warn!(%peer, error = &fault as &dyn std::error::Error, "a service failed to answer");
        }
        // Idle and slow connections, malformed requests, clients that hang up: their affair, not the operator's.
        Err(fault) => tracing::debug!(%peer, error = &fault as &dyn std::error::Error, "connection ended"),
    }
}

/// Gives a request its id: for our own rooms, and in the head, from where it is copied to the answer.
fn name(mut request: Request<Incoming>) -> Request<Incoming> {
    let id = RequestId::of(request.headers());
    request.headers_mut().insert(REQUEST_ID_HEADER, id.to_header());
    request.extensions_mut().insert(id);
    request
}
