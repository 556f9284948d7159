//! Loads a ledger for load drivers, and serves them between their runs. See `benches/README.md`.

#[allow(dead_code, reason = "the load benchmark uses the rest")]
mod rows;

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use rows::{Loader, Size};

/// Loads a deterministic ledger, for load drivers.
#[derive(Parser)]
struct Args {
    /// Where the database is: sqlite://PATH or postgres://…
    #[arg(long, global = true, env = "DATABASE_URL", default_value = "sqlite://bench.db")]
    database: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fill an empty database
    Load {
        /// Payments
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(i64).range(1..=50_000_000))]
        rows: i64,
        /// Agencies they are spread over, evenly
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        agencies: i64,
        /// Where to write tokens.tsv, payments.tsv and tenancies.tsv
        #[arg(long)]
        out: Option<PathBuf>,
        /// Put a copy of the rows aside, for `reset`
        #[arg(long)]
        keep_copy: bool,
    },
    /// Go back to the rows that were loaded; the server may be running
    Reset,
    /// Add payments that wait for the webhooks of a run
    Webhooks {
        /// The run: letters and digits
        #[arg(long)]
        run: String,
        /// How many
        #[arg(long)]
        count: i64,
        /// Where to write their ids and intents
        #[arg(long)]
        out: PathBuf,
    },
    /// Check that a run of webhooks left all it should, once
    Verify {
        /// The run
        #[arg(long)]
        run: String,
        /// Events that were acknowledged
        #[arg(long)]
        expected: i64,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Args { database, command } = Args::parse();
    let mut loader = Loader::open(&database).await;
    match command {
        Command::Load { rows, agencies, out, keep_copy } => {
            let size = Size { rows, agencies };
            loader.load(size).await;
            if let Some(out) = out {
                loader.write_samples(size, &out).await;
            }
            if keep_copy {
                loader.keep_copy().await;
            }
        }
        Command::Reset => loader.reset().await,
        Command::Webhooks { run, count, out } => {
            let pairs = loader.prepare_webhooks(&run, count).await;
            let lines: String = pairs.iter().map(|(id, intent)| format!("{id}\t{intent}\n")).collect();
            fs::write(out, lines).expect("the file is written");
        }
        Command::Verify { run, expected } => match loader.verify_webhooks(&run, expected).await {
            Ok(()) => println!("  verified {expected} webhook effects"),
            Err(mismatch) => {
                println!("  MISMATCH: {mismatch}");
                return ExitCode::FAILURE;
            }
        },
    }
    ExitCode::SUCCESS
}
