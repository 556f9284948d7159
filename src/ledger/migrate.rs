//! Migrations: the same steps on both databases, embedded in the binary, run by one process at a time.

use diesel::{migration::MigrationSource, sqlite::Sqlite};
use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{DatabaseUrl, postgres, sqlite};
use crate::error::Error;

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Key of the advisory lock that keeps two processes from migrating one PostgreSQL database at once.
const ADVISORY_LOCK: i64 = 0x5155_4954_5441_4e43; // "QUITTANC"

/// Applies the pending migrations and names them. With `apply` false it changes nothing and only names them.
pub async fn migrate(url: &DatabaseUrl, apply: bool) -> Result<Vec<String>, Error> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let path = path.clone();
            if !apply && !path.exists() {
                // Looking makes no file.
                return names(SQLITE);
            }
            let work = move || {
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    std::fs::create_dir_all(folder)
                        .map_err(|error| Error::internal(format!("{}: {error}", folder.display())))?;
                }
                let guard = std::fs::File::create(path.with_added_extension("migrating"))
                    .and_then(|file| file.lock().map(|()| file))
                    .map_err(|error| Error::internal(format!("{}: {error}", path.display())))?;
                let done = run(&mut sqlite::connect_blocking(&path)?, SQLITE, apply);
                drop(guard);
                done
            };
            tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal("a migration panicked"))?
        }
        DatabaseUrl::Postgres(url) => {
            let mut connection = postgres::connect(url).await?;
            // Released when the connection closes, however this ends. A migration may take its time.
            let prepare = format!("set statement_timeout = 0; select pg_advisory_lock({ADVISORY_LOCK})");
            connection.batch_execute(&prepare).await?;
            let work = move || run(&mut AsyncMigrationHarness::new(connection), POSTGRES, apply);
            tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal("a migration panicked"))?
        }
    }
}

fn run<DB: diesel::backend::Backend>(
    harness: &mut impl MigrationHarness<DB>,
    source: EmbeddedMigrations,
    apply: bool,
) -> Result<Vec<String>, Error>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| Error::internal(format!("migration: {error}"));
    let mut done = Vec::new();
    for migration in harness.pending_migrations(source).map_err(failed)? {
        if apply {
            harness.run_migration(&migration).map_err(failed)?;
        }
        done.push(migration.name().to_string());
    }
    Ok(done)
}

/// Every migration there is, in order.
fn names(source: impl MigrationSource<Sqlite>) -> Result<Vec<String>, Error> {
    let migrations = source.migrations().map_err(|error| Error::internal(format!("migration: {error}")))?;
    let mut names: Vec<_> = migrations.iter().map(|migration| migration.name().to_string()).collect();
    names.sort();
    Ok(names)
}
