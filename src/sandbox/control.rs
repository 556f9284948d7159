//! The sandbox's strings: what curl or a test script pulls to play the tenant, the bank and bad luck.
//!
//! Lives here: `/sandbox/…` as JSON. Does not live here: what pulling them does (`state`), and anything the real
//! provider has.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::exchange::{Request, Response, error, json as respond, method_not_allowed};
use super::faults::Faults;
use super::model::{Method as PaymentMethod, Refusal};
use super::{Sandbox, Session};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pay {
    method: Option<PaymentMethod>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refund {
    amount: Option<i64>,
}

pub(super) async fn answer(sandbox: &Sandbox, request: &Request, path: &[&str]) -> Response {
    let done = match (&request.method, path) {
        (&Method::GET, ["faults"]) => Ok(json!(sandbox.faults())),
        (&Method::PUT, ["faults"]) => set_faults(sandbox, request),
        (&Method::GET, ["sessions"]) => {
            let sessions: Vec<Value> = sandbox.state().sessions().rev().map(Session::json).collect();
            Ok(json!({ "sessions": sessions }))
        }
        (&Method::POST, ["sessions", id, "pay"]) => pay(sandbox, request, id).await,
        (&Method::POST, ["sessions", id, "decline"]) => {
            sandbox.decline(id).await.map(|intent| json!({ "payment_intent": intent })).map_err(refused)
        }
        (&Method::POST, ["sessions", id, "expire"]) => {
            sandbox.expire(id).await.map(|()| json!({ "status": "expired" })).map_err(refused)
        }
        (&Method::POST, ["intents", id, "refund"]) => refund(sandbox, request, id).await,
        (_, ["faults"]) => return method_not_allowed("GET, PUT"),
        (_, ["sessions"]) => return method_not_allowed("GET"),
        (_, ["sessions", _, "pay" | "decline" | "expire"] | ["intents", _, "refund"]) => {
            return method_not_allowed("POST");
        }
        _ => Err(refused(Refusal::Unknown)),
    };
    match done {
        Ok(answer) => respond(StatusCode::OK, &answer),
        Err(refusal) => *refusal,
    }
}

/// Refusals are boxed because they are rare and large.
type Done = Result<Value, Box<Response>>;

fn set_faults(sandbox: &Sandbox, request: &Request) -> Done {
    let faults: Faults = read(request)?;
    if let Some((param, message)) = faults.fault() {
        return Err(invalid(&format!("{param}: {message}"), Some(param)));
    }
    sandbox.set_faults(faults.clone());
    Ok(json!(faults))
}

async fn pay(sandbox: &Sandbox, request: &Request, session_id: &str) -> Done {
    let Pay { method } = read(request)?;
    let session = sandbox.session(session_id).ok_or_else(|| refused(Refusal::Unknown))?;
    // A session always allows at least one method.
    let method = method.or(session.payment_method_types.first().copied()).unwrap_or(PaymentMethod::Card);
    let intent = sandbox.pay(session_id, method).await.map_err(refused)?;
    Ok(json!({ "payment_intent": intent }))
}

async fn refund(sandbox: &Sandbox, request: &Request, intent_id: &str) -> Done {
    let Refund { amount } = read(request)?;
    let refunded_pence = sandbox.refund(intent_id, amount).await.map_err(refused)?;
    Ok(json!({ "amount_refunded": refunded_pence }))
}

/// No body at all means no wishes.
fn read<T: Default + DeserializeOwned>(request: &Request) -> Result<T, Box<Response>> {
    if request.body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&request.body).map_err(|fault| invalid(&fault.to_string(), None))
}

fn invalid(message: &str, param: Option<&str>) -> Box<Response> {
    Box::new(error(StatusCode::BAD_REQUEST, "validation_error", message, param))
}

fn refused(refusal: Refusal) -> Box<Response> {
    let (status, code) = match refusal {
        Refusal::Unknown => (StatusCode::NOT_FOUND, "resource_missing"),
        Refusal::NotOpen => (StatusCode::CONFLICT, "session_not_open"),
        Refusal::MethodNotAllowed => (StatusCode::BAD_REQUEST, "method_not_allowed"),
        Refusal::NotProcessing => (StatusCode::CONFLICT, "intent_not_processing"),
        Refusal::NotRefundable => (StatusCode::CONFLICT, "intent_not_refundable"),
    };
    Box::new(error(status, code, &refusal.to_string(), None))
}
