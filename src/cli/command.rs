//! What every command does alike: open the database, print its result, tell its failure.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::{
    config::DatabaseArgs,
    error::Error,
    ledger::{self, DatabaseUrl, Ledger},
};

/// A command's failure, as its user reads it.
pub type Outcome = Result<(), String>;

/// What went wrong, in full; a command's user is its operator, who may know.
pub fn story(error: Error) -> String {
    match error {
        Error::Internal { cause } => cause.to_string(),
        other => other.to_string(),
    }
}

/// As [`open`], refusing a SQLite file that is not there: a mistyped path should not make a new ledger.
pub async fn open_existing(database: &DatabaseArgs) -> Result<Ledger, String> {
    match database.url()? {
        DatabaseUrl::Sqlite(path) if !path.exists() => Err(format!(
            "{} does not exist; set DATABASE_URL (`quittance dev` keeps its own in .quittance/dev.db)",
            path.display()
        )),
        DatabaseUrl::Sqlite(_) | DatabaseUrl::Postgres(_) => open(database).await,
    }
}

/// Migrates, or refuses where told not to, and opens.
pub async fn open(database: &DatabaseArgs) -> Result<Ledger, String> {
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
pub fn print(json: Value, sentence: impl FnOnce() -> String) {
    let mut out = std::io::stdout();
    let text = if out.is_terminal() { sentence() } else { json.to_string() };
    // A reader that has seen enough may have gone, as `head` does; the command has done its work all the same.
    let _ = writeln!(out, "{text}");
}
