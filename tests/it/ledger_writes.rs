//! What a write promises: all of it or nothing, durable when answered, and no misfortune of one reaches another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use diesel_async::SimpleAsyncConnection;
use futures_util::{FutureExt, future::join_all};
use quittance::{
    domain::{AgencyId, Label, PaymentId, Pence},
    error::{Error, Kind},
    ledger::{Ledger, Tx, tables::AgencyRow},
};

use crate::harness::{Database, Sql, TestApp, on_both};

/// More writes than there are connections, so that a broken one would be met.
const MANY: usize = 40;

fn agency(name: &str) -> AgencyRow {
    let id = AgencyId::new();
    let name = Label::parse(name).expect("a name");
    AgencyRow { id, name, created_at: id.made_at(), max_card_payment_pence: Pence::new(1) }
}

async fn sql(tx: &mut Tx, statement: &str) -> Result<(), Error> {
    match tx {
        Tx::Sqlite(connection) => connection.get_mut().batch_execute(statement).await?,
        Tx::Postgres(connection) => (**connection.get_mut()).batch_execute(statement).await?,
        // No such statement can be batched: the job leaves, to be run by itself.
        Tx::Batch(_) | Tx::Reads(_) => tx.ping().await?,
    }
    Ok(())
}

/// Time passing inside a transaction, where only statements may be waited for.
async fn pass(tx: &mut Tx, time: Duration) -> Result<(), Error> {
    if !matches!(tx, Tx::Sqlite(_)) {
        return sql(tx, &format!("select pg_sleep({})", time.as_secs_f64())).await;
    }
    std::thread::sleep(time);
    Ok(())
}

async fn add(ledger: &Ledger, name: &str) -> Result<(), Error> {
    let row = agency(name);
    ledger.write(move |tx| async move { tx.insert_agency(&row).await }.boxed()).await
}

async fn exists(ledger: &Ledger, name: &str) -> bool {
    let name = name.to_owned();
    let look = ledger.read(move |tx| async move { tx.agency_named(&name).await }.boxed());
    look.await.expect("it answers").is_some()
}

async fn assert_unharmed(app: &TestApp) {
    let writes = (0..MANY).map(async |number| add(&app.ledger, &format!("after {number}")).await);
    for written in join_all(writes).await {
        written.expect("later writes pass");
    }
    let count = "select cast(count(*) as text) as line from agencies where name like 'after %'";
    assert_eq!(app.sql().await.lines(count).await, [MANY.to_string()]);
}

/// Writes from elsewhere, if it can at once: on SQLite it must not while a transaction of ours is open.
fn another_process_writes(database: Database, url: &str) {
    let url = url.to_owned();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut sql = Sql::open(database, &url).await;
            let job = "insert into jobs (kind, key, due_at) values ('elsewhere', '', ";
            match database {
                Database::Sqlite => {
                    sql.ok("pragma busy_timeout = 0").await;
                    let refused = sql.run(&format!("{job} 0)")).await.expect_err("ours holds the lock");
                    assert_eq!(refused.message, "database is locked");
                }
                Database::Postgres => sql.ok(&format!("{job} now())")).await,
            }
        });
    });
    elsewhere.join().expect("no panic");
}

fn kinds(outcomes: &[Result<(), Error>]) -> Vec<Option<Kind>> {
    outcomes.iter().map(|outcome| outcome.as_ref().err().map(Error::kind)).collect()
}

on_both! {
    async fn a_write_that_fails_is_undone_alone(app: TestApp) {
        let writes = (0..MANY).map(|number| {
            let row = agency(&format!("number {number}"));
            app.ledger.write(move |tx| {
                async move {
                    tx.insert_agency(&row).await?;
                    match number % 2 {
                        0 => Ok(()),
                        _ => Err(Error::invalid("number", "is odd")),
                    }
                }
                .boxed()
            })
        });
        for (number, outcome) in join_all(writes).await.into_iter().enumerate() {
            assert_eq!(outcome.as_ref().err().map(Error::kind), (number % 2 == 1).then_some(Kind::InvalidParams));
            assert_eq!(exists(&app.ledger, &format!("number {number}")).await, number % 2 == 0);
        }
        assert_unharmed(&app).await;
    }

    async fn a_write_that_has_looked_is_not_overtaken_by_another_process(app: TestApp) {
        let (database, url, row) = (app.database, app.url.clone(), agency("ours"));
        let outcome = app.ledger.write(move |tx| {
            async move {
                tx.agency_named("ours").await?;
                another_process_writes(database, &url);
                tx.insert_agency(&row).await
            }
            .boxed()
        });
        outcome.await.expect("it passes");
        assert!(exists(&app.ledger, "ours").await);
        assert_unharmed(&app).await;
    }

    async fn a_failed_statement_fails_its_write(app: TestApp) {
        let row = agency("half");
        let outcome = app.ledger.write(move |tx| {
            async move {
                tx.insert_agency(&row).await?;
                sql(tx, "insert into no_such_table values (1)").await
            }
            .boxed()
        });
        assert_eq!(outcome.await.expect_err("it fails").kind(), Kind::Internal);
        assert!(!exists(&app.ledger, "half").await);
        assert_unharmed(&app).await;
    }

    async fn a_write_that_panics_answers_an_error_and_the_writer_lives(app: TestApp) {
        let writes = (0..MANY).map(|number| {
            let row = agency(&format!("number {number}"));
            app.ledger.write(move |tx| {
                async move {
                    tx.insert_agency(&row).await?;
                    assert!(number % 4 != 0, "on purpose");
                    Ok(())
                }
                .boxed()
            })
        });
        for (number, outcome) in join_all(writes).await.into_iter().enumerate() {
            assert_eq!(outcome.as_ref().err().map(Error::kind), (number % 4 == 0).then_some(Kind::Internal));
            assert_eq!(exists(&app.ledger, &format!("number {number}")).await, number % 4 != 0);
        }
        assert_unharmed(&app).await;
    }

    async fn a_look_that_panics_harms_nobody(app: TestApp) {
        for _ in 0..MANY {
            let ledger = app.ledger.clone();
            let look = async move {
                ledger.read::<(), _>(|_| async move { panic!("on purpose") }.boxed()).await
            };
            // An error or the panic itself, as long as the next one is served.
            if let Ok(outcome) = tokio::spawn(look).await {
                assert_eq!(outcome.expect_err("it fails").kind(), Kind::Internal);
            }
        }
        assert!(!exists(&app.ledger, "nobody").await);
        assert_unharmed(&app).await;
    }

    async fn while_another_holds_the_lock_writers_are_told_busy_in_time(app: TestApp) {
        let mut other = app.sql().await;
        other.ok(match app.database {
            Database::Sqlite => "begin exclusive",
            Database::Postgres => "begin; lock table agencies in exclusive mode",
        }).await;
        let began = Instant::now();
        let names: Vec<_> = (0..10).map(|number| format!("locked out {number}")).collect();
        let outcomes = join_all(names.iter().map(|name| add(&app.ledger, name))).await;
        let took = began.elapsed();
        assert_eq!(kinds(&outcomes), [Some(Kind::Busy); 10]);
        // The busy time-out of SQLite is 2 s; a batch on PostgreSQL waits 1 s for a row, and each of its jobs then 5 s.
        assert!(took < Duration::from_secs(8), "{took:?}");
        assert!(!exists(&app.ledger, "locked out 0").await, "looking goes on");
        other.ok("rollback").await;
        assert_unharmed(&app).await;
        for name in names {
            assert!(!exists(&app.ledger, &name).await, "who was told busy has written nothing");
        }
    }

    async fn a_commit_that_fails_answers_everybody_in_it_and_leaves_nothing(app: TestApp) {
        app.sql().await.ok(match app.database {
            Database::Sqlite => "create table late (agency blob references agencies deferrable initially deferred)",
            Database::Postgres => "create table late (agency uuid references agencies deferrable initially deferred)",
        }).await;
        let bad = match app.database {
            Database::Sqlite => "insert into late values (randomblob(16))",
            Database::Postgres => "insert into late values (gen_random_uuid())",
        };
        for round in 0..5 {
            let names: Vec<_> = (0..10).map(|number| format!("round {round}, {number}")).collect();
            let writes = names.iter().enumerate().map(|(number, name)| {
                let row = agency(name);
                app.ledger.write(move |tx| {
                    async move {
                        tx.insert_agency(&row).await?;
                        if number == 0 {
                            // The rest queue up meanwhile, and share the commit where commits are shared.
                            pass(tx, Duration::from_millis(50)).await?;
                            sql(tx, bad).await?;
                        }
                        Ok(())
                    }
                    .boxed()
                })
            });
            let outcomes = join_all(writes).await;
            assert!(outcomes[0].is_err());
            for (name, outcome) in names.iter().zip(&outcomes) {
                assert_eq!(exists(&app.ledger, name).await, outcome.is_ok(), "{name}: {outcome:?}");
            }
            if app.database == Database::Postgres {
                assert!(outcomes[1..].iter().all(Result::is_ok), "each has its own commit");
            }
        }
        let left = app.sql().await.lines("select 'left' as line from late").await;
        assert_eq!(left, Vec::<String>::new());
        assert_unharmed(&app).await;
    }

    async fn a_write_goes_on_when_its_caller_stops_waiting(app: TestApp) {
        for number in 0..20 {
            let row = agency(&format!("left alone {number}"));
            let write = app.ledger.write(move |tx| {
                async move {
                    tx.insert_agency(&row).await?;
                    pass(tx, Duration::from_millis(30)).await
                }
                .boxed()
            });
            // It has begun, and is not through.
            assert!(tokio::time::timeout(Duration::from_millis(15), write).await.is_err());
        }
        assert_unharmed(&app).await;
        for number in 0..20 {
            let name = format!("left alone {number}");
            for _ in 0..100 {
                if exists(&app.ledger, &name).await {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(exists(&app.ledger, &name).await, "{name}");
        }
    }

    async fn writes_that_lock_two_payments_in_opposite_order_both_pass(app: TestApp) {
        let (one, other) = (app.agent().create(1_000).await.id, app.agent().create(1_000).await.id);
        let (agency_id, id) = (app.agency_id, |text: &str| PaymentId::parse(text).expect("an id"));
        let runs = Arc::new(AtomicU32::new(0));
        let both = [(id(&one), id(&other)), (id(&other), id(&one))];
        let writes = both.into_iter().enumerate().map(|(number, (first, second))| {
            let (row, runs) = (agency(&format!("locker {number}")), Arc::clone(&runs));
            app.ledger.write(move |tx| {
                async move {
                    // Each on a connection of its own: a batch would keep them apart.
                    tx.ping().await?;
                    runs.fetch_add(1, Ordering::Relaxed);
                    tx.lock_payment(agency_id, first).await?.ok_or_else(|| Error::internal("gone"))?;
                    pass(tx, Duration::from_millis(200)).await?;
                    tx.lock_payment(agency_id, second).await?.ok_or_else(|| Error::internal("gone"))?;
                    tx.insert_agency(&row).await
                }
                .boxed()
            })
        });
        for outcome in join_all(writes).await {
            outcome.expect("it passes");
        }
        let count = "select cast(count(*) as text) as line from agencies where name like 'locker %'";
        assert_eq!(app.sql().await.lines(count).await, ["2"], "each exactly once");
        let runs = runs.load(Ordering::Relaxed);
        assert_eq!(runs, if app.database == Database::Sqlite { 2 } else { 3 }, "the loser ran again");
    }

    async fn writes_that_can_not_be_serialized_run_again(app: TestApp) {
        let postgres = app.database == Database::Postgres;
        let runs = Arc::new(AtomicU32::new(0));
        let writes = (0..2).map(|number| {
            let (row, runs) = (agency(&format!("skewed {number}")), Arc::clone(&runs));
            app.ledger.write(move |tx| {
                async move {
                    if postgres {
                        sql(tx, "set transaction isolation level serializable").await?;
                    }
                    runs.fetch_add(1, Ordering::Relaxed);
                    sql(tx, "select count(*) from agencies").await?;
                    pass(tx, Duration::from_millis(100)).await?;
                    tx.insert_agency(&row).await
                }
                .boxed()
            })
        });
        for outcome in join_all(writes).await {
            outcome.expect("it passes");
        }
        let runs = runs.load(Ordering::Relaxed);
        assert_eq!(runs, if postgres { 3 } else { 2 });
        assert!(exists(&app.ledger, "skewed 0").await && exists(&app.ledger, "skewed 1").await);
    }
}
