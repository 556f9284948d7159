//! 64 callers with one key at once: one payment, one session at the provider.

use std::sync::Arc;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::{
    client::{created, fresh},
    harness::create_params,
    rules,
    site::{Site, Who},
};

const CALLERS: usize = 64;

/// The keys, and the links that were answered under each.
pub type Done = Vec<(Value, Vec<String>)>;

pub async fn run(site: Arc<Site>, rounds: usize, _: StdRng) -> String {
    let done = act(&site, rounds).await;
    rules::check(&site).await;
    verify(&site, done).await
}

pub async fn act(site: &Site, rounds: usize) -> Done {
    let mut done = Vec::new();
    for _ in 0..rounds {
        let key = fresh("one");
        let params = create_params(json!({ "idempotencyKey": key, "description": key }));
        let callers =
            (0..CALLERS).map(|_| site.attempt(Who::Agent, "payment.createPaymentTask", params.clone()));
        let mut links = Vec::new();
        for answer in join_all(callers).await {
            match answer {
                Some(Ok(answer)) => links.push(created(&answer).checkout_url),
                Some(Err(fault)) => {
                    assert!(["IN_PROGRESS", "PROVIDER_UNAVAILABLE"].contains(&fault.kind()), "{fault:?}");
                }
                None => {}
            }
        }
        done.push((params, links));
    }
    done
}

pub async fn verify(site: &Site, done: Done) -> String {
    let (rounds, mut answered) = (done.len(), 0);
    for (params, links) in done {
        let link = created(&site.must(Who::Agent, "payment.createPaymentTask", params.clone()).await);
        assert!(links.iter().all(|one| *one == link.checkout_url), "{links:?}");
        answered += links.len();
        let key = params["idempotencyKey"].as_str().expect("a key");
        let rows = format!("select hex(id) as line from payments_ledger where idempotency_key = '{key}'");
        assert_eq!(site.lines(&rows).await, [crate::client::hex(&link.id)], "one payment");
        let sessions = site.sandbox.sessions();
        let made: Vec<_> = sessions.iter().filter(|session| session.description.contains(key)).collect();
        assert_eq!(made.len(), 1, "one session: {made:?}");
    }
    assert!(answered >= rounds || site.setup.faulty, "nobody got a link");
    format!(
        "{rounds} keys with {CALLERS} callers each: one payment and one session each; {answered} got its link"
    )
}
