//! The commands. Each parses its settings, does its work through the other rooms, and prints what a person or a
//! script wants to know: one JSON object where stdout is no terminal.

mod admin;
mod dev;
mod doctor;
mod events;
mod serve;

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::{
    config::{CalmonyArgs, DatabaseArgs, LogArgs, ServerArgs},
    error::Error,
    ledger::{self, DatabaseUrl, Ledger},
    rpc::typescript,
    server, telemetry,
};

/// The payments server a letting agency's platform runs beside its web app.
#[derive(Parser)]
#[command(name = "quittance", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine with nothing configured: SQLite, a sandbox that plays Calmony Pay, a demo agency
    Dev(Box<dev::DevArgs>),
    /// Run the server in production
    Serve {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        server: Box<ServerArgs>,
        #[command(flatten)]
        calmony: CalmonyArgs,
    },
    /// Apply pending migrations and say which
    Migrate {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Print the OpenRPC document
    Openrpc,
    /// Write the TypeScript client
    Typescript {
        /// The directory to write it to
        #[arg(long)]
        out: PathBuf,
    },
    /// Agencies
    #[command(subcommand)]
    Agency(admin::AgencyCommand),
    /// Tokens
    #[command(subcommand)]
    Token(admin::TokenCommand),
    /// The webhook inbox: what came, and what was concluded
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Check settings, database, provider, clock and public URL, and say what to fix
    Doctor {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        server: Box<ServerArgs>,
        #[command(flatten)]
        calmony: CalmonyArgs,
    },
}

/// Runs the command that the process was started with.
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start_logs(&cli.log.log, cli.log.log_format);
    // One provider of cryptography for every TLS connection; fails only where one is set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match cli.command {
        Command::Dev(args) => dev::run(*args).await,
        Command::Serve { database, server, calmony } => serve::run(database, *server, calmony).await,
        Command::Migrate { database } => migrate(database).await,
        Command::Openrpc => {
            print!("{}", server::openrpc());
            Ok(())
        }
        Command::Typescript { out } => write_client(&out),
        Command::Agency(command) => admin::agency(command).await,
        Command::Token(command) => admin::token(command).await,
        Command::Events(command) => events::run(command).await,
        Command::Doctor { database, server, calmony } => doctor::run(database, *server, calmony).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("quittance: {why}");
            ExitCode::FAILURE
        }
    }
}

/// A command's failure, as its user reads it.
type Outcome = Result<(), String>;

/// What went wrong, in full; a command's user is its operator, who may know.
fn story(error: Error) -> String {
    match error {
        Error::Internal { cause } => cause.to_string(),
        other => other.to_string(),
    }
}

fn write_client(out: &Path) -> Outcome {
    for (name, text) in typescript::client(server::openrpc())? {
        let path = out.join(name);
        let folder = path.parent().unwrap_or(out);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

async fn migrate(database: DatabaseArgs) -> Outcome {
    let applied = ledger::migrate(&database.url()?, !database.no_migrate).await.map_err(story)?;
    let word = if database.no_migrate { "pending" } else { "applied" };
    print(serde_json::json!({ word: applied }), || match applied.as_slice() {
        [] => "nothing to migrate".to_owned(),
        names => format!("{word}: {}", names.join(", ")),
    });
    Ok(())
}

/// As [`open`], refusing a SQLite file that is not there: a mistyped path should not make a new ledger.
async fn open_existing(database: &DatabaseArgs) -> Result<Ledger, String> {
    match database.url()? {
        DatabaseUrl::Sqlite(path) if !path.exists() => Err(format!(
            "{} does not exist; set DATABASE_URL (`quittance dev` keeps its own in .quittance/dev.db)",
            path.display()
        )),
        DatabaseUrl::Sqlite(_) | DatabaseUrl::Postgres(_) => open(database).await,
    }
}

/// Migrates, or refuses where told not to, and opens.
async fn open(database: &DatabaseArgs) -> Result<Ledger, String> {
    let url = database.url()?;
    ready(&url, database.no_migrate).await?;
    Ledger::open(&url).await.map_err(story)
}

async fn ready(url: &DatabaseUrl, no_migrate: bool) -> Outcome {
    let names = ledger::migrate(url, !no_migrate).await.map_err(story)?;
    match names.as_slice() {
        [] => Ok(()),
        pending if no_migrate => {
            Err(format!("migrations are pending: {}; run `quittance migrate`", pending.join(", ")))
        }
        applied => {
            tracing::info!(applied = applied.join(", "), "database migrated");
            Ok(())
        }
    }
}

/// Prints a command's result: JSON for scripts, a sentence for people.
fn print(json: Value, sentence: impl FnOnce() -> String) {
    let mut out = std::io::stdout();
    let text = if out.is_terminal() { sentence() } else { json.to_string() };
    // A reader that has seen enough may have gone, as `head` does; the command has done its work all the same.
    let _ = writeln!(out, "{text}");
}
