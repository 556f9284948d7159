//! Who may call what: every procedure there is, against everybody who may not.

use std::time::Duration;

use quittance::{
    auth::Tokens,
    domain::{Label, Role, Timestamp},
    rpc::procedure::{Effect, Procedure},
    server::procedures,
};
use serde_json::{Map, Value, json};

use super::payment_with;
use crate::harness::{Event, Fault, TestApp, TestCaller, on_both};

/// Fields that name a row.
const NAMES: [&str; 5] = ["paymentId", "todoId", "customPaymentTaskId", "tokenId", "anomalyId"];

/// Input that is in order, but names no row.
fn usual_params(procedure: &Procedure) -> Map<String, Value> {
    let withdraws = procedure.name == "payment.withdrawManualPayment";
    let value = |field: &str| match field {
        "amountPence" => Some(json!(25_000)),
        "paymentType" => Some(json!("custom")),
        "description" | "title" | "actor" | "reference" | "note" => Some(json!("x")),
        "maxCardPaymentPence" => Some(json!(1)),
        "role" => Some(json!("agent")),
        "expiresInSeconds" => Some(json!(60)),
        "resolution" => Some(json!("other")),
        "reason" => withdraws.then(|| json!("x")),
        "method"
        | "tenancyId"
        | "idempotencyKey"
        | "id"
        | "status"
        | "cursor"
        | "limit"
        | "since"
        | "manualPaymentReference" => None,
        name if NAMES.contains(&name) => None,
        unknown => panic!("what may {} be given as {unknown}?", procedure.name),
    };
    procedure.fields().iter().filter_map(|field| Some((field.clone(), value(field)?))).collect()
}

/// Somebody whose token is this.
fn bearer(app: &TestApp, token: &str) -> TestCaller {
    TestCaller::new(app.http.clone(), app.rpc_url.clone(), Some(token.to_owned()))
}

/// An admin token that no longer counts, for either reason.
async fn spent_token(app: &TestApp, revoked: bool) -> String {
    let tokens = Tokens::new(app.ledger.clone());
    let actor = Label::parse("Gone").unwrap();
    let expires = (!revoked).then(|| Timestamp::now().plus(Duration::from_millis(1)));
    let (id, token) = tokens.issue(app.agency_id, Role::Admin, actor, expires).await.unwrap();
    if revoked {
        tokens.revoke(id, None).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    token.reveal().to_owned()
}

/// What two answers about rows must have in common: everything but the request's id and the id sent.
fn comparable(fault: &Fault, sent: &str) -> (i64, String, Value) {
    let mut data = fault.data.clone();
    let fields = data.as_object_mut().expect("data");
    assert!(fields.shift_remove("requestId").is_some_and(|id| id.is_string()));
    assert_eq!(fields.shift_remove("id"), Some(json!(sent)));
    (fault.code, fault.message.replace(sent, "[id]"), data)
}

on_both! {
    async fn nobody_gets_in_without_a_token_that_counts(app: TestApp) {
        let real = app.admin().token.clone().unwrap();
        let callers = [
            ("none", app.anonymous()),
            ("empty", bearer(&app, "")),
            ("garbage", bearer(&app, "garbage")),
            ("unknown", bearer(&app, "qt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
            ("shortened", bearer(&app, &real[..real.len() - 1])),
            ("lengthened", bearer(&app, &format!("{real}A"))),
            ("without prefix", bearer(&app, &real[3..])),
            ("revoked", bearer(&app, &spent_token(&app, true).await)),
            ("expired", bearer(&app, &spent_token(&app, false).await)),
        ];
        // A subscription needs a WebSocket, which is refused before anything can be asked over it.
        let over_http = procedures().into_iter().filter(|procedure| procedure.name != "payment.onStatusChange");
        for procedure in over_http {
            for (which, caller) in &callers {
                for params in [Value::Object(usual_params(&procedure)), json!({ "wrong": 1 })] {
                    let fault = caller.fails(procedure.name, params).await;
                    let found = (fault.code, fault.kind());
                    assert_eq!(found, (-32001, "UNAUTHORIZED"), "{} with {which}: {fault:?}", procedure.name);
                }
            }
        }
        assert_eq!(app.agent().ok("payment.list", json!({})).await["items"], json!([]));
    }

    async fn agents_may_not_do_what_admins_do(app: TestApp) {
        let for_admins: Vec<_> = procedures().into_iter().filter(|p| p.role == Role::Admin).collect();
        assert!(for_admins.len() >= 6);
        for procedure in for_admins {
            for params in [Value::Object(usual_params(&procedure)), json!({ "wrong": 1 })] {
                let fault = app.agent().fails(procedure.name, params).await;
                assert_eq!((fault.code, fault.kind()), (-32003, "FORBIDDEN"), "{}: {fault:?}", procedure.name);
                assert_eq!(fault.data["required"], "admin");
            }
        }
        let rows = app.admin().ok("payment.auditTrail", json!({})).await;
        assert_eq!(rows["items"], json!([]), "nothing was done");
    }

    async fn viewers_see_what_agents_see_and_change_nothing(app: TestApp) {
        let issue = json!({ "role": "viewer", "actor": "Vera Viewer", "expiresInSeconds": 60 });
        let viewer = bearer(&app, app.admin().ok("token.issue", issue).await["token"].as_str().unwrap());
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Ours" })).await;
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Ours" })).await;
        let id = app.agent().create_with(json!({ "todoId": "todo-1" })).await.id;
        let before = app.admin().ok("payment.auditTrail", json!({ "limit": 100 })).await;
        let mut seen = 0;
        for procedure in procedures() {
            let params = Value::Object(usual_params(&procedure));
            match procedure.effect {
                Effect::Mutation => {
                    assert_ne!(procedure.role, Role::Viewer, "{} changes something", procedure.name);
                    let fault = viewer.fails(procedure.name, params).await;
                    let told = (fault.code, fault.kind(), &fault.data["required"]);
                    assert_eq!(told, (-32003, "FORBIDDEN", &json!(procedure.role)), "{}", procedure.name);
                }
                Effect::Query | Effect::Subscription(_) if procedure.role == Role::Admin => {
                    assert_eq!(viewer.fails(procedure.name, params).await.kind(), "FORBIDDEN", "{}", procedure.name);
                }
                Effect::Query | Effect::Subscription(_) => {
                    assert_eq!(procedure.role, Role::Viewer, "{} is for viewers as for agents", procedure.name);
                    let mut params = params;
                    let named = [("paymentId", id.as_str()), ("todoId", "todo-1"), ("customPaymentTaskId", "task-1")];
                    for (name, id) in named.into_iter().filter(|(name, _)| procedure.fields().iter().any(|known| known == name)) {
                        params[name] = json!(id);
                    }
                    match viewer.call(procedure.name, params).await {
                        Ok(_) => seen += 1,
                        Err(fault) => assert_eq!(fault.kind(), "NOT_FOUND", "{}: {fault:?}", procedure.name),
                    }
                }
            }
        }
        assert!(seen >= 8, "{seen}");
        assert_eq!(app.admin().ok("payment.auditTrail", json!({ "limit": 100 })).await, before, "nothing was done");
        assert_eq!(viewer.ok("rpc.ping", json!({})).await, json!({}));
    }

    async fn a_row_of_another_agency_answers_like_an_absent_one(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Ours" })).await;
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Ours" })).await;
        let links = json!({ "todoId": "todo-1", "customPaymentTaskId": "task-1" });
        let payment = payment_with(&app, links, "cancelled").await;
        app.delivered(&Event::succeeded("pi_1", &payment, 25_000)).await;
        let anomaly = app.admin().ok("payment.listAnomalies", json!({})).await["items"][0]["id"].clone();
        let issue = json!({ "role": "agent", "actor": "Tess Temp", "expiresInSeconds": 60 });
        let token = app.admin().ok("token.issue", issue).await["tokenId"].clone();
        let before = app.admin().ok("payment.auditTrail", json!({ "limit": 100 })).await;

        let ours = |name: &str| match name {
            "paymentId" => payment.clone(),
            "todoId" => "todo-1".to_owned(),
            "customPaymentTaskId" => "task-1".to_owned(),
            "tokenId" => token.as_str().unwrap().to_owned(),
            _ => anomaly.as_str().unwrap().to_owned(),
        };
        let absent = "01900000-0000-7000-8000-000000000000".to_owned();
        let stranger = app.stranger(Role::Admin).await;
        let mut tried = 0;
        for procedure in procedures() {
            for name in NAMES.into_iter().filter(|name| procedure.fields().iter().any(|field| field == name)) {
                let answer = async |id: &str| {
                    let mut params = usual_params(&procedure);
                    params.insert(name.to_owned(), json!(id));
                    let fault = stranger.fails(procedure.name, Value::Object(params)).await;
                    let found = (fault.code, fault.kind());
                    assert_eq!(found, (-32004, "NOT_FOUND"), "{} {name}: {fault:?}", procedure.name);
                    comparable(&fault, id)
                };
                assert_eq!(answer(&ours(name)).await, answer(&absent).await, "{} {name}", procedure.name);
                tried += 1;
            }
        }
        assert!(tried >= 10, "{tried}");
        assert_eq!(app.admin().ok("payment.auditTrail", json!({ "limit": 100 })).await, before);
        assert_eq!(stranger.ok("payment.list", json!({})).await["items"], json!([]));
    }

    async fn a_refused_call_is_answered_with_status_200(app: TestApp) {
        let body = json!({ "jsonrpc": "2.0", "id": "a", "method": "payment.stats" });
        let answer = app.anonymous().post(&body).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().contains_key("x-request-id"));
        let answer: Value = answer.json().await.unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("a"), &json!(-32001)));
    }
}
