//! Calls over a WebSocket and from pages of other origins, against whole servers: who may open one, what frames may
//! look like, and that calls are what they are over HTTP.

use http::HeaderValue;
use serde_json::{Value, json};

use crate::harness::{Options, on_both};

const APP: &str = "https://app.example";

fn with_origin() -> Options {
    Options { cors_origins: vec![HeaderValue::from_static(APP)], ..Options::default() }
}

fn stats(id: Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": "payment.stats" }).to_string()
}

on_both! {
    async fn a_token_comes_as_header_or_subprotocol_and_an_origin_must_be_known(app: TestApp, with_origin()) {
        let token = app.agent().token.clone().unwrap();
        let header = format!("authorization: Bearer {token}\r\n");
        let subprotocol = format!("sec-websocket-protocol: quittance.v1, bearer.{token}\r\n");
        let forged = subprotocol.replace("qt_", "qt_x");
        for (head, origin, status, echoed) in [
            (&header, "", 101, None),
            (&subprotocol, "", 101, Some("quittance.v1")),
            (&subprotocol, "origin: https://app.example\r\n", 101, Some("quittance.v1")),
            (&String::new(), "", 401, None),
            (&forged, "origin: https://app.example\r\n", 401, None),
            (&subprotocol, "origin: https://evil.example\r\n", 403, None),
        ] {
            let (reply, mut socket) = app.wire().await.upgrade("/rpc", &format!("{head}{origin}")).await;
            assert_eq!((reply.status, reply.header("sec-websocket-protocol")), (status, echoed), "{head}{origin}");
            if status == 101 {
                let answer = socket.call(&stats(json!(1))).await;
                assert_eq!(answer["result"]["pending"]["count"], 0, "{answer}");
            }
        }
    }

    async fn a_page_of_a_configured_origin_may_call(app: TestApp, with_origin()) {
        let ask = "access-control-request-method: POST\r\naccess-control-request-headers: authorization,content-type\r\n";
        for (origin, allowed) in [(APP, Some(APP)), ("https://evil.example", None)] {
            let head = format!("origin: {origin}\r\n{ask}");
            let reply = app.wire().await.ask("OPTIONS", "/rpc", &head, "").await;
            assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, allowed));
            let reply = app.wire().await.post_with(&format!("origin: {origin}\r\n"), &stats(json!(1))).await;
            assert_eq!(reply.header("access-control-allow-origin"), allowed);
            assert_eq!(reply.json()["error"]["data"]["kind"], "UNAUTHORIZED");
        }
    }

    async fn in_development_every_page_of_this_machine_is_welcome(app: TestApp, Options { loopback_origins: true, ..Options::default() }) {
        let token = app.agent().token.clone().unwrap();
        for (origin, status) in [("http://localhost:5173", 101), ("https://[::1]", 101), ("https://evil.example", 403)] {
            let head = format!("sec-websocket-protocol: quittance.v1, bearer.{token}\r\norigin: {origin}\r\n");
            assert_eq!(app.wire().await.upgrade("/rpc", &head).await.0.status, status, "{origin}");
            let reply = app.wire().await.post_with(&format!("origin: {origin}\r\n"), &stats(json!(1))).await;
            let allowed = (status == 101).then_some(origin);
            assert_eq!(reply.header("access-control-allow-origin"), allowed);
        }
        let head = "origin: https://evil.example\r\n";
        let reply = app.wire().await.ask("GET", "/openrpc.json", head, "").await;
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://evil.example"));
    }

    async fn calls_are_what_they_are_over_http(app: TestApp) {
        let mut socket = app.agent().socket().await;
        for id in [json!(0), json!("x"), Value::Null, json!(u64::MAX)] {
            assert_eq!(socket.call(&stats(id.clone())).await["id"], id);
        }
        let created = app.agent().create(100).await.id;
        let call = |id: u8, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": [{ "paymentId": created }] });
        assert_eq!(socket.call(&call(1, "payment.cancelPayment").to_string()).await["result"]["status"], "cancelled");
        let batch = json!([call(2, "payment.getPaymentStatus"), { "jsonrpc": "2.0", "id": 3, "method": "rpc.ping" }]);
        let answers = socket.call(&batch.to_string()).await;
        assert_eq!((&answers[0]["result"]["status"], &answers[1]["result"]), (&json!("cancelled"), &json!({})));
        for (sent, code) in [
            (format!("[{}]", vec![stats(json!(1)); 21].join(",")), -32010),
            ("[]".to_owned(), -32600),
            ("hello".to_owned(), -32700),
            (r#"{"jsonrpc":"2.0","id":1,"method":"payment.nothing"}"#.to_owned(), -32601),
            (stats(json!(1)) + &" ".repeat(128 * 1024), -32007),
        ] {
            assert_eq!(socket.call(&sent).await["error"]["code"], code);
        }
    }

    async fn frames_that_break_the_protocol_close_the_socket(app: TestApp) {
        let call = stats(json!(1));
        // In two fragments, and as bytes: fine.
        let mut socket = app.agent().socket().await;
        socket.send_frame(0x01, &call.as_bytes()[..10]).await;
        socket.send_frame(0x80, &call.as_bytes()[10..]).await;
        assert_eq!(socket.next().await.unwrap()["id"], 1);
        socket.send_frame(0x82, call.as_bytes()).await;
        assert_eq!(socket.next().await.unwrap()["id"], 1);
        socket.send_frame(0x89, b"there?").await;
        assert_eq!(socket.next_frame().await, (10, b"there?".to_vec()));
        for (first, payload) in [
            (0xf1, call.as_bytes()),  // reserved bits
            (0x83, b"x".as_slice()),  // no such kind
            (0x80, b"x".as_slice()),  // goes on with nothing
            (0x89, [b'x'; 126].as_slice()), // a ping too long
        ] {
            let mut socket = app.agent().socket().await;
            socket.send_frame(first, payload).await;
            assert_eq!(socket.next_frame().await.0, 8, "{first:x}");
        }
        // A frame that claims to be larger than any memory.
        let mut socket = app.agent().socket().await;
        socket.send_bytes(&[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]).await;
        assert_eq!(socket.next_frame().await.0, 8);
        assert_eq!(app.agent().ok("payment.stats", json!({})).await["pending"]["count"], 0);
    }
}
