//! The drills: real server processes, killed and restarted on real data, beside a provider that outlives them; then
//! every rule of the tables is held against what is left. `README.md` beside this file says what each drill is for,
//! and which planted bug it catches.
//!
//! Without arguments every drill runs in its short size, as in `cargo test`. The long sizes:
//! `cargo test --release --test drills -- --size full`.

mod client;
mod every_gap;
mod fold;
mod gap;
mod gate;
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "made for the other test binary, which uses all of it"
)]
#[path = "../it/harness/mod.rs"]
mod harness;
mod keys;
mod kill;
mod load;
#[path = "../it/orders/oracle.rs"]
#[allow(dead_code, reason = "as above")]
mod oracle;
mod races;
mod rules;
mod silence;
mod site;
mod two;

use std::{process::ExitCode, sync::Arc, time::Instant};

use clap::{Parser, ValueEnum};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use rand::{SeedableRng, rngs::StdRng};

use harness::Database;
use site::{Setup, Site};

/// Drills under way at once: most of their time is waiting.
const AT_ONCE: usize = 2;

/// Kills servers, loses webhooks, races people against the provider, and looks at what is left.
#[derive(Parser)]
#[command(after_help = "The long sizes: cargo test --release --test drills -- --size full")]
struct Arguments {
    /// Only drills whose name begins with one of these
    names: Vec<String>,
    /// How much of it
    #[arg(long, value_enum, default_value_t = Size::Short)]
    size: Size,
    /// Only on this database
    #[arg(long, value_enum)]
    database: Option<On>,
    /// Where the random choices start from; a failed drill names its own
    #[arg(long)]
    seed: Option<u64>,
    /// Taken because `cargo test` passes it to every test binary
    #[arg(long, hide = true)]
    nocapture: bool,
    /// As above
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    /// All of it in about two minutes
    Short,
    /// What a release is held against; some drills take many minutes
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum On {
    Sqlite,
    Postgres,
}

/// A drill: what it counts, how often in each size, where, and what it does.
struct Drill {
    name: &'static str,
    short: usize,
    full: usize,
    databases: &'static [Database],
    setup: Setup,
    run: fn(Arc<Site>, usize, StdRng) -> BoxFuture<'static, String>,
}

const BOTH: &[Database] = &[Database::Sqlite, Database::Postgres];

fn drills() -> [Drill; 8] {
    let alone = Setup::default();
    let drill = |name, (short, full), setup, run| Drill { name, short, full, databases: BOTH, setup, run };
    [
        drill("fold", (100, 10_000), Setup { time_scale: 0.02, faulty: true, ..alone }, |s, n, d| {
            fold::run(s, n, d).boxed()
        }),
        drill("kill", (6, 50), alone, |s, n, d| kill::run(s, n, d).boxed()),
        drill("gap", (6, 150), alone, |s, n, d| gap::run(s, n, d).boxed()),
        drill("silence", (50, 1_000), Setup { time_scale: 0.01, webhooks: false, ..alone }, |s, n, d| {
            silence::run(s, n, d).boxed()
        }),
        drill("races", (100, 2_000), alone, |s, n, d| races::run(s, n, d).boxed()),
        drill("keys", (3, 50), alone, |s, n, d| keys::run(s, n, d).boxed()),
        drill("every-gap", (1, 5), Setup { time_scale: 0.01, ..alone }, |s, n, d| {
            every_gap::run(s, n, d).boxed()
        }),
        Drill {
            databases: &[Database::Postgres],
            ..drill(
                "two",
                (1, 25),
                Setup { instances: 2, time_scale: 0.01, webhooks: false, faulty: true },
                |s, n, d| two::run(s, n, d).boxed(),
            )
        },
    ]
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let failed = runtime.block_on(run(&arguments));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the drills that are asked for; says how many failed.
async fn run(arguments: &Arguments) -> usize {
    let wanted = |name: &str| {
        arguments.names.is_empty() || arguments.names.iter().any(|part| name.starts_with(part.as_str()))
    };
    let on = |database: Database| match arguments.database {
        None => true,
        Some(On::Sqlite) => database == Database::Sqlite,
        Some(On::Postgres) => database == Database::Postgres,
    };
    let seed = arguments.seed.unwrap_or_else(rand::random);
    let mut asked = Vec::new();
    for drill in drills().into_iter().filter(|drill| wanted(drill.name)) {
        let count = match arguments.size {
            Size::Short => drill.short,
            Size::Full => drill.full,
        };
        for database in drill.databases.iter().copied().filter(|database| on(*database)) {
            asked.push((drill.name, database, drill.setup, drill.run, count));
        }
    }
    let names = drills().map(|drill| drill.name).join(", ");
    println!("{} drills, of {names}", asked.len());
    let running = asked.into_iter().map(|(name, database, setup, run, count)| async move {
        let began = Instant::now();
        // In a task of its own, so that a panic ends this drill alone.
        let drill = tokio::spawn(async move {
            let site = Site::open(database, setup).await;
            run(site, count, StdRng::seed_from_u64(seed)).await
        });
        match drill.await {
            Ok(done) => {
                println!("{name} on {database:?}: {done} ({:.1?})", began.elapsed());
                0
            }
            Err(_) => {
                let on = format!("{database:?}").to_lowercase();
                let size = format!("{:?}", arguments.size).to_lowercase();
                println!("{name} on {database:?}: FAILED; again with {name} --database {on} --size {size} --seed {seed}");
                1
            }
        }
    });
    let failed: usize =
        stream::iter(running).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.into_iter().sum();
    println!("{failed} failed");
    failed
}
