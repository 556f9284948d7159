//! SIGKILL between the provider's session and our commit: every session that the provider made belongs to exactly one
//! row, and no payment gets a second one.
//!
//! The answer is held back on its way; two thirds of the processes die waiting for it, the others while it comes in.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    client::{created, fresh},
    gate::Way,
    harness::create_params,
    rules,
    site::{Site, Who},
};

/// Creates under way when a process dies.
const CREATES: usize = 3;
/// For the creates to reach the provider. With several drills at once the server may be down: then they do not.
const REACHED_WITHIN: Duration = Duration::from_secs(2);

/// What was asked for, and how many of it had a session but no row that knew it when the process died.
pub struct Done {
    asked: Vec<Value>,
    kills: usize,
    in_the_gap: usize,
}

pub async fn run(site: Arc<Site>, kills: usize, dice: StdRng) -> String {
    let done = act(&site, kills, dice).await;
    let held = kills.div_ceil(3) * 2 * CREATES;
    assert!(done.in_the_gap + CREATES * 2 >= held, "{} of {held} died in the gap", done.in_the_gap);
    rules::check(&site).await;
    verify(&site, done).await
}

pub async fn act(site: &Arc<Site>, kills: usize, mut dice: StdRng) -> Done {
    let mut done = Done { asked: Vec::new(), kills, in_the_gap: 0 };
    for round in 0..kills {
        let number = site.any();
        site.gate.hold(Way::Answer, "POST /v1/checkout/sessions");
        let asked: Vec<_> = (0..CREATES)
            .map(|_| {
                let key = fresh("gap");
                create_params(json!({ "idempotencyKey": key, "description": key }))
            })
            .collect();
        let calls: Vec<_> = asked
            .iter()
            .map(|params| {
                let (site, params) = (Arc::clone(site), params.clone());
                let method = "payment.createPaymentTask";
                tokio::spawn(async move { site.attempt_at(number, Who::Agent, method, params).await })
            })
            .collect();
        let began = Instant::now();
        while made(site, &asked) < CREATES
            && began.elapsed() < REACHED_WITHIN
            && !calls.iter().all(JoinHandle::is_finished)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if round % 3 == 2 {
            site.gate.release();
            tokio::time::sleep(Duration::from_micros(dice.random_range(0..4_000))).await;
        }
        let down = site.kill(number).await;
        site.gate.release();
        done.in_the_gap += made(site, &asked) - known(site, &asked).await;
        down.start().await;
        for call in calls {
            call.await.expect("no panic");
        }
        done.asked.extend(asked);
    }
    done
}

pub async fn verify(site: &Site, done: Done) -> String {
    let Done { asked, kills, in_the_gap } = done;
    for params in &asked {
        let link = created(&site.must(Who::Agent, "payment.createPaymentTask", params.clone()).await);
        let key = key(params);
        let sessions = site.sandbox.sessions();
        let made: Vec<_> = sessions.iter().filter(|session| session.description.contains(key)).collect();
        assert_eq!(made.len(), 1, "one session for one payment");
        assert_eq!(link.checkout_url, made[0].url, "the link that the provider made");
        assert_eq!(made[0].metadata["ledger_id"], link.id.as_str());
    }
    format!(
        "killed {kills} times with {CREATES} creates under way, {in_the_gap} of them between session and commit: \
         one session and its link each"
    )
}

/// How many of these the provider made a session for.
fn made(site: &Site, asked: &[Value]) -> usize {
    let sessions = site.sandbox.sessions();
    let made = |params: &&Value| sessions.iter().any(|session| session.description.contains(key(params)));
    asked.iter().filter(made).count()
}

/// How many of these have their session in a row.
async fn known(site: &Site, asked: &[Value]) -> usize {
    let keys: Vec<_> = asked.iter().map(|params| format!("'{}'", key(params))).collect();
    let rows = format!(
        "select s.url as line from checkout_sessions s join payments_ledger p
         on p.agency_id = s.agency_id and p.id = s.payment_id where s.url is not null and p.idempotency_key in ({})",
        keys.join(",")
    );
    site.lines(&rows).await.len()
}

fn key(params: &Value) -> &str {
    params["idempotencyKey"].as_str().expect("a key")
}
