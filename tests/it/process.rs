//! The program as an operator runs it: the ready line, the refusals, the commands beside a running server, the end.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::spawn_blocking,
};

use crate::harness::{TestApp, TestCaller, on_both, program};

pub async fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = program(arguments);
    command.envs(settings.iter().copied());
    let done = tokio::time::timeout(Duration::from_secs(20), spawn_blocking(move || command.output())).await;
    done.expect("it ends").expect("no panic").expect("it runs")
}

/// Runs a command that must succeed; its one JSON object.
pub async fn json_of(arguments: &[&str], url: &str) -> Value {
    let output = run(arguments, &[("DATABASE_URL", url)]).await;
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {told}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?}: {said}: {error}"))
}

/// Runs a command that must fail; what it says on stderr, with stdout empty.
pub async fn refusal(arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let output = run(arguments, settings).await;
    assert!(!output.status.success(), "{arguments:?} passed");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const PORTS: [&str; 8] = [
    "--rpc-addr",
    "127.0.0.1:0",
    "--webhook-addr",
    "127.0.0.1:0",
    "--ops-addr",
    "127.0.0.1:0",
    "--sandbox-addr",
    "127.0.0.1:0",
];

/// A running program, killed if the test forgets it.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    pub fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().expect("kill runs").success());
    }

    /// Waits for its end, a little longer than it may take.
    pub async fn ended(&mut self) -> ExitStatus {
        for _ in 0..550 {
            if let Some(status) = self.0.try_wait().expect("it can be looked at") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not end");
    }
}

/// `quittance dev` on free ports, what its ready line says, and the rest of its stdout.
async fn dev(url: &str) -> (Server, Value, BufReader<ChildStdout>) {
    dev_with(url, &[], Stdio::null()).await
}

/// The same with these settings, its log going to `log`.
pub async fn dev_with(
    url: &str,
    settings: &[(&str, &str)],
    log: Stdio,
) -> (Server, Value, BufReader<ChildStdout>) {
    let mut command = program(&["dev"]);
    command.args(PORTS).env("DATABASE_URL", url).envs(settings.iter().copied());
    command.stdout(Stdio::piped()).stderr(log);
    let mut server = Server(command.spawn().expect("it starts"));
    let mut output = BufReader::new(server.0.stdout.take().expect("piped"));
    let read = spawn_blocking(move || {
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        (line, output)
    });
    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
    let (line, output) = read.expect("it gets ready").expect("no panic");
    (server, serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")), output)
}

/// A second database beside the test's own, since a server of its own runs on that.
pub async fn another_database(app: &TestApp) -> String {
    let url = format!("{}_process", app.url);
    if app.url.starts_with("postgres") {
        let name = url.rsplit('/').next().expect("a name");
        app.sql().await.ok(&format!("create database {name}")).await;
    }
    url
}

on_both! {
    async fn dev_says_it_is_ready_in_one_line_and_ends_in_order(app: TestApp) {
        let url = another_database(&app).await;
        let (mut server, ready, mut output) = dev(&url).await;
        assert_eq!(ready["event"], "ready");
        for listener in ["rpc", "webhook", "ops", "sandbox"] {
            let address = ready[listener].as_str().unwrap_or_else(|| panic!("{listener}: {ready}"));
            assert!(address.starts_with("http://127.0.0.1:") && !address.ends_with(":0"), "{address}");
        }
        let rpc = format!("{}/rpc", ready["rpc"].as_str().expect("a URL"));
        let token = |name: &str| Some(ready[name].as_str().expect("a token").to_owned());
        let agent = TestCaller::new(app.http.clone(), rpc.clone(), token("agentToken"));
        let admin = TestCaller::new(app.http.clone(), rpc.clone(), token("adminToken"));
        let created = agent.create(25_000).await;
        assert_eq!(agent.payment(&created.id).await["status"], "pending");
        admin.ok("payment.getCardLimit", json!({})).await;
        let live = format!("{}/livez", ready["ops"].as_str().expect("a URL"));
        assert_eq!(app.http.get(live).send().await.expect("an answer").status(), 200);

        // A request whose body is half sent when the server is told to stop.
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "payment.list" }).to_string();
        let (first, rest) = body.split_at(20);
        let address = ready["rpc"].as_str().expect("a URL").trim_start_matches("http://").to_owned();
        let mut socket = TcpStream::connect(&address).await.expect("a connection");
        let head = format!(
            "POST /rpc HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             authorization: Bearer {}\r\n\r\n{first}",
            body.len(),
            agent.token.as_deref().expect("a token"),
        );
        socket.write_all(head.as_bytes()).await.expect("it takes the first half");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let began = Instant::now();
        server.signal("-TERM");
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(TcpStream::connect(&address).await.is_err(), "new work is refused");
        socket.write_all(rest.as_bytes()).await.expect("it takes the second half");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&created.id), "{answer}");

        let status = server.ended().await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(status.code(), Some(0));
        let mut more = String::new();
        output.read_to_string(&mut more).expect("the rest of stdout");
        assert_eq!(more, "", "stdout holds the ready line alone");
    }

    async fn an_idle_server_ends_at_once_and_its_database_goes_on(app: TestApp) {
        let url = another_database(&app).await;
        let mut agency = json!(null);
        for name in ["-TERM", "-INT"] {
            let (mut server, ready, _output) = dev(&url).await;
            assert!(agency.is_null() || agency == ready["agencyId"], "the demo agency is made once");
            agency = ready["agencyId"].clone();
            let began = Instant::now();
            server.signal(name);
            assert_eq!(server.ended().await.code(), Some(0), "{name}");
            assert!(began.elapsed() < Duration::from_secs(3), "{name}: {:?}", began.elapsed());
        }
    }

    async fn a_second_server_on_one_sqlite_file_is_refused(app: TestApp) {
        if app.url.starts_with("postgres") {
            return app.stop().await;
        }
        let url = another_database(&app).await;
        let (_server, _, _output) = dev(&url).await;
        let arguments: Vec<&str> = ["dev"].into_iter().chain(PORTS).collect();
        let told = refusal(&arguments, &[("DATABASE_URL", &url)]).await;
        assert!(told.contains("another server is running on"), "{told}");
        json_of(&["token", "list"], &url).await;
    }

    async fn serve_refuses_to_start_without_its_secrets_and_names_the_variable(app: TestApp) {
        let (key, webhook) = ("CALMONY_PAY_SECRET_KEY", "CALMONY_PAY_WEBHOOK_SECRET");
        let good = "0123456789abcdef0123456789abcdef";
        let four = [good; 4].join(",");
        for (settings, named) in [
            (vec![], key),
            (vec![(webhook, good)], key),
            (vec![(key, ""), (webhook, good)], key),
            (vec![(key, "  "), (webhook, good)], key),
            (vec![(key, good)], webhook),
            (vec![(key, good), (webhook, "")], webhook),
            (vec![(key, good), (webhook, ",")], webhook),
            (vec![(key, good), (webhook, four.as_str())], webhook),
            (vec![("CALMONY_PAY_SECRET_KEY_FILE", "/no/such/file"), (webhook, good)], key),
        ] {
            let shown: Vec<_> = settings.iter().map(|(name, _)| *name).collect();
            let all: Vec<_> = settings.into_iter().chain([("DATABASE_URL", app.url.as_str())]).collect();
            let told = refusal(&["serve"], &all).await;
            assert!(told.contains(named), "{shown:?}: {told}");
            assert!(!told.contains(good), "a secret is never shown: {told}");
        }
    }

    async fn administration_works_beside_a_running_server(app: TestApp) {
        let agency = json_of(&["agency", "create", "Brick & Mortar"], &app.url).await["agencyId"].clone();
        let agency = agency.as_str().expect("an id");
        let issue = ["token", "issue", "--agency", agency, "--role", "admin", "--actor", "Olga", "--expires", "90d"];
        let issued = json_of(&issue, &app.url).await;
        let token = issued["token"].as_str().expect("a token").to_owned();
        assert!(token.starts_with("qt_") && issued["tokenId"].is_string());

        let admin = TestCaller::new(app.http.clone(), app.rpc_url.clone(), Some(token.clone()));
        let limit = admin.ok("payment.getCardLimit", json!({})).await;
        assert_eq!(limit, json!({ "maxCardPaymentPence": 200_000 }), "the limit of a new agency");

        let issue = ["token", "issue", "--agency", agency, "--role", "viewer", "--actor", "Vic"];
        let seen = json_of(&issue, &app.url).await;
        let viewer = admin.with_token(seen["token"].as_str().expect("a token"));
        assert_eq!(viewer.fails("payment.createPaymentTask", json!({})).await.kind(), "FORBIDDEN");

        let listed = json_of(&["token", "list"], &app.url).await;
        let tokens = listed["tokens"].as_array().expect("tokens");
        assert!(tokens.iter().any(|row| row["tokenId"] == issued["tokenId"]), "{listed}");
        assert!(tokens.iter().any(|row| row["tokenId"] == seen["tokenId"] && row["role"] == "viewer"), "{listed}");
        assert!(!listed.to_string().contains(&token), "a token is shown once");

        let id = issued["tokenId"].as_str().expect("an id");
        assert_eq!(json_of(&["token", "revoke", id], &app.url).await["tokenId"], id);
        let began = Instant::now();
        while admin.call("payment.getCardLimit", json!({})).await.is_ok() {
            assert!(began.elapsed() < Duration::from_secs(10), "a revocation takes effect within 10 s");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(json_of(&["migrate"], &app.url).await, json!({ "applied": [] }));
    }

    async fn migrate_names_what_it_applied_and_no_migrate_refuses(app: TestApp) {
        let url = another_database(&app).await;
        if let Some(path) = url.strip_prefix("sqlite://") {
            let told = refusal(&["token", "list"], &[("DATABASE_URL", &url)]).await;
            assert!(told.contains(path) && told.contains("does not exist"), "{told}");
            let told = refusal(&["agency", "create", "x", "--no-migrate"], &[("DATABASE_URL", &url)]).await;
            assert!(told.contains("quittance migrate"), "{told}");
            let pending = json_of(&["migrate", "--no-migrate"], &url).await;
            assert!(!pending["pending"].as_array().expect("names").is_empty(), "{pending}");
            assert!(!std::fs::exists(path).expect("it can be looked at"), "neither a mistyped path nor looking makes a ledger");
            // Empty, as PostgreSQL's is.
            std::fs::write(path, "").expect("a file");
        }
        for command in [&["token", "list", "--no-migrate"][..], &["agency", "create", "x", "--no-migrate"]] {
            let told = refusal(command, &[("DATABASE_URL", &url)]).await;
            assert!(told.contains("quittance migrate"), "{command:?}: {told}");
        }
        let applied = json_of(&["migrate"], &url).await;
        assert!(!applied["applied"].as_array().expect("names").is_empty(), "{applied}");
        assert_eq!(json_of(&["migrate"], &url).await, json!({ "applied": [] }));
        json_of(&["token", "list", "--no-migrate"], &url).await;
    }

    async fn mistakes_in_commands_are_explained(app: TestApp) {
        let database = [("DATABASE_URL", app.url.as_str())];
        let nobody = "00000000-0000-7000-8000-000000000000";
        let issue = |agency| ["token", "issue", "--agency", agency, "--role", "agent", "--actor", "x"];
        assert!(refusal(&issue(nobody), &database).await.contains(nobody));
        assert!(refusal(&issue("x"), &database).await.contains("no agency x"));
        refusal(&["token", "revoke", nobody], &database).await;
        refusal(&["agency", "create", ""], &database).await;
        let told = refusal(&["token", "list"], &[("DATABASE_URL", "mysql://localhost/x")]).await;
        assert!(told.contains("sqlite://") && told.contains("postgres://"), "{told}");
    }
}
