//! Every row carries its agency, and whatever finds, locks or refers to rows names it, so that the ledger can be
//! distributed by agency. The exceptions are listed here, each with its reason.

use std::collections::BTreeSet;

use crate::harness::{Database, on_both};

/// Tables whose rows need not carry an agency.
const TABLES: &[(&str, &str)] =
    &[("agencies", "it is the agency"), ("jobs", "work of the whole installation")];

/// Keys that do not begin with the agency.
const KEYS: &[(&str, &str)] = &[
    ("agencies id", "it is the agency"),
    ("jobs kind,key", "work of the whole installation"),
    ("tokens id", "operators revoke a token by its id alone"),
    ("tokens sha256", "who a token belongs to is what is looked up"),
    ("payments_ledger id", "an event may name nothing but the payment"),
    ("payment_intents intent_id", "made by the provider; the first event that names it says whose it is"),
    ("checkout_sessions session_id", "made by the provider; an event may name nothing else"),
    ("processed_events event_id", "made by the provider, and known before its payment is"),
];

/// Keys that SQLite has besides.
const KEYS_OF_SQLITE: &[(&str, &str)] = &[(
    "audit_log entry",
    "the number of a row is SQLite's own key; the agency is part of the index beside it",
)];

/// Statements that find or lock rows without their agency.
const STATEMENTS: &[(&str, &str)] = &[
    ("agency", "the agency itself"),
    ("lock_agency", "the agency itself"),
    ("token_by_hash", "whose a token is, is what is asked"),
    ("lock_token", "operators revoke a token by its id alone; an agency's is checked on the row"),
    ("links_of_any_agency", "whose a payment is, is what is asked"),
    ("session_by_id", "whose a session is, is what is asked"),
    ("intent", "whose an intent is, is what is asked"),
    ("event", "an event is known before its payment is"),
    ("lock_event", "an event is known before its payment is"),
    ("wake_events_of_intent", "parked events have no payment yet"),
    ("wake_events_of_session", "parked events have no payment yet"),
];

const TABLES_OF_SQLITE: &str = "
    select name as line from sqlite_master
    where type = 'table' and name not like 'sqlite_%' and name <> '__diesel_schema_migrations'
      and not exists (select 1 from pragma_table_info(sqlite_master.name) where name = 'agency_id')";
const TABLES_OF_POSTGRES: &str = "
    select tablename as line from pg_tables
    where schemaname = 'public' and tablename <> '__diesel_schema_migrations' and not exists (
      select from information_schema.columns
      where table_schema = 'public' and table_name = tablename and column_name = 'agency_id')";

/// Every unique index, constraints included, with its columns in order.
const KEYS_IN_SQLITE: &str = "
    select t.name || ' ' || (select group_concat(name, ',') from (
      select name from pragma_index_info(i.name) order by seqno)) as line
    from sqlite_master t, pragma_index_list(t.name) i
    where t.type = 'table' and t.name not like 'sqlite_%' and t.name <> '__diesel_schema_migrations' and i.\"unique\" = 1
    union select t.name || ' ' || c.name from sqlite_master t, pragma_table_info(t.name) c
    where t.type = 'table' and c.pk = 1 and upper(c.type) = 'INTEGER' and t.name not like 'sqlite_%'";
const KEYS_IN_POSTGRES: &str = "
    select c.relname || ' ' || string_agg(a.attname, ',' order by k.number) as line
    from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace s on s.oid = c.relnamespace
    cross join lateral unnest(i.indkey) with ordinality as k (attnum, number)
    join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
    where i.indisunique and s.nspname = 'public' and c.relname <> '__diesel_schema_migrations'
    group by c.relname, i.indexrelid";

/// Foreign keys, with their columns in order.
const REFERENCES_IN_SQLITE: &str = "
    select t.name || ' → ' || f.\"table\" || ' ' || group_concat(f.\"from\", ',') as line
    from sqlite_master t, pragma_foreign_key_list(t.name) f where t.type = 'table' group by t.name, f.id";
const REFERENCES_IN_POSTGRES: &str = "
    select c.conrelid::regclass || ' → ' || c.confrelid::regclass || ' ' || string_agg(a.attname, ',' order by k.number)
      as line
    from pg_constraint c cross join lateral unnest(c.conkey) with ordinality as k (attnum, number)
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum
    where c.contype = 'f' and c.connamespace = 'public'::regnamespace group by c.oid, c.conrelid, c.confrelid";

fn names(listed: &[(&str, &str)]) -> BTreeSet<String> {
    assert!(listed.iter().all(|(_, reason)| !reason.is_empty()), "each exception has its reason");
    listed.iter().map(|(name, _)| (*name).to_owned()).collect()
}

on_both! {
    async fn every_table_carries_the_agency(app: TestApp) {
        let query = match app.database {
            Database::Sqlite => TABLES_OF_SQLITE,
            Database::Postgres => TABLES_OF_POSTGRES,
        };
        let without: BTreeSet<String> = app.sql().await.lines(query).await.into_iter().collect();
        assert_eq!(without, names(TABLES));
    }

    async fn every_key_begins_with_the_agency(app: TestApp) {
        let (query, own) = match app.database {
            Database::Sqlite => (KEYS_IN_SQLITE, KEYS_OF_SQLITE),
            Database::Postgres => (KEYS_IN_POSTGRES, &[][..]),
        };
        let keys = app.sql().await.lines(query).await;
        assert!(keys.len() > 15, "{keys:?}");
        let begins_with_agency =
            |key: &&String| key.split_once(' ').is_some_and(|(_, columns)| columns.starts_with("agency_id"));
        let others: BTreeSet<String> = keys.iter().filter(|key| !begins_with_agency(key)).cloned().collect();
        assert_eq!(others, names(&[KEYS, own].concat()));
    }

    async fn every_foreign_key_begins_with_the_agency(app: TestApp) {
        let query = match app.database {
            Database::Sqlite => REFERENCES_IN_SQLITE,
            Database::Postgres => REFERENCES_IN_POSTGRES,
        };
        let references = app.sql().await.lines(query).await;
        assert!(references.len() > 10, "{references:?}");
        for reference in references {
            let columns = reference.rsplit(' ').next().expect("its columns");
            assert!(columns.starts_with("agency_id"), "{reference}");
        }
    }
}

/// The list of statements is read as text: a line of it says by which columns the statement finds its rows.
#[test]
fn every_statement_that_finds_or_locks_rows_names_the_agency() {
    let list = include_str!("../../src/ledger/statements.rs");
    let mut found = 0;
    let mut without = BTreeSet::new();
    for statement in list.split("\n}").flat_map(|text| text.split(" }\n")) {
        let Some(start) = ["read! {", "lock! {", "set! {"].iter().find_map(|form| statement.find(form))
        else {
            continue;
        };
        let line = statement[start..].lines().find(|line| line.contains('(') && !line.contains("///"));
        let line = line.unwrap_or_else(|| panic!("a statement without columns: {statement}")).trim();
        let line = line.trim_start_matches("one ").trim_start_matches("all ");
        let (name, rest) = line.split_once(['(', ' ']).expect("a name");
        found += 1;
        let columns = rest.split("->").next().unwrap_or(rest).split(" set (").next().unwrap_or(rest);
        if !columns.contains("agency_id: AgencyId") {
            without.insert(name.to_owned());
        }
    }
    assert!(found > 25, "{found} statements were read");
    assert_eq!(without, names(STATEMENTS));
}
