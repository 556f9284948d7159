//! The program in an operator's hands: values as tools write them, signals at any time, a log that nobody reads, memory.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::task::spawn_blocking;

use crate::{
    harness::{TestCaller, on_both, program},
    process::{Server, another_database, dev_with, json_of, refusal},
};

on_both! {
    async fn values_are_taken_as_tools_write_them_or_refused_under_their_name(app: TestApp) {
        let (key, webhook, good) =
            ("CALMONY_PAY_SECRET_KEY", "CALMONY_PAY_WEBHOOK_SECRET", "0123456789abcdef0123456789abcdef");
        let database = app.url.as_str();
        for (setting, named) in [
            ((key, format!("\"{good}\"")), key),
            ((webhook, format!("'{good}'")), webhook),
            ((webhook, format!("{good}\n{good}")), webhook),
            ((webhook, format!("{good},\n{good}")), webhook),
            (("QUITTANCE_PUBLIC_URL", "'https://pay.example.com'".into()), "QUITTANCE_PUBLIC_URL"),
            (("QUITTANCE_RPC_ADDR", "\"127.0.0.1:0\"".into()), "QUITTANCE_RPC_ADDR"),
            (("DATABASE_URL", format!("\"{database}\"")), "DATABASE_URL"),
            (("DATABASE_URL", format!("{database}\n.bak")), "DATABASE_URL"),
        ] {
            let rest = [(key, good), (webhook, good), ("DATABASE_URL", database)];
            let rest = rest.into_iter().filter(|(name, _)| *name != setting.0);
            let all: Vec<_> = rest.chain([(setting.0, setting.1.as_str())]).collect();
            let told = refusal(&["serve"], &all).await;
            assert!(told.contains(named), "{setting:?}: {told}");
            assert!(!told.contains(good), "a secret is never shown: {told}");
        }
        // The same database, however it is written: there is nothing left to migrate.
        for around in [format!("\u{feff}{database}\r\n"), format!("  {database}\t")] {
            assert_eq!(json_of(&["migrate"], &around).await, json!({ "applied": [] }));
        }
        let arguments = ["migrate", "--database-url", &format!(" {database}\n")];
        assert_eq!(json_of(&arguments, "").await, json!({ "applied": [] }));
    }

    async fn while_it_drains_it_says_that_it_is_not_ready_and_serves_on(app: TestApp) {
        let url = another_database(&app).await;
        let settings = [("QUITTANCE_DRAIN", "2s")];
        let (mut server, ready, _output) = dev_with(&url, &settings, Stdio::null()).await;
        let text = |name: &str| ready[name].as_str().expect("a text").to_owned();
        let readyz = async || app.http.get(format!("{}/readyz", text("ops"))).send().await.expect("an answer");
        assert_eq!(readyz().await.status(), 200);
        server.signal("-TERM");
        let began = Instant::now();
        while readyz().await.status() != 503 {
            assert!(began.elapsed() < Duration::from_secs(1), "it goes on being ready");
        }
        let agent = TestCaller::new(app.http.clone(), format!("{}/rpc", text("rpc")), Some(text("agentToken")));
        assert!(!agent.create(25_000).await.id.is_empty());
        assert!(began.elapsed() < Duration::from_millis(1_900), "too slow to tell");
        assert_eq!(server.ended().await.code(), Some(0));
        assert!(began.elapsed() >= Duration::from_millis(1_900), "{:?}", began.elapsed());
    }

    async fn a_log_nobody_reads_holds_up_nothing_and_what_it_lost_is_told(app: TestApp) {
        let url = another_database(&app).await;
        let settings = [("RUST_LOG", "debug"), ("QUITTANCE_RATE_LIMIT", "0")];
        let (mut server, ready, _output) = dev_with(&url, &settings, Stdio::piped()).await;
        let text = |name: &str| ready[name].as_str().expect("a text").to_owned();
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "payment.getCardLimit", "params": {} });
        let batch = json!(vec![call; 20]);
        let admin = TestCaller::new(app.http.clone(), format!("{}/rpc", text("rpc")), Some(text("adminToken")));
        let forged = app.http.post(format!("{}/api/webhooks/calmony-pay", text("webhook"))).body("{}");
        // Some 20 lines each; a pipe and the queue hold 9,000.
        for _ in 0..600 {
            assert_eq!(admin.post(&batch).await.status(), 200);
        }
        assert_eq!(forged.send().await.expect("an answer").status(), 400);
        let get = async |path: &str| {
            let answer = app.http.get(format!("{}{path}", text("ops"))).send().await.expect("an answer");
            answer.text().await.expect("a text")
        };
        assert_eq!(get("/livez").await, "alive\n");
        let began = Instant::now();
        while !get("/metrics").await.contains("quittance_log_lines_dropped_total") {
            assert!(began.elapsed() < Duration::from_secs(15), "nothing is said to be dropped");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Now somebody does read.
        let log = BufReader::new(server.0.stderr.take().expect("piped"));
        let told = spawn_blocking(move || {
            let mut lines = log.lines().map(|line| line.expect("text"));
            (lines.any(|line| line.contains("lines of this log were dropped")), lines)
        });
        let told = tokio::time::timeout(Duration::from_secs(15), told).await;
        let (is_told, rest) = told.expect("it is told in time").expect("no panic");
        assert!(is_told);
        drop(rest);

        let began = Instant::now();
        server.signal("-TERM");
        assert_eq!(server.ended().await.code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    async fn a_log_nobody_ever_reads_does_not_keep_it_from_ending(app: TestApp) {
        let url = another_database(&app).await;
        let settings = [("RUST_LOG", "debug"), ("QUITTANCE_RATE_LIMIT", "0")];
        let (mut server, ready, _output) = dev_with(&url, &settings, Stdio::piped()).await;
        let text = |name: &str| ready[name].as_str().expect("a text").to_owned();
        let admin = TestCaller::new(app.http.clone(), format!("{}/rpc", text("rpc")), Some(text("adminToken")));
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "payment.getCardLimit", "params": {} });
        for _ in 0..50 {
            assert_eq!(admin.post(&json!(vec![call.clone(); 20])).await.status(), 200);
        }
        let began = Instant::now();
        server.signal("-TERM");
        assert_eq!(server.ended().await.code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    async fn a_client_that_sends_100_000_calls_and_reads_nothing_takes_no_memory(app: TestApp) {
        let url = another_database(&app).await;
        let (server, ready, _output) = dev_with(&url, &[("QUITTANCE_RATE_LIMIT", "0")], Stdio::null()).await;
        let text = |name: &str| ready[name].as_str().expect("a text").to_owned();
        let agent = TestCaller::new(app.http.clone(), format!("{}/rpc", text("rpc")), Some(text("agentToken")));
        let discover = json!({ "jsonrpc": "2.0", "id": 1, "method": "rpc.discover" }).to_string();
        let mut greedy = agent.socket().await;
        // Grown to its usual size first.
        for _ in 0..100 {
            greedy.call(&discover).await;
        }
        let resident_mib = || {
            let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.0.id())).expect("it runs");
            statm.split(' ').nth(1).expect("pages").parse::<usize>().expect("a number") / 256
        };
        let before = resident_mib();
        let sending = tokio::spawn(async move {
            for _ in 0..100_000 {
                greedy.send(&discover).await;
            }
            greedy
        });
        let mut most = 0;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            most = most.max(resident_mib());
        }
        assert!(most < before + 64, "{before} MiB became {most}");
        assert_eq!(agent.ok("rpc.ping", json!({})).await, json!({}));
        sending.abort();
    }
}

/// As process 1, which has no default handlers, must: they end under the code that a shell gives for the signal.
#[tokio::test]
async fn every_command_ends_at_once_while_it_waits_for_a_database() {
    // Takes connections and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("postgres://nobody@{}/nothing?sslmode=disable", mute.local_addr().expect("bound"));
    let secret = "0123456789abcdef0123456789abcdef";
    for (arguments, signal, code) in [
        (&["serve"][..], "-TERM", 143),
        (&["dev"], "-INT", 130),
        (&["migrate"], "-TERM", 143),
        (&["token", "list"], "-INT", 130),
        (&["events", "list"], "-TERM", 143),
        (&["doctor"], "-TERM", 143),
    ] {
        let mut command = program(arguments);
        command.envs([("DATABASE_URL", url.as_str()), ("CALMONY_PAY_API_URL", "http://127.0.0.1:9/v1")]);
        command.envs([("CALMONY_PAY_SECRET_KEY", secret), ("CALMONY_PAY_WEBHOOK_SECRET", secret)]);
        let mut process =
            Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"));
        let connected = tokio::time::timeout(Duration::from_secs(20), mute.accept()).await;
        let _connection =
            connected.unwrap_or_else(|_| panic!("{arguments:?} asks the database")).expect("a connection");
        assert!(process.0.try_wait().expect("it can be looked at").is_none(), "{arguments:?} waits");
        let began = Instant::now();
        process.signal(signal);
        assert_eq!(process.ended().await.code(), Some(code), "{arguments:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{arguments:?}: {:?}", began.elapsed());
    }
}
