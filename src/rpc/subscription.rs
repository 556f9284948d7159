//! A subscription on its socket: begun, fed, watched, ended.
//!
//! It is fed only as fast as its client reads: while a notification waits for room in the socket's short queue,
//! nothing more is read for it. It outlives its call, so its token is looked up again from time to time. What ends
//! it on our side is said in a last notification with an `error` in place of the `result`. Not here: what it tells
//! (that is its procedure's), and how many one socket may have (`http`).

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use jsonrpsee::{
    Extensions, PendingSubscriptionSink, RpcModule, SubscriptionSink,
    core::{SubscriptionError, server::SubscriptionCloseResponse},
    types::Params,
};
use tracing::Instrument;

use super::{
    call::{Failure, error_object, note_subject_of, prepare},
    caller::Identity,
    procedure::{Channel, Feed, Procedure},
};
use crate::{App, auth::Tokens, error::Error, listener::RequestId};

/// How often the token of a subscription is looked up again. What is known of a token may be 5 s old, so a revoked
/// one counts for 8 s at most.
const TOKEN_CHECK_EVERY: Duration = Duration::from_secs(3);

/// Registers the method that begins it and the one that ends it.
pub(super) fn register(module: &mut RpcModule<App>, procedure: Arc<Procedure>, channel: Channel) {
    let name = procedure.name;
    let begin = move |params: Params<'static>, pending, app, extensions: Extensions| {
        let procedure = Arc::clone(&procedure);
        // jsonrpsee runs it in a task of its own.
        async move { run(&procedure, &params, pending, app, &extensions).await }.in_current_span()
    };
    module
        .register_subscription(name, channel.notification, channel.unsubscribe, begin)
        .expect("a subscription has the name of another method");
}

/// From the call to the end; what is left to say is said by jsonrpsee, as the last notification.
async fn run(
    procedure: &Procedure,
    params: &Params<'static>,
    pending: PendingSubscriptionSink,
    app: Arc<App>,
    extensions: &Extensions,
) -> SubscriptionCloseResponse {
    let request_id = extensions.get::<RequestId>().cloned().unwrap_or_default();
    let feed = match begin(procedure, params, Arc::clone(&app), extensions, request_id.clone()).await {
        Ok(feed) => feed,
        Err(error) => {
            if let Some(failure) = extensions.get::<Failure>() {
                failure.note(&error);
            }
            pending.reject(error_object(&error, &request_id)).await;
            return SubscriptionCloseResponse::None;
        }
    };
    // Fails where the socket is gone already.
    let Ok(sink) = pending.accept().await else { return SubscriptionCloseResponse::None };
    let _open = Open::new(procedure.name);
    let ended = tokio::select! {
        () = sink.closed() => None,
        ended = deliver(feed, &sink) => ended,
        error = until_token_ends(&app.tokens, extensions) => Some(error),
    };
    let told = ended.map(|error| error_object(&error, &request_id));
    match told.and_then(|error| serde_json::value::to_raw_value(&error).ok()) {
        Some(error) => SubscriptionCloseResponse::NotifErr(SubscriptionError::from_json(error)),
        None => SubscriptionCloseResponse::None,
    }
}

async fn begin(
    procedure: &Procedure,
    params: &Params<'static>,
    app: Arc<App>,
    extensions: &Extensions,
    request_id: RequestId,
) -> Result<Feed, Error> {
    let (call, input) = prepare(procedure, app, params, extensions, request_id)?;
    note_subject_of(procedure, &input);
    procedure.subscribe(call, input).await
}

/// Sends what there is to tell, until there is no more or an error.
async fn deliver(mut feed: Feed, sink: &SubscriptionSink) -> Option<Error> {
    while let Some(told) = feed.next().await {
        match told {
            // Waits while the socket's queue is full. Fails where the socket is gone.
            Ok(told) => sink.send(told).await.ok()?,
            Err(error) => return Some(error),
        }
    }
    None
}

/// Waits until the token counts no more. While that can't be told it goes on: nothing can be read then either.
async fn until_token_ends(tokens: &Tokens, extensions: &Extensions) -> Error {
    loop {
        tokio::time::sleep(TOKEN_CHECK_EVERY).await;
        match Identity::look_up(tokens, extensions).await {
            Identity::Nobody => return Error::Unauthorized,
            Identity::Known(_) | Identity::Busy { .. } | Identity::Failed => {}
        }
    }
}

/// One open subscription in the metrics, as long as it lives.
struct Open(metrics::Gauge);

impl Open {
    fn new(method: &'static str) -> Self {
        let open = metrics::gauge!("quittance_subscriptions_open", "method" => method);
        open.increment(1);
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
