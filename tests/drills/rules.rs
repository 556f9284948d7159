//! What must hold of the tables whatever happened: each rule is a query for what breaks it. They share nothing with
//! the server; the fold is written once more, in SQL.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    client::hex,
    site::{Site, Who},
};

/// For a dead server's lease on parked events to run out, which takes three minutes, and another's turn to come.
const SETTLED_WITHIN: Duration = Duration::from_secs(240);

/// Work that is still to be done, by whoever is responsible for it.
const UNFINISHED: [(&str, &str); 3] = [
    (
        "sessions whose outcome is unknown",
        "select hex(payment_id) || ' attempt ' || cast(attempt as text) as line
         from checkout_sessions where state = 'creating'",
    ),
    (
        "parked events",
        "select event_id || ' ' || coalesce(reason, '') as line from processed_events where verdict = 'parked'",
    ),
    (
        "changes without a number",
        "select hex(id) as line from audit_log where sequence is null
         and from_status is distinct from to_status",
    ),
];

/// Proofs of payment, each with the name that anomalies have for it, and whether its money is still here.
const PROOFS: &str = "(
  select agency_id, payment_id, 0 as is_intent, number, 'manual ' || cast(number as text) as name,
    marked_at as proved_at, case when refund_marked then 0 else 1 end as is_kept
  from manual_payments where withdrawn_at is null
  union all
  select i.agency_id, i.payment_id, 1, 0, i.intent_id, i.succeeded_at,
    case when i.refunded_pence < p.amount_pence and not i.refund_marked then 1 else 0 end
  from payment_intents i join payments_ledger p on p.agency_id = i.agency_id and p.id = i.payment_id
  where i.state = 'succeeded')";

/// Payments with how many proofs each has, how many of these are intents, and how many are kept.
const PAID: &str = "(
  select p.*, coalesce(f.proofs, 0) as proofs, coalesce(f.succeeded, 0) as succeeded, coalesce(f.kept, 0) as kept
  from payments_ledger p left join (
    select agency_id, payment_id, count(*) as proofs, sum(is_intent) as succeeded, sum(is_kept) as kept
    from PROOFS proofs group by agency_id, payment_id
  ) f on f.agency_id = p.agency_id and f.payment_id = p.id)";

/// Proofs with their place in the order of their custom payment task, or of their payment where that has no task or was
/// cancelled.
const ORDERED: &str = "(
  select f.agency_id, f.payment_id, f.name, row_number() over (
    partition by f.agency_id, case when p.cancelled_at is null then p.custom_payment_task_id end,
      case when p.cancelled_at is not null or p.custom_payment_task_id is null then p.id end
    order by f.payment_id, f.is_intent, f.number, f.name collate \"binary\") as place
  from PROOFS f join payments_ledger p on p.agency_id = f.agency_id and p.id = f.payment_id)";

/// Each with what it says, and a query for what breaks it. `PROOFS`, `PAID` and `ORDERED` stand for the tables above.
const RULES: [(&str, &str); 26] = [
    (
        "a status is the fold of the facts",
        "select hex(id) || ' is ' || status || ', its facts say ' || coalesce(fold, 'nothing') as line from (
           select p.id, p.status, case
             when p.kept > 0 then 'succeeded'
             when p.proofs > 0 then 'refunded'
             when p.cancelled_at is not null then 'cancelled'
             else (select s.best from checkout_sessions s where s.agency_id = p.agency_id and s.payment_id = p.id
               order by s.attempt desc limit 1)
           end as fold from PAID p) folded
         where fold is null or status <> fold",
    ),
    (
        "refunded pence are the sum over succeeded intents",
        "select hex(p.id) as line from payments_ledger p where p.refunded_pence <> coalesce((
           select sum(i.refunded_pence) from payment_intents i
           where i.agency_id = p.agency_id and i.payment_id = p.id and i.state = 'succeeded'), 0)",
    ),
    (
        "manual payments are counted and numbered, and all but the newest are withdrawn",
        "select hex(p.id) || ' counts ' || cast(p.manual_payments as text) as line from payments_ledger p
         left join manual_payments m on m.agency_id = p.agency_id and m.payment_id = p.id
         group by p.agency_id, p.id, p.manual_payments
         having count(m.number) <> p.manual_payments or coalesce(max(m.number), 0) <> p.manual_payments
           or min(case when m.withdrawn_at is null then m.number end) < p.manual_payments",
    ),
    (
        "a payment shows the manual payment that was not withdrawn",
        "select hex(p.id) as line from payments_ledger p left join manual_payments m
           on m.agency_id = p.agency_id and m.payment_id = p.id and m.withdrawn_at is null
         where p.manually_paid <> (m.number is not null) or p.manual_payment_reference is distinct from m.reference",
    ),
    (
        "each manual payment and each withdrawal has its audit row",
        "select hex(p.id) as line from payments_ledger p
         left join (
           select agency_id, payment_id, count(*) as marked, count(withdrawn_at) as withdrawn
           from manual_payments group by agency_id, payment_id
         ) m on m.agency_id = p.agency_id and m.payment_id = p.id
         left join (
           select agency_id, payment_id, sum(case when action = 'payment.manually_paid' then 1 else 0 end) as marked,
             sum(case when action = 'payment.manual_payment_withdrawn' then 1 else 0 end) as withdrawn
           from audit_log group by agency_id, payment_id
         ) a on a.agency_id = p.agency_id and a.payment_id = p.id
         where coalesce(m.marked, 0) <> coalesce(a.marked, 0)
           or coalesce(m.withdrawn, 0) <> coalesce(a.withdrawn, 0)",
    ),
    (
        "the first success is known exactly when there is one",
        "select hex(p.id) as line from PAID p left join payment_intents i
           on i.intent_id = p.payment_intent_id and i.payment_id = p.id and i.state = 'succeeded'
         where (p.succeeded > 0) <> (i.intent_id is not null)
           or (p.payment_intent_id is not null) <> (i.intent_id is not null)",
    ),
    (
        "a payment was paid when it was marked, else when its first success came",
        "select hex(p.id) as line from payments_ledger p
         left join PROOFS m on m.agency_id = p.agency_id and m.payment_id = p.id and m.is_intent = 0
         left join PROOFS i on i.agency_id = p.agency_id and i.payment_id = p.id and i.is_intent = 1
           and i.name = p.payment_intent_id
         where p.paid_at is distinct from coalesce(m.proved_at, i.proved_at)",
    ),
    (
        "versions are dense, one audit row each",
        "select hex(p.id) || ' has version ' || cast(p.version as text) || ' and rows ' ||
           cast(count(a.version) as text) as line
         from payments_ledger p left join audit_log a on a.agency_id = p.agency_id and a.payment_id = p.id
         group by p.agency_id, p.id, p.version
         having count(a.version) <> p.version or coalesce(min(a.version), 0) <> 1
           or coalesce(max(a.version), 0) <> p.version",
    ),
    (
        "a trail goes on where it stood, and its entries rise with its versions",
        "select hex(payment_id) || ' version ' || cast(version as text) as line from (
           select payment_id, version, from_status, entry,
             lag(to_status) over (partition by agency_id, payment_id order by version) as status_before,
             lag(entry) over (partition by agency_id, payment_id order by version) as entry_before
           from audit_log where payment_id is not null) trail
         where version > 1 and (from_status is distinct from status_before or entry <= entry_before)",
    ),
    (
        "a trail ends at the status",
        "select hex(p.id) || ' is ' || p.status || ', told is ' || a.to_status as line
         from payments_ledger p join audit_log a
           on a.agency_id = p.agency_id and a.payment_id = p.id and a.version = p.version
         where a.to_status <> p.status",
    ),
    (
        "only some rows are no transition",
        "select hex(payment_id) || ' ' || action as line from audit_log where from_status = to_status
         and action not in ('payment.checkout_renewed', 'payment.manual_payment_withdrawn', 'payment.refunded',
           'payment.anomaly', 'payment.anomaly_resolved')",
    ),
    (
        "attempts are dense and the newest is known",
        "select hex(p.id) || ' has latest attempt ' || cast(p.latest_attempt as text) as line
         from payments_ledger p left join checkout_sessions s on s.agency_id = p.agency_id and s.payment_id = p.id
         group by p.agency_id, p.id, p.latest_attempt
         having count(s.attempt) <> p.latest_attempt or coalesce(min(s.attempt), 0) <> 1
           or coalesce(max(s.attempt), 0) <> p.latest_attempt",
    ),
    (
        "an open session is visited again",
        "select hex(payment_id) as line from checkout_sessions where state = 'open' and next_read_at is null",
    ),
    (
        "a todo is complete exactly when a payment for it was paid and not cancelled before",
        "select t.id || ' is ' || t.status as line from todos t left join (
           select distinct agency_id, todo_id from PAID paying where proofs > 0 and cancelled_at is null
         ) paid on paid.agency_id = t.agency_id and paid.todo_id = t.id
         where (t.status = 'complete') <> (paid.todo_id is not null)",
    ),
    (
        "a task is paid by the first payment for it that was paid and not cancelled before",
        "select t.id || ' is ' || t.status as line from custom_payment_tasks t left join (
           select agency_id, custom_payment_task_id, id,
             row_number() over (partition by agency_id, custom_payment_task_id order by id) as place
           from PAID paying where proofs > 0 and cancelled_at is null and custom_payment_task_id is not null
         ) paid on paid.agency_id = t.agency_id and paid.custom_payment_task_id = t.id and paid.place = 1
         where (t.status = 'paid') <> (paid.id is not null) or t.paid_by_payment_id is distinct from paid.id",
    ),
    (
        "every further proof is a double payment",
        "select hex(f.payment_id) || ' ' || f.name as line from ORDERED f
         left join payment_anomalies a on a.agency_id = f.agency_id and a.payment_id = f.payment_id
           and a.kind = 'double_payment' and a.reference = f.name
         where f.place > 1 and a.id is null",
    ),
    (
        "nothing else is an open double payment",
        "select hex(a.payment_id) || ' ' || a.reference as line from payment_anomalies a
         left join ORDERED f on f.agency_id = a.agency_id and f.payment_id = a.payment_id and f.name = a.reference
         where a.kind = 'double_payment' and a.status = 'open' and coalesce(f.place, 1) = 1",
    ),
    (
        "money after a cancellation is noticed, once",
        "select hex(p.id) as line from PAID p left join (
           select agency_id, payment_id, count(*) as noticed from payment_anomalies
           where kind = 'paid_after_cancelled' group by agency_id, payment_id
         ) a on a.agency_id = p.agency_id and a.payment_id = p.id
         where coalesce(a.noticed, 0) <> case when p.cancelled_at is not null and p.succeeded > 0 then 1 else 0 end",
    ),
    (
        "a rejected intent is noticed",
        "select i.intent_id as line from payment_intents i where i.state = 'rejected' and not exists (
           select 1 from payment_anomalies a where a.agency_id = i.agency_id and a.payment_id = i.payment_id
           and a.reference = i.intent_id and a.kind in ('amount_mismatch', 'currency_mismatch'))",
    ),
    (
        "open anomalies are counted, and the trail tells of each that came and went",
        "select hex(p.id) as line from payments_ledger p
         left join (
           select agency_id, payment_id, count(*) as found,
             sum(case when status = 'open' then 1 else 0 end) as still_open
           from payment_anomalies group by agency_id, payment_id
         ) a on a.agency_id = p.agency_id and a.payment_id = p.id
         left join (
           select agency_id, payment_id, sum(case when action = 'payment.anomaly' then 1 else 0 end) as raised,
             sum(case when action = 'payment.anomaly_resolved' then 1 else 0 end) as settled
           from audit_log group by agency_id, payment_id
         ) t on t.agency_id = p.agency_id and t.payment_id = p.id
         where p.open_anomalies <> coalesce(a.still_open, 0) or coalesce(t.raised, 0) < coalesce(a.found, 0)
           or coalesce(t.raised, 0) - coalesce(t.settled, 0) <> p.open_anomalies",
    ),
    (
        "an applied event left its intent",
        "select event_id as line from processed_events e
         where verdict in ('applied', 'stale') and intent_id is not null and payment_id is not null
           and (event_type like '%succeeded' or event_type like '%refunded' or event_type like '%completed')
           and not exists (select 1 from payment_intents i where i.intent_id = e.intent_id)",
    ),
    (
        "no event is given up, and none is stored twice",
        "select event_id || ' is ' || min(verdict) || ', ' || cast(count(*) as text) || ' rows' as line
         from processed_events group by event_id
         having count(*) <> 1 or min(verdict) in ('dead', 'quarantined')",
    ),
    (
        "nothing waits to be sent to Inngest, which is not configured",
        "select event_id as line from processed_events where unsent
         union all select hex(agency_id) from inngest_cursors",
    ),
    (
        "the sequence is dense",
        "select hex(agency_id) as line from audit_log group by agency_id
         having count(sequence) <> max(sequence) or min(sequence) <> 1",
    ),
    (
        "the sequence rises with a payment's versions",
        "select hex(payment_id) || ' version ' || cast(version as text) as line from (
           select payment_id, version, sequence,
             lag(sequence) over (partition by agency_id, payment_id order by version) as before
           from audit_log where payment_id is not null and sequence is not null) trail
         where before is not null and sequence <= before",
    ),
    (
        "the totals are what a recount gives",
        "select hex(agency_id) || ' ' || status || ' is off by ' || cast(sum(payments) as text) as line from (
           select agency_id, status, payments, total_pence from agency_totals
           union all select agency_id, status, -1, -amount_pence from payments_ledger) recount
         group by agency_id, status having sum(payments) <> 0 or sum(total_pence) <> 0",
    ),
];

/// Waits until everything that was begun is done, by the provider, the janitor, the inbox and the sequencer, and all
/// money that was taken is known; says what is not.
async fn settle(site: &Site) -> Vec<String> {
    site.sandbox.settled().await;
    let (began, mut unfinished) = (Instant::now(), Vec::new());
    let patience = || SETTLED_WITHIN.saturating_sub(began.elapsed());
    for (what, query) in UNFINISHED {
        if let Err(left) = site.empties(query, patience()).await {
            unfinished.push(format!("there still are {what}: {left}"));
        }
    }
    loop {
        let known: BTreeSet<String> =
            site.lines("select intent_id as line from payment_intents").await.into_iter().collect();
        let paid = site.sandbox.sessions().into_iter().filter(|session| session.paid);
        let mut unknown = paid.filter_map(|session| session.payment_intent).filter(|id| !known.contains(id));
        match unknown.next() {
            None => return unfinished,
            Some(first) if patience().is_zero() => {
                unfinished.push(format!("money was taken, and nobody knows: {first}"));
                return unfinished;
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Everything that must hold once all is settled.
pub async fn check(site: &Site) {
    let mut broken = settle(site).await;
    let mut sql = site.sql().await;
    for (rule, query) in RULES {
        let query = query.replace("PAID", PAID).replace("ORDERED", ORDERED).replace("PROOFS", PROOFS);
        let found = sql.lines(&query).await;
        if let Some(first) = found.first() {
            broken.push(format!("{rule}: {first} (and {} more)", found.len() - 1));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    check_sessions(site).await;
    check_stats(site).await;
}

/// Every session that the provider made belongs to exactly one row, which says what was asked for, and no attempt has
/// two.
async fn check_sessions(site: &Site) {
    let rows = site.lines(
        "select hex(payment_id) || ' ' || cast(attempt as text) || ' ' || session_id || ' ' || url || ' ' ||
           success_url || ' ' || cancel_url as line
         from checkout_sessions where session_id is not null",
    );
    let ours: BTreeSet<String> = rows.await.into_iter().collect();
    let mut theirs = BTreeMap::new();
    for session in site.sandbox.sessions() {
        let payment = session.metadata["ledger_id"].as_str().expect("an id");
        let attempt = format!("{} {}", hex(payment), session.metadata["attempt"]);
        let made = format!(
            "{attempt} {} {} {} {}",
            session.id, session.url, session.success_url, session.cancel_url
        );
        assert!(ours.contains(&made), "the provider made a session that no row has: {made}");
        if let Some(other) = theirs.insert(attempt, made.clone()) {
            panic!("one attempt, two sessions: {made} and {other}");
        }
    }
    assert_eq!(theirs.len(), ours.len(), "a row has a session that the provider did not make");
}

/// `payment.stats` says what the rows say.
async fn check_stats(site: &Site) {
    let stats = site.must(Who::Agent, "payment.stats", json!({})).await;
    for status in ["pending", "succeeded"] {
        let counted = format!(
            "select cast(count(*) as text) || ' ' || cast(coalesce(sum(amount_pence), 0) as text) as line
             from payments_ledger where status = '{status}'"
        );
        let told = format!("{} {}", stats[status]["count"], stats[status]["totalPence"]);
        assert_eq!(site.lines(&counted).await, [told], "{status}");
    }
}
