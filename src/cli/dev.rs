//! `quittance dev`: everything on one machine with nothing configured, and a tour to paste.

use std::{net::SocketAddr, path::Path};

use clap::Args;
use secrecy::SecretString;
use serde_json::{Map, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    admin,
    command::{Outcome, open, story},
    serve::{announce, app, bind, lock, settings},
    signals::Signals,
};
use crate::{
    auth::Tokens,
    config::{Calmony, DatabaseArgs, ServerArgs, Tidied, secret_text, tidied},
    demo,
    domain::{Label, Role},
    sandbox::{Sandbox, SandboxConfig},
    server::{Settings, serve},
    webhook::WEBHOOK_PATH,
};

/// Where `dev` keeps its things.
const FOLDER: &str = ".quittance";
/// Where its database is, unless told otherwise.
const DATABASE: &str = "sqlite://.quittance/dev.db";

#[derive(Args)]
pub struct DevArgs {
    /// Where the database is; ./.quittance/dev.db unless said
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = Tidied(secret_text))]
    database_url: Option<SecretString>,
    /// The sandbox that plays Calmony Pay
    #[arg(
        long,
        env = "QUITTANCE_SANDBOX_ADDR",
        default_value = "127.0.0.1:4010",
        value_parser = tidied::<SocketAddr>()
    )]
    sandbox_addr: SocketAddr,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the server, the sandbox and a demo agency until told to stop.
pub async fn run(args: DevArgs, signals: &Signals) -> Outcome {
    let database_url = args.database_url.unwrap_or_else(|| DATABASE.into());
    let database = DatabaseArgs { database_url, no_migrate: false };
    let _lock = lock(&database.url()?)?;
    let ledger = open(&database).await?;
    let (listeners, addresses) = bind(&args.server).await?;

    // Fresh secrets at each start: nothing of `dev` is worth configuring.
    let secret = || SecretString::from(hex::encode(rand::random::<[u8; 24]>()));
    let (secret_key, webhook_secret) = (secret(), secret());
    let socket = TcpListener::bind(args.sandbox_addr)
        .await
        .map_err(|error| format!("QUITTANCE_SANDBOX_ADDR {}: {error}", args.sandbox_addr))?;
    let webhook_url = format!("http://{}{WEBHOOK_PATH}", addresses.companion);
    // On a port that is another one each time no link lives longer than the process.
    let port = Some(args.sandbox_addr.port()).filter(|port| *port != 0);
    let file = port.map(|port| Path::new(FOLDER).join(format!("sandbox-{port}.json")));
    let config =
        SandboxConfig { file, ..SandboxConfig::new(secret_key.clone(), webhook_secret.clone(), webhook_url) };
    // It outlives the server, which may ask it until the end.
    let sandbox_stopping = CancellationToken::new();
    let sandbox = Sandbox::start(socket, config, sandbox_stopping.clone()).await;
    let api_url = format!("{}/v1", sandbox.url()).parse().map_err(|error| format!("sandbox: {error}"))?;
    let calmony = Calmony { api_url, secret_key, webhook_secrets: [webhook_secret].into() };

    let agency_id = match demo::agency(&ledger).await.map_err(story)? {
        Some(id) => id,
        None => {
            let id = admin::create_agency(&ledger, demo::AGENCY).await?;
            demo::fill(&ledger, id).await.map_err(story)?;
            id
        }
    };
    let tokens = Tokens::new(ledger.clone());
    let issue = async |role: Role, actor: &str| {
        let actor = Label::parse(actor)?;
        let (_, token) = tokens.issue(agency_id, role, actor, None).await.map_err(story)?;
        Ok::<_, String>(token.reveal().to_owned())
    };
    let (admin, agent) = (issue(Role::Admin, "Ada Admin").await?, issue(Role::Agent, "Arthur Agent").await?);

    let app = app(ledger, &args.server, &calmony, addresses.companion)?;
    let stopping = signals.stop_server();
    eprintln!("{}", tour(&addresses.rpc(), sandbox.url(), &agent, &admin));
    let more = json!({
        "sandbox": sandbox.url(), "agencyId": agency_id, "adminToken": admin, "agentToken": agent,
    });
    announce(&addresses, more.as_object().cloned().unwrap_or_else(Map::new));
    // Whatever page is being developed on this machine.
    let settings = Settings { loopback_origins: true, ..settings(&args.server, &calmony) };
    serve(app, listeners, settings, stopping).await;
    sandbox_stopping.cancel();
    sandbox.save();
    Ok(())
}

/// What to do next, ready to paste.
fn tour(rpc: &str, sandbox: &str, agent: &str, admin: &str) -> String {
    format!(
        r#"
Quittance is running, with a demo agency. Ask a tenant for £250:

  curl -s {rpc}/rpc -H 'authorization: Bearer {agent}' -H 'content-type: application/json' -d '
    {{"jsonrpc":"2.0","id":1,"method":"payment.createPaymentTask","params":{{
      "amountPence":25000,"paymentType":"holding_deposit","description":"Holding deposit, 12 Orchard Row",
      "todoId":"collect-deposit"}}}}'

Open the checkoutUrl it answers in a browser and pay. Then look:

  curl -s {rpc}/rpc -H 'authorization: Bearer {agent}' -H 'content-type: application/json' -d '
    {{"jsonrpc":"2.0","id":2,"method":"payment.list"}}'

The inbox of webhooks: DATABASE_URL=sqlite://.quittance/dev.db quittance events list

  agent token  {agent}
  admin token  {admin}
  sandbox      {sandbox}
"#
    )
}
