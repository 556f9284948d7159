//! Where a drill takes place: real server processes on one database, and the provider, which outlives them.
//!
//! Not here: what is done to them (each drill), and what must hold afterwards (`rules`).

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::{Arc, RwLock},
    time::Duration,
};

use quittance::sandbox::{Sandbox, SandboxConfig};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex, MutexGuard},
    task::spawn_blocking,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    gate::Gate,
    harness::{Database, Sql, TestCaller, WEBHOOK_SECRET, postgres::fresh_database, program},
};

const SECRET_KEY: &str = "sk_test_0123456789abcdef01234567";
/// For a process to say that it is ready: the machine may be busy.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Longer than any answer may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Port 9 discards; nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9/";

/// What kind of place.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Server processes on the database.
    pub instances: usize,
    /// Their `QUITTANCE_JANITOR_TIME_SCALE`.
    pub time_scale: f64,
    /// Whether the provider's webhooks reach them.
    pub webhooks: bool,
    /// Whether statements are made to fail: then a server may answer that it could not.
    pub faulty: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { instances: 1, time_scale: 1.0, webhooks: true, faulty: false }
    }
}

/// The place. Its processes end with it.
pub struct Site {
    pub database: Database,
    pub setup: Setup,
    pub sandbox: Sandbox,
    pub gate: Gate,
    pub http: reqwest::Client,
    url: String,
    instances: Vec<Instance>,
    agent_token: String,
    admin_token: String,
    folder: Option<tempfile::TempDir>,
    _stopping: DropGuard,
}

#[derive(Default)]
struct Instance {
    process: Mutex<Option<Child>>,
    /// Of the latest process; every one has ports of its own.
    ready: RwLock<Value>,
}

impl Site {
    /// An empty database with one agency, and servers on it.
    pub async fn open(database: Database, setup: Setup) -> Arc<Self> {
        let folder = tempfile::Builder::new().prefix("quittance-drill-").tempdir().expect("a directory");
        let url = match database {
            Database::Sqlite => format!("sqlite://{}/ledger.db", folder.path().display()),
            Database::Postgres => spawn_blocking(fresh_database).await.expect("a database"),
        };
        let stopping = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut config = SandboxConfig::new(SECRET_KEY.into(), WEBHOOK_SECRET.into(), NOWHERE.into());
        // Often, so that no drill waits long for what a dead server could not take.
        config.retry_delays_ms = if setup.webhooks { vec![250; 240] } else { vec![] };
        let sandbox = Sandbox::start(listener, config, stopping.clone()).await;
        let gate = Gate::start(sandbox.url().trim_start_matches("http://").to_owned()).await;

        let agency = command(&["agency", "create", "Drill Lettings"], &url).await["agencyId"].clone();
        let token = async |role| {
            let agency = agency.as_str().expect("an id");
            let arguments = ["token", "issue", "--agency", agency, "--role", role, "--actor", role];
            command(&arguments, &url).await["token"].as_str().expect("a token").to_owned()
        };
        let (agent_token, admin_token) = (token("agent").await, token("admin").await);
        let site = Self {
            database,
            setup,
            sandbox,
            gate,
            http: reqwest::Client::builder().timeout(CALL_TIMEOUT).build().expect("a client"),
            url,
            instances: std::iter::repeat_with(Instance::default).take(setup.instances).collect(),
            agent_token,
            admin_token,
            folder: Some(folder),
            _stopping: stopping.drop_guard(),
        };
        if database == Database::Postgres {
            // So that one text of SQL does for both databases.
            let theirs = "create function hex(uuid) returns text language sql immutable
                  as $$ select upper(replace($1::text, '-', '')) $$;
                create collation \"binary\" (locale = 'C')";
            site.sql().await.ok(theirs).await;
        }
        for down in site.kill_all().await {
            down.start().await;
        }
        Arc::new(site)
    }

    /// Kills a server process with SIGKILL.
    pub async fn kill(&self, number: usize) -> Down<'_> {
        let mut process = self.instances[number].process.lock().await;
        end(process.take());
        Down { site: self, number, process }
    }

    /// Kills every server process.
    pub async fn kill_all(&self) -> Vec<Down<'_>> {
        let mut down = Vec::new();
        for number in 0..self.instances.len() {
            down.push(self.kill(number).await);
        }
        down
    }

    /// Any of the servers.
    pub fn any(&self) -> usize {
        rand::random_range(0..self.instances.len())
    }

    /// An agent, or an admin, who calls this server.
    pub fn caller(&self, number: usize, who: Who) -> TestCaller {
        let token = match who {
            Who::Agent => &self.agent_token,
            Who::Admin => &self.admin_token,
        };
        let rpc = self.ready(number)["rpc"].as_str().expect("a URL").to_owned();
        TestCaller::new(self.http.clone(), format!("{rpc}/rpc"), Some(token.clone()))
    }

    /// Where this server takes events.
    pub fn webhook_url(&self, number: usize) -> String {
        webhook_url(&self.ready(number))
    }

    /// A connection behind the servers' back.
    pub async fn sql(&self) -> Sql {
        Sql::open(self.database, &self.url).await
    }

    /// The column `line` of a query's rows.
    pub async fn lines(&self, query: &str) -> Vec<String> {
        self.sql().await.lines(query).await
    }

    /// Takes the leases of dead processes back, as time would: half a minute on sessions, three on parked events.
    pub async fn end_leases(&self) {
        let back = "update checkout_sessions set leased_until = null, next_read_at = created_at
              where leased_until is not null and next_read_at is not null;
            update processed_events set leased_until = null where leased_until is not null";
        self.sql().await.ok(back).await;
    }

    fn ready(&self, number: usize) -> Value {
        self.instances[number].ready.read().expect("no panic while it is held").clone()
    }
}

/// A server that is not running. Nobody else starts it meanwhile.
pub struct Down<'s> {
    site: &'s Site,
    number: usize,
    process: MutexGuard<'s, Option<Child>>,
}

impl Down<'_> {
    /// Starts a process on the same data and waits until it is ready.
    pub async fn start(mut self) {
        let site = self.site;
        let folder = site.folder.as_ref().expect("until it is dropped").path();
        let log = folder.join(format!("server-{}.log", self.number));
        let log = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let mut command = program(&["serve"]);
        command.envs([
            ("DATABASE_URL", site.url.as_str()),
            ("CALMONY_PAY_SECRET_KEY", SECRET_KEY),
            ("CALMONY_PAY_WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("CALMONY_PAY_API_URL", &format!("{}/v1", site.gate.url())),
            ("QUITTANCE_RPC_ADDR", "127.0.0.1:0"),
            ("QUITTANCE_WEBHOOK_ADDR", "127.0.0.1:0"),
            ("QUITTANCE_OPS_ADDR", "127.0.0.1:0"),
            ("QUITTANCE_RATE_LIMIT", "0"),
            ("QUITTANCE_JANITOR_TIME_SCALE", &site.setup.time_scale.to_string()),
        ]);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("it starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        *self.process = Some(child);
        let line = spawn_blocking(move || {
            let mut line = String::new();
            output.read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(READY_WITHIN, line).await.expect("it gets ready").expect("no panic");
        let line = line.expect("its output");
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("it did not start: {line:?}"));
        if site.setup.webhooks {
            site.sandbox.set_webhook_url(webhook_url(&ready));
        }
        *site.instances[self.number].ready.write().expect("no panic while it is held") = ready;
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Agent,
    Admin,
}

impl Drop for Site {
    fn drop(&mut self) {
        for instance in &mut self.instances {
            end(instance.process.get_mut().take());
        }
        if let (true, Some(folder)) = (std::thread::panicking(), self.folder.take()) {
            eprintln!("what the servers logged is in {}", folder.keep().display());
        }
    }
}

fn end(process: Option<Child>) {
    if let Some(mut process) = process {
        process.kill().expect("it can be killed");
        process.wait().expect("it has ended");
    }
}

fn webhook_url(ready: &Value) -> String {
    format!("{}/api/webhooks/calmony-pay", ready["webhook"].as_str().expect("a URL"))
}

/// Runs a command of the program; its one JSON object.
async fn command(arguments: &[&str], url: &str) -> Value {
    let mut command = program(arguments);
    command.env("DATABASE_URL", url);
    let output = spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
