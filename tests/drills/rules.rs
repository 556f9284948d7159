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
        "unsealed changes",
        "select hex(id) as line from audit_log where sequence is null
         and from_status is distinct from to_status",
    ),
];

/// Payments with how many proofs each has, and whether it was ever paid.
const PROOFS: &str = "(select p.id, p.agency_id, p.todo_id, p.custom_payment_task_id, p.cancelled_at,
    coalesce(intents.succeeded, 0) as succeeded,
    coalesce(intents.succeeded, 0) + case when p.manually_paid_at is null then 0 else 1 end as proofs
  from payments_ledger p left join (
    select payment_id, count(*) as succeeded from payment_intents where state = 'succeeded' group by payment_id
  ) intents on intents.payment_id = p.id)";

/// Each with what it says, and a query for what breaks it. `PROOFS` stands for the table above.
const RULES: [(&str, &str); 20] = [
    (
        "a status is the fold of the facts",
        "select hex(id) || ' is ' || status || ', its facts say ' || coalesce(fold, 'nothing') as line from (
           select p.id, p.status, case
             when (p.manually_paid_at is not null and not p.manual_refund_marked) or exists (
               select 1 from payment_intents i where i.payment_id = p.id and i.state = 'succeeded'
               and i.refunded_pence < p.amount_pence and not i.refund_marked) then 'succeeded'
             when p.manually_paid_at is not null or exists (
               select 1 from payment_intents i where i.payment_id = p.id and i.state = 'succeeded') then 'refunded'
             when p.cancelled_at is not null then 'cancelled'
             else (select s.best from checkout_sessions s where s.payment_id = p.id order by s.attempt desc limit 1)
           end as fold from payments_ledger p) folded
         where fold is null or status <> fold",
    ),
    (
        "refunded pence are the sum over succeeded intents",
        "select hex(p.id) as line from payments_ledger p where p.refunded_pence <> coalesce((
           select sum(i.refunded_pence) from payment_intents i
           where i.payment_id = p.id and i.state = 'succeeded'), 0)",
    ),
    (
        "versions are dense, one audit row each",
        "select hex(p.id) || ' has version ' || cast(p.version as text) || ' and rows ' ||
           cast(count(a.version) as text) as line
         from payments_ledger p left join audit_log a on a.payment_id = p.id group by p.id, p.version
         having count(a.version) <> p.version or coalesce(min(a.version), 0) <> 1
           or coalesce(max(a.version), 0) <> p.version",
    ),
    (
        "a trail goes on where it stood, and its entries rise with its versions",
        "select hex(payment_id) || ' version ' || cast(version as text) as line from (
           select payment_id, version, from_status, entry,
             lag(to_status) over (partition by payment_id order by version) as status_before,
             lag(entry) over (partition by payment_id order by version) as entry_before
           from audit_log where payment_id is not null) trail
         where version > 1 and (from_status is distinct from status_before or entry <= entry_before)",
    ),
    (
        "a trail ends at the status",
        "select hex(p.id) || ' is ' || p.status || ', told is ' || a.to_status as line
         from payments_ledger p join audit_log a on a.payment_id = p.id and a.version = p.version
         where a.to_status <> p.status",
    ),
    (
        "only some rows are no transition",
        "select hex(payment_id) || ' ' || action as line from audit_log where from_status = to_status
         and action not in ('payment.checkout_renewed', 'payment.anomaly', 'payment.anomaly_resolved')",
    ),
    (
        "attempts are dense and the newest is known",
        "select hex(p.id) || ' has latest attempt ' || cast(p.latest_attempt as text) as line
         from payments_ledger p left join checkout_sessions s on s.payment_id = p.id group by p.id, p.latest_attempt
         having count(s.attempt) <> p.latest_attempt or coalesce(min(s.attempt), 0) <> 1
           or coalesce(max(s.attempt), 0) <> p.latest_attempt",
    ),
    (
        "a session bears its own key",
        "select provider_key as line from checkout_sessions
         where upper(replace(provider_key, '-', '')) <> 'QUITTANCE' || hex(payment_id) || cast(attempt as text)",
    ),
    (
        "an open session is visited again",
        "select hex(payment_id) as line from checkout_sessions where state = 'open' and next_read_at is null",
    ),
    (
        "a todo is complete exactly when a payment for it was paid and not cancelled before",
        "select t.id || ' is ' || t.status as line from todos t left join (
           select distinct agency_id, todo_id from PROOFS paying where proofs > 0 and cancelled_at is null
         ) paid on paid.agency_id = t.agency_id and paid.todo_id = t.id
         where (t.status = 'complete') <> (paid.todo_id is not null)",
    ),
    (
        "a task is paid exactly when a payment for it was paid and not cancelled before",
        "select t.id || ' is ' || t.status as line from custom_payment_tasks t left join (
           select distinct agency_id, custom_payment_task_id from PROOFS paying
           where proofs > 0 and cancelled_at is null
         ) paid on paid.agency_id = t.agency_id and paid.custom_payment_task_id = t.id
         where (t.status = 'paid') <> (paid.custom_payment_task_id is not null)",
    ),
    (
        "every further proof is a double payment, and nothing else is",
        "select hex(p.id) || ' has proofs ' || cast(p.proofs as text) as line from PROOFS p left join (
           select payment_id, count(*) as doubles from payment_anomalies where kind = 'double_payment'
           group by payment_id) a on a.payment_id = p.id
         where coalesce(a.doubles, 0) <> case when p.proofs > 1 then p.proofs - 1 else 0 end
           and not exists (select 1 from payments_ledger o where o.agency_id = p.agency_id
             and o.custom_payment_task_id = p.custom_payment_task_id and o.id <> p.id)",
    ),
    (
        "money after a cancellation is noticed, once",
        "select hex(p.id) as line from PROOFS p left join (
           select payment_id, count(*) as noticed from payment_anomalies where kind = 'paid_after_cancelled'
           group by payment_id) a on a.payment_id = p.id
         where coalesce(a.noticed, 0) <> case when p.cancelled_at is not null and p.succeeded > 0 then 1 else 0 end",
    ),
    (
        "a rejected intent is noticed",
        "select i.intent_id as line from payment_intents i where i.state = 'rejected' and not exists (
           select 1 from payment_anomalies a where a.payment_id = i.payment_id and a.reference = i.intent_id
           and a.kind in ('amount_mismatch', 'currency_mismatch'))",
    ),
    (
        "open anomalies are counted, and each has its audit row",
        "select hex(p.id) as line from payments_ledger p left join (
           select payment_id, count(*) as found, sum(case when status = 'open' then 1 else 0 end) as still_open
           from payment_anomalies group by payment_id) a on a.payment_id = p.id
         left join (select payment_id, count(*) as told from audit_log where action = 'payment.anomaly'
           group by payment_id) t on t.payment_id = p.id
         where p.open_anomalies <> coalesce(a.still_open, 0) or coalesce(a.found, 0) <> coalesce(t.told, 0)",
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
        "the sequence is dense",
        "select hex(agency_id) as line from audit_log group by agency_id
         having count(sequence) <> max(sequence) or min(sequence) <> 1",
    ),
    (
        "the sequence rises with a payment's versions",
        "select hex(payment_id) || ' version ' || cast(version as text) as line from (
           select payment_id, version, sequence,
             lag(sequence) over (partition by payment_id order by version) as before
           from audit_log where payment_id is not null) trail
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

/// Waits until everything that was begun is done, by the provider, the janitor, the inbox and the sealer, and all money
/// that was taken is known; says what is not.
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
        let found = sql.lines(&query.replace("PROOFS", PROOFS)).await;
        if let Some(first) = found.first() {
            broken.push(format!("{rule}: {first} (and {} more)", found.len() - 1));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    check_sessions(site).await;
    check_stats(site).await;
}

/// Every session that the provider made belongs to exactly one row, and no attempt has two.
async fn check_sessions(site: &Site) {
    let rows = site.lines(
        "select hex(payment_id) || ' ' || cast(attempt as text) || ' ' || session_id || ' ' || url as line
         from checkout_sessions where session_id is not null",
    );
    let ours: BTreeSet<String> = rows.await.into_iter().collect();
    let mut theirs = BTreeMap::new();
    for session in site.sandbox.sessions() {
        let payment = session.metadata["ledger_id"].as_str().expect("an id");
        let attempt = format!("{} {}", hex(payment), session.metadata["attempt"]);
        let made = format!("{attempt} {} {}", session.id, session.url);
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
