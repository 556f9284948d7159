//! The header `Idempotency-Key`: what it is to a call, to a batch, and to methods that know no such thing.

use super::*;

async fn post(server: &Server, head: &str, body: &str) -> Reply {
    let token = &server.agent;
    server.wire().await.post_with(&format!("authorization: Bearer {token}\r\n{head}"), body).await
}

fn keyed(params: Value) -> String {
    request(1, "toy.keyed", params)
}

#[tokio::test]
async fn the_header_is_the_key_of_a_single_call() {
    let server = Server::start().await;
    for params in [
        json!({}),
        json!([]),
        Value::Null,
        json!({ "idempotencyKey": null }),
        json!({ "idempotencyKey": "k-1" }),
        json!([{ "idempotencyKey": "k-1" }]),
    ] {
        let reply = post(&server, "idempotency-key: k-1\r\n", &keyed(params.clone())).await;
        assert_eq!(reply.json()["result"], "k-1", "{params}");
    }
    // What has no such field ignores it.
    let reply = post(&server, "Idempotency-Key: \u{e9}\r\n", &request(1, "toy.all", json!({}))).await;
    assert_eq!(reply.json()["result"], "all");
}

#[tokio::test]
async fn what_can_not_be_told_is_refused_by_the_fields_name() {
    let server = Server::start().await;
    for (head, params) in [
        ("idempotency-key: k-1\r\n", json!({ "idempotencyKey": "k-2" })),
        ("idempotency-key: k-1\r\n", json!({ "idempotencyKey": 1 })),
        ("idempotency-key: 1\r\n", json!({ "idempotencyKey": 1 })),
        ("idempotency-key: k-1\r\nidempotency-key: k-1\r\n", json!({})),
        ("idempotency-key: \u{e9}\r\n", json!({})),
    ] {
        let error = post(&server, head, &keyed(params)).await.json()["error"].clone();
        assert_eq!(
            (&error["code"], &error["data"]["path"]),
            (&json!(-32602), &json!("idempotencyKey")),
            "{head}"
        );
    }
    // Whoever may not call learns nothing of it.
    let reply = server.wire().await.post_with("idempotency-key: \u{e9}\r\n", &keyed(json!({}))).await;
    assert_eq!(reply.json()["error"]["data"]["kind"], "UNAUTHORIZED");
}

#[tokio::test]
async fn a_batch_with_it_is_refused_as_a_whole() {
    let server = Server::start().await;
    let mark = request(1, "toy.mark", json!({ "name": "a" }));
    for body in [batch(&[mark]), " [\n]".to_owned()] {
        let reply = post(&server, "idempotency-key: k-1\r\n", &body).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (200, &json!(-32600)));
        assert_eq!(reply.json()["id"], Value::Null);
    }
    assert!(server.board.log().is_empty(), "nothing was done");
}
