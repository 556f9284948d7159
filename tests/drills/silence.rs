//! Paid sessions without any webhook: the janitor finds every one, also those of cancelled and of manually paid
//! payments; webhooks that arrive afterwards change nothing.
//!
//! The janitor reads 20 times a second at most, twice for each payment: a thousand take about two minutes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use quittance::sandbox::Method;
use rand::rngs::StdRng;
use serde_json::json;

use crate::{
    client::fresh,
    harness::{Created, Event},
    rules,
    site::{Site, Who},
};

const AMOUNT: i64 = 25_000;
const AT_ONCE: usize = 16;
/// The most the janitor may read in a second.
const READS_PER_SECOND: u64 = 20;

/// What was paid, and under which description.
pub struct Done {
    mark: String,
    paid: Vec<(Created, String)>,
    began: Instant,
}

pub async fn run(site: Arc<Site>, count: usize, _: StdRng) -> String {
    let done = act(&site, count).await;
    let told = verify(&site, done).await;
    rules::check(&site).await;
    told
}

/// Makes the payments and pays their sessions.
pub async fn act(site: &Site, count: usize) -> Done {
    let mark = fresh("silence");
    let began = Instant::now();
    let paying = (0..count).map(|number| {
        let mark = mark.clone();
        async move {
            let created = site.create(json!({ "description": mark })).await;
            let id = json!({ "paymentId": created.id });
            match number % 5 {
                3 => _ = site.must(Who::Agent, "payment.cancelPayment", id).await,
                4 => _ = site.must(Who::Agent, "payment.markPaymentManuallyPaid", id).await,
                _ => {}
            }
            let intent = site.sandbox.pay(created.session_id(), Method::Card).await.expect("it is open");
            (created, intent)
        }
    });
    let paid = stream::iter(paying).buffer_unordered(AT_ONCE).collect().await;
    Done { mark, paid, began }
}

/// Waits for the janitor, then lets the webhooks come.
pub async fn verify(site: &Site, done: Done) -> String {
    let Done { mark, paid, began } = done;
    let unpaid = format!(
        "select hex(p.id) as line from payments_ledger p where p.description = '{mark}' and not exists (
           select 1 from payment_intents i
           where i.agency_id = p.agency_id and i.payment_id = p.id and i.state = 'succeeded') limit 5"
    );
    site.until_none("paid sessions that were not found", &unpaid).await;
    let found_after = began.elapsed();
    let reads = site.sandbox.requests().iter().filter(|request| request.method == "GET").count() as u64;
    if site.setup.instances == 1 {
        let allowed = READS_PER_SECOND * (found_after + Duration::from_secs(2)).as_secs();
        assert!(reads <= allowed, "{reads} reads in {found_after:?}");
    }

    let standing = format!(
        "select hex(id) || ' ' || cast(version as text) || ' ' || status || ' ' || payment_intent_id as line
         from payments_ledger where description = '{mark}' order by id"
    );
    let before = site.lines(&standing).await;
    assert_eq!(before.len(), paid.len());
    assert!(before.iter().all(|row| row.contains(" succeeded ")), "{before:?}");
    let mut late = Vec::new();
    for (created, intent) in &paid {
        let object = json!({
            "id": created.session_id(), "object": "checkout.session", "payment_status": "paid",
            "payment_intent": intent, "amount_total": AMOUNT, "currency": "gbp",
            "metadata": { "ledger_id": created.id, "attempt": 1 },
        });
        late.push(Event::succeeded(intent, &created.id, AMOUNT));
        late.push(Event::new("checkout.session.completed", object));
    }
    stream::iter(&late)
        .for_each_concurrent(AT_ONCE, |event| async move { _ = site.deliver(event).await })
        .await;
    assert_eq!(site.lines(&standing).await, before, "late webhooks changed something");
    let ids: Vec<_> = late.iter().map(|event| format!("'{}'", event.id())).collect();
    for ids in ids.chunks(500) {
        let other = format!(
            "select event_id || ' ' || verdict as line from processed_events
             where event_id in ({}) and verdict <> 'stale'",
            ids.join(",")
        );
        assert_eq!(site.lines(&other).await, Vec::<String>::new(), "a late webhook counted");
    }
    format!(
        "{} paid sessions found in {found_after:.0?} with {reads} reads; {} late webhooks changed nothing",
        paid.len(),
        late.len()
    )
}
