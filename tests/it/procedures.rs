//! The contract's procedures, one file each (small namespaces in one), and what holds for all of them: who may call
//! what, and the exact shapes on the wire. Here: what several of these files need.

/// Compares JSON with an inline snapshot, in each test twice: once for each database.
macro_rules! pinned {
    ($value:expr, @$text:literal) => {{
        let value = crate::procedures::scrubbed(&$value);
        insta::allow_duplicates! { insta::assert_json_snapshot!(value, @$text) }
    }};
}

mod access;
mod at_once;
mod audit_trail;
mod cancel_payment;
mod card_limit;
mod create_input;
mod create_payment_task;
mod cursors;
mod custom_payment_task;
mod get_payment_status;
mod hostile_answers;
mod idempotency_key;
mod links;
mod list;
mod list_anomalies;
mod mark_payment_manually_paid;
mod mark_payment_refunded;
mod provider_faults;
mod resolve_anomaly;
mod stats;
mod todo;
mod token;
mod wire_errors;
mod wire_payments;
mod withdraw_manual_payment;

use quittance::sandbox::RecordedRequest;
use serde_json::{Value, json};

use crate::harness::{Event, TestApp, TestCaller};

/// Every status a payment can have.
const STATUSES: [&str; 6] = ["pending", "processing", "succeeded", "failed", "refunded", "cancelled"];

/// A payment of 25,000 pence in this status; its id.
async fn payment_in(app: &TestApp, status: &str) -> String {
    payment_with(app, json!({}), status).await
}

/// The same with these fields.
async fn payment_with(app: &TestApp, fields: Value, status: &str) -> String {
    let id = app.agent().create_with(fields).await.id;
    let intent = format!("pi_of_{id}");
    let event = |event_type: &str| Event::intent(event_type, &intent, &id, 25_000);
    match status {
        "pending" => {}
        "processing" => app.delivered(&event("payment_intent.processing")).await,
        "failed" => app.delivered(&event("payment_intent.payment_failed")).await,
        "succeeded" => app.delivered(&event("payment_intent.succeeded")).await,
        "refunded" => app.delivered(&Event::refunded(&intent, &id, 25_000, 25_000)).await,
        "cancelled" => _ = app.agent().ok("payment.cancelPayment", json!({ "paymentId": id })).await,
        other => panic!("there is no status {other}"),
    }
    assert_eq!(app.payment(&id).await["status"], status);
    id
}

/// The create calls that Calmony Pay received, oldest first.
fn create_calls(app: &TestApp) -> Vec<RecordedRequest> {
    app.calmony().requests().into_iter().filter(|request| request.method == "POST").collect()
}

/// How many of Calmony Pay's sessions were made for a payment.
fn sessions_of(app: &TestApp, payment: &str) -> usize {
    app.calmony().sessions().iter().filter(|session| session.metadata["ledger_id"] == payment).count()
}

/// Every row of a list, read in pages of `limit`; fails where a page is not as full as it must be.
async fn all_pages(caller: &TestCaller, method: &str, filter: Value, limit: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let mut params = filter.clone();
        params["limit"] = limit.into();
        params["cursor"] = cursor;
        let page = caller.ok(method, params).await;
        let items = page["items"].as_array().expect("rows");
        rows.extend(items.iter().cloned());
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            assert!(items.len() <= limit);
            return rows;
        }
        assert_eq!(items.len(), limit, "a page that is not the last is full");
    }
}

/// The ids of rows, in their order.
fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

/// An object's keys, in the order they came.
fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Calls with each of these fields, one at a time, over the usual ones. Each must be refused, naming its path.
async fn refused(caller: &TestCaller, method: &str, usual: &Value, table: &[(&str, Value)]) {
    for (path, value) in table {
        let mut params = usual.clone();
        params[*path] = value.clone();
        let fault = caller.fails(method, params).await;
        assert_eq!((fault.code, fault.kind()), (-32602, "INVALID_PARAMS"), "{path} {value}: {fault:?}");
        assert_eq!(fault.data["path"], *path, "{value}: {fault:?}");
        assert!(fault.data["reason"].as_str().is_some_and(|reason| reason.len() > 5), "{fault:?}");
    }
}

/// A JSON value as it would stand on the wire, with what differs from run to run replaced by what it is.
fn scrubbed(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(scrubbed).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), scrubbed(value))).collect())
        }
        Value::String(text) if text.len() == 36 && uuid::Uuid::try_parse(text).is_ok() => json!("[id]"),
        Value::String(text) if text.starts_with("pi_") => json!("[intent]"),
        Value::String(text) if text.starts_with("http://") => json!("[link]"),
        Value::String(text) if text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok() => {
            json!("[time]")
        }
        other => other.clone(),
    }
}
