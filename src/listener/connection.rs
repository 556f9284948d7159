//! One connection from its first byte to its last: hyper, the request id, and the watchdog beside them.
//!
//! Not here: the rules of when to cut ([`super::pulse`]) and the accept loop ([`super::serve`]).

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use super::io::Socket;
use super::limits::{BUFFER_MAX_BYTES, HEAD_MAX_BYTES, HEAD_MAX_FIELDS, Limits};
use super::pulse::{AnsweredOnDrop, Cut, Pulse};
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
    let pulse = Pulse::new();
    let socket = TokioIo::new(Socket::new(stream, pulse.clone(), slot, limits.write_stall_timeout));
    let http = service_fn({
        let pulse = pulse.clone();
        move |request| answer(service.clone(), pulse.clone(), request)
    });
    let connection = http1::Builder::new()
        .max_headers(HEAD_MAX_FIELDS)
        .max_header_size(HEAD_MAX_BYTES)
        .max_buf_size(BUFFER_MAX_BYTES)
        .header_read_timeout(None)
        .serve_connection(socket, http)
        .with_upgrades();

    let mut connection = pin!(connection);
    let mut stop = pin!(shutdown.cancelled());
    let mut stopping = false;
    let mut alarm = pin!(sleep_until(Instant::now() + limits.idle_timeout));

    // Everything that moves the pulse happens inside `connection`'s poll, so that looking at it right after is
    // enough. `Ok` is hyper's verdict, `Err` ours.
    let ended = poll_fn(|cx| {
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            stopping = true;
            pulse.stopping();
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(Ok(result));
        }
        while let Some((deadline, cut)) = pulse.deadline(&limits) {
            // Deadlines mostly move away. An alarm that is early costs one look when it rings; setting it anew
            // at each request would cost a timer operation every time.
            if alarm.deadline() > deadline {
                alarm.as_mut().reset(deadline);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                break;
            }
            if deadline <= Instant::now() {
                return Poll::Ready(Err(cut));
            }
            alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await;

    match ended {
        Ok(Ok(())) => {}
        Ok(Err(fault)) if fault.is_user() => {
            tracing::warn!(%peer, error = &fault as &dyn std::error::Error, "a service failed to answer");
        }
        // Malformed requests and clients that hang up: their affair, not the operator's.
        Ok(Err(fault)) => tracing::debug!(%peer, error = &fault as &dyn std::error::Error, "connection lost"),
        Err(Cut::Idle) => tracing::trace!(%peer, "idle connection closed"),
        Err(cut) => tracing::debug!(%peer, ?cut, "connection cut"),
    }
}

/// Has the service answer one request, under its id and with the pulse informed.
async fn answer<S, B>(
    service: S,
    pulse: Pulse,
    mut request: Request<Incoming>,
) -> Result<Response<impl Body<Data = B::Data, Error = BoxError>>, BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Error: Into<BoxError>>,
{
    pulse.asked(!request.body().is_end_stream());
    let answered = AnsweredOnDrop(pulse.clone());
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());

    let mut response = service.oneshot(request).await.map_err(Into::into)?;

    response.headers_mut().insert(REQUEST_ID_HEADER, id.to_header());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        pulse.upgraded();
    }
    Ok(response.map(|body| {
        body.map_err(move |fault| {
            // The closure owns `answered`, and the body owns the closure: they are dropped together.
            let _ = &answered;
            fault.into()
        })
    }))
}
