//! SIGKILL under mixed load, the process restarted on the same data: every acknowledged write is there, and nothing
//! unacknowledged is half there.
//!
//! Here are the killing and the comparison. What the load consists of is `load`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use quittance::sandbox::Faults;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    load::{Book, Load},
    rules,
    site::Site,
};

/// Callers at once.
const CALLERS: usize = 12;
/// How long a process may live, in milliseconds.
const LIVES_MS: std::ops::Range<u64> = 100..700;

/// Everything that callers can be told of, as it stands in the tables.
const STANDING: &str = "
    select 'payment ' || hex(id) as line from payments_ledger
    union all select 'key ' || idempotency_key || ' ' || hex(id) from payments_ledger where idempotency_key is not null
    union all select 'cancelled ' || hex(id) from payments_ledger where cancelled_at is not null
    union all select 'paid ' || hex(payment_id) || ' ' || reference from manual_payments where reference is not null
    union all select 'withdrawn ' || hex(payment_id) || ' ' || withdrawal_reason from manual_payments
      where withdrawn_at is not null
    union all select 'refunded ' || hex(id) || ' ' || refund_reference from payments_ledger
      where refund_marked_at is not null
    union all select 'link ' || hex(payment_id) || ' ' || url from checkout_sessions where url is not null
    union all select 'event ' || event_id from processed_events
    union all select 'todo ' || id from todos
    union all select 'task ' || id from custom_payment_tasks";

/// What was acknowledged, and how often a process was killed.
pub struct Done {
    book: Arc<Book>,
    kills: usize,
}

pub async fn run(site: Arc<Site>, kills: usize, dice: StdRng) -> String {
    // The provider misbehaves a little, too.
    site.sandbox.set_faults(Faults {
        duplicate: 0.2,
        reorder: 0.2,
        drop_answer: 0.02,
        fail_after: 0.02,
        ..Faults::default()
    });
    let done = act(&site, kills, dice).await;
    rules::check(&site).await;
    verify(&site, done).await
}

pub async fn act(site: &Arc<Site>, kills: usize, mut dice: StdRng) -> Done {
    let load = Load::start(site, CALLERS, StdRng::seed_from_u64(dice.random()));
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(dice.random_range(LIVES_MS))).await;
        let down = site.kill(site.any()).await;
        let acknowledged = load.book.acknowledged();
        down.start().await;
        compare(site, &acknowledged).await;
    }
    // The last process lives for a while, too.
    tokio::time::sleep(Duration::from_millis(LIVES_MS.end)).await;
    Done { book: load.stop().await, kills }
}

pub async fn verify(site: &Site, done: Done) -> String {
    let acknowledged = done.book.acknowledged();
    compare(site, &acknowledged).await;
    let kinds = ["payment", "event", "cancelled", "paid", "withdrawn", "refunded", "link", "todo", "task"];
    let kinds = kinds.map(|kind| {
        let of_kind = |line: &&String| line.split(' ').next() == Some(kind);
        let count = acknowledged.iter().filter(of_kind).count();
        // In fewer lives luck may leave a rare one out.
        assert!(count > 0 || done.kills < 50, "the load acknowledged no {kind}");
        format!("{kind} {count}")
    });
    format!(
        "killed {} times; all {} acknowledged writes are there ({}), {} calls were left without an answer",
        done.kills,
        acknowledged.len(),
        kinds.join(", "),
        done.book.unanswered()
    )
}

async fn compare(site: &Site, acknowledged: &BTreeSet<String>) {
    let standing: BTreeSet<String> = site.lines(STANDING).await.into_iter().collect();
    let missing: Vec<_> = acknowledged.difference(&standing).collect();
    assert!(missing.is_empty(), "acknowledged, but not there: {missing:?}");
}
