//! The tables: the same on both databases, as `schema.rs` says; migrated once, by one process; locked by one server.

use std::collections::BTreeMap;

use quittance::ledger::{DatabaseUrl, ServerLock, migrate};

use crate::harness::{Database, TestApp, on_both};

/// Table, column → type, nullable, as diesel's file has it.
fn in_schema_rs() -> BTreeMap<(String, String), (String, bool)> {
    let mut columns = BTreeMap::new();
    let mut table = String::new();
    for line in include_str!("../../schema.rs").lines().map(str::trim) {
        if line.starts_with("diesel::") {
            continue;
        }
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with(") {")) {
            table = name.to_owned();
        } else if let Some((column, kind)) = line.trim_end_matches(',').split_once(" -> ") {
            let inner = kind.strip_prefix("Nullable<").map(|kind| kind.trim_end_matches('>'));
            let column = (table.clone(), column.to_owned());
            columns.insert(column, (inner.unwrap_or(kind).to_owned(), inner.is_some()));
        }
    }
    columns
}

/// What each database calls a type of `schema.rs`.
fn native(kind: &str, database: Database) -> &'static str {
    let (sqlite, postgres) = match kind {
        "Uuid" => ("BLOB", "uuid"),
        "Text" => ("TEXT", "text"),
        "Int8" => ("INTEGER", "bigint"),
        "Int4" => ("INTEGER", "integer"),
        "Bool" => ("INTEGER", "boolean"),
        "Bytea" => ("BLOB", "bytea"),
        "Jsonb" => ("TEXT", "jsonb"),
        "Timestamptz" => ("INTEGER", "timestamp with time zone"),
        other => panic!("a type nobody has decided on: {other}"),
    };
    if database == Database::Sqlite { sqlite } else { postgres }
}

/// An integer primary key is the row's number, so it is never null though SQLite does not call it so.
const COLUMNS_OF_SQLITE: &str = "
    select t.name || ' ' || c.name || ' ' || upper(c.type) ||
      (case when c.\"notnull\" = 0 and not (c.pk = 1 and upper(c.type) = 'INTEGER') then '?' else '' end) as line
    from sqlite_master t, pragma_table_info(t.name) c
    where t.type = 'table' and t.name not like 'sqlite_%' and t.name <> '__diesel_schema_migrations'";
const COLUMNS_OF_POSTGRES: &str = "
    select table_name || ' ' || column_name || ' ' || data_type ||
      (case is_nullable when 'YES' then '?' else '' end) as line
    from information_schema.columns
    where table_schema = 'public' and table_name <> '__diesel_schema_migrations'";

/// A URL of a database that does not exist yet, or is empty.
async fn empty_database(app: &TestApp, folder: &tempfile::TempDir) -> DatabaseUrl {
    let url = match app.database {
        Database::Sqlite => format!("sqlite://{}/sub/folder/new.db", folder.path().display()),
        Database::Postgres => {
            let (server, name) = app.url.rsplit_once('/').expect("a database's name");
            app.sql().await.ok(&format!("create database {name}_new")).await;
            format!("{server}/{name}_new")
        }
    };
    url.parse().expect("a URL")
}

on_both! {
    async fn the_columns_are_those_of_schema_rs(app: TestApp) {
        let query = match app.database {
            Database::Sqlite => COLUMNS_OF_SQLITE,
            Database::Postgres => COLUMNS_OF_POSTGRES,
        };
        let mut found = app.sql().await.lines(query).await;
        found.sort();
        let mut expected: Vec<_> = in_schema_rs()
            .into_iter()
            .map(|((table, column), (kind, nullable))| {
                format!("{table} {column} {}{}", native(&kind, app.database), if nullable { "?" } else { "" })
            })
            .collect();
        expected.sort();
        assert!(expected.len() > 100, "schema.rs was read");
        assert_eq!(found, expected);
    }

    async fn migrating_again_changes_nothing(app: TestApp) {
        let before = app.payment(&app.agent().create(1_000).await.id).await;
        for apply in [true, false, true] {
            assert_eq!(migrate(&app.database_url, apply).await.expect("it runs"), Vec::<String>::new());
        }
        assert_eq!(app.payment(before["id"].as_str().expect("an id")).await, before);
    }

    async fn of_many_that_migrate_at_once_one_does(app: TestApp) {
        let folder = tempfile::tempdir().expect("a directory");
        let url = empty_database(&app, &folder).await;
        let pending = migrate(&url, false).await.expect("it looks");
        assert!(!pending.is_empty(), "looking applies nothing");
        assert_eq!(migrate(&url, false).await.expect("it looks"), pending);
        let done = futures_util::future::join_all((0..6).map(|_| migrate(&url, true))).await;
        let done: Vec<_> = done.into_iter().map(|names| names.expect("it runs")).collect();
        let (did, found_it_done): (Vec<_>, Vec<_>) = done.into_iter().partition(|names| !names.is_empty());
        assert_eq!((did, found_it_done.len()), (vec![pending], 5));
    }

    async fn one_server_at_a_time_holds_the_lock_of_a_file(app: TestApp) {
        let DatabaseUrl::Sqlite(path) = &app.database_url else { return app.stop().await };
        let first = ServerLock::take(path).expect("nobody has it");
        let refused = ServerLock::take(path).expect_err("somebody has it").story();
        assert!(refused.contains("another server is running on"), "{refused}");
        drop(first);
        drop(ServerLock::take(path).expect("it was let go"));
    }
}
