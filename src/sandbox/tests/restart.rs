//! What outlives a restart of the sandbox, and what becomes of a file that is broken.

use std::fs;

use super::*;
use crate::sandbox::{IntentStatus, Method, SessionStatus};

/// A sandbox that keeps its sessions in this file.
async fn keeping(file: &std::path::Path) -> (Sandbox, DropGuard) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shutdown = CancellationToken::new();
    let config = SandboxConfig {
        file: Some(file.to_owned()),
        retry_delays_ms: vec![],
        ..SandboxConfig::new(KEY.into(), WEBHOOK_SECRET.into(), "http://127.0.0.1:9/".into())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (Sandbox::start(listener, config, shutdown.clone()).await, shutdown.drop_guard())
}

/// Creates a session under a key; its id.
async fn create(sandbox: &Sandbox, key: &str, body: &Value) -> (StatusCode, Value) {
    let request = reqwest::Client::new().post(format!("{}/v1/checkout/sessions", sandbox.url()));
    let answer = request.bearer_auth(KEY).header("Idempotency-Key", key).json(body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn id(answer: &(StatusCode, Value)) -> String {
    answer.1["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn sessions_intents_and_keys_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep").join("sandbox.json");
    let (first, ends) = keeping(&file).await;
    let open = id(&create(&first, "key-1", &request()).await);
    let paid = id(&create(&first, "key-2", &request()).await);
    let by_bank = id(&create(&first, "key-3", &request()).await);
    let intent = first.pay(&paid, Method::Card).await.unwrap();
    let under_way = first.start_bank_payment(&by_bank).await.unwrap();
    let before = first.sessions();
    drop(ends);
    first.save();

    let (second, _ends) = keeping(&file).await;
    assert_eq!(second.sessions(), before);
    assert_eq!(second.intent(&intent), first.intent(&intent));
    assert_eq!(id(&create(&second, "key-1", &request()).await), open, "the same key is the same session");
    let mut other = request();
    other["line_items"][0]["quantity"] = 2.into();
    assert_eq!(create(&second, "key-1", &other).await.0, StatusCode::CONFLICT);
    second.pay(&open, Method::Card).await.unwrap();
    // What the bank was about to do it does.
    second.settled().await;
    assert_eq!(second.intent(&under_way).unwrap().status, IntentStatus::Succeeded);
    assert!(second.sessions().iter().all(|session| session.status == SessionStatus::Complete));
}

#[tokio::test]
async fn what_changes_is_written_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sandbox.json");
    let (sandbox, _ends) = keeping(&file).await;
    let open = id(&create(&sandbox, "key-1", &request()).await);
    for _ in 0..100 {
        if fs::read_to_string(&file).is_ok_and(|kept| kept.contains(&open)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing was written");
}

#[tokio::test]
async fn a_broken_file_is_no_reason_not_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sandbox.json");
    for broken in ["", "{", "[]", r#"{"sessions":1}"#, "\0\0\0"] {
        fs::write(&file, broken).unwrap();
        let (sandbox, _ends) = keeping(&file).await;
        assert_eq!(sandbox.sessions(), []);
        let open = id(&create(&sandbox, "key-1", &request()).await);
        sandbox.save();
        assert!(fs::read_to_string(&file).unwrap().contains(&open), "{broken:?}");
    }
}

#[tokio::test]
async fn only_the_newest_sessions_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sandbox.json");
    let (first, ends) = keeping(&file).await;
    let asked = crate::sandbox::checkout::CheckoutRequest::read(&request()).unwrap();
    for n in 0..1_005 {
        first.state().create("http://host", Some(&format!("key-{n}")), &request(), asked.clone());
    }
    drop(ends);
    first.save();
    let (second, _ends) = keeping(&file).await;
    assert_eq!(second.sessions(), first.sessions()[5..]);
}
