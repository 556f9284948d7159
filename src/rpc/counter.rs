//! The counter every call passes: who asks, at what rate, in which order, with what outcome.
//!
//! A layer around jsonrpsee's own service. It implements calls, batches and notifications, all three: a layer
//! that leaves one to jsonrpsee leaves it unchecked. In a batch neighbouring queries run side by side; a mutation
//! waits for everything before it and holds up everything after it. Notifications run like calls whose answer is
//! dropped. Not here: what is asked (that is `module`'s) and how it came in (`http`).

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, future::ready};
use jsonrpsee::{
    Extensions, MethodResponse,
    core::middleware::{Batch, BatchEntry, Notification, RpcServiceT},
    types::{
        ErrorObject, ErrorObjectOwned, Id, Request,
        error::{INVALID_REQUEST_CODE, METHOD_NOT_FOUND_CODE, OVERSIZED_RESPONSE_CODE},
    },
};
use tokio::sync::Semaphore;
use tower::Layer;
use tracing::Instrument;

use super::{
    batch::Answers,
    caller::Identity,
    module::{Failure, Nature, error_object},
    pace::Pace,
    procedure::log_fault,
    record::Record,
};
use crate::{App, error::Error, listener::RequestId};

/// Calls of one connection that run at once; further ones wait. Only a WebSocket can have so many, and one must
/// not take all of the pool's queue.
const CALLS_AT_ONCE_PER_CONNECTION: usize = 32;

/// Marks the extensions of calls that came over a WebSocket.
#[derive(Clone, Copy)]
pub(super) struct OverSocket;

/// Marks answers to nobody: all that was sent were notifications.
#[derive(Clone, Copy)]
pub(super) struct NoReply;

/// What all counters share.
pub(super) struct Shared {
    pub(super) app: Arc<App>,
    pub(super) natures: HashMap<&'static str, Nature>,
    pub(super) pace: Option<Pace>,
}

/// Puts a counter before each connection's service.
#[derive(Clone)]
pub(super) struct CounterLayer(pub(super) Arc<Shared>);

impl<S> Layer<S> for CounterLayer {
    type Service = Counter<S>;

    fn layer(&self, inner: S) -> Counter<S> {
        let at_once = Arc::new(Semaphore::new(CALLS_AT_ONCE_PER_CONNECTION));
        Counter { inner, shared: Arc::clone(&self.0), at_once }
    }
}

/// One connection's counter.
#[derive(Clone)]
pub(super) struct Counter<S> {
    inner: S,
    shared: Arc<Shared>,
    at_once: Arc<Semaphore>,
}

/// What every service under a counter must be.
pub(super) trait Inner:
    RpcServiceT<
        MethodResponse = MethodResponse,
        BatchResponse = MethodResponse,
        NotificationResponse = MethodResponse,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Inner for S where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

impl<S: Inner> Counter<S> {
    async fn identify(&self, extensions: &Extensions) -> Identity {
        Identity::look_up(&self.shared.app.tokens, extensions).await
    }

    fn nature(&self, method: &str) -> Nature {
        self.shared.natures.get(method).copied().unwrap_or(Nature::Query)
    }

    /// One call, whether it came alone, in a batch or as a notification.
    async fn serve(self, mut request: Request<'_>, identity: Identity, alone: bool) -> MethodResponse {
        // Only a method that exists is named in records; the rest is what anybody may have sent.
        let named = self.shared.natures.get_key_value(&*request.method);
        let (method, nature) = named.map_or(("unknown", Nature::Query), |(name, nature)| (*name, *nature));
        let request_id = request.extensions.get::<RequestId>().cloned().unwrap_or_default();
        let record = Record::begin(method, nature == Nature::Query, &identity, &request_id);
        let failure = Failure::default();
        let id = request.id.clone().into_owned();

        let over_socket = request.extensions.get::<OverSocket>().is_some();
        let refusal = self.refusal(nature, &identity, over_socket, alone, &failure, &request_id);
        let response = match refusal {
            Some(error) => MethodResponse::error(id, error),
            None => {
                request.extensions.insert(request_id.clone());
                request.extensions.insert(identity);
                request.extensions.insert(failure.clone());
                let _turn = self.at_once.acquire().await;
                // Within the future: a method that isn't async runs, and may panic, as it is called.
                let work = AssertUnwindSafe(async { self.inner.call(request).await }).catch_unwind();
                work.instrument(record.span()).await.unwrap_or_else(|_| {
                    let error = Error::internal(format!("{method} panicked"));
                    log_fault(&error, &request_id);
                    failure.note(&error);
                    MethodResponse::error(id, error_object(&error, &request_id))
                })
            }
        };
        record.end(outcome(&response, &failure));
        let mut extensions = Extensions::new();
        extensions.insert(failure);
        response.with_extensions(extensions)
    }

    /// Why a call is not made at all.
    fn refusal(
        &self,
        nature: Nature,
        identity: &Identity,
        over_socket: bool,
        alone: bool,
        failure: &Failure,
        request_id: &RequestId,
    ) -> Option<ErrorObjectOwned> {
        if let (Some(pace), Some(caller)) = (&self.shared.pace, identity.known())
            && let Err(error) = pace.check(caller.token_id)
        {
            failure.note(&error);
            return Some(error_object(&error, request_id));
        }
        // jsonrpsee would answer a subscription twice in a batch, and with an internal error over HTTP.
        (nature == Nature::Subscription && !(over_socket && alone)).then(|| {
            if matches!(identity, Identity::Nobody) {
                failure.note(&Error::Unauthorized);
                return error_object(&Error::Unauthorized, request_id);
            }
            let reason = "subscriptions need a WebSocket, and a message of their own";
            ErrorObject::owned(INVALID_REQUEST_CODE, reason, None::<()>)
        })
    }
}

/// `"ok"`, the kind of our error, or a word for jsonrpsee's.
fn outcome(response: &MethodResponse, failure: &Failure) -> &'static str {
    if let Some((kind, _)) = failure.get() {
        return kind.as_str();
    }
    match response.as_error_code() {
        None => "ok",
        Some(METHOD_NOT_FOUND_CODE) => "METHOD_NOT_FOUND",
        Some(OVERSIZED_RESPONSE_CODE) => "RESPONSE_TOO_LARGE",
        Some(INVALID_REQUEST_CODE) => "INVALID_REQUEST",
        Some(_) => "OTHER",
    }
}

impl<S: Inner> RpcServiceT for Counter<S> {
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let counter = self.clone();
        async move {
            let identity = counter.identify(&request.extensions).await;
            counter.serve(request, identity, true).await
        }
    }

    fn notification<'a>(&self, told: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let counter = self.clone();
        async move {
            let identity = counter.identify(&told.extensions).await;
            counter.serve(as_request(told), identity, false).await;
            no_reply()
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let counter = self.clone();
        async move {
            let mut answers = Answers::default();
            let mut identity = None;
            for entry in batch {
                let (request, id) = match entry {
                    Ok(BatchEntry::Call(request)) => {
                        let id = request.id.clone().into_owned();
                        (request, Some(id))
                    }
                    Ok(BatchEntry::Notification(told)) => (as_request(told), None),
                    Err(refused) => {
                        let (error, id) = refused.into_parts();
                        answers.add(Some(id.clone().into_owned()), ready(MethodResponse::error(id, error)));
                        continue;
                    }
                };
                let waits = counter.nature(&request.method) == Nature::Mutation;
                if waits {
                    answers.gather().await;
                }
                let asks = match &identity {
                    None => counter.identify(&request.extensions).await,
                    Some(known) => {
                        Identity::renewed(known, &counter.shared.app.tokens, &request.extensions).await
                    }
                };
                answers.add(id, counter.clone().serve(request, asks.clone(), false));
                identity = Some(asks);
                if waits {
                    answers.gather().await;
                }
            }
            answers.finish().await.unwrap_or_else(no_reply)
        }
    }
}

/// A notification as the call it is, but for its answer.
fn as_request(told: Notification<'_>) -> Request<'_> {
    let params = told.params.map(std::borrow::Cow::into_owned);
    let mut request = Request::owned(told.method.into_owned(), params, Id::Null);
    request.extensions = told.extensions;
    request
}

fn no_reply() -> MethodResponse {
    let mut extensions = Extensions::new();
    extensions.insert(NoReply);
    MethodResponse::notification().with_extensions(extensions)
}
