//! What comes in crowds shares transactions: still each is kept apart from the others and fails alone, and a
//! statement asked once for many answers each what it would have been told alone.

use std::fmt::Debug;

use futures_util::{FutureExt, future::join_all};
use quittance::{
    domain::{
        AgencyId, EventId, HostId, IdempotencyKey, IntentId, OneLine, PaymentId, SessionId, Timestamp,
        TodoStatus,
    },
    error::{Error, Kind},
    ledger::{
        Ledger, Tx, TxFuture,
        tables::{PaymentRow, TodoRow},
    },
};
use serde_json::json;

use crate::harness::{Event, Options, on_both};

/// More than one group can hold.
const CROWD: usize = 150;

fn todo(agency_id: AgencyId, id: &str) -> TodoRow {
    TodoRow {
        agency_id,
        id: HostId::parse(id).expect("an id"),
        title: OneLine::parse("Collect").expect("a title"),
        tenancy_id: None,
        status: TodoStatus::Open,
        completed_at: None,
        completed_by: None,
        created_at: Timestamp::now(),
    }
}

/// Adds a todo, completes it, and comes to the end that its number says; mostly it tells whether it sees what it did.
async fn add_and_complete(tx: &mut Tx, agency: AgencyId, number: usize) -> Result<bool, Error> {
    let row = todo(agency, &format!("todo-{number}"));
    tx.insert_todo(&row).await?;
    let done = TodoRow {
        status: TodoStatus::Complete,
        completed_at: Some(Timestamp::now()),
        completed_by: Some("somebody".into()),
        ..row.clone()
    };
    tx.update_todo(&row, &done).await?;
    let completed = tx.todo(agency, &row.id).await?.is_some_and(|todo| todo.status == TodoStatus::Complete);
    match number {
        number if number % 50 == 7 => Err(Error::invalid("number", "is unlucky")),
        number if number % 50 == 13 => panic!("{number} is very unlucky"),
        _ => Ok(completed),
    }
}

/// The ledger says the same of each, asked by all at once and one by one; in transactions and outside of them.
async fn same<A, T>(
    ledger: &Ledger,
    asked: &[A],
    look: impl for<'t> Fn(&'t mut Tx, A) -> TxFuture<'t, T> + Copy + Send + Sync + 'static,
) where
    A: Clone + Debug + Send + Sync + 'static,
    T: Debug + Send + 'static,
{
    // Each asked for more than once, so that answers are shared.
    let crowd: Vec<A> = asked.iter().cycle().take(asked.len() * 3).cloned().collect();
    let read = join_all(crowd.iter().cloned().map(|one| ledger.read(move |tx| look(tx, one)))).await;
    let written =
        join_all(crowd.iter().cloned().map(|one| ledger.write(move |tx| look(tx, one.clone())))).await;
    for ((one, read), written) in crowd.into_iter().zip(read).zip(written) {
        let shown = format!("{one:?}");
        let alone = ledger.write(move |tx| {
            let one = one.clone();
            async move {
                // On a connection of its own.
                tx.ping().await?;
                look(tx, one).await
            }
            .boxed()
        });
        let alone = format!("{:?}", alone.await.expect("an answer"));
        assert_eq!(format!("{:?}", written.expect("an answer")), alone, "{shown}");
        // What locks needs a transaction.
        if let Ok(read) = read {
            assert_eq!(format!("{read:?}"), alone, "{shown}");
        }
    }
}

on_both! {
    async fn who_fails_in_a_crowd_fails_alone(app: TestApp) {
        let agency = app.agency_id;
        let jobs = (0..CROWD).map(|number| {
            app.ledger.write(move |tx| async move { add_and_complete(tx, agency, number).await }.boxed())
        });
        let done = join_all(jobs).await;
        let left = app.sql().await.lines("select id as line from todos where status = 'complete'").await;
        for (number, done) in done.into_iter().enumerate() {
            let there = left.contains(&format!("todo-{number}"));
            match (number % 50, done) {
                (7, Err(error)) => assert_eq!((error.kind(), there), (Kind::InvalidParams, false)),
                (13, Err(error)) => assert_eq!((error.kind(), there), (Kind::Internal, false)),
                (_, Ok(completed)) => assert!(completed && there, "{number}"),
                (_, done) => panic!("{number}: {done:?}"),
            }
        }
    }

    async fn a_crowd_that_wants_one_row_takes_turns(app: TestApp) {
        let created = app.agent().create(1_000).await;
        let (agency, id) = (app.agency_id, PaymentId::parse(&created.id).expect("an id"));
        let jobs = (0..CROWD).map(|_| {
            app.ledger.write(move |tx| {
                async move {
                    let before = tx.lock_payment(agency, id).await?.expect("the payment");
                    let row = PaymentRow { open_anomalies: before.open_anomalies + 1, ..before.clone() };
                    tx.update_payment(&before, &row).await?;
                    Ok(row.open_anomalies)
                }
                .boxed()
            })
        });
        let mut counted: Vec<_> = join_all(jobs).await.into_iter().map(|count| count.expect("a count")).collect();
        counted.sort_unstable();
        assert_eq!(counted, (1..=i32::try_from(CROWD).expect("few")).collect::<Vec<_>>());
    }

    async fn a_job_sees_what_it_has_written_itself(app: TestApp) {
        let created = app.agent().create(1_000).await;
        let (agency, id) = (app.agency_id, PaymentId::parse(&created.id).expect("an id"));
        let jobs = (0..CROWD).map(|_| {
            app.ledger.write(move |tx| {
                async move {
                    let before = tx.lock_payment(agency, id).await?.expect("the payment");
                    let one_more = |row: &PaymentRow| PaymentRow { open_anomalies: row.open_anomalies + 1, ..row.clone() };
                    let once = one_more(&before);
                    tx.update_payment(&before, &once).await?;
                    let twice = one_more(&once);
                    tx.update_payment(&once, &twice).await?;
                    let locked = tx.lock_payment(agency, id).await?.expect("the payment").open_anomalies;
                    let thrice = one_more(&twice);
                    tx.update_payment(&twice, &thrice).await?;
                    let read = tx.payment_row(agency, id).await?.expect("the payment").open_anomalies;
                    Ok((locked + 1, read) == (thrice.open_anomalies, thrice.open_anomalies))
                }
                .boxed()
            })
        });
        assert!(join_all(jobs).await.into_iter().all(|saw| saw.expect("an answer")));
        let counted = app.sql().await.lines("select cast(open_anomalies as text) as line from payments_ledger").await;
        assert_eq!(counted, [(3 * CROWD).to_string()]);
    }

    async fn a_crowd_that_wants_one_place_has_one_winner(app: TestApp) {
        let agent = app.agent();
        agent.ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let calls = (0..CROWD).map(|_| agent.call("payment.createPaymentTask", json!({
            "amountPence": 1_000, "paymentType": "custom", "description": "Keys", "customPaymentTaskId": "task-1",
        })));
        let (made, refused): (Vec<_>, Vec<_>) = join_all(calls).await.into_iter().partition(Result::is_ok);
        assert_eq!((made.len(), refused.len()), (1, CROWD - 1));
        let winner = &made[0].as_ref().expect("made")["ledgerEntryId"];
        for refused in refused {
            let fault = refused.expect_err("refused");
            assert_eq!((fault.kind(), &fault.data["ledgerEntryId"]), ("OPEN_PAYMENT_EXISTS", winner));
        }
    }

    async fn a_statement_asked_for_many_answers_each_as_if_alone(app: TestApp, Options { webhooks: false, ..Options::default() }) {
        let (agent, ledger) = (app.agent(), &app.ledger);
        let mut made = Vec::new();
        for number in 0..6 {
            let (todo, task) = (format!("todo-{number}"), format!("task-{number}"));
            agent.ok("todo.create", json!({ "id": todo, "title": "Collect" })).await;
            agent.ok("customPaymentTask.create", json!({ "id": task, "title": "Keys" })).await;
            made.push(agent.create_with(json!({
                "todoId": todo, "customPaymentTaskId": task, "idempotencyKey": format!("key-{number}"),
            })).await);
        }
        let mut events = vec![EventId::parse("evt_unknown").expect("an id")];
        for (number, created) in made.iter().enumerate().take(4) {
            let event = match number {
                3 => Event::intent("payment_intent.failed", "pi_3", &created.id, 25_000),
                _ => Event::succeeded(&format!("pi_{number}"), &created.id, 25_000),
            };
            app.delivered(&event).await;
            events.push(EventId::parse(event.id()).expect("an id"));
        }
        let own = app.agency_id;
        let stranger = AgencyId::new();
        let payments: Vec<_> = made.iter().map(|one| PaymentId::parse(&one.id).expect("an id")).chain([PaymentId::new()]).collect();
        let sessions: Vec<_> = made.iter().map(|one| one.session_id()).chain(["cs_unknown"]).map(|id| SessionId::parse(id).expect("an id")).collect();
        let intents: Vec<_> = (0..5).map(|number| IntentId::parse(&format!("pi_{number}")).expect("an id")).collect();
        let hosts = |what: &str| (0..7).map(|number| HostId::parse(&format!("{what}-{number}")).expect("an id")).flat_map(|id| [(own, id.clone()), (stranger, id)]).collect::<Vec<_>>();
        let keys: Vec<_> = (0..7).map(|number| IdempotencyKey::parse(&format!("key-{number}")).expect("a key")).flat_map(|key| [(own, key.clone()), (stranger, key)]).collect();
        let owned: Vec<_> = payments.iter().flat_map(|id| [(own, *id), (stranger, *id)]).collect();
        let attempts: Vec<_> = owned.iter().flat_map(|(agency, id)| [(*agency, *id, 1), (*agency, *id, 2)]).collect();

        same(ledger, &events, |tx, id| async move { tx.event(id).await }.boxed()).await;
        same(ledger, &intents, |tx, id| async move { tx.intent(id).await }.boxed()).await;
        same(ledger, &owned, |tx, (agency, id)| async move { tx.intents_of(agency, id).await }.boxed()).await;
        same(ledger, &owned, |tx, (agency, id)| async move { tx.sessions_of(agency, id).await }.boxed()).await;
        same(ledger, &owned, |tx, (agency, id)| async move { tx.lock_payment(agency, id).await }.boxed()).await;
        same(ledger, &sessions, |tx, id| async move { tx.session_by_id(id).await }.boxed()).await;
        same(ledger, &attempts, |tx, (agency, id, attempt)| async move { tx.session(agency, id, attempt).await }.boxed()).await;
        same(ledger, &payments, |tx, id| async move { tx.links_of_any_agency(id).await }.boxed()).await;
        same(ledger, &owned, |tx, (agency, id)| async move { tx.payment_links(agency, id).await }.boxed()).await;
        same(ledger, &owned, |tx, (agency, id)| async move { tx.anomalies_of(agency, id).await }.boxed()).await;
        same(ledger, &hosts("task"), |tx, (agency, id)| async move { tx.paid_payments_of_task(agency, id).await }.boxed()).await;
        same(ledger, &owned, |tx, (agency, id)| async move { tx.payment(agency, id).await }.boxed()).await;
        same(ledger, &keys, |tx, (agency, key)| async move { tx.payment_by_key(agency, key).await }.boxed()).await;
        same(ledger, &hosts("todo"), |tx, (agency, id)| async move { tx.todo(agency, id).await }.boxed()).await;
        same(ledger, &hosts("todo"), |tx, (agency, id)| async move { tx.lock_todo(agency, id).await }.boxed()).await;
        same(ledger, &hosts("task"), |tx, (agency, id)| async move { tx.lock_task(agency, id).await }.boxed()).await;
        same(ledger, &hosts("task"), |tx, (agency, id)| async move { tx.open_payment_of_task(agency, id).await }.boxed()).await;
        same(ledger, &[own, stranger], |tx, id| async move { tx.agency(id).await }.boxed()).await;
        same(ledger, &[own, stranger], |tx, id| {
            async move {
                let mut totals = tx.payment_totals(id).await?;
                totals.sort_unstable();
                Ok(totals)
            }
            .boxed()
        })
        .await;
    }
}
