//! The service over real sockets: a toy table of procedures behind the real listener, on a real database.
//!
//! Here are the server, the table and the clients that the tests share. Nothing in here asserts how fast
//! anything is, only what comes, in which order.

mod access;
mod batches;
mod call_log;
mod failures;
mod idempotency;
mod origins;
mod sockets;
mod subscriptions;
#[allow(dead_code, reason = "shared with `tests/it`, which uses more of it")]
#[path = "../../tests/it/harness/wire.rs"]
mod wire;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream};
use jsonrpsee::RpcModule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    RpcSettings,
    procedure::{Channel, Procedure},
    service,
};
use crate::{
    App,
    calmony::client::Client,
    domain::{AgencyId, Label, Role, Timestamp, TokenId},
    error::{Error, Kind},
    ledger::{DatabaseUrl, Ledger, migrate, tables::AgencyRow},
    listener,
};
use wire::{PATIENCE, Reply, Wire};

/// What the toy procedures did.
#[derive(Default)]
struct Board {
    log: Mutex<Vec<String>>,
    running: AtomicUsize,
    most_at_once: AtomicUsize,
    ticks: AtomicUsize,
    big_answers: AtomicUsize,
}

impl Board {
    fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until something was noted.
    async fn until(&self, what: &str) {
        let noted = async {
            while !self.log().iter().any(|line| line == what) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, noted).await.unwrap_or_else(|_| panic!("{what} was never noted"));
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EchoInput {
    text: String,
    nick_name: Option<String>,
    amount_pence: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EchoOutput {
    text: String,
    nick_name: Option<String>,
    actor: String,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
struct Work {
    name: String,
    ms: Option<u64>,
}

const TICKS: Channel = Channel { notification: "toy.tick", unsubscribe: "toy.offTick" };

#[derive(Deserialize, JsonSchema)]
struct Ticks {
    first: Option<String>,
    then: Option<String>,
    count: Option<usize>,
    bytes: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct Tick {
    n: usize,
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Size {
    bytes: usize,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Marked {
    name: String,
    toy_id: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Find {
    toy_id: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Keyed {
    idempotency_key: Option<String>,
}

/// One of each kind of behaviour.
fn table(board: &Arc<Board>) -> Vec<Procedure> {
    let (looked, marked, ticked) = (Arc::clone(board), Arc::clone(board), Arc::clone(board));
    let big = Arc::clone(board);
    vec![
        Procedure::query("toy.echo", Role::Agent, &[], async |call, input: EchoInput| {
            let _ = input.amount_pence;
            let actor = call.caller.actor.to_string();
            Ok(EchoOutput { text: input.text, nick_name: input.nick_name, actor })
        }),
        Procedure::query("toy.all", Role::Agent, &[], async |_, _: Nothing| Ok("all")),
        Procedure::query("toy.look", Role::Agent, &[], move |_, input: Work| {
            let board = Arc::clone(&looked);
            async move {
                let running = board.running.fetch_add(1, Ordering::SeqCst) + 1;
                board.most_at_once.fetch_max(running, Ordering::SeqCst);
                board.note(format!("look {}", input.name));
                tokio::time::sleep(Duration::from_millis(input.ms.unwrap_or(0))).await;
                board.running.fetch_sub(1, Ordering::SeqCst);
                board.note(format!("looked {}", input.name));
                Ok(input.name)
            }
        }),
        Procedure::mutation("toy.mark", Role::Agent, &[], move |_, input: Work| {
            let board = Arc::clone(&marked);
            async move {
                board.note(format!("mark {}", input.name));
                tokio::time::sleep(Duration::from_millis(input.ms.unwrap_or(0))).await;
                board.note(format!("marked {}", input.name));
                Ok(Marked { name: input.name, toy_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned() })
            }
        })
        .logging(&["toyId"]),
        Procedure::query("toy.find", Role::Agent, &[], async |_, input: Find| {
            Err::<(), _>(Error::not_found("toy", input.toy_id))
        })
        .logging(&["toyId"]),
        Procedure::mutation("toy.keyed", Role::Agent, &[], async |_, input: Keyed| Ok(input.idempotency_key)),
        Procedure::query("toy.panic", Role::Agent, &[], async |_, _: Nothing| {
            panic!("in a query");
            #[allow(unreachable_code, reason = "it names the output")]
            Ok(())
        }),
        Procedure::mutation("toy.panicMutation", Role::Agent, &[], async |_, _: Nothing| {
            panic!("in a mutation");
            #[allow(unreachable_code, reason = "it names the output")]
            Ok(())
        }),
        Procedure::query("toy.admin", Role::Admin, &[], async |_, _: Nothing| Ok("admin")),
        Procedure::query("toy.busy", Role::Agent, &[], async |_, _: Nothing| Err::<(), _>(Error::busy())),
        Procedure::mutation("toy.fault", Role::Agent, &[], async |_, _: Nothing| {
            Err::<(), _>(Error::internal("only the log may know"))
        }),
        Procedure::subscription(
            "toy.onTick",
            TICKS,
            Role::Agent,
            &[Kind::NotFound],
            move |_, input: Ticks| {
                let board = Arc::clone(&ticked);
                async move {
                    if input.first.as_deref() == Some("nothing") {
                        return Err(Error::not_found("tick", "nothing"));
                    }
                    let ticks = stream::iter(0..).map(move |n| {
                        board.ticks.fetch_add(1, Ordering::SeqCst);
                        match input.then.as_deref() {
                            Some("fail") if n == 1 => Err(Error::internal("only the log may know")),
                            Some("panic") if n == 1 => panic!("in a stream"),
                            _ => Ok(Tick { n, text: "x".repeat(input.bytes.unwrap_or(0)) }),
                        }
                    });
                    let ticks = ticks.take(input.count.unwrap_or(usize::MAX));
                    // It stays open, as one that waits for more does.
                    Ok(ticks.chain(stream::pending()))
                }
            },
        ),
        Procedure::query("toy.big", Role::Agent, &[], move |_, input: Size| {
            big.big_answers.fetch_add(1, Ordering::SeqCst);
            async move { Ok("x".repeat(input.bytes)) }
        }),
    ]
}

/// Methods that are no procedures.
fn others() -> RpcModule<()> {
    let mut module = RpcModule::new(());
    module.register_method("rpc.discover", |_, _, _| "the document").unwrap();
    module.register_method("rpc.panic", |_, _, _| -> bool { panic!("in a method") }).unwrap();
    module
}

/// A server, its database and two tokens.
struct Server {
    addr: SocketAddr,
    app: Arc<App>,
    board: Arc<Board>,
    agency: AgencyId,
    admin: String,
    agent: String,
    agent_id: TokenId,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        Self::with(RpcSettings::default()).await
    }

    async fn with(settings: RpcSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("quittance.db"));
        migrate(&url, true).await.unwrap();
        let ledger = Ledger::open(&url).await.unwrap();
        let agency = AgencyId::new();
        let row = AgencyRow {
            id: agency,
            name: Label::parse("Toys").unwrap(),
            max_card_payment_pence: None,
            created_at: agency.made_at(),
        };
        ledger
            .write(move |tx| {
                let row = row.clone();
                async move { tx.insert_agency(&row).await }.boxed()
            })
            .await
            .unwrap();
        // The toy procedures never ask the provider; port 9 discards.
        let nowhere: url::Url = "http://127.0.0.1:9/".parse().unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let calmony = Client::new(nowhere.clone(), "none".into(), 1.0).unwrap();
        let app = App::new(ledger, calmony, None, nowhere, 1.0);
        let (_, admin) = issue(&app, agency, Role::Admin, None).await;
        let (agent_id, agent) = issue(&app, agency, Role::Agent, None).await;

        let board = Arc::new(Board::default());
        let shutdown = CancellationToken::new();
        let service = service(Arc::clone(&app), table(&board), others(), settings, shutdown.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task =
            tokio::spawn(listener::serve(listener::Limits::default(), listener, service, shutdown.clone()));
        Self { addr, app, board, agency, admin, agent, agent_id, shutdown, task, _folder: folder }
    }

    async fn wire(&self) -> Wire {
        Wire::open(self.addr).await
    }

    /// Posts as the agent, on a connection of its own.
    async fn post(&self, body: &str) -> Reply {
        self.wire().await.post(&self.agent, body).await
    }

    /// Calls as the agent and gives the whole response object.
    async fn call(&self, method: &str, params: Value) -> Value {
        self.post(&request(1, method, params)).await.json()
    }

    /// Stops the server and asserts that it ends by itself.
    async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.expect("the server ends").unwrap();
    }
}

async fn issue(app: &App, agency: AgencyId, role: Role, expires_at: Option<Timestamp>) -> (TokenId, String) {
    let actor = Label::parse(role.as_str()).unwrap();
    let (id, token) = app.tokens.issue(agency, role, actor, expires_at).await.unwrap();
    (id, token.reveal().to_owned())
}

fn request(id: u32, method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

fn notification(method: &str, params: Value) -> String {
    json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
}

fn batch(entries: &[String]) -> String {
    format!("[{}]", entries.join(","))
}
