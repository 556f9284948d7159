//! One database with its rows, and the server on it.

use std::{cell::Cell, net::SocketAddr, time::Duration};

use super::{
    driver::{Figures, Load, Request, drive},
    postgres,
    requests::{Samples, webhook},
    rows::{Database, Loader, Size},
    server::Server,
};

/// What runs before a measurement: caches fill, connections open, plans are made.
const WARM_UP: Duration = Duration::from_secs(1);
/// Events that are delivered again and again.
const DUPLICATES: i64 = 500;
/// What every prepared payment asks for.
pub const PREPARED_PENCE: i64 = 125_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Status,
    List,
    Stats,
    Create,
    Webhook,
    Duplicate,
}

/// A loaded database, and the server on it.
pub struct Stage {
    pub name: String,
    pub size: Size,
    pub server: Server,
    pub samples: Samples,
    pub loader: Loader,
    url: String,
    provider: SocketAddr,
    runs: Cell<u32>,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Loads a fresh database and starts a server on it.
    pub async fn set(database: Database, size: Size, provider: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("quittance-bench-").tempdir().expect("a directory");
        let url = match database {
            Database::Sqlite => format!("sqlite://{}/ledger.db", folder.path().display()),
            Database::Postgres => postgres::fresh_database(),
        };
        let name = match database {
            Database::Sqlite => "SQLite",
            Database::Postgres => "PostgreSQL",
        };
        eprintln!("{name}: loading {} payments of {} agencies", size.rows, size.agencies);
        let mut loader = Loader::open(&url).await;
        loader.load(size).await;
        let samples = folder.path().join("samples");
        loader.write_samples(size, &samples).await;
        let samples = Samples::read(&samples);
        let server = Server::start(&url, provider);
        let name = name.to_owned();
        Self { name, size, server, samples, loader, url, provider, runs: Cell::new(0), _folder: folder }
    }

    /// Stops the server and starts another one; how long that took to be ready.
    pub fn restart(self) -> (Self, Duration) {
        let Self { name, size, server, samples, loader, url, provider, runs, _folder } = self;
        server.stop();
        let server = Server::start(&url, provider);
        let started_in = server.started_in;
        (Self { name, size, server, samples, loader, url, provider, runs, _folder }, started_in)
    }

    /// Measures an operation, and checks in the database that its effects are there. `events` is how many webhooks
    /// are prepared: the run ends early where they are used up.
    pub async fn measure(&mut self, operation: Operation, load: Load, events: i64) -> Figures {
        let run = format!("r{}", self.runs.replace(self.runs.get() + 1));
        let Self { server, samples, loader, .. } = self;
        let (rpc, companion) = (server.rpc, server.webhook);
        let warm_up = Load { duration: WARM_UP.min(load.duration), rate: None, ..load };
        let measured = async |address, next: &mut dyn FnMut() -> Option<Request>| {
            let warm = drive(address, warm_up, next).await;
            (warm, drive(address, load, next).await)
        };
        match operation {
            Operation::Status => measured(rpc, &mut || Some(samples.status())).await.1,
            Operation::List => measured(rpc, &mut || Some(samples.list())).await.1,
            Operation::Stats => measured(rpc, &mut || Some(samples.stats())).await.1,
            Operation::Create => {
                let (warm, figures) = measured(rpc, &mut || Some(samples.create(&run))).await;
                let made = format!(
                    "select count(*) as n from payments_ledger where description = 'Payment of run {run}'"
                );
                let made = loader.count(&made).await as usize;
                // One that was refused may have been entered before.
                let answered = warm.answered() + figures.answered();
                let possible = answered..=answered + warm.refused + figures.refused;
                assert!(
                    possible.contains(&made),
                    "{answered} creates were answered, {made} are in the ledger"
                );
                figures
            }
            Operation::Webhook => {
                let pending = loader.prepare_webhooks(&run, events).await;
                let mut new =
                    pending.iter().enumerate().map(|(k, pair)| webhook(&run, k, pair, PREPARED_PENCE));
                // Most are left for what is measured.
                let mut first = new.by_ref().take(pending.len() / 4);
                let warm = drive(companion, warm_up, &mut || first.next()).await;
                let figures = drive(companion, load, &mut || new.next()).await;
                let answered = warm.answered() + figures.answered();
                loader.verify_webhooks(&run, answered as i64).await.expect("all effects, once");
                figures
            }
            Operation::Duplicate => {
                let pending = loader.prepare_webhooks(&run, DUPLICATES).await;
                let mut new =
                    pending.iter().enumerate().map(|(k, pair)| webhook(&run, k, pair, PREPARED_PENCE));
                drive(companion, Load { duration: Duration::from_secs(60), rate: None, ..load }, &mut || {
                    new.next()
                })
                .await;
                let mut again = || {
                    let k = rand::random_range(0..pending.len());
                    Some(webhook(&run, k, &pending[k], PREPARED_PENCE))
                };
                let figures = measured(companion, &mut again).await.1;
                loader.verify_webhooks(&run, DUPLICATES).await.expect("all effects, once");
                figures
            }
        }
    }

    /// Asks the same kind of thing so many times on one connection.
    pub async fn ask(&self, times: usize, request: impl Fn() -> Request) -> Figures {
        let mut left = times;
        let mut next = || {
            left = left.checked_sub(1)?;
            Some(request())
        };
        let load = Load { connections: 1, duration: Duration::from_secs(600), rate: None };
        drive(self.server.rpc, load, &mut next).await
    }
}
