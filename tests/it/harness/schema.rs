//! The published schema, held against every answer that a test sees.

use std::{collections::HashMap, sync::LazyLock};

use jsonschema::Validator;
use serde_json::{Value, json};

/// What jsonrpsee says without asking us: broken messages, unknown methods, limits.
const FOREIGN_CODES: &[i64] = &[-32700, -32600, -32601, -32006, -32007, -32008, -32010];

struct Method {
    result: Validator,
    errors: HashMap<i64, Validator>,
    /// What its notifications tell.
    told: Option<Validator>,
}

static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let document = document();
    let mut components = document["components"].clone();
    // Published schemas leave room for new fields; today's answers have none.
    for schema in components["schemas"].as_object_mut().expect("schemas").values_mut() {
        if schema.get("properties").is_some() {
            schema["additionalProperties"] = false.into();
        }
    }
    let validator = |schema: &Value| {
        let schema = json!({ "allOf": [schema], "components": components });
        jsonschema::draft7::options().should_validate_formats(true).build(&schema).expect("a schema")
    };
    let methods = document["methods"].as_array().expect("methods").iter();
    let methods = methods.map(|method| {
        let errors = method["errors"].as_array().expect("errors").iter();
        let errors = errors.map(|error| (error["code"].as_i64().expect("a code"), validator(&error["data"])));
        let name = method["name"].as_str().expect("a name").to_owned();
        let told = method["x-notification"].get("schema").map(validator);
        (name, Method { result: validator(&method["result"]["schema"]), errors: errors.collect(), told })
    });
    methods.collect()
});

/// The document, as published.
pub fn document() -> Value {
    serde_json::from_str(quittance::server::openrpc()).expect("JSON")
}

/// Fails on a result or an error that the document does not promise.
pub fn check(method: &str, answer: &Value) {
    let Some(described) = METHODS.get(method) else { return };
    let (validator, value) = match answer.get("error") {
        None => (&described.result, &answer["result"]),
        Some(error) => {
            let code = error["code"].as_i64().expect("a code");
            if error["data"].get("kind").is_none() && FOREIGN_CODES.contains(&code) {
                return;
            }
            let validator = described.errors.get(&code);
            (validator.unwrap_or_else(|| panic!("{method} promises no {code}: {error}")), &error["data"])
        }
    };
    is_promised(method, validator, value);
}

/// Whether a method is called over a WebSocket only.
pub fn needs_socket(method: &str) -> bool {
    METHODS.get(method).is_some_and(|described| described.told.is_some())
}

/// Fails on a notification that the document does not promise of a subscription.
pub fn check_notification(method: &str, told: &Value) {
    let validator = METHODS[method].told.as_ref().expect("a subscription");
    is_promised(method, validator, told);
}

fn is_promised(method: &str, validator: &Validator, value: &Value) {
    let faults: Vec<_> =
        validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(faults.is_empty(), "{method} does not promise {value}: {faults:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(method: &str, answer: &Value) -> bool {
        std::panic::catch_unwind(|| check(method, answer)).is_err()
    }

    #[test]
    fn what_is_not_promised_is_noticed() {
        let limit = |fields: Value| json!({ "id": 1, "result": fields });
        assert!(!refused("payment.getCardLimit", &limit(json!({ "maxCardPaymentPence": null }))));
        for result in [
            json!({}),
            json!({ "maxCardPaymentPence": "1" }),
            json!({ "maxCardPaymentPence": -1 }),
            json!({ "maxCardPaymentPence": 1, "currency": "GBP" }),
        ] {
            assert!(refused("payment.getCardLimit", &limit(result.clone())), "{result}");
        }
        let fault = |code: i64, data: Value| json!({ "id": 1, "error": { "code": code, "data": data } });
        let busy = json!({ "kind": "BUSY", "retryAfterMs": 1, "requestId": "x" });
        assert!(!refused("payment.stats", &fault(-32053, busy.clone())));
        assert!(!refused("payment.stats", &fault(-32601, Value::Null)));
        assert!(refused("payment.stats", &fault(-32004, busy.clone())), "another code");
        assert!(refused("payment.stats", &fault(-32053, json!({ "kind": "BUSY", "requestId": "x" }))));
        let absent = json!({ "kind": "NOT_FOUND", "what": "x", "id": "x", "requestId": "x" });
        assert!(refused("payment.stats", &fault(-32004, absent)), "a kind the procedure can't fail with");
    }
}
