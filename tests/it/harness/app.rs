//! A whole server on free ports, with the sandbox as its provider.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use http::HeaderValue;
use quittance::{
    App,
    calmony::client::Client,
    domain::{AgencyId, Label, Pence, Role},
    inngest,
    ledger::{DatabaseUrl, Ledger, migrate, tables::AgencyRow},
    listener::limits::KEEP_ALIVE,
    sandbox::{Sandbox, SandboxConfig},
    server::{Listeners, Settings, serve},
};
use secrecy::SecretString;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Database, Event, Sql, TestCaller, WEBHOOK_SECRET, Wire, events::deliver, postgres};

/// The key under which events go to Inngest.
pub const INNGEST_EVENT_KEY: &str = "inngest-key-0123456789abcdef";

/// How a test's server differs from the usual one.
#[derive(Clone, Debug)]
pub struct Options {
    /// Multiplies every waiting time that is no time-out.
    pub time_scale: f64,
    /// Requests a second per token; 0 is no limit.
    pub rate_limit: u32,
    /// Where Calmony Pay is, if not in the sandbox: `http://127.0.0.1:…/v1`.
    pub calmony_url: Option<String>,
    /// Whether the sandbox delivers its webhooks.
    pub webhooks: bool,
    /// Where Inngest is, if events go there.
    pub inngest_url: Option<String>,
    /// Origins whose pages may call.
    pub cors_origins: Vec<HeaderValue>,
    /// Whether every page of this machine may as well.
    pub loopback_origins: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            time_scale: 0.02,
            rate_limit: 0,
            calmony_url: None,
            webhooks: true,
            inngest_url: None,
            cors_origins: vec![],
            loopback_origins: false,
        }
    }
}

/// A running server. Stop it with [`TestApp::stop`], which also checks that it stops.
pub struct TestApp {
    /// Where it listens.
    pub rpc_url: String,
    pub webhook_url: String,
    pub ops_url: String,
    /// The database it runs on.
    pub database: Database,
    /// Where that is.
    pub database_url: DatabaseUrl,
    /// The same as text.
    pub url: String,
    /// For looking behind the curtain; the server has its own.
    pub ledger: Ledger,
    /// The agency that [`TestApp::agent`] and [`TestApp::admin`] belong to.
    pub agency_id: AgencyId,
    pub http: reqwest::Client,
    app: Arc<App>,
    sandbox: Sandbox,
    agent: TestCaller,
    admin: TestCaller,
    stopping: CancellationToken,
    serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl TestApp {
    /// Starts a server on an empty database, with one agency, an agent and an admin.
    pub async fn start(database: Database, options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let url = match database {
            Database::Sqlite => format!("sqlite://{}/ledger.db", folder.path().display()),
            Database::Postgres => {
                tokio::task::spawn_blocking(postgres::fresh_database).await.expect("a database")
            }
        };
        Self::start_on(database, url, folder, options).await
    }

    /// Starts a server on an empty database of the test's own.
    pub async fn start_on(
        database: Database,
        url: String,
        folder: tempfile::TempDir,
        options: Options,
    ) -> Self {
        let database_url: DatabaseUrl = url.parse().expect("a database URL");
        let _ = rustls::crypto::ring::default_provider().install_default();
        migrate(&database_url, true).await.expect("migrations run");
        let ledger = Ledger::open(&database_url).await.expect("the database opens");

        let listeners = bind_all().await;
        let (rpc_url, ops_url) = (format!("{}/rpc", at(&listeners.rpc)), at(&listeners.ops));
        let webhook_url = format!("{}/api/webhooks/calmony-pay", at(&listeners.companion));

        let stopping = CancellationToken::new();
        let secret_key = SecretString::from("sk_test_0123456789abcdef01234567");
        // Port 9 discards; nothing listens there.
        let deliver_to = if options.webhooks { webhook_url.clone() } else { "http://127.0.0.1:9/".into() };
        let config = SandboxConfig::new(secret_key.clone(), WEBHOOK_SECRET.into(), deliver_to);
        let sandbox = Sandbox::start(bind().await, config, stopping.clone()).await;
        let calmony = options.calmony_url.unwrap_or_else(|| format!("{}/v1", sandbox.url()));
        let return_url = format!("{}/checkout/return", at(&listeners.companion));
        let client = Client::new(calmony.parse().expect("a URL"), secret_key, options.time_scale);
        let return_url = return_url.parse().expect("a URL");
        let inngest = options.inngest_url.map(|url| {
            let base = url.parse().expect("a URL");
            inngest::Client::new(base, INNGEST_EVENT_KEY.into()).expect("a client")
        });
        let client = client.expect("a client");
        let app = App::new(ledger.clone(), client, inngest, return_url, options.time_scale);
        let settings = Settings {
            webhook_secrets: [SecretString::from("whsec_an_older_secret_still_valid"), WEBHOOK_SECRET.into()]
                .into(),
            rate_limit_per_second: options.rate_limit,
            cors_origins: options.cors_origins,
            keep_alive: KEEP_ALIVE,
            drain: Duration::ZERO,
            loopback_origins: options.loopback_origins,
        };
        let serving = tokio::spawn(serve(Arc::clone(&app), listeners, settings, stopping.clone()));

        let http = reqwest::Client::new();
        let agency_id = add_agency(&ledger).await;
        let caller = async |role, actor| issue(&app, &http, &rpc_url, agency_id, role, actor).await;
        let (agent, admin) =
            (caller(Role::Agent, "Arthur Agent").await, caller(Role::Admin, "Ada Admin").await);
        Self {
            rpc_url,
            webhook_url,
            ops_url,
            database,
            database_url,
            url,
            ledger,
            agency_id,
            http,
            app,
            sandbox,
            agent,
            admin,
            stopping,
            serving,
            _folder: folder,
        }
    }

    /// An agent of the agency.
    pub fn agent(&self) -> &TestCaller {
        &self.agent
    }

    /// An admin of the same agency.
    pub fn admin(&self) -> &TestCaller {
        &self.admin
    }

    /// Somebody without a token.
    pub fn anonymous(&self) -> TestCaller {
        TestCaller::new(self.http.clone(), self.rpc_url.clone(), None)
    }

    /// Somebody of another, new agency.
    pub async fn stranger(&self, role: Role) -> TestCaller {
        let agency = add_agency(&self.ledger).await;
        issue(&self.app, &self.http, &self.rpc_url, agency, role, "Stella Stranger").await
    }

    /// Calmony Pay, as the sandbox plays it.
    pub fn calmony(&self) -> &Sandbox {
        &self.sandbox
    }

    /// What the server's rooms share, to call one without a socket between.
    pub fn shared(&self) -> &Arc<App> {
        &self.app
    }

    /// A connection to the RPC listener, for bytes of the test's own.
    pub async fn wire(&self) -> Wire {
        Wire::to(&self.rpc_url).await
    }

    /// Another server on the same database, which must be PostgreSQL.
    pub async fn instance_beside(&self) -> Instance {
        assert_eq!(self.database, Database::Postgres, "SQLite has one server");
        let ledger = Ledger::open(&self.database_url).await.expect("the database opens");
        let listeners = bind_all().await;
        let rpc_url = format!("{}/rpc", at(&listeners.rpc));
        let return_url: url::Url =
            format!("{}/checkout/return", at(&listeners.companion)).parse().expect("a URL");
        let client = Client::new(return_url.clone(), "nobody asks".into(), 1.0).expect("a client");
        let app = App::new(ledger, client, None, return_url, 1.0);
        let settings = Settings {
            webhook_secrets: [WEBHOOK_SECRET.into()].into(),
            rate_limit_per_second: 0,
            cors_origins: vec![],
            keep_alive: KEEP_ALIVE,
            drain: Duration::ZERO,
            loopback_origins: false,
        };
        let stopping = CancellationToken::new();
        let serving = tokio::spawn(serve(app, listeners, settings, stopping.clone()));
        Instance { rpc_url, stopping, serving }
    }

    /// A connection to the database behind the server's back.
    pub async fn sql(&self) -> Sql {
        Sql::open(self.database, &self.url).await
    }

    /// Delivers a signed event; the status of the answer.
    pub async fn deliver(&self, event: &Event) -> u16 {
        deliver(&self.http, &self.webhook_url, event).await
    }

    /// Delivers a signed event that must be taken.
    pub async fn delivered(&self, event: &Event) {
        assert_eq!(self.deliver(event).await, 200, "{event:?}");
    }

    /// A payment as an agent sees it.
    pub async fn payment(&self, id: &str) -> Value {
        self.agent.payment(id).await
    }

    /// Waits until the payment has the status.
    pub async fn until_status(&self, id: &str, status: &str) -> Value {
        for _ in 0..500 {
            let payment = self.payment(id).await;
            if payment["status"] == status {
                return payment;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{id} did not become {status}: {:?}", self.payment(id).await);
    }

    /// The payment's audit rows as (action, from, to).
    pub async fn trail(&self, id: &str) -> Vec<(String, String, String)> {
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let rows =
            self.agent.call("payment.auditTrail", serde_json::json!({ "paymentId": id, "limit": 100 })).await;
        let rows = rows.expect("a trail")["items"].as_array().expect("rows").clone();
        rows.iter().map(|row| (word(&row["action"]), word(&row["from"]), word(&row["to"]))).collect()
    }

    /// The kinds of the payment's anomalies, sorted.
    pub async fn anomalies(&self, id: &str) -> Vec<String> {
        let page = self
            .admin
            .call("payment.listAnomalies", serde_json::json!({ "paymentId": id, "limit": 100 }))
            .await;
        let rows = page.expect("a page")["items"].as_array().expect("rows").clone();
        let mut kinds: Vec<_> =
            rows.iter().map(|row| row["kind"].as_str().expect("a kind").to_owned()).collect();
        kinds.sort();
        kinds
    }

    /// What was concluded about an event: its verdict, or `None` where it is unknown.
    pub async fn verdict(&self, event: &str) -> Option<String> {
        let id = quittance::domain::EventId::parse(event).expect("an event id");
        let row = self.ledger.read(move |tx| async move { tx.event(id).await }.boxed()).await;
        row.expect("the inbox").map(|row| row.verdict.to_string())
    }

    /// Waits until an event has the verdict.
    pub async fn until_verdict(&self, event: &str, verdict: &str) {
        for _ in 0..500 {
            if self.verdict(event).await.as_deref() == Some(verdict) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let id = quittance::domain::EventId::parse(event).expect("an event id");
        let row = self.ledger.read(move |tx| async move { tx.event(id).await }.boxed()).await;
        panic!("{event} did not become {verdict}: {row:?}");
    }

    /// Stops the server, which must end by itself.
    pub async fn stop(self) {
        stop(self.stopping, self.serving).await;
    }
}

/// A further server beside a [`TestApp`].
pub struct Instance {
    /// Where it listens.
    pub rpc_url: String,
    stopping: CancellationToken,
    serving: JoinHandle<()>,
}

impl Instance {
    /// Stops the server, which must end by itself.
    pub async fn stop(self) {
        stop(self.stopping, self.serving).await;
    }
}

async fn stop(stopping: CancellationToken, serving: JoinHandle<()>) {
    stopping.cancel();
    tokio::time::timeout(Duration::from_secs(15), serving)
        .await
        .expect("the server stops in time")
        .expect("the server does not panic");
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

async fn bind_all() -> Listeners {
    Listeners { rpc: bind().await, companion: bind().await, ops: bind().await }
}

fn at(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().expect("bound"))
}

async fn add_agency(ledger: &Ledger) -> AgencyId {
    let id = AgencyId::new();
    let row = AgencyRow {
        id,
        name: Label::parse("Test Lettings").expect("a name"),
        max_card_payment_pence: Pence::new(200_000),
        created_at: id.made_at(),
    };
    ledger.write(move |tx| async move { tx.insert_agency(&row).await }.boxed()).await.expect("an agency");
    id
}

async fn issue(
    app: &App,
    http: &reqwest::Client,
    rpc_url: &str,
    agency: AgencyId,
    role: Role,
    actor: &str,
) -> TestCaller {
    let actor = Label::parse(actor).expect("a name");
    let (_, token) = app.tokens.issue(agency, role, actor, None).await.expect("a token");
    TestCaller::new(http.clone(), rpc_url.to_owned(), Some(token.reveal().to_owned()))
}
