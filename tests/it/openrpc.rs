//! The published schema: what is checked in is what the table yields, its examples are true, and it can be fetched.

use std::{collections::BTreeSet, fmt::Write, path::Path};

use quittance::{
    rpc::{procedure::Example, typescript},
    sandbox::Method,
    server,
};
use serde_json::{Value, json};

use crate::harness::{TestApp, check_notification, document, on_both};

/// Says how to bring a checked-in file up to date.
const REFRESH: &str = "refresh with: cargo run -q -- openrpc > openrpc.json && cargo run -q -- typescript --out clients/typescript";
/// Set to write the examples' results as the server gives them.
const REFRESH_EXAMPLES: &str = "QUITTANCE_REFRESH_EXAMPLES";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

#[test]
fn the_checked_in_document_is_current() {
    assert!(read("openrpc.json") == server::openrpc(), "openrpc.json is out of date; {REFRESH}");
}

#[test]
fn the_checked_in_client_is_current() {
    for (path, text) in typescript::client(server::openrpc()).unwrap() {
        let checked_in = read(&format!("clients/typescript/{path}"));
        assert!(checked_in == text, "clients/typescript/{path} is out of date; {REFRESH}");
    }
    let package: Value = serde_json::from_str(&read("clients/typescript/package.json")).unwrap();
    assert_eq!(package["version"], env!("CARGO_PKG_VERSION"), "the client's version is the server's");
}

#[test]
fn the_document_says_what_callers_need() {
    let document = document();
    for method in document["methods"].as_array().unwrap() {
        let name = &method["name"];
        let params = method["params"].as_array().unwrap();
        let required: Vec<_> = params.iter().map(|param| param["required"] == true).collect();
        assert!(required.is_sorted_by(|a, b| a >= b), "{name}: required params come first");
        assert!(params.iter().all(|param| param["description"].is_string()), "{name}: params are described");
        assert!(!method["examples"].as_array().unwrap().is_empty(), "{name} has no example");
        let codes: Vec<_> =
            method["errors"].as_array().unwrap().iter().map(|error| error["code"].as_i64()).collect();
        let distinct: BTreeSet<_> = codes.iter().collect();
        assert_eq!(codes.len(), distinct.len(), "{name}: OpenRPC wants one error for each code");
        let kind = method["x-kind"].as_str().unwrap();
        assert!(["query", "mutation", "subscription"].contains(&kind), "{name} is a {kind}");
        assert!(["viewer", "agent", "admin"].contains(&method["x-role"].as_str().unwrap()), "{name}");
        assert_eq!(
            kind == "subscription" && method["x-ends"].is_null(),
            method["x-unsubscribe"].is_string(),
            "{name}"
        );
        assert_eq!(method["x-paged"] == true, params.iter().any(|param| param["name"] == "cursor"), "{name}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        if let Some(Value::String(to)) = value.get("$ref") {
            assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to} leads nowhere");
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|value| walk(value, document)),
            Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    walk(&document(), &document());
}

on_both! {
    async fn it_can_be_discovered(app: TestApp) {
        assert_eq!(app.anonymous().ok("rpc.discover", json!([])).await, document());
        let url = app.rpc_url.replace("/rpc", "/openrpc.json");
        let first = app.http.get(&url).send().await.unwrap();
        assert_eq!(first.headers()["content-type"], "application/json");
        let etag = first.headers()["etag"].clone();
        assert_eq!(first.text().await.unwrap(), server::openrpc());
        for (sent, status) in [
            (etag.to_str().unwrap().to_owned(), 304),
            (format!("\"other\", W/{}", etag.to_str().unwrap()), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
        ] {
            let again = app.http.get(&url).header("if-none-match", &sent).send().await.unwrap();
            assert_eq!((again.status().as_u16(), &again.headers()["etag"]), (status, &etag), "{sent}");
        }
    }

    async fn the_examples_are_true(app: TestApp) {
        let refresh = std::env::var_os(REFRESH_EXAMPLES).is_some();
        let (mut told, mut seen) = (Aliases::default(), Aliases::default());
        let mut link = String::new();
        let mut refreshed = Vec::new();
        for (method, example) in in_the_order_of_the_story() {
            if method == "payment.listAnomalies" {
                pay(&app, &link).await;
            }
            let of_json = |text| -> Value { serde_json::from_str(text).unwrap() };
            let (wanted, notified) = (of_json(example.result), example.notification.map_or(Value::Null, of_json));
            let params = seen.resolve(&told.alias(&of_json(example.params)));
            let (result, notification) = match example.notification {
                None => (caller(&app, method).ok(method, params.clone()).await, Value::Null),
                // A subscription has another number each time.
                Some(_) => {
                    let mut socket = app.agent().socket().await;
                    assert!(socket.call(&request(method, &params)).await["result"].is_u64());
                    (wanted.clone(), socket.next().await.unwrap()["params"]["result"].clone())
                }
            };
            if !notification.is_null() {
                check_notification(method, &notification);
            }
            if let Some(url) = result["checkoutUrl"].as_str() {
                url.clone_into(&mut link);
            }
            if refresh {
                // Old results may be anything, but ids that later params name must be known again.
                pair(&mut told, &mut seen, &wanted, &result);
                refreshed.push((example.params, params));
                refreshed.push((example.result, result));
                refreshed.extend(example.notification.map(|text| (text, notification)));
                continue;
            }
            seen.alias(&params);
            let wanted = told.alias(&json!([wanted, notified]));
            let found = seen.alias(&json!([result, notification]));
            assert_eq!(wanted, found, "{method}; refresh with: {REFRESH_EXAMPLES}=1 cargo test the_examples");
        }
        if refresh {
            rewrite(&refreshed);
        }
    }
}

/// The examples of all procedures in an order in which each finds what it names: a tenancy begins, its money is asked
/// for, comes, goes back; another is called off and paid all the same. A name that stands twice stands for the next
/// example of its procedure.
const STORY: &[&str] = &[
    "rpc.ping",
    "todo.create",
    "todo.get",
    "todo.list",
    "customPaymentTask.create",
    "customPaymentTask.get",
    "customPaymentTask.list",
    "payment.updateCardLimit",
    "payment.getCardLimit",
    "payment.createPaymentTask",
    "payment.getPaymentStatus",
    "payment.list",
    "payment.renewCheckout",
    "payment.stats",
    "payment.markPaymentManuallyPaid",
    "payment.withdrawManualPayment",
    "payment.markPaymentManuallyPaid",
    "payment.markPaymentRefunded",
    "payment.auditTrail",
    "payment.onStatusChange",
    "payment.createPaymentTask",
    "payment.cancelPayment",
    "payment.listAnomalies",
    "payment.resolveAnomaly",
    "token.issue",
    "token.revoke",
];

fn in_the_order_of_the_story() -> Vec<(&'static str, Example)> {
    let procedures = server::procedures();
    let examples = STORY.iter().enumerate().map(|(place, name)| {
        let procedure = procedures.iter().find(|procedure| procedure.name == *name);
        let earlier = STORY[..place].iter().filter(|earlier| *earlier == name).count();
        let examples = procedure.unwrap_or_else(|| panic!("there is no {name}")).examples;
        (*name, *examples.get(earlier).unwrap_or_else(|| panic!("{name} has no such example")))
    });
    let examples: Vec<_> = examples.collect();
    for procedure in &procedures {
        let told = STORY.iter().filter(|name| **name == procedure.name).count();
        assert_eq!(told, procedure.examples.len(), "{}: give its examples a place in STORY", procedure.name);
    }
    examples
}

/// Writes new JSON in the place of old, wherever that stands in the sources.
fn rewrite(changes: &[(&str, Value)]) {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let old = std::fs::read_to_string(&path).unwrap_or_default();
            // Short texts mean nothing by themselves, and do not change.
            let changes = changes.iter().filter(|(text, _)| text.len() > 30);
            let new =
                changes.fold(old.clone(), |file, (text, value)| file.replace(text, &as_in_sources(value)));
            if new != old {
                std::fs::write(path, new).unwrap();
            }
        }
    }
}

/// Laid out as the examples are: four spaces, one level in.
fn as_in_sources(value: &Value) -> String {
    let pretty = serde_json::to_string_pretty(&publishable(value)).unwrap();
    let lines = pretty.lines().map(|line| format!("{}{line}", &line[..line.len() - line.trim_start().len()]));
    lines.collect::<Vec<_>>().join("\n    ")
}

fn request(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

/// Somebody who may.
fn caller<'a>(app: &'a TestApp, method: &str) -> &'a crate::harness::TestCaller {
    let document = document();
    let methods = document["methods"].as_array().unwrap();
    let found = methods.iter().find(|found| found["name"] == method).unwrap();
    if found["x-role"] == "admin" { app.admin() } else { app.agent() }
}

/// The tenant uses the link, whatever became of the payment.
async fn pay(app: &TestApp, link: &str) {
    let session = link.rsplit('/').next().unwrap();
    app.calmony().pay(session, Method::OpenBanking).await.unwrap();
    app.calmony().settled().await;
}

/// What is another in each run, ids and times, by the order in which it turned up.
#[derive(Default)]
struct Aliases(Vec<String>);

impl Aliases {
    /// The value with every id replaced by its number, and every time by the word.
    fn alias(&mut self, value: &Value) -> Value {
        map_words(value, &mut |word| {
            if is_time(word) {
                return "<time>".to_owned();
            }
            if !is_id(word) {
                return word.to_owned();
            }
            let known = self.0.iter().position(|known| known == word).unwrap_or_else(|| {
                self.0.push(word.to_owned());
                self.0.len() - 1
            });
            format!("<{known}>")
        })
    }

    /// The other way round.
    fn resolve(&self, value: &Value) -> Value {
        let mut text = value.to_string();
        for (number, id) in self.0.iter().enumerate() {
            text = text.replace(&format!("<{number}>"), id);
        }
        serde_json::from_str(&text).unwrap()
    }
}

/// Learns the ids of two results that stand at the same place.
fn pair(told: &mut Aliases, seen: &mut Aliases, old: &Value, new: &Value) {
    match (old, new) {
        (Value::String(old), Value::String(new)) if is_id(old) && is_id(new) && !told.0.contains(old) => {
            told.0.push(old.clone());
            seen.0.push(new.clone());
        }
        (Value::Object(old), Value::Object(new)) => {
            old.iter().filter_map(|(name, old)| Some((old, new.get(name)?))).for_each(|(old, new)| {
                pair(told, seen, old, new);
            });
        }
        (Value::Array(old), Value::Array(new)) => {
            old.iter().zip(new).for_each(|(old, new)| pair(told, seen, old, new));
        }
        _ => {}
    }
}

fn is_time(word: &str) -> bool {
    chrono::DateTime::parse_from_rfc3339(word).is_ok()
}

fn is_id(word: &str) -> bool {
    let is_made = ["http://", "https://", "qt_", "pi_", "cs_"].iter().any(|start| word.starts_with(start));
    is_made || uuid::Uuid::try_parse(word).is_ok()
}

/// Changes the words of every text.
fn map_words(value: &Value, change: &mut impl FnMut(&str) -> String) -> Value {
    match value {
        Value::String(text) => {
            let mut changed = String::new();
            for word in text.split_inclusive([' ', ',', ';']) {
                let bare = word.trim_end_matches([' ', ',', ';', '.']);
                _ = write!(changed, "{}{}", change(bare), &word[bare.len()..]);
            }
            changed.into()
        }
        Value::Array(items) => items.iter().map(|item| map_words(item, change)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), map_words(value, change)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// As it may stand in a document: no address of a test's server, no token.
fn publishable(value: &Value) -> Value {
    map_words(value, &mut |word| {
        if word.starts_with("qt_") {
            return "qt_".to_owned() + &"x".repeat(43);
        }
        match word.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.rsplit('/').next()) {
            Some(session) => format!("https://pay.calmonypay.com/checkout/{session}"),
            None => word.to_owned(),
        }
    })
}
