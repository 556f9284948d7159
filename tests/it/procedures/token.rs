//! The namespace `token`: short tokens for a platform's signed-in agents.

use std::time::{Duration, Instant};

use quittance::{
    auth::Tokens,
    domain::{Label, Role, Timestamp},
};
use serde_json::{Value, json};

use super::{keys, refused};
use crate::harness::{TestApp, TestCaller, on_both};

/// Whoever carries this token.
fn bearer(app: &TestApp, token: &Value) -> TestCaller {
    TestCaller::new(app.http.clone(), app.rpc_url.clone(), token.as_str().map(str::to_owned))
}

/// Issues a token for an hour.
async fn issue(app: &TestApp, role: &str) -> Value {
    let params = json!({ "role": role, "actor": "Tess Temp", "expiresInSeconds": 3_600 });
    app.admin().ok("token.issue", params).await
}

on_both! {
    async fn an_issued_token_works_in_its_role_and_name(app: TestApp) {
        for role in ["agent", "admin"] {
            let issued = issue(&app, role).await;
            assert_eq!(keys(&issued), ["tokenId", "token", "expiresAt"]);
            let token = issued["token"].as_str().unwrap();
            assert!(token.starts_with("qt_") && token.len() == 46, "256 bits in base64");
            let ends = chrono::DateTime::parse_from_rfc3339(issued["expiresAt"].as_str().unwrap()).unwrap();
            let lives = (ends.to_utc() - chrono::Utc::now()).num_seconds();
            assert!((3_590..=3_600).contains(&lives), "{lives}");
            let temp = bearer(&app, &issued["token"]);
            let created = temp.create(100).await;
            assert_eq!(app.payment(&created.id).await["createdBy"], "Tess Temp");
            let admins_only = temp.call("payment.getCardLimit", json!({})).await;
            assert_eq!(admins_only.is_ok(), role == "admin");
        }
    }

    async fn a_token_stops_when_its_time_is_over(app: TestApp) {
        let expires = Timestamp::now().plus(Duration::from_millis(1_500));
        let actor = Label::parse("Tess Temp").unwrap();
        let tokens = Tokens::new(app.ledger.clone());
        let (_, token) = tokens.issue(app.agency_id, Role::Agent, actor, Some(expires)).await.unwrap();
        let temp = bearer(&app, &json!(token.reveal()));
        temp.ok("payment.stats", json!({})).await;
        tokio::time::sleep(Duration::from_millis(1_600)).await;
        assert_eq!(temp.fails("payment.stats", json!({})).await.kind(), "UNAUTHORIZED");
    }

    async fn a_revoked_token_stops_within_seconds(app: TestApp) {
        let issued = issue(&app, "agent").await;
        let temp = bearer(&app, &issued["token"]);
        temp.ok("payment.stats", json!({})).await;
        let params = json!({ "tokenId": issued["tokenId"] });
        for _ in 0..2 {
            assert_eq!(app.admin().ok("token.revoke", params.clone()).await, params);
        }
        let began = Instant::now();
        while temp.call("payment.stats", json!({})).await.is_ok() {
            assert!(began.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        app.agent().ok("payment.stats", json!({})).await;
    }

    async fn another_agencys_token_is_not_found(app: TestApp) {
        let issued = issue(&app, "agent").await;
        let stranger = app.stranger(Role::Admin).await;
        let unknown = "01900000-0000-7000-8000-000000000000";
        for id in [&issued["tokenId"], &json!(unknown), &json!("x"), &json!(""), &issued["token"]] {
            let fault = stranger.fails("token.revoke", json!({ "tokenId": id })).await;
            assert_eq!((fault.code, fault.kind()), (-32004, "NOT_FOUND"), "{fault:?}");
        }
        bearer(&app, &issued["token"]).ok("payment.stats", json!({})).await;
    }

    async fn what_is_wrong_is_refused_by_name(app: TestApp) {
        let usual = json!({ "role": "agent", "actor": "Tess Temp", "expiresInSeconds": 60 });
        let table = [
            ("expiresInSeconds", json!(59)),
            ("expiresInSeconds", json!(7_776_001)),
            ("expiresInSeconds", json!(-60)),
            ("expiresInSeconds", json!(60.0)),
            ("expiresInSeconds", json!("60")),
            ("expiresInSeconds", Value::Null),
            ("role", json!("owner")),
            ("role", json!("Admin")),
            ("role", Value::Null),
            ("actor", json!("")),
            ("actor", json!("é".repeat(201))),
            ("actor", json!("a\nb")),
            ("agencyId", json!("x")),
        ];
        refused(app.admin(), "token.issue", &usual, &table).await;
        for field in ["role", "actor", "expiresInSeconds"] {
            let mut params = usual.clone();
            params.as_object_mut().unwrap().remove(field);
            assert_eq!(app.admin().fails("token.issue", params).await.data["path"], field);
        }
        app.admin().ok("token.issue", usual).await;
        let longest = json!({ "role": "admin", "actor": "é".repeat(200), "expiresInSeconds": 7_776_000 });
        app.admin().ok("token.issue", longest).await;
    }
}
