//! What is sent, and what comes back: JSON-RPC 2.0's own examples and every spelling we know of.

use super::*;

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
    match response.get("error") {
        None => format!("{id}:{}", response["result"]),
        Some(error) => {
            let kind = error["data"]["kind"].as_str().map(|kind| format!(" {kind}")).unwrap_or_default();
            format!("{id}!{}{kind}", error["code"])
        }
    }
}

async fn expect(rows: &[(&str, &str)]) {
    let server = Server::start().await;
    let mut wire = server.wire().await;
    let mut wrong = Vec::new();
    for (sent, expected) in rows {
        let came = line(&wire.post(&server.agent, sent).await);
        if came != *expected {
            wrong.push(format!("sent     {sent}\nexpected {expected}\ncame     {came}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn envelopes() {
    expect(&[
        // The specification's examples, with our methods.
        (r#"{"jsonrpc": "2.0", "method": "toy.all", "params": [], "id": 1}"#, r#"200 1:"all""#),
        (
            r#"{"jsonrpc": "2.0", "method": "toy.echo", "params": {"text": "a"}, "id": 3}"#,
            r#"200 3:{"text":"a","nickName":null,"actor":"agent"}"#,
        ),
        (r#"{"jsonrpc": "2.0", "method": "toy.all"}"#, "204"),
        (r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#, r#"200 "1"!-32601"#),
        (r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#, "200 null!-32700"),
        (r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#, "200 null!-32600"),
        (r#"[{"jsonrpc": "2.0", "method": "toy.all", "id": "1"}, {"jsonrpc": "2.0", "method""#, "200 null!-32700"),
        ("[]", "200 null!-32600"),
        ("[1]", "200 [null!-32600]"),
        ("[1,2,3]", "200 [null!-32600 null!-32600 null!-32600]"),
        (
            r#"[{"jsonrpc":"2.0","method":"toy.all","id":"1"}, {"jsonrpc":"2.0","method":"toy.all"},
                {"foo":"boo"}, {"jsonrpc":"2.0","method":"foo.get","id":"5"}, {"jsonrpc":"2.0","method":"toy.all","id":"9"}]"#,
            r#"200 ["1":"all" null!-32600 "5"!-32601 "9":"all"]"#,
        ),
        (r#"[{"jsonrpc":"2.0","method":"toy.all"}, {"jsonrpc":"2.0","method":"foobar"}]"#, "204"),
        // Versions.
        (r#"{"method":"toy.all","id":7}"#, "200 7!-32600"),
        (r#"{"jsonrpc":"1.0","method":"toy.all","id":7}"#, "200 7!-32600"),
        (r#"{"jsonrpc":2.0,"method":"toy.all","id":7}"#, "200 7!-32600"),
        // Methods.
        (r#"{"jsonrpc":"2.0","id":7}"#, "200 7!-32600"),
        (r#"{"jsonrpc":"2.0","method":null,"id":7}"#, "200 7!-32600"),
        (r#"{"jsonrpc":"2.0","method":["toy.all"],"id":"x"}"#, r#"200 "x"!-32600"#),
        (r#"{"jsonrpc":"2.0","method":"","id":7}"#, "200 7!-32601"),
        (r#"{"jsonrpc":"2.0","method":"toy.\u0061ll","id":7}"#, r#"200 7:"all""#),
        (r#"{"jsonrpc":"2.0","method":"rpc.discover","id":7}"#, r#"200 7:"the document""#),
        (r#"{"jsonrpc":"2.0","method":"foobar"}"#, "204"),
        // Further members and white space.
        (r#"{"jsonrpc":"2.0","method":"toy.all","id":7,"meta":{"id":-1}}"#, r#"200 7:"all""#),
        ("\r\n\t {\"jsonrpc\":\"2.0\",\"method\":\"toy.all\",\"id\":7}\n", r#"200 7:"all""#),
        (&format!("{}{}", " ".repeat(500), r#"{"jsonrpc":"2.0","method":"toy.all","id":7}"#), r#"200 7:"all""#),
        // What is no message at all.
        ("", "400 null!-32700"),
        ("1", "400 null!-32700"),
        ("hello", "400 null!-32700"),
        ("\u{feff}{}", "400 null!-32700"),
        ("{}", "200 null!-32600"),
        ("{", "200 null!-32700"),
        ("[[", "200 null!-32700"),
        (r#"{"jsonrpc":"2.0","method":"toy.all","id":7}{}"#, "200 null!-32700"),
    ])
    .await;
}

#[tokio::test]
async fn ids() {
    let ok = |id: &str| {
        (format!(r#"{{"jsonrpc":"2.0","method":"toy.all","id":{id}}}"#), format!(r#"200 {id}:"all""#))
    };
    let refused = |id: &str| {
        (format!(r#"{{"jsonrpc":"2.0","method":"toy.mark","id":{id}}}"#), "200 null!-32600".to_owned())
    };
    let mut rows: Vec<(String, String)> =
        ["0", "18446744073709551615", r#""""#, r#""abc""#, r#""1""#, "null"].map(ok).into();
    rows.extend(
        ["-1", "-0", "1.5", "1.0", "1e3", "18446744073709551616", "{}", "[]", "[1]", "true", r#""\ud800""#]
            .map(refused),
    );
    let twice = r#"{"jsonrpc":"2.0","method":"toy.mark","id":1,"id":2}"#;
    rows.push((twice.to_owned(), "200 2!-32600".to_owned()));
    let mixed = r#"[{"jsonrpc":"2.0","method":"toy.all","id":-1},{"jsonrpc":"2.0","method":"toy.all","id":2},
        {"jsonrpc":"2.0","method":3,"id":"m"},{"jsonrpc":"2.0","method":"toy.all","id":2}]"#;
    rows.push((mixed.to_owned(), r#"200 [null!-32600 2:"all" "m"!-32600 2:"all"]"#.to_owned()));
    let rows: Vec<(&str, &str)> = rows.iter().map(|(sent, came)| (sent.as_str(), came.as_str())).collect();
    expect(&rows).await;
}

#[tokio::test]
async fn params() {
    let echoed = r#"200 1:{"text":"a","nickName":null,"actor":"agent"}"#;
    let invalid = "200 1!-32602 INVALID_PARAMS";
    let rows: Vec<(String, &str)> = [
        ("toy.echo", r#","params":{"text":"a"}"#, echoed),
        ("toy.echo", r#","params":[{"text":"a"}]"#, echoed),
        ("toy.echo", r#","params":{"text":"a","nickName":null,"amountPence":null}"#, echoed),
        ("toy.all", "", r#"200 1:"all""#),
        ("toy.all", r#","params":null"#, r#"200 1:"all""#),
        ("toy.all", r#","params":[]"#, r#"200 1:"all""#),
        ("toy.all", r#","params":{}"#, r#"200 1:"all""#),
        ("toy.all", r#","params":[{}]"#, r#"200 1:"all""#),
        ("toy.echo", "", invalid),
        ("toy.echo", r#","params":["a"]"#, invalid),
        ("toy.echo", r#","params":[{"text":"a"},{}]"#, invalid),
        ("toy.echo", r#","params":"a""#, invalid),
        ("toy.echo", r#","params":7"#, invalid),
        ("toy.echo", r#","params":true"#, invalid),
        ("toy.echo", r#","params":{"text":null}"#, invalid),
        ("toy.echo", r#","params":{"text":"a","amountPence":1.0}"#, invalid),
        ("toy.echo", r#","params":{"text":"a","amountPence":1e3}"#, invalid),
        ("toy.echo", r#","params":{"text":"a","amountPence":"100"}"#, invalid),
        ("toy.echo", r#","params":{"text":"\ud800"}"#, invalid),
        ("toy.all", r#","params":{"x":1}"#, invalid),
    ]
    .map(|(method, params, came)| {
        (format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#), came)
    })
    .into();
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"toy.echo","params":{}{}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let mut rows: Vec<(&str, &str)> = rows.iter().map(|(sent, came)| (sent.as_str(), *came)).collect();
    rows.push((&deep, invalid));
    expect(&rows).await;
}

#[tokio::test]
async fn a_wrong_field_is_named_with_what_may_have_been_meant() {
    let server = Server::start().await;
    let error = server.call("toy.echo", json!({ "text": "a", "nickname": "b" })).await["error"].clone();
    assert_eq!(error["data"]["path"], "nickname");
    assert!(error["message"].as_str().unwrap().contains("`nickName`"), "{error}");
    let error = server.call("toy.echo", json!({})).await["error"].clone();
    assert_eq!((&error["data"]["path"], &error["data"]["reason"]), (&json!("text"), &json!("is required")));
    let error = server.call("toy.echo", json!({ "text": "a", "amountPence": "9" })).await["error"].clone();
    assert_eq!(error["data"]["path"], "amountPence");
    assert!(error["data"]["requestId"].is_string(), "{error}");
}

#[tokio::test]
async fn content_types_and_encodings() {
    let server = Server::start().await;
    let call = request(1, "rpc.discover", json!({}));
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
        let reply = server.wire().await.post_with(head, &call).await;
        assert_eq!(reply.status, status, "{head}");
        assert!(reply.header("x-request-id").is_some());
    }
}

#[tokio::test]
async fn routes_and_methods() {
    let document = super::super::Document::new("/openrpc.json", "application/json", "{}");
    let server = Server::with(RpcSettings { documents: vec![document], ..RpcSettings::default() }).await;
    let call = request(1, "rpc.discover", json!({}));
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
        let reply = server.wire().await.ask(method, path, &length, &call).await;
        assert_eq!((reply.status, reply.header("allow")), (status, allow), "{method} {path}");
    }
    for (method, path, status, allow) in [
        ("GET", "/rpc", 405, Some("POST")),
        ("GET", "/", 405, Some("POST")),
        ("OPTIONS", "/rpc", 405, Some("POST")),
        ("GET", "/openrpc.json", 200, None),
        ("GET", "/nothing", 404, None),
    ] {
        let reply = server.wire().await.ask(method, path, "", "").await;
        assert_eq!((reply.status, reply.header("allow")), (status, allow), "{method} {path}");
    }
}
