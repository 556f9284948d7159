//! The whole server over real sockets, on both databases: the program as a process, a PostgreSQL of its own, files,
//! a stand-in for the provider. Prints the tables of `benches/README.md`, which says what each figure means.
//!
//! Nothing here fails for being slow. A wrong answer, or an effect that is missing in the database, ends the run.

mod driver;
mod footprint;
mod http;
#[allow(dead_code, reason = "a measurement stops no server")]
#[path = "../../tests/it/harness/postgres.rs"]
mod postgres;
mod provider;
mod requests;
#[path = "../rows/mod.rs"]
#[allow(dead_code, reason = "the loader's program uses the rest")]
mod rows;
mod scale;
mod server;
mod stage;
mod table;

use std::time::Duration;

use clap::{Parser, ValueEnum};
use rows::{Database, Size};
use stage::Stage;

/// As durable as it comes, unlike the tests' PostgreSQL; these settings are about size alone.
const POSTGRES_SETTINGS: &str = "-c max_connections=200 -c shared_buffers=1GB -c max_wal_size=8GB \
     -c checkpoint_timeout=15min -c random_page_cost=1.1 -c jit=off";
/// Agencies of the ledger where each has few payments, relative to the one where each has many.
const MANY_AGENCIES: i64 = 100;
/// See [`MANY_AGENCIES`].
const FEW_AGENCIES: i64 = 10;

/// Measures the whole server over real sockets.
#[derive(Parser)]
struct Options {
    /// What is measured
    #[arg(long, value_enum, value_delimiter = ',', default_value = "table,footprint")]
    parts: Vec<Part>,
    /// On which databases
    #[arg(long, value_enum, value_delimiter = ',', default_value = "postgres,sqlite")]
    databases: Vec<Choice>,
    /// Payments in the ledger
    #[arg(long, default_value_t = 100_000)]
    rows: i64,
    /// Connections that ask at the same time
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How long each figure is measured, in seconds
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How often each figure is measured; the median counts
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Webhooks prepared for each run; it ends early where they are used up
    #[arg(long, default_value_t = 20_000)]
    events: i64,
    /// Instead of all this: compare ledgers of these sizes, each in one agency, as in 10000,1000000,10000000
    #[arg(long, value_delimiter = ',')]
    scale: Vec<i64>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Rates and latencies of each operation
    Table,
    /// Memory, start, disk
    Footprint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    Sqlite,
    Postgres,
}

impl Options {
    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// A table to print.
struct Summary {
    title: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Summary {
    fn print(&self) {
        println!("\n### {}\n", self.title);
        println!("| {} |", self.head.join(" | "));
        println!("|{}", "---|".repeat(self.head.len()));
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}

/// The middle one; the mean of both where there are two.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let (low, high) = (figures.len().saturating_sub(1) / 2, figures.len() / 2);
    match (figures.get(low), figures.get(high)) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => f64::NAN,
    }
}

fn main() {
    let options = Options::parse();
    let provider = provider::start();
    // One thread, so that the driver leaves the rest of the machine to the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(&options, provider));
}

async fn run(options: &Options, provider: std::net::SocketAddr) {
    let databases: Vec<Database> = options
        .databases
        .iter()
        .map(|choice| match choice {
            Choice::Sqlite => Database::Sqlite,
            Choice::Postgres => Database::Postgres,
        })
        .collect();
    if !options.scale.is_empty() {
        for summary in scale::measure(&databases, options, provider).await {
            summary.print();
        }
        return;
    }
    let set = async |agencies| {
        let mut stages = Vec::new();
        for database in &databases {
            stages.push(Stage::set(*database, Size { rows: options.rows, agencies }, provider).await);
        }
        stages
    };
    let mut many = set(MANY_AGENCIES).await;
    if options.parts.contains(&Part::Table) {
        let mut few = set(FEW_AGENCIES).await;
        table::measure(&mut many, &mut few, options).await.print();
        for stage in few {
            stage.server.stop();
        }
    }
    if options.parts.contains(&Part::Footprint) {
        let (kept, summary) = footprint::measure(many, options).await;
        many = kept;
        summary.print();
    }
    for stage in many {
        stage.server.stop();
    }
}
