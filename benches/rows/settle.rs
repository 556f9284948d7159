//! What makes loading quick, and what leaves the database as if it had grown slowly: statistics, visibility,
//! checkpoints. Nothing here outlasts the load: a server that opens the database afterwards is as durable as ever.

use std::time::{Duration, Instant};

use super::{Database, Sql};

/// How long a sequencer may take over what was prepared. One that does nothing for so long is not there.
const SEQUENCER_STALLED: Duration = Duration::from_secs(10);

/// Before the load. References are checked all at once at its end instead of row by row.
pub async fn relax(sql: &mut Sql, database: Database) {
    sql.ok(match database {
        Database::Sqlite => {
            "pragma synchronous = off; pragma foreign_keys = off; pragma temp_store = memory; \
             pragma cache_size = -1000000"
        }
        Database::Postgres => {
            "set synchronous_commit = off; set work_mem = '256MB'; set maintenance_work_mem = '512MB'; \
             create table load_rows.reference as \
               select conrelid::regclass::text as of_table, conname as name, pg_get_constraintdef(oid) as definition \
               from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace; \
             do $$ declare r record; begin for r in select * from load_rows.reference loop \
               execute format('alter table %s drop constraint %I', r.of_table, r.name); end loop; end $$"
        }
    })
    .await;
}

/// After the load.
pub async fn settle(sql: &mut Sql, database: Database) {
    match database {
        Database::Sqlite => {
            let broken = sql.lines("select \"table\" as line from pragma_foreign_key_check limit 1").await;
            assert!(broken.is_empty(), "a reference of {broken:?} leads nowhere");
            sql.ok("analyze; pragma wal_checkpoint(truncate); pragma synchronous = full; pragma foreign_keys = on")
                .await;
        }
        Database::Postgres => {
            // Adding a constraint checks the rows that are there.
            sql.ok("do $$ declare r record; begin for r in select * from load_rows.reference loop \
                 execute format('alter table %s add constraint %I %s', r.of_table, r.name, r.definition); \
                 end loop; end $$; \
                 drop table load_rows.reference; set synchronous_commit = on")
                .await;
            sql.ok("vacuum analyze").await;
            sql.ok("checkpoint").await;
        }
    }
}

/// Waits until every change of a status in the audit log has its number, or nobody gives any.
pub async fn until_numbered(sql: &mut Sql) {
    let query = "select cast(count(*) as text) as line from audit_log where sequence is null
         and from_status is distinct from to_status";
    let mut last = String::new();
    let mut since = Instant::now();
    loop {
        let left = sql.lines(query).await.concat();
        if left == "0" {
            return;
        }
        if left != last {
            (last, since) = (left, Instant::now());
        }
        if since.elapsed() > SEQUENCER_STALLED {
            eprintln!("{last} rows of the audit log have no number, and no server gives them any");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
