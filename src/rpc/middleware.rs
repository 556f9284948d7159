//! What every call passes: who asks, at what rate, with what outcome.
//!
//! A layer around jsonrpsee's own service. It implements calls, batches and notifications, all three: a layer
//! that leaves one to jsonrpsee leaves it unchecked. The entries of a batch run side by side. Notifications run like
//! calls whose answer is dropped. Not here: what is asked (that is `module`'s) and how it came in (`http`).

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
    batch,
    call::{Failure, error_object},
    call_log::CallLog,
    caller::Identity,
    procedure::{Effect, log_fault},
    rate_limit::RateLimit,
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

/// What the middleware of all connections shares.
pub(super) struct Common {
    pub(super) app: Arc<App>,
    /// What a call of each method does.
    pub(super) effects: HashMap<&'static str, Effect>,
    pub(super) rate_limit: Option<RateLimit>,
}

/// Puts the middleware before each connection's service.
#[derive(Clone)]
pub(super) struct MiddlewareLayer(pub(super) Arc<Common>);

impl<S> Layer<S> for MiddlewareLayer {
    type Service = Middleware<S>;

    fn layer(&self, inner: S) -> Middleware<S> {
        let at_once = Arc::new(Semaphore::new(CALLS_AT_ONCE_PER_CONNECTION));
        Middleware { inner, common: Arc::clone(&self.0), at_once }
    }
}

/// One connection's middleware.
#[derive(Clone)]
pub(super) struct Middleware<S> {
    inner: S,
    common: Arc<Common>,
    at_once: Arc<Semaphore>,
}

/// What every service under the middleware must be.
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

impl<S: Inner> Middleware<S> {
    async fn identify(&self, extensions: &Extensions) -> Identity {
        Identity::look_up(&self.common.app.tokens, extensions).await
    }

    /// One call, whether it came alone, in a batch or as a notification.
    async fn serve(self, mut request: Request<'_>, identity: Identity, alone: bool) -> MethodResponse {
        // Only a method that exists is named in the log; the rest is what anybody may have sent.
        let named = self.common.effects.get_key_value(&*request.method);
        let (method, effect) = named.map_or(("unknown", Effect::Query), |(name, effect)| (*name, *effect));
        let request_id = request.extensions.get::<RequestId>().cloned().unwrap_or_default();
        let log = CallLog::begin(method, effect == Effect::Query, &identity, &request_id);
        let failure = Failure::default();
        let id = request.id.clone().into_owned();

        let over_socket = request.extensions.get::<OverSocket>().is_some();
        let refusal = self.refusal(effect, &identity, over_socket, alone, &failure, &request_id);
        let response = match refusal {
            Some(error) => MethodResponse::error(id, error),
            None => {
                request.extensions.insert(request_id.clone());
                request.extensions.insert(identity);
                request.extensions.insert(failure.clone());
                let _turn = self.at_once.acquire().await;
                // Within the future: a method that isn't async runs, and may panic, as it is called.
                let work = AssertUnwindSafe(async { self.inner.call(request).await }).catch_unwind();
                work.instrument(log.span()).await.unwrap_or_else(|_| {
                    let error = Error::internal(format!("{method} panicked"));
                    log_fault(&error, &request_id);
                    failure.note(&error);
                    MethodResponse::error(id, error_object(&error, &request_id))
                })
            }
        };
        log.end(outcome(&response, &failure));
        let mut extensions = Extensions::new();
        extensions.insert(failure);
        response.with_extensions(extensions)
    }

    /// Why a call is not made at all.
    fn refusal(
        &self,
        effect: Effect,
        identity: &Identity,
        over_socket: bool,
        alone: bool,
        failure: &Failure,
        request_id: &RequestId,
    ) -> Option<ErrorObjectOwned> {
        if let (Some(limit), Some(caller)) = (&self.common.rate_limit, identity.known())
            && let Err(error) = limit.check(caller.token_id)
        {
            failure.note(&error);
            return Some(error_object(&error, request_id));
        }
        // jsonrpsee would answer a subscription twice in a batch, and with an internal error over HTTP.
        let is_subscription = matches!(effect, Effect::Subscription(_));
        (is_subscription && !(over_socket && alone)).then(|| {
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

impl<S: Inner> RpcServiceT for Middleware<S> {
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let middleware = self.clone();
        async move {
            let identity = middleware.identify(&request.extensions).await;
            middleware.serve(request, identity, true).await
        }
    }

    fn notification<'a>(&self, told: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let middleware = self.clone();
        async move {
            let identity = middleware.identify(&told.extensions).await;
            middleware.serve(as_request(told), identity, false).await;
            no_reply()
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let middleware = self.clone();
        async move {
            // One look for all entries: they begin at the same moment.
            let mut identity = None;
            let mut entries: Vec<batch::Entry<'a>> = Vec::with_capacity(batch.len());
            for entry in batch {
                let (request, id) = match entry {
                    Ok(BatchEntry::Call(request)) => {
                        let id = request.id.clone().into_owned();
                        (request, Some(id))
                    }
                    Ok(BatchEntry::Notification(told)) => (as_request(told), None),
                    Err(refused) => {
                        let (error, id) = refused.into_parts();
                        let id = id.into_owned();
                        entries.push(ready(Some((id.clone(), MethodResponse::error(id, error)))).boxed());
                        continue;
                    }
                };
                let asks = match &identity {
                    Some(known) => known,
                    None => identity.insert(middleware.identify(&request.extensions).await),
                };
                let work = middleware.clone().serve(request, asks.clone(), false);
                entries.push(work.map(|response| id.map(|id| (id, response))).boxed());
            }
            batch::answer(entries).await.unwrap_or_else(no_reply)
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
