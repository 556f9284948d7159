//! One WebSocket: how much of it the server holds, and how it lives and ends.
//!
//! jsonrpsee's own loop takes each message into a task before anyone asks whether there is room, so that a client that
//! sends much and reads nothing fills the server. So the loop stands here. A message is read only when there is room
//! for it and its call, and the room is given back when its answer is on its way; meanwhile the client's kernel holds
//! what it sends. Frames are `soketto`'s; methods and subscriptions are jsonrpsee's, behind the same middleware as over
//! HTTP. Not here: who may open one ([`super::http`]) and how many there may be ([`super::sockets`]).

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::io::{BufReader, BufWriter};
use hyper::{
    body::Bytes,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use jsonrpsee::{
    Extensions, MethodResponse, Methods,
    core::{
        middleware::{Batch, BatchEntry, BatchEntryErr, Notification, RpcServiceT},
        server::{
            BatchResponseBuilder, BoundedSubscriptions, ConnectionId, MethodCallback, MethodSink,
            SubscriptionState,
        },
    },
    server::RandomIntegerIdProvider,
    types::{
        ErrorCode, ErrorObject, Id, InvalidRequest, Params, Request,
        error::{reject_too_big_batch_request, reject_too_big_request, reject_too_many_subscriptions},
    },
};
use serde_json::value::RawValue;
use soketto::{
    Incoming, connection::Error as SocketError, data::ByteSlice125, handshake::http::Server as Handshake,
};
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, interval_at},
};
use tokio_util::{
    compat::{Compat, TokioAsyncReadCompatExt},
    sync::CancellationToken,
};
use tower::Layer;

use super::{
    BATCH_MAX_ENTRIES, REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES,
    envelope::{Examined, examine},
    middleware::{Inner, MiddlewareLayer},
    sockets::Place,
};

/// Calls of one WebSocket that the server holds: read, and not yet answered.
pub(super) const CALLS_HELD_MAX: usize = 32;
/// Messages it holds for them. The largest single one takes an eighth.
const MESSAGES_HELD_MAX_BYTES: usize = 1024 * 1024;
/// Subscriptions of one WebSocket: a page that watches many payments subscribes once, without naming one.
const SUBSCRIPTIONS_MAX: u32 = 32;
/// What its subscriptions have told and the client has not read; then they wait.
const NOTIFICATIONS_WAITING_MAX: usize = 32;
/// How often a WebSocket is pinged: often enough for proxies that drop what is silent for 30 s.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a WebSocket may have been silent at a ping. A dead one is noticed at the third ping, which comes 60 s
/// after its last sign of life; half an interval less keeps the network's delays from adding a fourth.
const PING_SILENCE_MAX: Duration = Duration::from_secs(50);

type Stream = BufReader<BufWriter<Compat<TokioIo<Upgraded>>>>;
type Receiver = soketto::Receiver<Stream>;
type Sender = Arc<Mutex<soketto::Sender<Stream>>>;

/// What a WebSocket needs from its upgrade.
pub(super) struct Opened {
    pub(super) upgrade: OnUpgrade,
    pub(super) handshake: Handshake,
    pub(super) methods: Methods,
    pub(super) layer: MiddlewareLayer,
    /// What each of its calls begins with.
    pub(super) extensions: Extensions,
    pub(super) stopping: CancellationToken,
    pub(super) place: Place,
}

/// Serves a WebSocket until the client goes, falls silent or breaks the protocol, or the server stops: then the calls
/// in hand are finished, and it is closed.
pub(super) async fn run(opened: Opened) {
    let Opened { upgrade, handshake, methods, layer, extensions, stopping, place } = opened;
    let _place = place;
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "a WebSocket did not begin"),
    };
    let stream = BufReader::new(BufWriter::new(TokioIo::new(upgraded).compat()));
    let mut builder = handshake.into_builder(stream);
    builder.set_max_message_size(REQUEST_MAX_BYTES as usize);
    let (sender, receiver) = builder.finish();
    let sender = Arc::new(Mutex::new(sender));

    let (sink, notifications) = mpsc::channel(NOTIFICATIONS_WAITING_MAX);
    let finished = CancellationToken::new();
    let mut notifying = tokio::spawn(notify(Arc::clone(&sender), notifications, finished.clone()));
    let heard = std::sync::Mutex::new(Instant::now());
    let mut calls = JoinSet::new();
    let service = layer.layer(SocketMethods::new(methods, MethodSink::new(sink)));
    let stopped = tokio::select! {
        () = read(receiver, &sender, service, extensions, &mut calls, &heard) => false,
        () = keep_alive(&sender, &heard) => false,
        _ = &mut notifying => false,
        () = stopping.cancelled() => true,
    };
    if stopped {
        while calls.join_next().await.is_some() {}
        finished.cancel();
        // Fails only where it panicked.
        let _ = notifying.await;
        // Fails where the client is gone already.
        let _ = sender.lock().await.close().await;
    } else {
        notifying.abort();
        calls.shutdown().await;
        let _ = sender.lock().await.close().await;
    }
}

/// Takes messages off the socket, no more than there is room for, and has each answered in a task of its own.
async fn read<S: Inner>(
    mut receiver: Receiver,
    sender: &Sender,
    service: S,
    extensions: Extensions,
    calls: &mut JoinSet<()>,
    heard: &std::sync::Mutex<Instant>,
) {
    let room_for_calls = Arc::new(Semaphore::new(CALLS_HELD_MAX));
    let room_for_messages = Arc::new(Semaphore::new(MESSAGES_HELD_MAX_BYTES));
    loop {
        let call = room_for_calls.clone().acquire_owned().await;
        // For the largest that may come; what it does not take is given back at once.
        let largest = room_for_messages.clone().acquire_many_owned(REQUEST_MAX_BYTES).await;
        // Nobody closes them.
        let (Ok(call), Ok(mut largest)) = (call, largest) else { return };

        let mut message = Vec::new();
        let received = receiver.receive(&mut message).await;
        *heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        match received {
            Ok(Incoming::Data(_)) => {}
            Ok(Incoming::Pong(_)) => continue,
            Ok(Incoming::Closed(_)) | Err(SocketError::Closed) => return,
            Err(SocketError::MessageTooLarge { .. }) => {
                let answer = MethodResponse::error(Id::Null, reject_too_big_request(REQUEST_MAX_BYTES));
                if send(sender, answer.into_json()).await.is_err() {
                    return;
                }
                continue;
            }
            Err(error) => return tracing::debug!(%error, "a WebSocket broke off"),
        }
        let message_room = largest.split(message.len());
        drop(largest);
        let (sender, service, extensions) = (Arc::clone(sender), service.clone(), extensions.clone());
        calls.spawn(async move {
            if let Some(answer) = answer(&service, message.into(), &extensions).await {
                // Fails where the client is gone, which `read` notices.
                let _ = send(&sender, answer).await;
            }
            drop((call, message_room));
        });
        while calls.try_join_next().is_some() {}
    }
}

/// Sends what subscriptions tell.
async fn notify(sender: Sender, mut told: mpsc::Receiver<Box<RawValue>>, finished: CancellationToken) {
    while let Some(Some(text)) = finished.run_until_cancelled(told.recv()).await {
        if let Err(error) = send(&sender, text).await {
            return tracing::debug!(%error, "a WebSocket broke off");
        }
    }
}

/// Pings, until nothing has been heard for too long or the ping can't be sent.
async fn keep_alive(sender: &Sender, heard: &std::sync::Mutex<Instant>) {
    let mut ticks = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    loop {
        ticks.tick().await;
        let silent_for = heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).elapsed();
        if silent_for > PING_SILENCE_MAX {
            return tracing::debug!("a WebSocket fell silent");
        }
        let empty = ByteSlice125::try_from(&[][..]).expect("nothing is shorter than 125 bytes");
        let mut sender = sender.lock().await;
        if sender.send_ping(empty).await.is_err() || sender.flush().await.is_err() {
            return;
        }
    }
}

async fn send(sender: &Sender, text: Box<RawValue>) -> Result<(), SocketError> {
    let mut sender = sender.lock().await;
    sender.send_text_owned(String::from(Box::<str>::from(text))).await?;
    sender.flush().await
}

/// What one message is answered, if anything.
async fn answer<S: Inner>(service: &S, message: Bytes, extensions: &Extensions) -> Option<Box<RawValue>> {
    let message = match examine(message) {
        Examined::Fine(message) => message,
        Examined::Refused(answer) => return Some(answer),
    };
    let response = respond(service, &message, extensions).await;
    // What a subscription says first goes the way of its notifications.
    (response.is_method_call() || response.is_batch()).then(|| response.into_json())
}

async fn respond<S: Inner>(service: &S, message: &[u8], extensions: &Extensions) -> MethodResponse {
    match message.first() {
        Some(b'{') => match entry(message, extensions) {
            Ok(BatchEntry::Call(call)) => service.call(call).await,
            Ok(BatchEntry::Notification(told)) => service.notification(told).await,
            Err((id, code)) => MethodResponse::error(id, ErrorObject::from(code)),
        },
        Some(b'[') => {
            let Ok(entries) = serde_json::from_slice::<Vec<&RawValue>>(message) else {
                return MethodResponse::error(Id::Null, ErrorObject::from(ErrorCode::ParseError));
            };
            if entries.len() > BATCH_MAX_ENTRIES {
                return MethodResponse::error(Id::Null, reject_too_big_batch_request(BATCH_MAX_ENTRIES));
            }
            let entries = entries.into_iter().map(|text| {
                let entry = entry(text.get().as_bytes(), extensions);
                entry.map_err(|(id, _)| BatchEntryErr::new(id, ErrorCode::InvalidRequest.into()))
            });
            service.batch(Batch::from(entries.collect())).await
        }
        _ => MethodResponse::error(Id::Null, ErrorObject::from(ErrorCode::ParseError)),
    }
}

/// A request or a notification, as jsonrpsee reads them over HTTP.
fn entry<'a>(message: &'a [u8], extensions: &Extensions) -> Result<BatchEntry<'a>, (Id<'a>, ErrorCode)> {
    if let Ok(mut call) = serde_json::from_slice::<Request<'a>>(message) {
        call.extensions = extensions.clone();
        return Ok(BatchEntry::Call(call));
    }
    if let Ok(mut told) = serde_json::from_slice::<Notification<'a>>(message) {
        told.extensions = extensions.clone();
        return Ok(BatchEntry::Notification(told));
    }
    Err(match serde_json::from_slice::<InvalidRequest<'a>>(message) {
        Ok(InvalidRequest { id }) => (id, ErrorCode::InvalidRequest),
        Err(_) => (Id::Null, ErrorCode::ParseError),
    })
}

/// The methods as one WebSocket sees them: subscriptions among them.
#[derive(Clone)]
struct SocketMethods {
    methods: Methods,
    connection: ConnectionId,
    subscriptions: BoundedSubscriptions,
    sink: MethodSink,
}

impl SocketMethods {
    fn new(methods: Methods, sink: MethodSink) -> Self {
        /// The next WebSocket's number; subscriptions are told apart by it.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let connection = ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { methods, connection, subscriptions: BoundedSubscriptions::new(SUBSCRIPTIONS_MAX), sink }
    }
}

impl RpcServiceT for SocketMethods {
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let Self { methods, connection, subscriptions, sink } = self.clone();
        let max_bytes = RESPONSE_MAX_BYTES as usize;
        async move {
            let Request { id, method, params, extensions, .. } = request;
            let params = Params::new(params.as_ref().map(|params| params.get()));
            match methods.method(&method) {
                Some(MethodCallback::Async(run)) => {
                    run(id.into_owned(), params.into_owned(), connection, max_bytes, extensions).await
                }
                Some(MethodCallback::Sync(run)) => run(id, params, max_bytes, extensions),
                Some(MethodCallback::Unsubscription(run)) => {
                    run(id, params, connection, max_bytes, extensions)
                }
                Some(MethodCallback::Subscription(run)) => match subscriptions.acquire() {
                    Some(subscription_permit) => {
                        let id_provider = &RandomIntegerIdProvider;
                        let state =
                            SubscriptionState { conn_id: connection, id_provider, subscription_permit };
                        run(id, params, sink, state, extensions).await
                    }
                    None => MethodResponse::error(id, reject_too_many_subscriptions(SUBSCRIPTIONS_MAX)),
                },
                None => MethodResponse::error(id, ErrorObject::from(ErrorCode::MethodNotFound)),
            }
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let methods = self.clone();
        async move {
            let mut responses = BatchResponseBuilder::new_with_limit(RESPONSE_MAX_BYTES as usize);
            for entry in batch {
                let response = match entry {
                    Ok(BatchEntry::Call(call)) => methods.call(call).await,
                    Ok(BatchEntry::Notification(_)) => continue,
                    Err(refused) => {
                        let (error, id) = refused.into_parts();
                        MethodResponse::error(id, error)
                    }
                };
                if let Err(too_large) = responses.append(response) {
                    return too_large;
                }
            }
            MethodResponse::from_batch(responses.finish())
        }
    }

    fn notification<'a>(&self, told: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        ready(MethodResponse::notification().with_extensions(told.extensions))
    }
}
