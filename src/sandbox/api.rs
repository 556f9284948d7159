//! The provider's API: sessions are made and read here, intents are read.
//!
//! Lives here: authorisation, `Idempotency-Key`, error envelopes, and the faults of create calls. Does not live
//! here: which bodies are in order (`checkout`) and what a session is (`model`, `state`).

use http::header::{AUTHORIZATION, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::checkout::CheckoutRequest;
use super::exchange::{NoAnswer, Request, Response, error, json, method_not_allowed, respond};
use super::faults::CreateFate;
use super::model::{Intent, Refusal, Session};
use super::state::{Created, State};
use super::{RecordedRequest, Sandbox};

/// As with Stripe; a UUID is what the provider recommends.
const MAX_KEY_BYTES: usize = 255;
/// Tells a repeated answer from a first one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

pub(super) async fn answer(
    sandbox: &Sandbox,
    request: &Request,
    path: &[&str],
) -> Result<Response, NoAnswer> {
    let authorized = is_authorized(sandbox, request);
    let body: Option<Value> = serde_json::from_slice(&request.body).ok();
    let idempotency_key = request.headers.get("idempotency-key");
    let idempotency_key = idempotency_key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    sandbox.state().record_request(RecordedRequest {
        method: request.method.to_string(),
        path: request.path.clone(),
        idempotency_key: idempotency_key.clone(),
        authorized,
        body: body.clone(),
    });
    if !authorized {
        let message = "the API key is missing or unknown";
        return Ok(error(StatusCode::UNAUTHORIZED, "invalid_api_key", message, None));
    }
    match (&request.method, path) {
        (&Method::POST, ["checkout", "sessions"]) => create(sandbox, idempotency_key, body).await,
        (&Method::GET, ["checkout", "sessions", id]) => {
            Ok(read(sandbox, |state| state.session(id).map(Session::json)))
        }
        (&Method::GET, ["payment_intents", id]) => {
            Ok(read(sandbox, |state| state.intent(id).map(Intent::json)))
        }
        (_, ["checkout", "sessions"]) => Ok(method_not_allowed("POST")),
        (_, ["checkout", "sessions", _] | ["payment_intents", _]) => Ok(method_not_allowed("GET")),
        _ => Ok(not_found()),
    }
}

fn is_authorized(sandbox: &Sandbox, request: &Request) -> bool {
    let expected = sandbox.inner.secret_key.expose_secret().as_bytes();
    let sent = request.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let key = sent.and_then(|value| value.strip_prefix(b"Bearer "));
    key.is_some_and(|key| bool::from(key.ct_eq(expected)))
}

fn read(sandbox: &Sandbox, look_up: impl FnOnce(&State) -> Result<Value, Refusal>) -> Response {
    let state = sandbox.state();
    match state.faults.read_status {
        Some(status) => on_request(status),
        None => look_up(&state).map_or_else(|_| not_found(), |object| json(StatusCode::OK, &object)),
    }
}

async fn create(sandbox: &Sandbox, key: Option<String>, body: Option<Value>) -> Result<Response, NoAnswer> {
    let fate = {
        let mut state = sandbox.state();
        let faults = state.faults.clone();
        state.dice.create(&faults)
    };
    let refused = match fate {
        CreateFate::Status(status) => Some(on_request(status)),
        CreateFate::Rejected => Some(on_request(400)),
        CreateFate::FailedBefore => Some(on_request(500)),
        CreateFate::Answered
        | CreateFate::FailedAfter
        | CreateFate::Hung
        | CreateFate::Dropped
        | CreateFate::Broken => None,
    };
    if let Some(refused) = refused {
        return Ok(refused);
    }
    let answer = match make(sandbox, key.as_deref(), body) {
        Ok(answer) => answer,
        Err(refused) => return Ok(*refused),
    };
    sandbox.creates_resumed().await;
    match fate {
        CreateFate::FailedAfter => Ok(on_request(500)),
        // Ends when the caller hangs up or the sandbox is shut down: either drops this future.
        CreateFate::Hung => std::future::pending().await,
        CreateFate::Dropped => Err(NoAnswer),
        CreateFate::Broken => Ok(respond(StatusCode::OK, "application/json", r#"{"id":"cs_"#.to_owned())),
        CreateFate::Answered | CreateFate::Status(_) | CreateFate::Rejected | CreateFate::FailedBefore => {
            Ok(answer)
        }
    }
}

/// The session's answer, or (boxed, because it is rare) the refusal.
fn make(sandbox: &Sandbox, key: Option<&str>, body: Option<Value>) -> Result<Response, Box<Response>> {
    let invalid = |message: &str, param: Option<&str>| {
        Box::new(error(StatusCode::BAD_REQUEST, "validation_error", message, param))
    };
    if key.is_some_and(|key| !(1..=MAX_KEY_BYTES).contains(&key.len())) {
        return Err(invalid("Idempotency-Key: must have 1 to 255 characters", None));
    }
    let body = body.ok_or_else(|| invalid("the body is not JSON", None))?;
    let asked = CheckoutRequest::read(&body).map_err(|fault| {
        let message = format!("{}: {}", fault.param, fault.message);
        invalid(&message, Some(&fault.param))
    })?;
    match sandbox.state().create(sandbox.url(), key, &body, asked) {
        Created::New(session) => Ok(json(StatusCode::OK, &session)),
        Created::Replayed(session) => {
            let mut response = json(StatusCode::OK, &session);
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Created::Conflict => {
            let message = "this Idempotency-Key was used for another body";
            Err(Box::new(error(StatusCode::CONFLICT, "idempotency_error", message, None)))
        }
    }
}

fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "resource_missing", "there is no such object", None)
}

/// The answer to a call that was made to fail.
fn on_request(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = error(status, "fault_on_request", "the sandbox was told to answer like this", None);
    if status.is_redirection() {
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("/v1/elsewhere"));
    }
    response
}
