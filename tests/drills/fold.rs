//! Random sequences of events with repeats, in any order, while statements fail at random: what is left is what the
//! oracle says of everything that was told, as if nothing had ever failed.
//!
//! The crash between two statements is a trigger on every table that a payment's transaction writes: now and then it
//! fails the statement it stands on, and on PostgreSQL ends the whole connection. So a transaction dies after any
//! number of its statements, in the real server.

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt, future::join_all, stream};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;

use crate::{
    client::{fresh, hex},
    harness::{Database, Event},
    oracle::{AMOUNT, Seen, Start, Told, expected},
    rules,
    site::{Site, Who},
};

/// Sequences under way at once.
const AT_ONCE: usize = 24;
/// Events of one sequence.
const EVENTS: std::ops::RangeInclusive<usize> = 1..=8;
/// One in so many rows that are written fails its statement.
const ONE_ROW_IN: u32 = 40;
/// Where statements fail, in transactions that can be run again.
const WRITES: [(&str, &str); 10] = [
    ("payments_ledger", "insert or update"),
    ("manual_payments", "insert or update"),
    ("checkout_sessions", "update of best"),
    ("payment_intents", "insert or update"),
    ("payment_anomalies", "insert"),
    ("audit_log", "insert"),
    ("todos", "insert or update"),
    ("custom_payment_tasks", "insert or update"),
    ("processed_events", "insert"),
    ("processed_events", "update of verdict"),
];

const EVERYTHING: [Told; 10] = [
    Told::Processing,
    Told::Failed,
    Told::Succeeded("a"),
    Told::Succeeded("b"),
    Told::Refunded("a", AMOUNT),
    Told::Refunded("b", AMOUNT),
    Told::Refunded("a", 10_000),
    Told::Refunded("b", 1),
    Told::Wrong("w"),
    Told::WrongRefunded("w"),
];

/// A sequence that was played.
pub struct Played {
    payment: String,
    start: Start,
    told: Vec<Told>,
    deliveries: usize,
    refused: usize,
}

pub async fn run(site: Arc<Site>, count: usize, dice: StdRng) -> String {
    break_statements(&site).await;
    let played = act(&site, count, dice).await;
    mend_statements(&site).await;
    rules::check(&site).await;
    verify(&site, played).await
}

/// From now on statements fail.
pub async fn break_statements(site: &Site) {
    let mut sql = site.sql().await;
    if site.database == Database::Postgres {
        sql.ok(&format!(
            "create function drill_fail() returns trigger language plpgsql as $$ begin
               if random() * {ONE_ROW_IN} < 1 then
                 if random() < 0.2 then perform pg_terminate_backend(pg_backend_pid()); end if;
                 raise exception 'a drill fails this statement';
               end if;
               return null;
             end $$"
        ))
        .await;
    }
    for (number, (table, when)) in WRITES.iter().enumerate() {
        match site.database {
            Database::Postgres => {
                sql.ok(&format!(
                    "create trigger drill_{number} after {when} on {table}
                     for each row execute function drill_fail()"
                ))
                .await;
            }
            // A trigger there has one occasion.
            Database::Sqlite => {
                for when in when.split(" or ") {
                    sql.ok(&format!(
                        "create trigger drill_{number}_{} after {when} on {table}
                         when abs(random() % {ONE_ROW_IN}) = 0
                         begin select raise(abort, 'a drill fails this statement'); end",
                        &when[..6]
                    ))
                    .await;
                }
            }
        }
    }
}

/// Statements pass again.
pub async fn mend_statements(site: &Site) {
    let mut sql = site.sql().await;
    match site.database {
        Database::Postgres => {
            // One after another: each locks its table, and several at once could deadlock with the servers.
            for (number, (table, _)) in WRITES.iter().enumerate() {
                sql.ok(&format!("drop trigger drill_{number} on {table}")).await;
            }
            sql.ok("drop function drill_fail").await;
        }
        Database::Sqlite => {
            let name = "select name as line from sqlite_master where type = 'trigger' and name like 'drill!_%' escape '!'";
            for trigger in sql.lines(name).await {
                sql.ok(&format!("drop trigger {trigger}")).await;
            }
        }
    }
}

pub async fn act(site: &Site, count: usize, mut dice: StdRng) -> Vec<Played> {
    let plays = (0..count).map(|number| {
        let start = Start::ALL[number % Start::ALL.len()];
        let length = dice.random_range(EVENTS);
        let told = (0..length).map(|_| EVERYTHING[dice.random_range(0..EVERYTHING.len())]).collect();
        play(site, start, told, StdRng::seed_from_u64(dice.random()))
    });
    let plays: Vec<_> = plays.collect();
    stream::iter(plays).buffer_unordered(AT_ONCE).collect().await
}

async fn play(site: &Site, start: Start, told: Vec<Told>, mut dice: StdRng) -> Played {
    let todo = fresh("todo");
    site.must(Who::Agent, "todo.create", json!({ "id": todo, "title": "Collect" })).await;
    let payment = site.create(json!({ "todoId": todo })).await.id;
    let id = json!({ "paymentId": payment });
    match start {
        Start::Cancelled => _ = site.must(Who::Agent, "payment.cancelPayment", id).await,
        Start::PaidByHand | Start::PaidByHandAndRefunded => {
            site.must(Who::Agent, "payment.markPaymentManuallyPaid", id).await;
        }
        Start::Pending | Start::Failed | Start::RefundedInFull => {}
    }
    if start == Start::PaidByHandAndRefunded {
        let mark = json!({ "paymentId": payment, "reference": "BACS 1" });
        site.must(Who::Admin, "payment.markPaymentRefunded", mark).await;
    }
    let told: Vec<_> = start.told().into_iter().chain(told).collect();
    // Each event once to three times, in any order, some at the same moment.
    let mut deliveries: Vec<Event> = Vec::new();
    for told in &told {
        let event = event(&payment, *told);
        deliveries.extend(vec![event; dice.random_range(1..=3)]);
    }
    deliveries.shuffle(&mut dice);
    let (count, mut refused) = (deliveries.len(), 0);
    let mut rest = deliveries.as_slice();
    while !rest.is_empty() {
        let (together, later) = rest.split_at(dice.random_range(1..=3).min(rest.len()));
        refused += join_all(together.iter().map(|event| site.deliver(event))).await.iter().sum::<usize>();
        rest = later;
    }
    Played { payment, start, told, deliveries: count, refused }
}

fn event(payment: &str, told: Told) -> Event {
    let own = |intent: &str| format!("pi_{intent}_{payment}");
    match told {
        Told::Processing => Event::intent("payment_intent.processing", &own("t"), payment, AMOUNT),
        Told::Failed => Event::intent("payment_intent.failed", &own("t"), payment, AMOUNT),
        Told::Succeeded(intent) => Event::succeeded(&own(intent), payment, AMOUNT),
        Told::Refunded(intent, pence) => Event::refunded(&own(intent), payment, AMOUNT, pence),
        Told::Wrong(intent) => Event::succeeded(&own(intent), payment, AMOUNT + 1),
        Told::WrongRefunded(intent) => Event::refunded(&own(intent), payment, AMOUNT + 1, AMOUNT + 1),
    }
}

/// Holds every payment against the oracle.
pub async fn verify(site: &Site, played: Vec<Played>) -> String {
    let rows = site.lines(
        "select hex(p.id) || ' ' || p.status || ' ' || cast(p.refunded_pence as text) || ' ' || coalesce((
           select t.status from todos t where t.agency_id = p.agency_id and t.id = p.todo_id), '-') || ' ' || coalesce((
           select string_agg(n.kind, ',' order by n.kind) from payment_anomalies n
           where n.agency_id = p.agency_id and n.payment_id = p.id
         ), '-') as line from payments_ledger p",
    );
    let rows = rows.await;
    let rows: HashMap<&str, &str> = rows.iter().filter_map(|row| row.split_once(' ')).collect();
    for Played { payment, start, told, .. } in &played {
        let Seen { status, refunded, todo_complete, anomalies } = expected(*start, told);
        let todo = if todo_complete { "complete" } else { "open" };
        let anomalies = if anomalies.is_empty() { "-".to_owned() } else { anomalies.join(",") };
        let awaited = format!("{status} {refunded} {todo} {anomalies}");
        assert_eq!(rows[hex(payment).as_str()], awaited, "{payment} from {start:?}, told {told:?}");
    }
    let again =
        site.lines("select cast(count(*) as text) as line from processed_events where tries > 1").await;
    let deliveries: usize = played.iter().map(|played| played.deliveries).sum();
    let refused: usize = played.iter().map(|played| played.refused).sum();
    assert!(played.len() < 50 || again[0] != "0" || refused > 0, "no statement failed");
    format!(
        "{} sequences, {deliveries} deliveries ({refused} refused and repeated, {} events parked and taken up): \
         no difference",
        played.len(),
        again[0]
    )
}
