//! Cancel, manual mark and success of one payment at the same instant: only the outcomes of the lifecycle, and every
//! receipt visible.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use rand::{RngExt, rngs::StdRng};
use serde_json::json;

use crate::{
    client::hex,
    harness::Event,
    rules,
    site::{Site, Who},
};

const AMOUNT: i64 = 25_000;
/// Races under way at once.
const AT_ONCE: usize = 24;

/// What a person was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Accepted,
    Refused,
    /// Refused, after a try without an answer: that may have been what it was refused for.
    Unsure,
}

/// A payment that was raced for.
pub struct Race {
    payment: String,
    event: String,
    cancelled: Told,
    marked: Told,
}

pub async fn run(site: Arc<Site>, count: usize, dice: StdRng) -> String {
    let done = act(&site, count, dice).await;
    rules::check(&site).await;
    verify(&site, done).await
}

pub async fn act(site: &Site, count: usize, mut dice: StdRng) -> Vec<Race> {
    let races = (0..count).map(|_| {
        // Each goes first in about a third of the races; an event has a longer way than a call, on a busy machine a
        // much longer one.
        let ahead =
            Duration::from_millis(if dice.random_ratio(1, 3) { dice.random_range(5..100) } else { 0 });
        let mut pauses = [(); 3].map(|()| Duration::from_micros(dice.random_range(0..3_000)));
        pauses[0] += ahead;
        pauses[1] += ahead;
        race(site, pauses)
    });
    let races: Vec<_> = races.collect();
    stream::iter(races).buffer_unordered(AT_ONCE).collect().await
}

async fn race(site: &Site, pauses: [Duration; 3]) -> Race {
    let payment = site.create(json!({})).await.id;
    let event = Event::succeeded(&format!("pi_{payment}"), &payment, AMOUNT);
    let after = |number: usize| tokio::time::sleep(pauses[number]);
    let (cancelled, marked, ()) = tokio::join!(
        async {
            after(0).await;
            told(site, "payment.cancelPayment", &payment).await
        },
        async {
            after(1).await;
            told(site, "payment.markPaymentManuallyPaid", &payment).await
        },
        async {
            after(2).await;
            site.deliver(&event).await;
        }
    );
    Race { payment, event: event.id().to_owned(), cancelled, marked }
}

async fn told(site: &Site, method: &str, payment: &str) -> Told {
    let mut unsure = false;
    loop {
        match site.attempt(Who::Agent, method, json!({ "paymentId": payment })).await {
            Some(Ok(_)) => return Told::Accepted,
            Some(Err(fault)) => {
                assert_eq!(fault.kind(), "INVALID_TRANSITION", "{method}: {fault:?}");
                return if unsure { Told::Unsure } else { Told::Refused };
            }
            None => unsure = true,
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

pub async fn verify(site: &Site, races: Vec<Race>) -> String {
    let rows = site.lines(
        "select hex(p.id) || ' ' || p.status || ' ' || coalesce(p.payment_intent_id, '-') || ' ' || (
           select string_agg(a.action, ',' order by a.version) from audit_log a
           where a.agency_id = p.agency_id and a.payment_id = p.id
         ) || ' ' || coalesce((
           select string_agg(n.kind, ',' order by n.kind) from payment_anomalies n
           where n.agency_id = p.agency_id and n.payment_id = p.id
         ), '-') as line from payments_ledger p",
    );
    let rows = rows.await;
    let rows: HashMap<&str, &str> = rows.iter().filter_map(|row| row.split_once(' ')).collect();
    let verdicts = site.lines("select event_id || ' ' || verdict as line from processed_events").await;
    let verdicts: HashMap<&str, &str> = verdicts.iter().filter_map(|row| row.split_once(' ')).collect();
    let mut outcomes = BTreeMap::<_, usize>::new();
    for Race { payment, event, cancelled, marked } in &races {
        let receipt = format!("succeeded pi_{payment}");
        let paid = format!("{receipt} payment.created,payment.succeeded -");
        let cancelled_first = format!(
            "{receipt} payment.created,payment.cancelled,payment.succeeded,payment.anomaly paid_after_cancelled"
        );
        let marked_first =
            format!("{receipt} payment.created,payment.manually_paid,payment.anomaly double_payment");
        let row = rows[hex(payment).as_str()];
        let (outcome, did_cancel, did_mark) = match row {
            _ if row == paid => ("paid", false, false),
            _ if row == cancelled_first => ("cancelled, then paid", true, false),
            _ if row == marked_first => ("marked, then paid", false, true),
            _ => panic!("no outcome of the lifecycle: {row}; told were {cancelled:?} and {marked:?}"),
        };
        for (told, done) in [(cancelled, did_cancel), (marked, did_mark)] {
            let agrees = match told {
                Told::Accepted => done,
                Told::Refused => !done,
                Told::Unsure => true,
            };
            assert!(agrees, "{payment}: {cancelled:?}, {marked:?}, but {outcome}");
        }
        let verdict = verdicts[event.as_str()];
        // Where the success is what was paid with, its event says so; else it is one more proof.
        assert_eq!(verdict == "applied", !did_mark, "{outcome}: {verdict}");
        *outcomes.entry(outcome).or_default() += 1;
    }
    assert!(races.len() < 50 || outcomes.len() == 3, "all three outcomes come up: {outcomes:?}");
    format!("{} payments raced for, every receipt visible: {outcomes:?}", races.len())
}
