//! Batches: what runs beside what, in which order, and how much of it.

use super::*;

#[tokio::test]
async fn all_entries_run_side_by_side_and_answers_keep_their_order() {
    let server = Server::start().await;
    let entries: Vec<_> =
        (0..20).map(|n| request(n, "toy.look", json!({ "name": n.to_string(), "ms": 60 - n }))).collect();
    let answer = server.post(&batch(&entries)).await.json();
    let ids: Vec<_> = answer.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
    assert_eq!(server.board.most_at_once.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn a_mutation_holds_nothing_up() {
    let server = Server::start().await;
    let entries = [
        request(1, "toy.mark", json!({ "name": "a", "ms": 300 })),
        request(2, "toy.mark", json!({ "name": "b", "ms": 100 })),
        notification("toy.mark", json!({ "name": "c", "ms": 200 })),
        request(3, "toy.look", json!({ "name": "d" })),
    ];
    let answer = server.post(&batch(&entries)).await.json();
    let names: Vec<_> = answer.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
    assert_eq!(names, [1, 2, 3]);
    let log = server.board.log();
    assert_eq!(log[log.len() - 3..], ["marked b", "marked c", "marked a"]);
    let begun = |line: &String| line.starts_with("mark ") || line.starts_with("look ");
    assert_eq!(log[..5].iter().filter(|line| begun(line)).count(), 4, "{log:?}");
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
    let big = |id| request(id, "toy.big", json!({ "bytes": 2_500_000 }));
    let last = request(6, "toy.mark", json!({ "name": "a" }));
    let reply = server.post(&batch(&[big(1), big(2), big(3), big(4), big(5), last])).await;
    assert!(reply.body.len() <= super::super::RESPONSE_MAX_BYTES as usize);
    let answers = reply.json();
    for fits in 0..3 {
        assert_eq!(answers[fits]["result"].as_str().unwrap().len(), 2_500_000);
    }
    for (place, id) in [(3, 4), (4, 5)] {
        let answer = &answers[place];
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(id), &json!(-32008)));
    }
    assert_eq!(answers[5]["result"]["name"], "a");

    let answer = server.call("toy.big", json!({ "bytes": 9_000_000 })).await;
    assert_eq!(answer["error"]["code"], -32008);
}
