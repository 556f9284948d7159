//! A whole server: three listeners over one [`App`], the jobs beside them, and an orderly end.

use std::{
    future::Future,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::FutureExt;
use http::HeaderValue;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    App, custom_payment_task, jobs, listener,
    ops::{Ops, ReadyCheck},
    payment,
    rpc::{self, Document, RpcSettings, openrpc, procedure::Procedure},
    telemetry, todo, token,
    webhook::Companion,
};

/// How long requests in hand may take to finish once the server is told to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Of that, what is left to the ops listener, which goes last.
const OPS_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The sockets a server listens on, bound by the caller: port 0 picks a free one.
pub struct Listeners {
    /// JSON-RPC.
    pub rpc: TcpListener,
    /// Webhooks and the return page.
    pub companion: TcpListener,
    /// Liveness, readiness, metrics.
    pub ops: TcpListener,
}

/// What the listeners need to know besides the app.
pub struct Settings {
    /// Any of these may have signed a webhook.
    pub webhook_secrets: Arc<[SecretString]>,
    /// Requests a second per token; 0 is no limit.
    pub rate_limit_per_second: u32,
    /// Origins whose pages may call.
    pub cors_origins: Vec<HeaderValue>,
}

/// Every procedure there is.
pub fn procedures() -> Vec<Procedure> {
    [payment::procedures(), todo::procedures(), custom_payment_task::procedures(), token::procedures()]
        .concat()
}

/// The OpenRPC document, as published. Panics where the table can't be described, which is a fault of the program.
pub fn openrpc() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let document = openrpc::document(&procedures(), include_str!("server/examples.json"));
        let document = document.unwrap_or_else(|fault| panic!("the table of procedures: {fault}"));
        format!("{document:#}\n")
    });
    &TEXT
}

/// Serves until `stopping` is cancelled, then refuses new work and finishes what is in hand, within
/// [`DRAIN_TIMEOUT`].
pub async fn serve(app: Arc<App>, listeners: Listeners, settings: Settings, stopping: CancellationToken) {
    // Before the first event is accepted. Where it fails, the database is away, and nothing is accepted either.
    if let Err(error) = jobs::begin(&app).await {
        tracing::error!(cause = error.story(), "what goes to Inngest could not be settled");
    }
    let rpc_settings = RpcSettings {
        rate_limit_per_second: settings.rate_limit_per_second,
        cors_origins: settings.cors_origins,
        documents: vec![Document::new("/openrpc.json", "application/json", openrpc())],
        ..RpcSettings::default()
    };
    let others = openrpc::discovery(openrpc());
    let rpc = rpc::service(Arc::clone(&app), procedures(), others, rpc_settings, stopping.clone());
    let companion = Companion::new(Arc::clone(&app), settings.webhook_secrets);
    let ops_stopping = CancellationToken::new();
    let ops = Ops::new(ready_check(&app), stopping.clone(), telemetry::metrics());

    let work = async {
        tokio::join!(
            listener::serve(listeners.rpc, rpc, stopping.clone()),
            listener::serve(listeners.companion, companion, stopping.clone()),
            jobs::run(Arc::clone(&app), stopping.clone()),
        );
        // What callers began and did not wait for.
        app.tasks.close();
        app.tasks.wait().await;
    };
    let ops = tokio::spawn(listener::serve(listeners.ops, ops, ops_stopping.clone()));
    tokio::pin!(work);
    tokio::select! {
        _ = &mut work => {}
        () = stopping.cancelled() => drain(work, DRAIN_TIMEOUT - OPS_DRAIN_TIMEOUT, "requests").await,
    }
    ops_stopping.cancel();
    drain(ops, OPS_DRAIN_TIMEOUT, "ops requests").await;
    tracing::info!("stopped");
}

async fn drain(work: impl Future, within: Duration, what: &str) {
    if tokio::time::timeout(within, work).await.is_err() {
        tracing::warn!("{what} were still in hand after {within:?}");
    }
}

fn ready_check(app: &Arc<App>) -> ReadyCheck {
    let app = Arc::clone(app);
    Arc::new(move || {
        let ledger = app.ledger.clone();
        async move { ledger.read(|tx| async move { tx.ping().await }.boxed()).await.is_ok() }.boxed()
    })
}
