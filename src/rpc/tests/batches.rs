//! Batches: what runs beside what, in which order, and how much of it.

use super::*;

#[tokio::test]
async fn neighbouring_queries_run_side_by_side_but_no_more_than_eight() {
    let server = Server::start().await;
    let entries: Vec<_> =
        (0..20).map(|n| request(n, "toy.look", json!({ "name": n.to_string(), "ms": 60 - n }))).collect();
    let answer = server.post(&batch(&entries)).await.json();
    let ids: Vec<_> = answer.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (0..20).collect::<Vec<_>>(), "answers keep the order of the entries");
    assert_eq!(server.board.most_at_once.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn a_mutation_waits_for_what_is_before_it_and_holds_up_what_is_after_it() {
    let server = Server::start().await;
    let slow = |id, method, name: &str| request(id, method, json!({ "name": name, "ms": 30 }));
    let entries = [
        slow(1, "toy.look", "a"),
        slow(2, "toy.mark", "b"),
        notification("toy.mark", json!({ "name": "c", "ms": 30 })),
        slow(4, "toy.mark", "d"),
        slow(5, "toy.look", "e"),
    ];
    let answer = server.post(&batch(&entries)).await.json();
    assert_eq!(answer.as_array().unwrap().len(), 4);
    assert_eq!(
        server.board.log(),
        [
            "look a", "looked a", "mark b", "marked b", "mark c", "marked c", "mark d", "marked d", "look e",
            "looked e"
        ]
    );
}

#[tokio::test]
async fn entries_fail_one_by_one() {
    let server = Server::start().await;
    let entries = [
        request(1, "toy.admin", json!({})),
        request(2, "toy.panic", json!({})),
        request(3, "toy.panicMutation", json!({})),
        request(4, "toy.busy", json!({})),
        request(5, "toy.onTick", json!({})),
        request(6, "toy.all", json!({})),
    ];
    let reply = server.post(&batch(&entries)).await;
    assert_eq!((reply.status, reply.header("retry-after")), (200, None));
    let codes: Vec<_> =
        reply.json().as_array().unwrap().iter().map(|one| one["error"]["code"].as_i64()).collect();
    assert_eq!(codes, [Some(-32003), Some(-32603), Some(-32603), Some(-32053), Some(-32600), None]);
}

#[tokio::test]
async fn a_batch_has_at_most_twenty_entries() {
    let server = Server::start().await;
    let entries = |n| batch(&(0..n).map(|n| request(n, "toy.all", json!({}))).collect::<Vec<_>>());
    assert_eq!(server.post(&entries(20)).await.json().as_array().unwrap().len(), 20);
    let reply = server.post(&entries(21)).await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_i64()), (200, Some(-32010)));
}

#[tokio::test]
async fn notifications_run_and_nobody_is_answered() {
    let server = Server::start().await;
    let reply = server.post(&notification("toy.mark", json!({ "name": "a" }))).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    let reply = server.post(&batch(&[notification("toy.mark", json!([{ "name": "b" }]))])).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(server.board.log(), ["mark a", "marked a", "mark b", "marked b"]);

    // With the same authorisation: nobody's notification is not run.
    let body = notification("toy.mark", json!({ "name": "c" }));
    assert_eq!(server.wire().await.post_with("", &body).await.status, 204);
    assert_eq!(server.board.log().len(), 4);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_missing_alone() {
    let server = Server::start().await;
    let big = |id| request(id, "toy.big", json!({ "bytes": 500_000 }));
    let last = request(4, "toy.mark", json!({ "name": "a" }));
    let reply = server.post(&batch(&[big(1), big(2), big(3), last])).await;
    assert!(reply.body.len() <= super::super::RESPONSE_MAX_BYTES as usize);
    let answers = reply.json();
    assert_eq!(answers[0]["result"].as_str().unwrap().len(), 500_000);
    assert_eq!((&answers[1]["id"], &answers[1]["error"]["code"]), (&json!(2), &json!(-32008)));
    assert_eq!((&answers[2]["id"], &answers[2]["error"]["code"]), (&json!(3), &json!(-32008)));
    assert_eq!(answers[3]["result"]["name"], "a");

    let answer = server.call("toy.big", json!({ "bytes": 1_100_000 })).await;
    assert_eq!(answer["error"]["code"], -32008);
}
