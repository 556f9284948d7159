//! `payment.onStatusChange`: what is told, under which numbers, from which point on, to whom, and until when.

use std::time::{Duration, Instant};

use quittance::{
    auth::Tokens,
    domain::{Label, Role, Timestamp},
};
use serde_json::{Value, json};

use crate::harness::{
    Database, Event, Options, PATIENCE, Socket, TestApp, TestCaller, check_notification, on_both,
};

/// One subscription on a socket of its own.
struct Subscriber {
    socket: Socket,
    id: Value,
}

impl Subscriber {
    async fn new(caller: &TestCaller, params: Value) -> Self {
        Self::on(caller.socket().await, params).await
    }

    async fn on(mut socket: Socket, params: Value) -> Self {
        let answer = socket.call(&subscribe(params)).await;
        assert!(answer["result"].is_u64(), "{answer}");
        Self { socket, id: answer["result"].clone() }
    }

    /// The `params` of the next notification.
    async fn told(&mut self) -> Value {
        let message = self.socket.next().await.expect("no close frame");
        assert_eq!(message["jsonrpc"], "2.0");
        assert_eq!(message["method"], "payment.statusChange", "{message}");
        assert!(message.get("id").is_none(), "{message}");
        assert_eq!(message["params"]["subscription"], self.id);
        message["params"].clone()
    }

    /// The next change.
    async fn next(&mut self) -> Value {
        let change = self.told().await["result"].clone();
        check_notification("payment.onStatusChange", &change);
        change
    }

    /// The next changes, as (sequence, payment, status).
    async fn changes(&mut self, count: usize) -> Vec<(i64, String, String)> {
        let mut changes = Vec::new();
        for _ in 0..count {
            let change = self.next().await;
            let word = |value: &Value| value.as_str().unwrap().to_owned();
            let payment = &change["payment"];
            changes.push((
                change["sequence"].as_i64().unwrap(),
                word(&payment["id"]),
                word(&payment["status"]),
            ));
        }
        changes
    }

    /// Nothing more comes: the answer to this call is the next message.
    async fn is_told_nothing_more(&mut self) {
        // Longer than it takes to be told.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let call = json!({ "jsonrpc": "2.0", "id": "end", "method": "payment.stats" }).to_string();
        assert_eq!(self.socket.call(&call).await["id"], "end");
    }
}

fn subscribe(params: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "payment.onStatusChange", "params": params }).to_string()
}

fn change(sequence: i64, id: &str, status: &str) -> (i64, String, String) {
    (sequence, id.to_owned(), status.to_owned())
}

on_both! {
    async fn every_change_is_told_in_order_and_dense(app: TestApp) {
        let mut all = Subscriber::new(app.agent(), json!({})).await;
        let stranger = app.stranger(Role::Agent).await;
        let first = app.agent().create(25_000).await.id;
        stranger.create(25_000).await;
        // No change of a status: the card limit, an anomaly, a link that is open already.
        app.admin().ok("payment.updateCardLimit", json!({ "maxCardPaymentPence": 100 })).await;
        app.delivered(&Event::succeeded("pi_wrong", &first, 1)).await;
        app.agent().ok("payment.renewCheckout", json!({ "paymentId": first })).await;
        let second = app.agent().create(30_000).await.id;
        app.delivered(&Event::intent("payment_intent.payment_failed", "pi_1", &first, 25_000)).await;
        app.delivered(&Event::succeeded("pi_1", &first, 25_000)).await;
        app.delivered(&Event::refunded("pi_1", &first, 25_000, 25_000)).await;
        app.agent().ok("payment.cancelPayment", json!({ "paymentId": second })).await;
        let expected = [
            change(1, &first, "pending"),
            change(2, &second, "pending"),
            change(3, &first, "failed"),
            change(4, &first, "succeeded"),
            change(5, &first, "refunded"),
            change(6, &second, "cancelled"),
        ];
        assert_eq!(all.changes(6).await, expected);
        all.is_told_nothing_more().await;

        // From the beginning, from the middle, of one payment, from the end.
        let mut again = Subscriber::new(app.agent(), json!({ "since": 0 })).await;
        assert_eq!(again.changes(6).await, expected);
        let mut rest = Subscriber::new(app.admin(), json!([{ "since": 4, "paymentId": null }])).await;
        assert_eq!(rest.changes(2).await, expected[4..]);
        let mut one = Subscriber::new(app.agent(), json!({ "since": 3, "paymentId": first })).await;
        assert_eq!(one.changes(2).await, expected[3..5]);
        let mut new = Subscriber::new(app.agent(), json!({ "since": 6 })).await;
        let third = app.agent().create(100).await.id;
        for subscriber in [&mut all, &mut again, &mut rest, &mut new] {
            assert_eq!(subscriber.changes(1).await, [change(7, &third, "pending")]);
        }
        one.is_told_nothing_more().await;
    }

    async fn two_quick_changes_are_told_as_two_each_as_it_was(app: TestApp, Options { webhooks: false, ..Options::default() }) {
        let created = app.agent().create(25_000).await.id;
        app.delivered(&Event::intent("payment_intent.payment_failed", "pi_1", &created, 25_000)).await;
        app.delivered(&Event::refunded("pi_1", &created, 25_000, 25_000)).await;
        // Told when all of it is past.
        let mut all = Subscriber::new(app.agent(), json!({ "since": 0 })).await;
        let [pending, failed, succeeded, refunded] =
            [all.next().await, all.next().await, all.next().await, all.next().await];
        let stands = app.payment(&created).await;
        assert_eq!(refunded, json!({ "sequence": 4, "payment": stands }));
        for (told, status, paid, refunded) in [
            (&pending, "pending", false, false),
            (&failed, "failed", false, false),
            (&succeeded, "succeeded", true, false),
        ] {
            let payment = &told["payment"];
            assert_eq!(payment["status"], status);
            assert_eq!(payment["paidAt"].is_string(), paid, "{payment}");
            assert_eq!(payment["paymentIntentId"].is_string(), paid, "{payment}");
            assert_eq!(payment["refundedAt"].is_string(), refunded, "{payment}");
            assert_eq!(payment["refundedPence"], 0);
            assert!(payment["checkoutUrl"].is_null(), "there is nothing to pay any more: {payment}");
            for same in ["id", "amountPence", "description", "createdAt", "method"] {
                assert_eq!(payment[same], stands[same]);
            }
        }
    }

    async fn what_happened_before_is_not_told_unless_asked_for(app: TestApp) {
        // Asked for at once, so that its number is yet to come.
        for n in 0..10 {
            let past = app.agent().create(100 + n).await.id;
            let mut later = Subscriber::new(app.agent(), json!({})).await;
            app.agent().ok("payment.cancelPayment", json!({ "paymentId": past })).await;
            assert_eq!(later.changes(1).await, [change(2 * n + 2, &past, "cancelled")]);
        }
    }

    async fn of_one_payment_the_row_as_it_stands_comes_first(app: TestApp) {
        app.agent().create(100).await;
        let id = app.agent().create(25_000).await.id;
        let mut one = Subscriber::new(app.agent(), json!({ "paymentId": id })).await;
        let first = one.next().await;
        assert_eq!(first, json!({ "sequence": 2, "payment": app.payment(&id).await }));
        app.agent().create(100).await;
        app.delivered(&Event::succeeded("pi_1", &id, 25_000)).await;
        let paid = one.next().await;
        assert_eq!(paid, json!({ "sequence": 4, "payment": app.payment(&id).await }));
        let mut late = Subscriber::new(app.agent(), json!({ "paymentId": id })).await;
        assert_eq!(late.next().await, paid);
        late.is_told_nothing_more().await;
    }

    async fn wrong_calls_are_answered_as_any_call(app: TestApp) {
        let stranger = app.stranger(Role::Admin).await;
        let theirs = stranger.create(100).await.id;
        let mut socket = app.agent().socket().await;
        let absent = "01890a5d-ac96-774b-bcce-b302099a8057";
        for (params, code, kind, path) in [
            (json!({ "paymentId": theirs }), -32004, "NOT_FOUND", None),
            (json!({ "paymentId": absent, "since": 0 }), -32004, "NOT_FOUND", None),
            (json!({ "paymentId": "nothing" }), -32004, "NOT_FOUND", None),
            (json!({ "payment": theirs }), -32602, "INVALID_PARAMS", Some("payment")),
            (json!({ "since": -1 }), -32602, "INVALID_PARAMS", Some("since")),
            (json!({ "since": 1.0 }), -32602, "INVALID_PARAMS", Some("since")),
            (json!({ "since": "1" }), -32602, "INVALID_PARAMS", Some("since")),
            (json!({ "since": 9_007_199_254_740_992_i64 }), -32602, "INVALID_PARAMS", Some("since")),
            (json!("x"), -32602, "INVALID_PARAMS", Some("")),
        ] {
            let answer = socket.call(&subscribe(params.clone())).await;
            let error = &answer["error"];
            assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(code), &json!(kind)), "{params} {answer}");
            assert_eq!(error["data"].get("path").and_then(Value::as_str), path, "{params} {answer}");
            assert!(error["data"]["requestId"].is_string());
        }
        // Over HTTP there is nowhere to tell anything.
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "payment.onStatusChange" });
        let answer: Value = app.agent().post(&call).await.json().await.unwrap();
        assert_eq!(answer["error"]["code"], -32600);
        let answer: Value = app.agent().post(&json!([call])).await.json().await.unwrap();
        assert_eq!(answer[0]["error"]["code"], -32600);
        let answer: Value = app.anonymous().post(&call).await.json().await.unwrap();
        assert_eq!(answer["error"]["data"]["kind"], "UNAUTHORIZED");
    }

    async fn a_place_beyond_the_end_is_refused_with_the_end(app: TestApp) {
        const METHOD: &str = "payment.onStatusChange";
        let from = |since: i64| json!({ "since": since });
        assert!(app.agent().ok(METHOD, from(0)).await.is_u64());
        for since in [1, (1 << 53) - 1] {
            let fault = app.agent().fails(METHOD, from(since)).await;
            assert_eq!((fault.code, fault.kind()), (-32602, "INVALID_PARAMS"));
            assert_eq!((&fault.data["path"], &fault.data["latest"]), (&json!("since"), &json!(0)), "{fault:?}");
        }
        let mut all = Subscriber::new(app.agent(), from(0)).await;
        let stranger = app.stranger(Role::Agent).await;
        for _ in 0..2 {
            stranger.create(100).await;
        }
        app.agent().create(100).await;
        all.changes(1).await;
        assert!(app.agent().ok(METHOD, from(1)).await.is_u64());
        let fault = app.agent().fails(METHOD, from(2)).await;
        assert_eq!(fault.data["latest"], 1, "the agency's own end: {fault:?}");
    }

    async fn it_can_be_ended_and_there_may_be_several_on_a_socket(app: TestApp) {
        let mut socket = app.agent().socket().await;
        let mut ids = Vec::new();
        for _ in 0..32 {
            ids.push(socket.call(&subscribe(json!({}))).await["result"].clone());
        }
        assert_eq!(socket.call(&subscribe(json!({}))).await["error"]["code"], -32006);
        let off = |params: Value| {
            json!({ "jsonrpc": "2.0", "id": 2, "method": "payment.offStatusChange", "params": params }).to_string()
        };
        for id in &ids[1..] {
            assert_eq!(socket.call(&off(json!([id]))).await["result"], true);
        }
        assert_eq!(socket.call(&off(json!([ids[1]]))).await["result"], false);
        assert_eq!(socket.call(&off(json!(["nothing"]))).await["result"], false);
        // Another socket can't end it.
        assert_eq!(app.agent().socket().await.call(&off(json!([ids[0]]))).await["result"], false);
        let id = app.agent().create(100).await.id;
        let mut left = Subscriber { socket, id: ids[0].clone() };
        assert_eq!(left.changes(1).await, [change(1, &id, "pending")]);
        // Its place is free again.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(left.socket.call(&subscribe(json!({}))).await["result"].is_u64());
    }

    async fn a_token_that_counts_no_more_ends_it(app: TestApp) {
        let issued = app.admin().ok("token.issue", json!({ "role": "agent", "actor": "Amy", "expiresInSeconds": 60 }));
        let issued = issued.await;
        let amy = app.agent().with_token(issued["token"].as_str().unwrap());
        let mut followed = Subscriber::new(&amy, json!({})).await;
        app.admin().ok("token.revoke", json!({ "tokenId": issued["tokenId"] })).await;
        let end = tokio::time::timeout(PATIENCE, followed.told()).await.expect("within 10 seconds");
        assert_eq!((&end["error"]["code"], &end["error"]["data"]["kind"]), (&json!(-32001), &json!("UNAUTHORIZED")));
        app.agent().create(100).await;
        followed.is_told_nothing_more().await;
    }

    async fn a_token_revoked_elsewhere_or_expired_ends_calls_and_subscriptions_within_ten_seconds(app: TestApp) {
        // As another instance, or the command line, would revoke it.
        let elsewhere = Tokens::new(app.ledger.clone());
        let expires = Timestamp::now().plus(Duration::from_secs(3));
        let issue = async |actor: &str, expires| {
            let actor = Label::parse(actor).unwrap();
            elsewhere.issue(app.agency_id, Role::Viewer, actor, expires).await.unwrap()
        };
        let (revoked_id, revoked) = issue("Revoked", None).await;
        let (_, expiring) = issue("Expiring", Some(expires)).await;
        let mut ended = Vec::new();
        for token in [revoked.reveal(), expiring.reveal()] {
            let caller = app.agent().with_token(token);
            let followed = Subscriber::new(&caller, json!({})).await;
            ended.push((caller.clone(), caller.socket().await, followed));
        }
        elsewhere.revoke(revoked_id, None).await.unwrap();
        let began = Instant::now();
        let stats = json!({ "jsonrpc": "2.0", "id": 1, "method": "payment.stats" });
        for (caller, mut socket, mut followed) in ended {
            let end = followed.told().await;
            assert_eq!(end["error"]["data"]["kind"], "UNAUTHORIZED");
            while socket.call(&stats.to_string()).await.get("result").is_some() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let answers: Value = caller.post(&json!([stats])).await.json().await.unwrap();
            assert_eq!(answers[0]["error"]["data"]["kind"], "UNAUTHORIZED");
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        }
    }

    async fn a_slow_reader_misses_nothing(app: TestApp) {
        let mut slow = Subscriber::new(app.agent(), json!({})).await;
        let description = "d".repeat(500);
        let create = |n: i64| app.agent().create_with(json!({ "amountPence": n, "description": description }));
        let mut made = Vec::new();
        for n in 0..150 {
            made.push(create(n + 1).await.id);
        }
        let told = slow.changes(150).await;
        let expected: Vec<_> = (1..).zip(&made).map(|(sequence, id)| change(sequence, id, "pending")).collect();
        assert_eq!(told, expected);
    }

    async fn a_stop_closes_the_socket(app: TestApp) {
        let mut followed = Subscriber::new(app.agent(), json!({})).await;
        app.stop().await;
        assert_eq!(followed.socket.next().await, Err(1000));
        return;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_instances_on_one_database_tell_the_same() {
    let app = TestApp::start(Database::Postgres, Options::default()).await;
    let other = app.instance_beside().await;
    let mut here = Subscriber::new(app.agent(), json!({})).await;
    let mut there = Subscriber::on(app.agent().at(&other.rpc_url).socket().await, json!({})).await;
    let mut expected = Vec::new();
    for n in 1..=40 {
        let id = app.agent().create(n).await.id;
        expected.push(change(n, &id, "pending"));
    }
    assert_eq!(here.changes(40).await, expected);
    assert_eq!(there.changes(40).await, expected);
    other.stop().await;
    assert_eq!(there.socket.next().await, Err(1000));
    app.stop().await;
}
