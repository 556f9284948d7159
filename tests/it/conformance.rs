//! What is sent, and what comes back: JSON-RPC 2.0's own examples and every spelling we know of, each in a row.
//!
//! `card` stands for the admin's `payment.getCardLimit`, which has a short answer; rows that change the limit show
//! with the next one whether they were executed. What a table of toys shows better (panics, order, limits on
//! answers) is in `src/rpc/tests`.

use serde_json::{Value, json};

use crate::harness::{Reply, TestApp, on_both};

/// A reply in one line: the status, then each response as `id:result` or `id!code`, with our kind if it has one.
fn line(reply: &Reply) -> String {
    let Ok(body) = serde_json::from_str::<Value>(&reply.body) else {
        return format!("{} {}", reply.status, reply.body.trim_end()).trim_end().to_owned();
    };
    let responses: Vec<String> = match &body {
        Value::Array(responses) => responses.iter().map(response).collect(),
        single => vec![response(single)],
    };
    let (open, close) = if body.is_array() { ("[", "]") } else { ("", "") };
    format!("{} {open}{}{close}", reply.status, responses.join(" "))
}

fn response(response: &Value) -> String {
    assert_eq!(response["jsonrpc"], "2.0", "{response}");
    let id = response.get("id").expect("every response has an id");
    let Some(error) = response.get("error") else {
        // Of the two answers that occur, the fields that matter.
        let result = &response["result"];
        let limit = result.get("maxCardPaymentPence").map(Value::to_string);
        let told = limit.or_else(|| result.get("openrpc").map(|_| "document".to_owned()));
        return format!("{id}:{}", told.unwrap_or_else(|| result.to_string()));
    };
    assert!(response.get("result").is_none(), "{response}");
    let kind = error["data"]["kind"].as_str().map(|kind| format!(" {kind}")).unwrap_or_default();
    format!("{id}!{}{kind}", error["code"])
}

/// Sends each row on one connection, as the admin.
async fn expect(app: &TestApp, rows: &[(impl AsRef<str>, impl AsRef<str>)]) {
    let mut wire = app.wire().await;
    let token = app.admin().token.as_deref().expect("a token");
    let mut wrong = Vec::new();
    for (sent, expected) in rows {
        let sent = sent.as_ref().replace("\"card\"", "\"payment.getCardLimit\"");
        let sent = sent.replace("\"set\"", "\"payment.updateCardLimit\"");
        let (came, expected) = (line(&wire.post(token, &sent).await), expected.as_ref());
        if came != expected {
            wrong.push(format!("sent     {sent}\nexpected {expected}\ncame     {came}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

const CARD: &str = r#"{"jsonrpc":"2.0","method":"card","id":7}"#;

on_both! {
    async fn envelopes(app: TestApp) {
        expect(&app, &[
            // The specification's examples, with our methods.
            (r#"{"jsonrpc": "2.0", "method": "card", "params": [], "id": 1}"#, "200 1:200000"),
            (r#"{"jsonrpc": "2.0", "method": "set", "params": [{"maxCardPaymentPence": 1}], "id": 2}"#, "200 2:1"),
            (r#"{"jsonrpc": "2.0", "method": "set", "params": {"maxCardPaymentPence": 2}, "id": 3}"#, "200 3:2"),
            (r#"{"jsonrpc": "2.0", "method": "set", "params": {"maxCardPaymentPence": 3}}"#, "204"),
            (CARD, "200 7:3"),
            (r#"{"jsonrpc": "2.0", "method": "foobar"}"#, "204"),
            (r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#, r#"200 "1"!-32601"#),
            (r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#, "200 null!-32700"),
            (r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#, "200 null!-32600"),
            (r#"[{"jsonrpc": "2.0", "method": "card", "id": "1"}, {"jsonrpc": "2.0", "method""#, "200 null!-32700"),
            ("[]", "200 null!-32600"),
            ("[1]", "200 [null!-32600]"),
            ("[1,2,3]", "200 [null!-32600 null!-32600 null!-32600]"),
            (
                r#"[{"jsonrpc":"2.0","method":"card","id":"1"}, {"jsonrpc":"2.0","method":"rpc.ping"},
                    {"foo":"boo"}, {"jsonrpc":"2.0","method":"foo.get","id":"5"}, {"jsonrpc":"2.0","method":"card","id":"9"}]"#,
                r#"200 ["1":3 null!-32600 "5"!-32601 "9":3]"#,
            ),
            (r#"[{"jsonrpc":"2.0","method":"set","params":[{"maxCardPaymentPence":5}]}, {"jsonrpc":"2.0","method":"foobar"}]"#, "204"),
            (CARD, "200 7:5"),
            // Versions.
            (r#"{"method":"card","id":7}"#, "200 7!-32600"),
            (r#"{"jsonrpc":"1.0","method":"card","id":7}"#, "200 7!-32600"),
            (r#"{"jsonrpc":2.0,"method":"card","id":7}"#, "200 7!-32600"),
            (r#"{"jsonrpc":null,"method":"card","id":7}"#, "200 7!-32600"),
            // Methods.
            (r#"{"jsonrpc":"2.0","id":7}"#, "200 7!-32600"),
            (r#"{"jsonrpc":"2.0","method":null,"id":7}"#, "200 7!-32600"),
            (r#"{"jsonrpc":"2.0","method":["card"],"id":"x"}"#, r#"200 "x"!-32600"#),
            (r#"{"jsonrpc":"2.0","method":"","id":7}"#, "200 7!-32601"),
            (r#"{"jsonrpc":"2.0","method":"payment.GetCardLimit","id":7}"#, "200 7!-32601"),
            (r#"{"jsonrpc":"2.0","method":"payment.getCard\u004cimit","id":7}"#, "200 7:5"),
            (r#"{"jsonrpc":"2.0","method":"rpc.discover","id":7}"#, "200 7:document"),
            (r#"{"jsonrpc":"2.0","method":"rpc.ping","id":7}"#, "200 7:{}"),
            (r#"{"jsonrpc":"2.0","method":"rpc.ping","params":{"x":1},"id":7}"#, "200 7!-32602 INVALID_PARAMS"),
            (r#"{"jsonrpc":"2.0","method":"rpc.discover","params":[],"id":7}"#, "200 7:document"),
            // A response is no request.
            (r#"{"jsonrpc":"2.0","result":1,"id":7}"#, "200 7!-32600"),
            // Further members and white space.
            (r#"{"jsonrpc":"2.0","method":"card","id":7,"meta":{"id":-1}}"#, "200 7:5"),
            ("\r\n\t {\"jsonrpc\":\"2.0\",\"method\":\"card\",\"id\":7}\n", "200 7:5"),
            (&format!("{}{CARD}", " ".repeat(500)), "200 7:5"),
            // What is no message at all.
            ("", "400 null!-32700"),
            ("1", "400 null!-32700"),
            ("hello", "400 null!-32700"),
            ("\u{feff}{}", "400 null!-32700"),
            ("{}", "200 null!-32600"),
            ("{", "200 null!-32700"),
            ("[[", "200 null!-32700"),
            ("[[]]", "200 [null!-32600]"),
            (&format!("{CARD}{{}}"), "200 null!-32700"),
            // A member twice: neither can be told from what was meant.
            (r#"{"jsonrpc":"2.0","method":"foobar","method":"card","id":7}"#, "200 7!-32600"),
            (r#"{"jsonrpc":"2.0","method":"card","id":7,"params":{},"params":{}}"#, "200 7!-32600"),
        ])
        .await;
    }

    async fn ids(app: TestApp) {
        let ok = |id: &str| (format!(r#"{{"jsonrpc":"2.0","method":"card","id":{id}}}"#), format!("200 {id}:200000"));
        // Refused, and not executed.
        let refused = |id: &str| {
            let sent = format!(r#"{{"jsonrpc":"2.0","method":"set","params":{{"maxCardPaymentPence":1}},"id":{id}}}"#);
            (sent, "200 null!-32600".to_owned())
        };
        let mut rows: Vec<(String, String)> =
            ["0", "18446744073709551615", r#""""#, r#""abc""#, r#""1""#, "null"].map(ok).into();
        rows.extend(
            ["-1", "-0", "1.5", "1.0", "1e3", "1E400", "18446744073709551616", "{}", "[]", "[1]", "true", "false", r#""\ud800""#]
                .map(refused),
        );
        // The same in a batch, and beside members that stand twice.
        for (sent, came) in [
            (r#"[{"jsonrpc":"2.0","method":"set","params":{"maxCardPaymentPence":1},"id":1.5}]"#, "200 [null!-32600]"),
            (r#"[{"jsonrpc":"2.0","method":"set","params":{"maxCardPaymentPence":1},"id":[]}]"#, "200 [null!-32600]"),
            (r#"[{"jsonrpc":"2.0","jsonrpc":"2.0","method":"set","params":{"maxCardPaymentPence":1},"id":3}]"#, "200 [3!-32600]"),
            (r#"{"jsonrpc":"2.0","method":"set","method":"set","params":{"maxCardPaymentPence":1}}"#, "200 null!-32600"),
        ] {
            rows.push((sent.to_owned(), came.to_owned()));
        }
        let twice = r#"{"jsonrpc":"2.0","method":"set","params":{"maxCardPaymentPence":1},"id":1,"id":2}"#;
        rows.push((twice.to_owned(), "200 2!-32600".to_owned()));
        rows.push((CARD.to_owned(), "200 7:200000".to_owned()));
        let mixed = r#"[{"jsonrpc":"2.0","method":"card","id":-1},{"jsonrpc":"2.0","method":"card","id":2},
            {"jsonrpc":"2.0","method":3,"id":"m"},{"jsonrpc":"2.0","method":"card","id":2}]"#;
        rows.push((mixed.to_owned(), r#"200 [null!-32600 2:200000 "m"!-32600 2:200000]"#.to_owned()));
        expect(&app, &rows).await;
    }

    async fn params(app: TestApp) {
        let invalid = "200 1!-32602 INVALID_PARAMS";
        let deep = format!(r#","params":{}{}"#, "[".repeat(500), "]".repeat(500));
        let deep_field = format!(r#","params":{{"maxCardPaymentPence":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        let rows = [
            ("set", r#","params":{"maxCardPaymentPence":1}"#, "200 1:1"),
            ("set", r#","params":[{"maxCardPaymentPence":2}]"#, "200 1:2"),
            ("set", r#","params":{"maxCardPaymentPence":null}"#, "200 1:null"),
            ("card", "", "200 1:null"),
            ("card", r#","params":null"#, "200 1:null"),
            ("card", r#","params":[]"#, "200 1:null"),
            ("card", r#","params":{}"#, "200 1:null"),
            ("card", r#","params":[{}]"#, "200 1:null"),
            ("set", "", invalid),
            ("set", r#","params":{}"#, invalid),
            ("set", r#","params":[1]"#, invalid),
            ("set", r#","params":[null]"#, invalid),
            ("set", r#","params":[{"maxCardPaymentPence":1},{}]"#, invalid),
            ("set", r#","params":"1""#, invalid),
            ("set", r#","params":1"#, invalid),
            ("set", r#","params":true"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":1.0}"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":1e3}"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":"100"}"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":-0}"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":-1}"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":100000000}"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":18446744073709551616}"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":[1]}"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":{"$serde_json::private::Number":"1"}}"#, invalid),
            ("set", r#","params":{"maxcardPaymentPence":1}"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":1,"x\ud800":1}"#, invalid),
            ("set", r#","params":{"maxCardPaymentPence":1,"maxCardPaymentPence":2}"#, invalid),
            ("card", r#","params":{"x":1}"#, invalid),
            ("card", &deep, invalid),
            ("set", &deep_field, invalid),
            ("card", "", "200 1:null"),
        ];
        let rows = rows.map(|(method, params, came)| {
            (format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#), came)
        });
        expect(&app, &rows).await;
    }

    async fn each_entry_of_a_batch_is_authorised_by_itself(app: TestApp) {
        let mut wire = app.wire().await;
        let batch = r#"[{"jsonrpc":"2.0","method":"payment.getCardLimit","id":1},{"jsonrpc":"2.0","method":"payment.stats","id":2},
            {"jsonrpc":"2.0","method":"payment.updateCardLimit","params":{"maxCardPaymentPence":1}},
            {"jsonrpc":"2.0","method":"rpc.discover","id":3}]"#;
        let stats = r#"{"pending":{"count":0,"totalPence":0},"succeeded":{"count":0,"totalPence":0}}"#;
        let agent = app.agent().token.clone().unwrap();
        for (head, expected) in [
            (format!("authorization: Bearer {agent}\r\n"), format!("200 [1!-32003 FORBIDDEN 2:{stats} 3:document]")),
            (String::new(), "200 [1!-32001 UNAUTHORIZED 2!-32001 UNAUTHORIZED 3:document]".to_owned()),
        ] {
            assert_eq!(line(&wire.post_with(&head, batch).await), expected);
        }
        expect(&app, &[(CARD, "200 7:200000")]).await;
        for (entries, expected) in [(20, None), (21, Some("200 null!-32010"))] {
            let batch = format!("[{}]", vec![CARD; entries].join(","));
            let all = format!("200 [{}]", vec!["7:200000"; entries].join(" "));
            expect(&app, &[(batch, expected.unwrap_or(&all))]).await;
        }
    }

    async fn a_wrong_field_is_named_with_what_may_have_been_meant(app: TestApp) {
        let fault = async |method, params| app.admin().fails(method, params).await;
        let unknown = fault("payment.list", json!({ "tenancyid": "b" })).await;
        assert_eq!(unknown.data["path"], "tenancyid");
        assert!(unknown.message.contains("`tenancyId`"), "{unknown:?}");
        for (sent, meant) in [("tenencyId", Some("tenancyId")), ("stauts", Some("status")), ("q", None), ("", None)] {
            let unknown = fault("payment.list", json!({ sent: "x" })).await;
            assert_eq!(unknown.data["path"], sent);
            let suggested = unknown.message.split_once("did you mean `").map(|(_, rest)| rest.trim_end_matches("`?"));
            assert_eq!(suggested, meant, "{unknown:?}");
        }
        let missing = fault("payment.getPaymentStatus", json!({})).await;
        assert_eq!((&missing.data["path"], &missing.data["reason"]), (&json!("paymentId"), &json!("is required")));
        let wrong = fault("payment.updateCardLimit", json!({ "maxCardPaymentPence": "9" })).await;
        assert_eq!(wrong.data["path"], "maxCardPaymentPence");
        assert!(wrong.data["requestId"].is_string(), "{wrong:?}");
    }

    async fn content_types_and_encodings(app: TestApp) {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "rpc.discover" }).to_string();
        for (head, status) in [
            ("", 200),
            ("content-type: application/json\r\n", 200),
            ("content-type: Application/JSON;charset=\"utf-8\"; v=1\r\n", 200),
            ("content-type: application/json-rpc\r\n", 200),
            ("content-type: application/json\r\ncontent-encoding: identity\r\n", 200),
            ("content-type: text/plain\r\n", 415),
            ("content-type: application/x-www-form-urlencoded\r\n", 415),
            ("content-type: application/jsonp\r\n", 415),
            ("content-type: application/json\r\ncontent-type: text/plain\r\n", 415),
            ("content-type: application/json\r\ncontent-encoding: gzip\r\n", 415),
        ] {
            let reply = app.wire().await.post_with(head, &call).await;
            assert_eq!(reply.status, status, "{head}");
            assert!(reply.header("x-request-id").is_some());
        }
    }

    async fn routes_and_methods(app: TestApp) {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "rpc.discover" }).to_string();
        let length = format!("content-length: {}\r\n", call.len());
        for (method, path, status, allow) in [
            ("POST", "/rpc", 200, None),
            ("POST", "/rpc?x=1", 200, None),
            ("POST", "/", 200, None),
            ("POST", "/other", 404, None),
            ("POST", "/rpc/", 404, None),
            ("PUT", "/rpc", 405, Some("POST")),
            ("POST", "/openrpc.json", 405, Some("GET, HEAD")),
        ] {
            let reply = app.wire().await.ask(method, path, &length, &call).await;
            assert_eq!((reply.status, reply.header("allow")), (status, allow), "{method} {path}");
        }
        for (method, path, status, allow) in [
            ("GET", "/rpc", 405, Some("POST")),
            ("GET", "/", 405, Some("POST")),
            ("OPTIONS", "/rpc", 200, None),
            ("GET", "/openrpc.json", 200, None),
            ("GET", "/nothing", 404, None),
        ] {
            let reply = app.wire().await.ask(method, path, "", "").await;
            assert_eq!((reply.status, reply.header("allow")), (status, allow), "{method} {path}");
        }
    }
}
