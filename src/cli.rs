//! The commands. Each parses its settings, does its work through the other rooms, and prints what a person or a
//! script wants to know: one JSON object where stdout is no terminal.

mod admin;
mod command;
mod dev;
mod doctor;
mod events;
mod serve;
mod signals;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};

use command::{Outcome, print, story};

use crate::{
    config::{CalmonyArgs, DatabaseArgs, LogArgs, ServerArgs},
    ledger,
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

/// Every command with its flags and their variables, for whoever holds documents against them.
pub fn grammar() -> clap::Command {
    Cli::command()
}

/// Runs the command that the process was started with.
pub async fn run() -> ExitCode {
    let signals = match signals::Signals::listen() {
        Ok(signals) => signals,
        Err(why) => return failed(&why),
    };
    let cli = Cli::parse();
    telemetry::start_logs(&cli.log.log, cli.log.log_format);
    // One provider of cryptography for every TLS connection; fails only where one is set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match cli.command {
        Command::Dev(args) => dev::run(*args, &signals).await,
        Command::Serve { database, server, calmony } => {
            serve::run(database, *server, calmony, &signals).await
        }
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
    telemetry::finish_logs();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("quittance: {why}");
    ExitCode::FAILURE
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
