//! `quittance serve`: the server in production. `quittance dev` runs the same server with other settings.

use std::{io::Write, net::SocketAddr, sync::Arc};

use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::{
    command::{Outcome, open, story},
    signals::Signals,
};
use crate::{
    App,
    calmony::client::Client,
    config::{Calmony, CalmonyArgs, DatabaseArgs, Inngest, SHORT_SECRET_BYTES, ServerArgs, is_public},
    inngest,
    ledger::{DatabaseUrl, Ledger, ServerLock},
    server::{Listeners, Settings, serve},
    tls,
};

/// Runs the server until it is told to stop.
pub async fn run(
    database: DatabaseArgs,
    args: ServerArgs,
    calmony: CalmonyArgs,
    signals: &Signals,
) -> Outcome {
    let calmony = calmony.check()?;
    for name in calmony.short_secrets() {
        tracing::warn!("{name} is shorter than {SHORT_SECRET_BYTES} bytes");
    }
    args.inngest.check()?;
    let _lock = lock(&database.url()?)?;
    let ledger = open(&database).await?;
    let (listeners, addresses) = bind(&args).await?;
    if !args.public_url.as_ref().is_some_and(is_public) {
        tracing::warn!("QUITTANCE_PUBLIC_URL is not public https: Calmony Pay refuses such return addresses");
    }
    let app = app(ledger, &args, &calmony, addresses.companion)?;
    if args.return_url.as_ref().is_some_and(|url| !is_public(url)) {
        tracing::warn!("QUITTANCE_RETURN_URL is not public https: Calmony Pay refuses such return addresses");
    }
    let stopping = signals.stop_server();
    announce(&addresses, Map::new());
    serve(app, listeners, settings(&args, &calmony), stopping).await;
    Ok(())
}

/// Where the listeners are.
pub struct Addresses {
    rpc: SocketAddr,
    /// The companion's.
    pub companion: SocketAddr,
    ops: SocketAddr,
}

impl Addresses {
    /// The RPC listener's URL.
    pub fn rpc(&self) -> String {
        format!("http://{}", self.rpc)
    }
}

/// On SQLite, keeps a second server off the file.
pub fn lock(url: &DatabaseUrl) -> Result<Option<ServerLock>, String> {
    match url {
        DatabaseUrl::Sqlite(path) => ServerLock::take(path).map(Some).map_err(story),
        DatabaseUrl::Postgres(_) => Ok(None),
    }
}

/// Binds the three listeners.
pub async fn bind(args: &ServerArgs) -> Result<(Listeners, Addresses), String> {
    let bind = async |name: &str, address: SocketAddr| {
        let bound = TcpListener::bind(address).await.map_err(|error| format!("{name} {address}: {error}"))?;
        let address = bound.local_addr().map_err(|error| format!("{name}: {error}"))?;
        Ok::<_, String>((bound, address))
    };
    let (rpc, rpc_address) = bind("QUITTANCE_RPC_ADDR", args.rpc_addr).await?;
    let (companion, companion_address) = bind("QUITTANCE_WEBHOOK_ADDR", args.webhook_addr).await?;
    let (ops, ops_address) = bind("QUITTANCE_OPS_ADDR", args.ops_addr).await?;
    let addresses = Addresses { rpc: rpc_address, companion: companion_address, ops: ops_address };
    Ok((Listeners { rpc, companion, ops }, addresses))
}

/// Everything a request may use.
pub fn app(
    ledger: Ledger,
    args: &ServerArgs,
    calmony: &Calmony,
    companion: SocketAddr,
) -> Result<Arc<App>, String> {
    let inngest_url = args.inngest.check()?.map(|inngest| inngest.base_url);
    for url in [Some(&calmony.api_url), inngest_url.as_ref()].into_iter().flatten() {
        if url.scheme() == "https" && tls::system_roots().is_empty() {
            return Err(format!(
                "{} is https, and {}",
                url.host_str().unwrap_or_default(),
                tls::NO_AUTHORITIES
            ));
        }
    }
    let time_scale = args.janitor_time_scale;
    let client = Client::new(calmony.api_url.clone(), calmony.secret_key.clone(), time_scale)
        .map_err(|error| format!("the client of Calmony Pay: {error}"))?;
    Ok(App::new(ledger, client, inngest(args)?, args.return_url(companion)?, time_scale))
}

/// The client of Inngest, where that is configured.
pub fn inngest(args: &ServerArgs) -> Result<Option<inngest::Client>, String> {
    let Some(Inngest { base_url, event_key }) = args.inngest.check()? else { return Ok(None) };
    let client = inngest::Client::new(base_url, event_key);
    client.map(Some).map_err(|error| format!("the client of Inngest: {error}"))
}

/// What the listeners need besides.
pub fn settings(args: &ServerArgs, calmony: &Calmony) -> Settings {
    Settings {
        webhook_secrets: Arc::clone(&calmony.webhook_secrets),
        rate_limit_per_second: args.rate_limit,
        cors_origins: args.cors_origins.clone(),
        keep_alive: args.keep_alive,
        drain: args.drain,
        loopback_origins: false,
    }
}

/// The ready line: the listeners accept.
pub fn announce(addresses: &Addresses, more: Map<String, Value>) {
    let Addresses { rpc, companion, ops } = addresses;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %rpc, %companion, %ops, "ready");
    let mut line = json!({
        "event": "ready",
        "rpc": addresses.rpc(),
        "webhook": format!("http://{}", addresses.companion),
        "ops": format!("http://{}", addresses.ops),
    });
    if let Value::Object(fields) = &mut line {
        fields.extend(more);
    }
    // Whoever waits for the line reads a pipe. It may have gone away; that is no reason to stop.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
