//! Migrations: the same steps on both databases, embedded in the binary, run by one process at a time.
//!
//! Looking comes first and changes nothing, so that a role that may make no tables, or a standby, is served where
//! nothing is pending. What is pending is applied in one transaction, all of it or nothing; on PostgreSQL the same
//! transaction holds the lock that keeps others off, so that it is free again however this ends.
//!
//! A migration is recorded in diesel's table, by its number and a hash of its text: a database whose migrations are not
//! this build's was made by another, and is refused instead of misread.

use diesel::sql_types::{Bool, Text};
use diesel_async::SimpleAsyncConnection;
use sha2::{Digest, Sha256};

use super::{DatabaseUrl, postgres, secret, sqlite};
use crate::error::Error;

/// One step.
struct Migration {
    /// As its folder is called: a date, a number, a name.
    name: &'static str,
    up: &'static str,
}

macro_rules! migrations {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(Migration {
            name: $name,
            up: include_str!(concat!("../../migrations/", $folder, "/", $name, "/up.sql")),
        }),*]
    };
}

const POSTGRES: &[Migration] = migrations!("postgres": "2026-11-28-000001_ledger");
const SQLITE: &[Migration] = migrations!("sqlite": "2026-11-28-000001_ledger");

/// Key of the advisory lock that keeps two processes from migrating one PostgreSQL database at once.
const ADVISORY_LOCK: i64 = 0x5155_4954_5441_4e43; // "QUITTANC"

/// Where what has been applied is recorded; as diesel's own programs make it.
const TABLE: &str = "create table if not exists __diesel_schema_migrations (
    version varchar(50) primary key not null, run_on timestamp not null default current_timestamp)";

const RECORDED: &str = "select version from __diesel_schema_migrations";

#[derive(diesel::QueryableByName)]
struct Recorded {
    #[diesel(sql_type = Text)]
    version: String,
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    found: bool,
}

impl Migration {
    /// What it is recorded as.
    fn version(&self) -> String {
        let hash = hex::encode(Sha256::digest(self.up));
        format!("{} {}", self.number(), &hash[..16])
    }

    fn number(&self) -> String {
        self.name.split('_').next().unwrap_or(self.name).replace('-', "")
    }
}

/// Applies the pending migrations and names them. With `apply` false it changes nothing and only names them.
pub async fn migrate(url: &DatabaseUrl, apply: bool) -> Result<Vec<String>, Error> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            let path = path.clone();
            let work = move || migrate_sqlite(&path, apply);
            tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal("a migration panicked"))?
        }
        DatabaseUrl::Postgres(url) => migrate_postgres(url, apply).await,
    }
}

async fn migrate_postgres(url: &secret::Url, apply: bool) -> Result<Vec<String>, Error> {
    let remedy = "give it a new, empty database";
    let mut connection = postgres::Connector::new(url)?.connect().await?;
    let due = pending(POSTGRES, recorded_in_postgres(&mut connection).await?, remedy)?;
    if due.is_empty() || !apply {
        return Ok(names(&due));
    }
    // A migration may take its time, but its client may not: what a crashed one has locked is free again soon.
    let begin = format!(
        "begin; set local statement_timeout = 0; set local lock_timeout = 0;
         set local idle_in_transaction_session_timeout = '15s';
         select pg_advisory_xact_lock({ADVISORY_LOCK})"
    );
    connection.batch_execute(&begin).await?;
    // Another process may have done it meanwhile.
    let due = pending(POSTGRES, recorded_in_postgres(&mut connection).await?, remedy)?;
    for statements in statements(&due) {
        connection.batch_execute(&statements).await.map_err(failed)?;
    }
    connection.batch_execute("commit").await?;
    Ok(names(&due))
}

async fn recorded_in_postgres(connection: &mut postgres::Conn) -> Result<Vec<Recorded>, Error> {
    use diesel_async::RunQueryDsl;

    // Not `to_regclass`: it answers from a cache that another process's new table may not have reached yet.
    let look = diesel::sql_query(
        "select exists (select from pg_class where relname = '__diesel_schema_migrations' \
         and pg_table_is_visible(oid)) as found",
    );
    if !look.get_result::<Found>(connection).await?.found {
        return Ok(Vec::new());
    }
    Ok(diesel::sql_query(RECORDED).load(connection).await?)
}

fn migrate_sqlite(path: &std::path::Path, apply: bool) -> Result<Vec<String>, Error> {
    use diesel::connection::SimpleConnection;

    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let remedy = match folder {
        Some(folder) if folder.ends_with(".quittance") => "remove the folder .quittance/".to_owned(),
        _ => format!("move {} away, its -wal and -shm with it", path.display()),
    };
    // Looking makes no file.
    if path.exists() {
        let mut connection = sqlite::connect_blocking(path)?;
        let due = pending(SQLITE, recorded_in_sqlite(&mut connection)?, &remedy)?;
        if due.is_empty() || !apply {
            return Ok(names(&due));
        }
    } else if !apply {
        return Ok(names(&SQLITE.iter().collect::<Vec<_>>()));
    }
    let at = |path: &std::path::Path, error: std::io::Error| {
        Error::internal(format!("{}: {error}", path.display()))
    };
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(|error| at(folder, error))?;
    }
    // Held until the end; the operating system lets go of it in any case.
    let guard = std::fs::File::create(path.with_added_extension("migrating"));
    let _guard = guard.and_then(|file| file.lock().map(|()| file)).map_err(|error| at(path, error))?;
    let mut connection = sqlite::connect_blocking(path)?;
    let due = pending(SQLITE, recorded_in_sqlite(&mut connection)?, &remedy)?;
    connection.batch_execute("begin immediate")?;
    for statements in statements(&due) {
        connection.batch_execute(&statements).map_err(failed)?;
    }
    connection.batch_execute("commit")?;
    Ok(names(&due))
}

fn recorded_in_sqlite(connection: &mut diesel::SqliteConnection) -> Result<Vec<Recorded>, Error> {
    use diesel::RunQueryDsl;

    let look = "select count(*) > 0 as found from sqlite_master where name = '__diesel_schema_migrations'";
    if !diesel::sql_query(look).get_result::<Found>(connection)?.found {
        return Ok(Vec::new());
    }
    Ok(diesel::sql_query(RECORDED).load(connection)?)
}

/// Those of `all` that are not recorded; an error where others are. `remedy` is what to do about a database of another
/// build.
fn pending(
    all: &'static [Migration],
    recorded: Vec<Recorded>,
    remedy: &str,
) -> Result<Vec<&'static Migration>, Error> {
    let mut due: Vec<_> = all.iter().collect();
    for Recorded { version } in recorded {
        let known = due.len();
        due.retain(|migration| migration.version() != version);
        if due.len() == known {
            return Err(stranger(&version, all, remedy));
        }
    }
    Ok(due)
}

fn stranger(version: &str, all: &[Migration], remedy: &str) -> Error {
    let number = version.split(' ').next().unwrap_or(version);
    let is_newer = all.last().is_none_or(|newest| number > newest.number().as_str());
    Error::internal(if is_newer {
        format!(
            "the database has been migrated by a newer build, whose migration {number} this one does not know: use that build"
        )
    } else {
        format!(
            "the database was made by an earlier build, whose migration {number} is not this one's; before the first \
             release no build takes over another's tables: {remedy}"
        )
    })
}

/// What applies these, and records them.
fn statements(due: &[&Migration]) -> Vec<String> {
    let apply = |migration: &&Migration| {
        let record =
            format!("insert into __diesel_schema_migrations (version) values ('{}')", migration.version());
        [migration.up.to_owned(), record]
    };
    std::iter::once(TABLE.to_owned()).chain(due.iter().flat_map(apply)).collect()
}

fn names(migrations: &[&Migration]) -> Vec<String> {
    migrations.iter().map(|migration| migration.name.to_owned()).collect()
}

fn failed(error: diesel::result::Error) -> Error {
    Error::internal(format!("migration: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that nobody names is not applied.
    #[test]
    fn every_folder_is_named_once_and_in_order() {
        for (folder, named) in [("migrations/postgres", POSTGRES), ("migrations/sqlite", SQLITE)] {
            let found = std::fs::read_dir(folder)
                .expect("the folder")
                .map(|entry| entry.expect("an entry").file_name());
            let mut found: Vec<_> = found.map(|name| name.into_string().expect("a name")).collect();
            found.sort();
            assert_eq!(named.iter().map(|migration| migration.name).collect::<Vec<_>>(), found, "{folder}");
        }
    }

    fn told(version: &str) -> String {
        let recorded = vec![Recorded { version: version.to_owned() }];
        pending(SQLITE, recorded, "start anew").err().expect("refused").story()
    }

    #[test]
    fn a_database_of_another_build_is_refused() {
        let own: Vec<_> = SQLITE.iter().map(|one| Recorded { version: one.version() }).collect();
        assert!(pending(SQLITE, own, "").expect("its own").is_empty());
        assert!(
            told("20990101000001 0123456789abcdef").contains("newer build, whose migration 20990101000001")
        );
        // As diesel recorded it, and with another text.
        for version in ["20261122000001", "20261128000001 0123456789abcdef"] {
            assert!(told(version).contains("earlier build, whose migration 202611"), "{version}");
            assert!(told(version).ends_with("start anew"));
        }
    }
}
