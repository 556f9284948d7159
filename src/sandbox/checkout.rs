//! What `POST /v1/checkout/sessions` may ask for.
//!
//! Lives here: reading and checking the body, naming the parameter that is wrong. Like the provider it passes
//! over fields it does not know. Does not live here: answering (`api`) and making the session (`state`).

use serde_json::{Map, Value};
use url::{Host, Url};

use super::model::Method;

/// The largest sum a session may ask for: eight digits of pence, as with Stripe.
const MAX_AMOUNT_PENCE: i64 = 99_999_999;
/// Line items are summed, never shown one by one.
const MAX_LINE_ITEMS: usize = 100;
const EXPIRES_IN_SECONDS: std::ops::RangeInclusive<i64> = 300..=86_400;
const DEFAULT_EXPIRES_IN_SECONDS: i64 = 1_800;
/// Metadata bounds, as with Stripe.
const MAX_METADATA_ENTRIES: usize = 50;
const MAX_METADATA_KEY_CHARS: usize = 40;
const MAX_METADATA_VALUE_CHARS: usize = 500;

/// A create call that was found in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CheckoutRequest {
    pub(super) amount_pence: i64,
    pub(super) currency: String,
    pub(super) description: String,
    pub(super) metadata: Map<String, Value>,
    pub(super) payment_method_types: Vec<Method>,
    pub(super) success_url: String,
    pub(super) cancel_url: String,
    pub(super) expires_in_seconds: i64,
}

/// The parameter that is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InvalidParam {
    pub(super) param: String,
    pub(super) message: &'static str,
}

type Checked<T> = Result<T, InvalidParam>;

fn invalid<T>(param: impl Into<String>, message: &'static str) -> Checked<T> {
    Err(InvalidParam { param: param.into(), message })
}

impl CheckoutRequest {
    pub(super) fn read(body: &Value) -> Checked<Self> {
        let (amount_pence, descriptions) = line_items(&body["line_items"])?;
        Ok(Self {
            amount_pence,
            currency: "gbp".to_owned(),
            description: descriptions.join(", "),
            metadata: metadata(&body["metadata"])?,
            payment_method_types: payment_method_types(&body["payment_method_types"])?,
            success_url: return_url("success_url", &body["success_url"])?,
            cancel_url: return_url("cancel_url", &body["cancel_url"])?,
            expires_in_seconds: expires_in(&body["expires_in"])?,
        })
    }
}

fn line_items(items: &Value) -> Checked<(i64, Vec<String>)> {
    let Some(items) = items.as_array().filter(|items| (1..=MAX_LINE_ITEMS).contains(&items.len())) else {
        return invalid("line_items", "must be an array of 1 to 100 items");
    };
    let mut total_pence: i64 = 0;
    let mut descriptions = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let named = |name: &str| format!("line_items.{index}.{name}");
        let price = &item["price_data"];
        if !price["currency"].as_str().is_some_and(|currency| currency.eq_ignore_ascii_case("gbp")) {
            return invalid(named("price_data.currency"), "must be gbp");
        }
        let Some(unit_pence) = price["unit_amount"].as_i64().filter(|pence| *pence > 0) else {
            return invalid(named("price_data.unit_amount"), "must be a whole number of pence above 0");
        };
        let Some(quantity) = item["quantity"].as_i64().filter(|quantity| *quantity > 0) else {
            return invalid(named("quantity"), "must be a whole number above 0");
        };
        let product = &price["product_data"];
        let Some(name) = product["name"].as_str().filter(|name| !name.trim().is_empty()) else {
            return invalid(named("price_data.product_data.name"), "must be text");
        };
        let description = match &product["description"] {
            Value::Null => name.to_owned(),
            Value::String(description) => format!("{name} – {description}"),
            _ => return invalid(named("price_data.product_data.description"), "must be text"),
        };
        descriptions.push(description);
        let sum = unit_pence.checked_mul(quantity).and_then(|pence| total_pence.checked_add(pence));
        match sum.filter(|sum| *sum <= MAX_AMOUNT_PENCE) {
            Some(sum) => total_pence = sum,
            None => return invalid("line_items", "come to more than 99999999 pence"),
        }
    }
    Ok((total_pence, descriptions))
}

fn metadata(metadata: &Value) -> Checked<Map<String, Value>> {
    let entries = match metadata {
        Value::Null => return Ok(Map::new()),
        Value::Object(entries) if entries.len() <= MAX_METADATA_ENTRIES => entries,
        _ => return invalid("metadata", "must be an object of at most 50 entries"),
    };
    for (key, value) in entries {
        let value_fits = match value {
            Value::String(text) => text.chars().count() <= MAX_METADATA_VALUE_CHARS,
            Value::Number(_) => true,
            _ => false,
        };
        if key.chars().count() > MAX_METADATA_KEY_CHARS || !value_fits {
            return invalid(
                format!("metadata.{key}"),
                "must be text of at most 500 characters or a number, under a key of at most 40",
            );
        }
    }
    Ok(entries.clone())
}

fn payment_method_types(types: &Value) -> Checked<Vec<Method>> {
    if types.is_null() {
        return Ok(vec![Method::Card, Method::OpenBanking]);
    }
    match serde_json::from_value::<Vec<Method>>(types.clone()) {
        Ok(mut methods) if !methods.is_empty() => {
            // The page offers card first, and each once, in whatever order they were asked for.
            methods.sort_by_key(|method| *method != Method::Card);
            methods.dedup();
            Ok(methods)
        }
        Ok(_) | Err(_) => invalid("payment_method_types", "must be some of card, open_banking"),
    }
}

fn expires_in(seconds: &Value) -> Checked<i64> {
    if seconds.is_null() {
        return Ok(DEFAULT_EXPIRES_IN_SECONDS);
    }
    match seconds.as_i64().filter(|seconds| EXPIRES_IN_SECONDS.contains(seconds)) {
        Some(seconds) => Ok(seconds),
        None => invalid("expires_in", "must be a whole number of seconds from 300 to 86400"),
    }
}

/// The provider takes public https addresses only. A sandbox on a developer's machine takes loopback as well,
/// because that is where the return page is.
fn return_url(param: &str, value: &Value) -> Checked<String> {
    let Some(url) = value.as_str().and_then(|text| Url::parse(text).ok()) else {
        return invalid(param, "must be a URL");
    };
    let Some(host) = url.host() else { return invalid(param, "must have a host") };
    let permitted = match url.scheme() {
        "https" => is_loopback(&host) || is_public(&host),
        "http" => is_loopback(&host),
        _ => false,
    };
    if !permitted {
        return invalid(param, "must be a public https URL, or http on a loopback address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return invalid(param, "must not carry a user name or password");
    }
    Ok(url.into())
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn is_public(host: &Host<&str>) -> bool {
    match host {
        // The hosted page names the host in a header of its own: nothing but a plain name may get there.
        Host::Domain(name) => name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-'),
        Host::Ipv4(address) => !(address.is_private() || address.is_link_local() || address.is_unspecified()),
        Host::Ipv6(address) => {
            !(address.is_unique_local() || address.is_unicast_link_local() || address.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "line_items": [{ "price_data": { "currency": "GBP", "unit_amount": 1250,
                "product_data": { "name": "Holding deposit", "description": "12 High Street" } }, "quantity": 2 }],
            "success_url": "https://example.com/done", "cancel_url": "http://127.0.0.1:4001/back",
            "metadata": { "ledger_id": "abc", "attempt": 1 }, "unknown": true,
        })
    }

    #[test]
    fn a_good_request_and_its_defaults() {
        let read = CheckoutRequest::read(&good()).unwrap();
        assert_eq!((read.amount_pence, read.expires_in_seconds), (2_500, 1_800));
        assert_eq!(
            (read.currency.as_str(), read.description.as_str()),
            ("gbp", "Holding deposit – 12 High Street")
        );
        assert_eq!(read.payment_method_types, [Method::Card, Method::OpenBanking]);
        assert_eq!(Value::from(read.metadata), json!({ "ledger_id": "abc", "attempt": 1 }));
    }

    #[test]
    fn the_parameter_that_is_wrong_is_named() {
        let item = "/line_items/0";
        let table = [
            ("/line_items", json!([]), "line_items"),
            (&format!("{item}/price_data/currency"), json!("eur"), "line_items.0.price_data.currency"),
            (&format!("{item}/price_data/unit_amount"), json!(0), "line_items.0.price_data.unit_amount"),
            (&format!("{item}/price_data/unit_amount"), json!("12"), "line_items.0.price_data.unit_amount"),
            (&format!("{item}/price_data/unit_amount"), json!(12.5), "line_items.0.price_data.unit_amount"),
            (&format!("{item}/price_data/unit_amount"), json!(99_999_999), "line_items"),
            (&format!("{item}/price_data/unit_amount"), json!(i64::MAX), "line_items"),
            (
                &format!("{item}/price_data/product_data/name"),
                json!(" "),
                "line_items.0.price_data.product_data.name",
            ),
            (&format!("{item}/quantity"), Value::Null, "line_items.0.quantity"),
            ("/metadata", json!([]), "metadata"),
            ("/metadata/ledger_id", json!(true), "metadata.ledger_id"),
            ("/success_url", json!("http://example.com"), "success_url"),
            ("/success_url", json!("https://192.168.0.1/"), "success_url"),
            ("/success_url", json!("https://a;script-src/"), "success_url"),
            ("/success_url", json!("https://me:pw@example.com"), "success_url"),
            ("/cancel_url", json!("javascript:alert(1)"), "cancel_url"),
            ("/cancel_url", Value::Null, "cancel_url"),
        ];
        for (pointer, value, param) in table {
            let mut body = good();
            *body.pointer_mut(pointer).unwrap() = value.clone();
            let fault = CheckoutRequest::read(&body).expect_err(pointer);
            assert_eq!(fault.param, param, "{pointer} = {value}");
        }
    }

    #[test]
    fn optional_parameters_have_bounds() {
        for (param, value, fine) in [
            ("expires_in", json!(299), false),
            ("expires_in", json!(300), true),
            ("expires_in", json!(86_400), true),
            ("expires_in", json!(86_401), false),
            ("payment_method_types", json!([]), false),
            ("payment_method_types", json!(["cheque"]), false),
            ("payment_method_types", json!(["open_banking"]), true),
        ] {
            let mut body = good();
            body[param] = value.clone();
            assert_eq!(CheckoutRequest::read(&body).is_ok(), fine, "{param} = {value}");
        }
    }
}
