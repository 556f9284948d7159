//! What callers are told when the database goes away, falls silent, takes no more writes, or is locked; and that all is
//! well once it is back.

use std::{
    io::Read,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::join_all};
use quittance::{error::Kind, ledger::PaymentPage};
use tokio::task::yield_now;

use crate::{
    connections::{MARGIN, WAIT, add_agency, cluster, tell},
    harness::{Database, Options, TestApp, TestCaller},
    process::dev_with,
};

async fn is_ready(app: &TestApp) -> bool {
    let answer = app.http.get(format!("{}/readyz", app.ops_url)).send().await.expect("an answer");
    answer.status() == 200
}

async fn within(limit: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < limit, "{what} takes over {limit:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_more_writes_is_busy_and_not_ready_until_it_does() {
    let cluster = cluster("").await;
    let folder = tempfile::tempdir().expect("a folder");
    let app =
        TestApp::start_on(Database::Postgres, cluster.fresh_database(), folder, Options::default()).await;
    app.agent().create(1_000).await;
    assert!(is_ready(&app).await);
    cluster.sql("postgres", "alter system set default_transaction_read_only = on");
    cluster.sql("postgres", "select pg_reload_conf()");
    let admin_task = serde_json::json!({ "id": "a", "title": "A" });
    within(WAIT + MARGIN, "a refusal", async || {
        let made = app.agent().call("todo.create", admin_task.clone()).await;
        made.is_err_and(|fault| {
            assert_eq!(fault.kind(), "BUSY");
            true
        })
    })
    .await;
    assert!(!is_ready(&app).await);
    cluster.sql("postgres", "alter system reset default_transaction_read_only");
    cluster.sql("postgres", "select pg_reload_conf()");
    within(Duration::from_secs(10), "a recovery", async || is_ready(&app).await).await;
    app.agent().create(1_000).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_is_given_up_and_served_again() {
    let cluster = cluster("").await;
    let folder = tempfile::tempdir().expect("a folder");
    let app =
        TestApp::start_on(Database::Postgres, cluster.fresh_database(), folder, Options::default()).await;
    app.agent().create(1_000).await;
    tell(&cluster, "freeze").await;
    let began = Instant::now();
    let agency = app.agency_id;
    let looks = app.ledger.read(move |tx| async move { tx.agency(agency).await.map(drop) }.boxed());
    let page =
        PaymentPage { agency, tenancy: None, status: None, payment_type: None, before: None, limit: 1 };
    let lists = app.ledger.read(move |tx| async move { tx.payment_page(page).await.map(drop) }.boxed());
    let writes = app.ledger.write(|tx| async move { tx.ping().await }.boxed());
    let reads = app.ledger.read(|tx| async move { tx.ping().await }.boxed());
    let calls = async {
        let calls = (0..4).map(|_| app.agent().call("payment.list", serde_json::json!({})));
        let calls = join_all(calls).await;
        assert!(calls.iter().all(Result::is_err));
    };
    let (read, write, looked, listed, wrote, ()) =
        tokio::join!(reads, add_agency(&app.ledger), looks, lists, writes, calls);
    for refused in [read, write, looked, listed, wrote] {
        assert_eq!(refused.expect_err("nobody answers").kind(), Kind::Busy);
    }
    // 8 s for the statement, and what a group needs to run its jobs apart.
    assert!(began.elapsed() < Duration::from_secs(8) + 2 * WAIT + MARGIN, "{:?}", began.elapsed());
    assert!(!is_ready(&app).await);
    tell(&cluster, "thaw").await;
    within(Duration::from_secs(10), "a recovery", async || is_ready(&app).await).await;
    app.agent().create(1_000).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_load_loses_nothing_and_is_told_once() {
    let cluster = cluster("").await;
    let log = tempfile::NamedTempFile::new().expect("a file");
    let stderr = Stdio::from(log.reopen().expect("the file"));
    let (_server, ready, _output) = dev_with(&cluster.fresh_database(), &[], stderr).await;
    let text = |name: &str| ready[name].as_str().expect("a text").to_owned();
    let caller =
        || TestCaller::new(reqwest::Client::new(), format!("{}/rpc", text("rpc")), Some(text("agentToken")));
    let (over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|number| {
            let (caller, over, made) = (caller(), Arc::clone(&over), Arc::clone(&made));
            tokio::spawn(async move {
                let mut next = 0;
                while !over.load(Ordering::Relaxed) {
                    next += 1;
                    let todo = serde_json::json!({ "id": format!("todo-{number}-{next}"), "title": "Keys" });
                    match caller.call("todo.create", todo).await {
                        Ok(_) => _ = made.fetch_add(1, Ordering::Relaxed),
                        Err(fault) => {
                            assert!(["BUSY", "INTERNAL", "RATE_LIMITED"].contains(&fault.kind()), "{fault:?}")
                        }
                    }
                    yield_now().await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    tell(&cluster, "stop").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = made.load(Ordering::Relaxed);
    assert!(before > 0);
    tell(&cluster, "start").await;
    within(Duration::from_secs(10), "a recovery", async || made.load(Ordering::Relaxed) > before + 20).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("no other error");
    }
    let mut logged = String::new();
    log.reopen().expect("the file").read_to_string(&mut logged).expect("the log");
    let count = |words: &str| logged.lines().filter(|line| line.contains(words)).count();
    assert_eq!(
        (count("the database does not serve"), count("the database serves again")),
        (1, 1),
        "{logged}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_sqlites_writer_waits_two_seconds() {
    let app = TestApp::start(Database::Sqlite, Options::default()).await;
    let mut other = app.sql().await;
    other.ok("begin immediate").await;
    let began = Instant::now();
    let first = add_agency(&app.ledger);
    let second = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let began = Instant::now();
        (add_agency(&app.ledger).await, began.elapsed())
    };
    let (first, (second, waited)) = tokio::join!(first, second);
    assert_eq!(first.expect_err("another has the lock").kind(), Kind::Busy);
    assert_eq!(second.expect_err("it was not its turn").kind(), Kind::Busy);
    assert!(waited < WAIT + MARGIN && began.elapsed() < WAIT + MARGIN, "{waited:?}");
    other.ok("rollback").await;
    add_agency(&app.ledger).await.expect("the lock is free");
    app.stop().await;
}
