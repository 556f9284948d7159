//! A deterministic ledger of any size, on both databases: the same rows from the same SQL, whichever it is.
//!
//! The rows are those a server would have written: every constraint holds, every status follows from its facts, the
//! audit log is numbered and the totals agree with it. Besides, what a load driver needs: tokens, ids, fresh payments
//! for webhooks, a count of what the webhooks left, and a way back to the loaded rows in seconds.

mod functions;
mod reset;
mod settle;
#[path = "../../tests/it/harness/sql.rs"]
mod sql;

use std::{fs, path::Path, time::Instant};

use quittance::ledger::{DatabaseUrl, migrate};
use sql::Sql;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// 2023-06-01: the time of the first payment.
const PAYMENTS_AT_MS: i64 = 1_685_577_600_000;
/// The day before: the agencies and their tokens.
const AGENCIES_AT_MS: i64 = PAYMENTS_AT_MS - 86_400_000;
/// Two years, over which the payments are spread evenly.
const SPAN_MS: i64 = 730 * 86_400_000;
/// Payments made in one transaction. Enough that the commit is no cost, few enough that the working rows stay in memory.
const SLICE: i64 = 100_000;
/// A prime, so that a walk in its steps touches payments of all ages.
const STRIDE: i64 = 7_919;
/// Ids written for the driver, at most.
const SAMPLE: i64 = 20_000;
/// Tenancies written for the driver, at most.
const TENANCY_SAMPLE: i64 = 5_000;

/// How much to load.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Payments.
    pub rows: i64,
    /// Agencies they are spread over.
    pub agencies: i64,
}

/// A connection to a database that is loaded, or to be loaded.
pub struct Loader {
    sql: Sql,
    database: Database,
    url: String,
}

impl Loader {
    /// Connects, after applying the migrations.
    pub async fn open(url: &str) -> Self {
        let parsed: DatabaseUrl = url.parse().expect("a database URL");
        migrate(&parsed, true).await.expect("migrations run");
        let (database, location) = match &parsed {
            DatabaseUrl::Sqlite(path) => (Database::Sqlite, format!("sqlite://{}", path.display())),
            DatabaseUrl::Postgres(_) => (Database::Postgres, url.to_owned()),
        };
        let mut sql = Sql::open(database, &location).await;
        match &mut sql {
            Sql::Sqlite(connection) => functions::register(connection).expect("functions"),
            Sql::Postgres(_) => {
                sql.ok("set client_min_messages = warning; set statement_timeout = 0").await;
                sql.ok(include_str!("functions.sql")).await;
                sql.ok("set search_path = public, load_rows").await;
            }
        }
        Self { sql, database, url: location }
    }

    /// Fills an empty database.
    pub async fn load(&mut self, size: Size) {
        let agencies = self.count("select count(*) as n from agencies").await;
        assert_eq!(agencies, 0, "the database is not empty");
        let began = Instant::now();
        settle::relax(&mut self.sql, self.database).await;
        self.run(include_str!("agencies.sql"), size, &[]).await;
        let mut from = 1;
        while from <= size.rows {
            let to = size.rows.min(from + SLICE - 1);
            let range = [("from", from.to_string()), ("to", to.to_string())];
            self.run(include_str!("rows.sql"), size, &range).await;
            from = to + 1;
            if to % (10 * SLICE) == 0 {
                eprintln!("{to} payments after {:.0} s", began.elapsed().as_secs_f64());
            }
        }
        self.run(include_str!("totals.sql"), size, &[]).await;
        settle::settle(&mut self.sql, self.database).await;
        eprintln!("{} payments loaded in {:.0} s", size.rows, began.elapsed().as_secs_f64());
    }

    /// Writes what a driver asks with: `tokens.tsv` (token, agency), `payments.tsv` (id, agency) and `tenancies.tsv`
    /// (id, agency). Agencies are numbered from 1.
    pub async fn write_samples(&mut self, size: Size, out: &Path) {
        fs::create_dir_all(out).expect("the directory");
        let agencies = size.agencies;
        let numbers = |count: i64| {
            format!(
                "with recursive numbers (i) as (select cast(1 as bigint) union all select i + 1 from numbers \
                 where i < {count}) "
            )
        };
        let tokens =
            numbers(agencies) + "select 'qt_' || digest('token-' || i) || '\t' || i as line from numbers";
        let payments = numbers(size.rows.min(SAMPLE))
            + &format!(
                ", sample as (select 1 + i * {STRIDE} % {rows} as n from numbers), \
                 digests as (select n, digest('payment-' || n) as hex from sample) \
                 select text_of(uuid_v7({PAYMENTS_AT_MS} + n * {SPAN_MS} / {rows}, substr(hex, 8))) || '\t' || \
                 (1 + n % {agencies}) as line from digests",
                rows = size.rows,
            );
        let tenancies = numbers(tenancies(size).min(TENANCY_SAMPLE))
            + &format!("select 'ten-' || i || '\t' || (1 + i % {agencies}) as line from numbers");
        for (name, query) in [("tokens", tokens), ("payments", payments), ("tenancies", tenancies)] {
            let lines = self.sql.lines(&query).await.join("\n");
            fs::write(out.join(name).with_extension("tsv"), lines + "\n").expect("the file is written");
        }
    }

    /// Adds payments that wait for the webhooks of a run, and gives each one's id and the intent that is to pay it.
    /// Where a server runs, waits until its sequencer has caught up, so that this is no part of what is measured next.
    pub async fn prepare_webhooks(&mut self, run: &str, count: i64) -> Vec<(String, String)> {
        assert!(run.bytes().all(|b| b.is_ascii_alphanumeric()), "a run's name is letters and digits");
        let agencies = self.count("select count(*) as n from agencies").await;
        let size = Size { rows: 0, agencies };
        let now_ms = chrono::Utc::now().timestamp_millis();
        let more = [("run", run.to_owned()), ("count", count.to_string()), ("now_ms", now_ms.to_string())];
        self.run(include_str!("webhooks.sql"), size, &more).await;
        settle::until_numbered(&mut self.sql).await;
        let lines = self
            .sql
            .lines(&format!(
                "select text_of(id) || ' pi_w{run}_' || substr(todo_id, {}) as line from payments_ledger \
                 where custom_payment_task_id like 'w-{run}-%'",
                "w--".len() + run.len() + 1,
            ))
            .await;
        let pair =
            |line: &String| line.split_once(' ').map(|(id, intent)| (id.to_owned(), intent.to_owned()));
        let pairs: Vec<_> = lines.iter().filter_map(pair).collect();
        assert_eq!(pairs.len() as i64, count, "every payment has its id and intent");
        pairs
    }

    /// Checks that a run has left, for each acknowledged event, all of its effects once, and nothing besides.
    pub async fn verify_webhooks(&mut self, run: &str, expected: i64) -> Result<(), String> {
        let found = self.sql.lines(&include_str!("effects.sql").replace("{run}", run)).await.concat();
        let wanted = std::array::from_fn::<_, 6, _>(|_| expected.to_string()).join(" ");
        if found == wanted {
            Ok(())
        } else {
            Err(format!("acknowledged {expected}, the database has {found}"))
        }
    }

    /// Puts a copy of all rows aside, for [`Loader::reset`].
    pub async fn keep_copy(&mut self) {
        reset::keep_copy(&mut self.sql, self.database, &self.url).await;
    }

    /// Goes back to the rows that were put aside; a server may be running, but should have nothing to do.
    pub async fn reset(&mut self) {
        reset::reset(&mut self.sql, self.database, &self.url).await;
    }

    /// The id of the n-th payment.
    pub async fn payment_id(&mut self, size: Size, n: i64) -> String {
        let at_ms = PAYMENTS_AT_MS + n * SPAN_MS / size.rows;
        let query = format!("select text_of(uuid_v7({at_ms}, substr(digest('payment-' || {n}), 8))) as line");
        self.sql.lines(&query).await.concat()
    }

    /// Bytes of the database on disk, once it has cleaned up behind itself. Copies put aside count, too.
    pub async fn bytes(&mut self) -> i64 {
        let size = match self.database {
            Database::Sqlite => {
                self.sql.ok("pragma wal_checkpoint(truncate)").await;
                "select page_count * page_size as n from pragma_page_count, pragma_page_size"
            }
            Database::Postgres => {
                self.sql.ok("vacuum").await;
                "select pg_database_size(current_database()) as n"
            }
        };
        self.count(size).await
    }

    /// Waits until a running server has numbered the whole audit log.
    pub async fn until_numbered(&mut self) {
        settle::until_numbered(&mut self.sql).await;
    }

    /// The column `line` of a query's rows.
    pub async fn lines(&mut self, query: &str) -> Vec<String> {
        self.sql.lines(query).await
    }

    /// The number a query counts as `n`.
    pub async fn count(&mut self, query: &str) -> i64 {
        let lines = self.sql.lines(&format!("select cast(n as text) as line from ({query}) counted")).await;
        lines.concat().parse().expect("a number")
    }

    /// Runs one of the texts as one transaction.
    async fn run(&mut self, text: &str, size: Size, more: &[(&str, String)]) {
        let mut text = text.to_owned();
        let tenancies = tenancies(size).to_string();
        let fixed = [
            ("rows", size.rows.to_string()),
            ("agencies", size.agencies.to_string()),
            ("tenancies", tenancies),
            ("payments_at", PAYMENTS_AT_MS.to_string()),
            ("agencies_at", AGENCIES_AT_MS.to_string()),
            ("span_ms", SPAN_MS.to_string()),
        ];
        for (name, value) in fixed.iter().chain(more) {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        let begin = match self.database {
            Database::Sqlite => "begin immediate",
            Database::Postgres => "begin",
        };
        self.sql.ok(&format!("{begin}; {text}; commit")).await;
    }
}

/// One tenancy for every ten payments, but at least one an agency.
fn tenancies(size: Size) -> i64 {
    (size.rows / 10).max(size.agencies)
}
