//! The way back to the loaded rows, in seconds, under a running server: the tables are emptied and filled again from
//! a copy, so that neither bloat nor the rows of the last run slow the next one.
//!
//! The file itself stays (SQLite) and so does the database (PostgreSQL), since the server has it open. Agencies and
//! tokens stay, too: no run changes them. The triggers that keep the audit log append-only are off meanwhile.

use super::{Database, Sql};

/// Tables that no run changes, and diesel's own.
const STEADY: &str = "'agencies', 'tokens', '__diesel_schema_migrations'";

/// Puts a copy of all rows aside: a schema `pristine`, or a file beside the database.
pub async fn keep_copy(sql: &mut Sql, database: Database, url: &str) {
    match database {
        Database::Sqlite => {
            let copy = copy_of(url);
            let _ = std::fs::remove_file(&copy);
            sql.ok(&format!("vacuum into '{copy}'")).await;
        }
        Database::Postgres => {
            let mut statements = "drop schema if exists pristine cascade; create schema pristine;".to_owned();
            for table in tables(sql, database).await {
                statements += &format!("create table pristine.{table} as table public.{table};");
            }
            sql.ok(&statements).await;
            sql.ok("checkpoint").await;
        }
    }
}

/// Empties the tables and fills them from the copy.
pub async fn reset(sql: &mut Sql, database: Database, url: &str) {
    let tables = tables(sql, database).await;
    let fill = |overriding: &str| -> String {
        let one =
            |table: &String| format!("insert into {table} {overriding} select * from pristine.{table};");
        tables.iter().map(one).collect()
    };
    match database {
        Database::Sqlite => {
            let copy = copy_of(url);
            assert!(std::path::Path::new(&copy).exists(), "there is no {copy}: load with --keep-copy");
            let named = "select name || ' ' || sql as line from sqlite_master where type = 'trigger'";
            let (mut drop, mut create) = (String::new(), String::new());
            for line in sql.lines(named).await {
                let (name, text) = line.split_once(' ').expect("a name and a text");
                drop += &format!("drop trigger {name};");
                create += &format!("{text};");
            }
            let empty: String = tables.iter().map(|table| format!("delete from {table};")).collect();
            // Without triggers and references, `delete` lets go of whole pages and `insert` copies them.
            sql.ok(&format!(
                "attach '{copy}' as pristine; pragma foreign_keys = off; pragma synchronous = off"
            ))
            .await;
            sql.ok(&format!("begin immediate; {drop} {empty} {} {create} commit", fill(""))).await;
            sql.ok("detach pristine; pragma foreign_keys = on; pragma synchronous = full").await;
            sql.ok("pragma wal_checkpoint(truncate)").await;
        }
        Database::Postgres => {
            // The checkpoint comes first, so every page is newer than it and no run pays for full-page images.
            sql.ok("checkpoint").await;
            let list = tables.join(", ");
            sql.ok(&format!(
                "begin; set local session_replication_role = replica; truncate {list}; {} commit",
                fill("overriding system value"),
            ))
            .await;
            sql.ok("vacuum analyze").await;
        }
    }
}

async fn tables(sql: &mut Sql, database: Database) -> Vec<String> {
    let query = match database {
        Database::Sqlite => format!(
            "select name as line from sqlite_master where type = 'table' and name not like 'sqlite%' \
             and name not in ({STEADY})"
        ),
        Database::Postgres => format!(
            "select tablename::text as line from pg_tables where schemaname = 'public' and tablename not in ({STEADY})"
        ),
    };
    sql.lines(&query).await
}

fn copy_of(url: &str) -> String {
    let path = url.strip_prefix("sqlite://").expect("a SQLite URL");
    format!("{path}.pristine")
}
