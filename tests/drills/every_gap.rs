//! SIGKILL in every gap of create, renew and read-back: whatever was left, the janitor ends it, and the link that comes
//! out is the one the provider made.
//!
//! A gap is made wide by holding what ends it: the database for a commit, the gate for a request or its answer. In the
//! short size a dead process's lease is taken back in SQL; the long one waits the half minute.

use std::{sync::Arc, time::Duration};

use quittance::sandbox::{Faults, Method};
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    client::{created, fresh, hex},
    gate::Way,
    harness::{Database, Sql, create_params},
    rules,
    site::{Down, Site, Who},
};

/// For whoever is on the way to run into what is held.
const RUN_INTO: Duration = Duration::from_millis(250);

/// Where a call that opens a session dies: before this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    ItsRow,
    TheProvider,
    TheAnswer,
    TheStoredLink,
    TheReply,
}

impl Opening {
    const ALL: [Self; 5] =
        [Self::ItsRow, Self::TheProvider, Self::TheAnswer, Self::TheStoredLink, Self::TheReply];

    /// What the dead process left: the row of the session, and what the provider made.
    fn left(self) -> (&'static [&'static str], usize) {
        match self {
            Self::ItsRow => (&[], 0),
            Self::TheProvider => (&["creating"], 0),
            Self::TheAnswer | Self::TheStoredLink => (&["creating"], 1),
            Self::TheReply => (&["open"], 1),
        }
    }
}

/// Where a read-back dies: before this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    SessionRequest,
    SessionAnswer,
    IntentRequest,
    IntentAnswer,
    WhatIsLearned,
    EndOfVisit,
}

impl Reading {
    const ALL: [Self; 6] = [
        Self::SessionRequest,
        Self::SessionAnswer,
        Self::IntentRequest,
        Self::IntentAnswer,
        Self::WhatIsLearned,
        Self::EndOfVisit,
    ];
}

pub async fn run(site: Arc<Site>, rounds: usize, _: StdRng) -> String {
    let (mut creates, mut renewals, mut read) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        for gap in Opening::ALL {
            creates.push(create(&site, gap).await);
            renewals.push(renew(&site, gap).await);
        }
        for gap in Reading::ALL {
            read.push(read_back(&site, gap).await);
        }
    }
    if rounds == 1 {
        site.end_leases().await;
    }
    let ids: Vec<_> = read.iter().map(|id| format!("'{}'", hex(id))).collect();
    let unfinished = format!(
        "select hex(p.id) || ' is ' || p.status || ', its session ' || s.state as line
         from payments_ledger p join checkout_sessions s on s.agency_id = p.agency_id and s.payment_id = p.id
         where hex(p.id) in ({}) and (p.status <> 'succeeded' or s.state <> 'dead')",
        ids.join(",")
    );
    site.until_none("paid sessions that were not read back", &unfinished).await;
    rules::check(&site).await;
    for params in &creates {
        one_link(&site, "payment.createPaymentTask", params, 1).await;
    }
    for params in &renewals {
        one_link(&site, "payment.renewCheckout", params, 2).await;
    }
    let gaps = creates.len() + renewals.len() + read.len();
    format!("killed in {gaps} gaps of create, renew and read-back: all ended, each link the provider's")
}

/// Asking again answers the one link that the provider made for this attempt.
async fn one_link(site: &Site, method: &str, params: &Value, attempt: usize) {
    let link = created(&site.must(Who::Agent, method, params.clone()).await);
    let sessions = site.sandbox.sessions();
    let of_payment = sessions.iter().filter(|session| session.metadata["ledger_id"] == link.id.as_str());
    let urls: Vec<_> = of_payment.map(|session| session.url.as_str()).collect();
    assert_eq!(urls.len(), attempt, "{method} {params}: one session for each attempt");
    assert_eq!(urls[attempt - 1], link.checkout_url, "{method} {params}");
}

async fn create(site: &Arc<Site>, gap: Opening) -> Value {
    let key = fresh("create");
    let params = create_params(json!({ "idempotencyKey": key, "description": key }));
    let of_key = format!(
        "from checkout_sessions s join payments_ledger p on p.agency_id = s.agency_id and p.id = s.payment_id
         where p.idempotency_key = '{key}'"
    );
    open(site, gap, "payment.createPaymentTask", &params, &of_key, &key, 0).await;
    params
}

async fn renew(site: &Arc<Site>, gap: Opening) -> Value {
    let mark = fresh("renew");
    let payment = site.create(json!({ "description": mark })).await;
    site.sandbox.expire(payment.session_id()).await.expect("it is open");
    let hex = hex(&payment.id);
    let alive = format!(
        "select state as line from checkout_sessions where hex(payment_id) = '{hex}' and state <> 'dead'"
    );
    site.until_none("expired sessions that are open", &alive).await;
    let params = json!({ "paymentId": payment.id });
    let second = format!("from checkout_sessions s where hex(s.payment_id) = '{hex}' and s.attempt = 2");
    open(site, gap, "payment.renewCheckout", &params, &second, &mark, 1).await;
    params
}

/// Makes the call, kills the process in the gap, and looks at what it left. `mark` is the payment's description: the
/// janitor may be asking for other sessions meanwhile.
async fn open(
    site: &Arc<Site>,
    gap: Opening,
    method: &'static str,
    params: &Value,
    session: &str,
    mark: &str,
    sessions_before: usize,
) {
    let call = || {
        let (site, params) = (Arc::clone(site), params.clone());
        tokio::spawn(async move { _ = site.attempt(Who::Agent, method, params).await })
    };
    let (down, call) = match gap {
        Opening::ItsRow => {
            let held = Held::database(site).await;
            let call = call();
            (held.kill_all(site).await, call)
        }
        Opening::TheProvider => kill_at_gate(site, Way::Request, mark, call).await,
        Opening::TheAnswer => kill_at_gate(site, Way::Answer, mark, call).await,
        Opening::TheStoredLink => {
            site.gate.hold(Way::Answer, mark);
            let call = call();
            site.gate.holds_something().await;
            let held = Held::database(site).await;
            site.gate.release();
            (held.kill_all(site).await, call)
        }
        Opening::TheReply => {
            let call = call();
            let opened = format!(
                "select 'not open' as line where not exists (select 1 {session} and s.state = 'open')"
            );
            site.until_none("calls that opened nothing", &opened).await;
            (site.kill_all().await, call)
        }
    };
    let (rows, made) = gap.left();
    let states = site.lines(&format!("select s.state as line {session}")).await;
    assert_eq!(states, rows, "{method} {gap:?}");
    let sessions = site.sandbox.sessions();
    let of_payment = sessions.iter().filter(|session| session.description.contains(mark));
    assert_eq!(of_payment.count() - sessions_before, made, "{method} {gap:?}");
    start(down).await;
    call.await.expect("no panic");
}

async fn read_back(site: &Arc<Site>, gap: Reading) -> String {
    // In time before the janitor's first visit, and without a word of it.
    site.sandbox.set_faults(Faults { loss: 1.0, ..Faults::default() });
    let payment = site.create(json!({})).await;
    let session = format!("GET /v1/checkout/sessions/{}", payment.session_id());
    site.gate.hold(Way::Request, &session);
    let intent = site.sandbox.pay(payment.session_id(), Method::Card).await.expect("it is open");
    site.sandbox.set_faults(Faults::default());
    let intent = format!("GET /v1/payment_intents/{intent}");
    let (way, what) = match gap {
        Reading::SessionRequest => (Way::Request, &session),
        Reading::SessionAnswer => (Way::Answer, &session),
        Reading::IntentRequest => (Way::Request, &intent),
        Reading::IntentAnswer | Reading::WhatIsLearned | Reading::EndOfVisit => (Way::Answer, &intent),
    };
    site.gate.hold(way, what);
    site.gate.holds_something().await;
    let row = format!("hex(payment_id) = '{}'", hex(&payment.id));
    let down = match gap {
        Reading::SessionRequest | Reading::SessionAnswer | Reading::IntentRequest | Reading::IntentAnswer => {
            let down = site.kill_all().await;
            site.gate.cut();
            down
        }
        Reading::WhatIsLearned => {
            let held = Held::database(site).await;
            site.gate.release();
            held.kill_all(site).await
        }
        Reading::EndOfVisit => {
            refuse_visit(site, &payment.id).await;
            site.gate.release();
            let unpaid = format!(
                "select status as line from payments_ledger where status <> 'succeeded' and hex(id) = '{}'",
                hex(&payment.id)
            );
            site.until_none("paid sessions that were not found", &unpaid).await;
            let down = site.kill_all().await;
            accept_visits(site).await;
            down
        }
    };
    let learned =
        site.lines(&format!("select intent_id as line from payment_intents where {row}")).await.len();
    assert_eq!(learned, usize::from(gap == Reading::EndOfVisit), "{gap:?}");
    let states = site.lines(&format!("select state as line from checkout_sessions where {row}")).await;
    assert_eq!(states, ["open"], "{gap:?}");
    start(down).await;
    payment.id
}

async fn kill_at_gate<'s>(
    site: &'s Site,
    way: Way,
    what: &str,
    call: impl FnOnce() -> JoinHandle<()>,
) -> (Vec<Down<'s>>, JoinHandle<()>) {
    site.gate.hold(way, what);
    let call = call();
    site.gate.holds_something().await;
    let down = site.kill_all().await;
    site.gate.cut();
    (down, call)
}

async fn start(down: Vec<Down<'_>>) {
    for down in down {
        down.start().await;
    }
}

/// The database, held by another: nothing is written meanwhile.
struct Held(Sql);

impl Held {
    async fn database(site: &Site) -> Self {
        let mut sql = site.sql().await;
        match site.database {
            Database::Sqlite => sql.ok("begin immediate").await,
            Database::Postgres => {
                sql.ok("begin; lock table payments_ledger, checkout_sessions in exclusive mode").await;
            }
        }
        Self(sql)
    }

    /// Waits until whoever is on the way is held up; then kills the servers, and lets go.
    async fn kill_all(mut self, site: &Site) -> Vec<Down<'_>> {
        tokio::time::sleep(RUN_INTO).await;
        let down = site.kill_all().await;
        if site.database == Database::Postgres {
            // PostgreSQL would finish the statement that waits before it notices that nobody is there.
            let theirs = "select cast(pg_terminate_backend(pid, 5000) as text) as line from pg_stat_activity
                where datname = current_database() and application_name = 'quittance'";
            self.0.lines(theirs).await;
        }
        self.0.ok("rollback").await;
        down
    }
}

/// The visit that finds this payment's session over cannot be stored.
async fn refuse_visit(site: &Site, payment: &str) {
    let (mut sql, when) =
        (site.sql().await, format!("hex(new.payment_id) = '{}' and new.state = 'dead'", hex(payment)));
    match site.database {
        Database::Sqlite => {
            sql.ok(&format!(
                "create trigger drill_visit before update on checkout_sessions when {when}
                 begin select raise(abort, 'a drill refuses this'); end"
            ))
            .await;
        }
        Database::Postgres => {
            sql.ok(&format!(
                "create function drill_visit() returns trigger language plpgsql as
                   $$ begin raise exception 'a drill refuses this'; end $$;
                 create trigger drill_visit before update on checkout_sessions for each row when ({when})
                   execute function drill_visit()"
            ))
            .await;
        }
    }
}

async fn accept_visits(site: &Site) {
    let mut sql = site.sql().await;
    match site.database {
        Database::Sqlite => sql.ok("drop trigger drill_visit").await,
        Database::Postgres => sql.ok("drop function drill_visit cascade").await,
    }
}
