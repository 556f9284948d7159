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
    App, custom_payment_task, jobs,
    listener::{self, Limits},
    ops::{Ops, ReadyCheck},
    payment,
    rpc::{self, Document, RpcSettings, openrpc, procedure::Procedure},
    telemetry, todo, token,
    webhook::Companion,
};

/// How long requests in hand may take to finish once the server is told to stop.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// Of that, what is left to the ops listener, which goes last.
const OPS_FINISH_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// How long a connection without a request is kept.
    pub keep_alive: Duration,
    /// How long the listeners go on when the server is told to stop, while it says that it is not ready.
    pub drain: Duration,
    /// Whether every page of this machine may as well, as in `dev`.
    pub loopback_origins: bool,
}

/// Every procedure there is.
pub fn procedures() -> Vec<Procedure> {
    let namespaces = [
        payment::procedures(),
        todo::procedures(),
        custom_payment_task::procedures(),
        token::procedures(),
        rpc::procedures(),
    ];
    namespaces.concat()
}

/// The OpenRPC document, as published. Panics where the table can't be described, which is a fault of the program.
pub fn openrpc() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let document = openrpc::document(&procedures());
        let document = document.unwrap_or_else(|fault| panic!("the table of procedures: {fault}"));
        format!("{document:#}\n")
    });
    &TEXT
}

/// Serves until `stopping` is cancelled. Then it says that it is not ready, goes on for [`Settings::drain`], refuses new
/// work and finishes what is in hand, within [`FINISH_TIMEOUT`].
pub async fn serve(app: Arc<App>, listeners: Listeners, settings: Settings, stopping: CancellationToken) {
    let limits = Limits { keep_alive: settings.keep_alive, ..Limits::default() };
    // First of all, and on its own: it answers while the database is away, and goes last.
    let ops_closing = CancellationToken::new();
    let ops = Ops::new(ready_check(&app), stopping.clone(), telemetry::metrics());
    let ops = tokio::spawn(listener::serve(limits, listeners.ops, ops, ops_closing.clone()));
    let upkeep = tokio::spawn(telemetry::upkeep(telemetry::metrics(), telemetry::UPKEEP_INTERVAL));

    // Before the first event is accepted. Where it fails, the database is away, and nothing is accepted either.
    if let Err(error) = jobs::begin(&app).await {
        tracing::error!(cause = error.story(), "what goes to Inngest could not be settled");
    }
    let rpc_settings = RpcSettings {
        rate_limit_per_second: settings.rate_limit_per_second,
        cors_origins: settings.cors_origins,
        loopback_origins: settings.loopback_origins,
        documents: vec![Document::new("/openrpc.json", "application/json", openrpc())],
        ..RpcSettings::default()
    };
    let closing = CancellationToken::new();
    let others = openrpc::discovery(openrpc());
    let rpc = rpc::service(Arc::clone(&app), procedures(), others, rpc_settings, closing.clone());
    let companion = Companion::new(Arc::clone(&app), settings.webhook_secrets);
    let work = async {
        tokio::join!(
            listener::serve(limits, listeners.rpc, rpc, closing.clone()),
            listener::serve(limits, listeners.companion, companion, closing.clone()),
            jobs::run(Arc::clone(&app), closing.clone()),
        );
        // What callers began and did not wait for.
        app.tasks.close();
        app.tasks.wait().await;
    };
    let closed = async {
        stopping.cancelled().await;
        tokio::time::sleep(settings.drain).await;
        closing.cancel();
    };
    tokio::pin!(work);
    tokio::select! {
        _ = &mut work => {}
        () = closed => finish(work, FINISH_TIMEOUT - OPS_FINISH_TIMEOUT, "requests").await,
    }
    ops_closing.cancel();
    finish(ops, OPS_FINISH_TIMEOUT, "ops requests").await;
    upkeep.abort();
    tracing::info!("stopped");
}

async fn finish(work: impl Future, within: Duration, what: &str) {
    if tokio::time::timeout(within, work).await.is_err() {
        tracing::warn!("{what} were still in hand after {within:?}");
    }
}

fn ready_check(app: &Arc<App>) -> ReadyCheck {
    let app = Arc::clone(app);
    Arc::new(move || {
        let ledger = app.ledger.clone();
        async move { ledger.check().await.is_ok() }.boxed()
    })
}
