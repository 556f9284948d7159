//! `quittance doctor`: what it finds wrong, and that it says so.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    harness::{FakeInngest, INNGEST_EVENT_KEY, Mood, TestApp, on_both},
    process::run,
};

/// The sandbox's key.
const KEY: &str = "sk_test_0123456789abcdef01234567";
const WEBHOOK_SECRET: &str = "whsec_0123456789abcdef0123456789";

/// Runs the doctor with good settings, but for these; whether it passed, what it printed, and what it told.
async fn doctor(app: &TestApp, arguments: &[&str], other: &[(&str, &str)]) -> (bool, Value, String) {
    let api = format!("{}/v1", app.calmony().url());
    let good = [
        ("DATABASE_URL", app.url.as_str()),
        ("CALMONY_PAY_API_URL", api.as_str()),
        ("CALMONY_PAY_SECRET_KEY", KEY),
        ("CALMONY_PAY_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("QUITTANCE_PUBLIC_URL", "https://pay.example.com"),
    ];
    let mut settings = good.to_vec();
    settings.retain(|(name, _)| !other.iter().any(|(changed, _)| changed == name));
    settings.extend(other);
    let arguments: Vec<_> = ["doctor"].iter().chain(arguments).copied().collect();
    let output = run(&arguments, &settings).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    for secret in [KEY, WEBHOOK_SECRET, INNGEST_EVENT_KEY, "hunter2"] {
        assert!(!said.contains(secret) && !told.contains(secret), "{secret}: {said}{told}");
    }
    let report = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{said}{told}: {error}"));
    (output.status.success(), report, told)
}

/// The state of one check, what was found, and what to do.
fn check(report: &Value, name: &str) -> (String, String, String) {
    let checks = report["checks"].as_array().expect("checks");
    let found =
        checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name}: {report}"));
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("state"), text("found"), text("fix"))
}

/// A provider that answers every request with these bytes.
async fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = [0; 16 * 1024];
            let _ = socket.read(&mut head).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    url
}

on_both! {
    async fn nothing_is_wrong_with_good_settings(app: TestApp) {
        let (passed, report, _) = doctor(&app, &[], &[]).await;
        assert!(passed, "{report}");
        assert_eq!(report["ok"], true);
        for name in ["settings", "secrets", "database", "provider", "clock", "public URL"] {
            assert_eq!(check(&report, name).0, "ok", "{report}");
        }
        assert!(check(&report, "database").1.contains("version"), "{report}");
        assert!(report["checks"].as_array().expect("checks").iter().all(|check| check["check"] != "Inngest"));
    }

    async fn each_fault_is_named_with_what_to_do(app: TestApp) {
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            format!("http://{}/v1", listener.local_addr().expect("bound"))
        };
        let redirect = answering("HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n").await;
        let stranger = answering("HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found").await;
        let trouble = answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
        let early = answering(
            "HTTP/1.1 404 Not Found\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 12\r\n\r\n{\"error\":{}}",
        )
        .await;
        let table = [
            ("CALMONY_PAY_SECRET_KEY", "", "settings", "CALMONY_PAY_SECRET_KEY is not set"),
            ("CALMONY_PAY_WEBHOOK_SECRET", "a,b,c,d", "settings", "CALMONY_PAY_WEBHOOK_SECRET must hold"),
            ("INNGEST_BASE_URL", "http://inn.example", "settings", "INNGEST_BASE_URL must be https"),
            ("CALMONY_PAY_SECRET_KEY", "another key of some length", "provider", "refuses the key (401"),
            ("CALMONY_PAY_API_URL", &closed, "provider", "does not answer"),
            ("CALMONY_PAY_API_URL", &redirect, "provider", "is not Calmony Pay's API (302"),
            ("CALMONY_PAY_API_URL", &stranger, "provider", "is not Calmony Pay's API (404"),
            ("CALMONY_PAY_API_URL", &trouble, "provider", "has trouble (503"),
            ("CALMONY_PAY_API_URL", &early, "clock", "no webhook's signature can be accepted"),
            ("QUITTANCE_PUBLIC_URL", "", "public URL", "is not set"),
            ("QUITTANCE_PUBLIC_URL", "http://pay.example.com", "public URL", "is not public https"),
            ("QUITTANCE_PUBLIC_URL", "https://localhost", "public URL", "is not public https"),
            ("QUITTANCE_PUBLIC_URL", "https://pay", "public URL", "is not public https"),
            ("QUITTANCE_PUBLIC_URL", "https://192.168.1.1", "public URL", "is not public https"),
            ("QUITTANCE_PUBLIC_URL", "https://[::ffff:10.0.0.1]", "public URL", "is not public https"),
            ("QUITTANCE_RETURN_URL", "http://localhost:3000/paid", "public URL", "QUITTANCE_RETURN_URL"),
            ("DATABASE_URL", "sqlite:///no/such/ledger.db", "database", "does not exist"),
            ("DATABASE_URL", "mysql://x", "database", "sqlite://"),
            ("DATABASE_URL", "postgres://postgres:hunter2@127.0.0.1:9/x", "database", "PostgreSQL"),
        ];
        for (variable, value, name, expected) in table {
            let key = ("INNGEST_EVENT_KEY", INNGEST_EVENT_KEY);
            let settings = [vec![(variable, value)], vec![key; usize::from(variable.starts_with("INNGEST"))]].concat();
            let (passed, report, told) = doctor(&app, &[], &settings).await;
            assert!(!passed && report["ok"] == false, "{variable}={value}: {report}");
            let (state, found, fix) = check(&report, name);
            assert_eq!(state, "failed", "{variable}={value}: {report}");
            assert!(found.contains(expected) && !fix.is_empty(), "{variable}={value}: {found}");
            assert!(told.contains(name), "{variable}={value}: {told}");
        }
    }

    async fn a_short_secret_is_a_warning(app: TestApp) {
        let (passed, report, _) = doctor(&app, &[], &[("CALMONY_PAY_WEBHOOK_SECRET", "short,0123456789abcdef0123456789")]).await;
        assert!(passed, "{report}");
        let (state, found, _) = check(&report, "secrets");
        assert_eq!(state, "warning");
        assert!(found.contains("CALMONY_PAY_WEBHOOK_SECRET") && !found.contains("SECRET_KEY"), "{found}");
    }

    async fn inngest_is_asked_where_it_is_configured(app: TestApp) {
        let fake = FakeInngest::start(&[Mood::Content, Mood::Status(401), Mood::Status(500)]).await;
        let settings = [("INNGEST_EVENT_KEY", INNGEST_EVENT_KEY), ("INNGEST_BASE_URL", fake.url.as_str())];
        for expected in ["ok", "failed", "failed"] {
            let (passed, report, _) = doctor(&app, &[], &settings).await;
            assert_eq!(passed, expected == "ok", "{report}");
            assert_eq!(check(&report, "Inngest").0, expected, "{report}");
        }
        assert!(fake.taken().is_empty(), "it sends no event");
    }

    async fn a_database_that_is_not_migrated_or_takes_no_writes(app: TestApp) {
        let mut sql = app.sql().await;
        sql.ok("update jobs set kind = kind").await;
        sql.ok("delete from __diesel_schema_migrations where version = (select max(version) from __diesel_schema_migrations)").await;
        let (passed, report, _) = doctor(&app, &["--no-migrate"], &[]).await;
        assert!(!passed && check(&report, "database").1.contains("migrations are pending"), "{report}");
    }
}
