//! The namespace `todo`.

use quittance::domain::Role;
use serde_json::{Value, json};

use super::{all_pages, ids, keys, payment_with, refused};
use crate::harness::on_both;

on_both! {
    async fn a_todo_is_created_under_the_hosts_id_or_one_of_ours(app: TestApp) {
        let params = json!({ "id": "Todo_1-a", "title": "Collect the deposit", "tenancyId": "ten-1" });
        let todo = app.agent().ok("todo.create", params).await;
        assert_eq!(
            keys(&todo),
            ["id", "title", "tenancyId", "status", "completedAt", "completedBy", "createdAt"]
        );
        assert_eq!(todo["id"], "Todo_1-a");
        assert_eq!((&todo["title"], &todo["tenancyId"]), (&json!("Collect the deposit"), &json!("ten-1")));
        assert_eq!((&todo["status"], &todo["completedAt"]), (&json!("open"), &Value::Null));
        assert_eq!(todo["completedBy"], Value::Null);
        assert_eq!(app.agent().ok("todo.get", json!({ "todoId": "Todo_1-a" })).await, todo);

        let ours = app.agent().ok("todo.create", json!({ "title": "x", "id": null, "tenancyId": null })).await;
        let id = uuid::Uuid::try_parse(ours["id"].as_str().unwrap()).unwrap();
        assert_eq!((id.get_version_num(), &ours["tenancyId"]), (7, &Value::Null));
    }

    async fn the_same_id_again_answers_the_row_or_a_mismatch(app: TestApp) {
        let params = json!({ "id": "todo-1", "title": "Collect", "tenancyId": "ten-1" });
        app.agent().ok("todo.create", params.clone()).await;
        payment_with(&app, json!({ "todoId": "todo-1" }), "succeeded").await;
        let complete = app.agent().ok("todo.get", json!({ "todoId": "todo-1" })).await;
        assert_eq!(complete["status"], "complete");
        assert_eq!(app.admin().ok("todo.create", params).await, complete);
        for other in [
            json!({ "id": "todo-1", "title": "Collect", "tenancyId": "ten-2" }),
            json!({ "id": "todo-1", "title": "Collect" }),
            json!({ "id": "todo-1", "title": "collect", "tenancyId": "ten-1" }),
        ] {
            let fault = app.agent().fails("todo.create", other).await;
            assert_eq!((fault.code, fault.kind()), (-32009, "IDEMPOTENCY_MISMATCH"), "{fault:?}");
        }
        // Ids are each agency's own.
        let stranger = app.stranger(Role::Agent).await;
        stranger.ok("todo.create", json!({ "id": "todo-1", "title": "Theirs" })).await;
        assert_eq!(app.agent().ok("todo.get", json!({ "todoId": "todo-1" })).await, complete);
    }

    async fn todos_are_listed_newest_first_page_by_page(app: TestApp) {
        app.stranger(Role::Agent).await.ok("todo.create", json!({ "id": "theirs", "title": "x" })).await;
        let mut made = Vec::new();
        for n in 0..12 {
            // Ids in no order of their own; several are made within one millisecond.
            let id = format!("{}{n}", (b'z' - n) as char);
            let tenancy = format!("ten-{}", n % 2);
            let params = json!({ "id": id, "title": "x", "tenancyId": tenancy });
            app.agent().ok("todo.create", params).await;
            made.insert(0, id);
        }
        let whole = ids(&all_pages(app.agent(), "todo.list", json!({}), 100).await);
        let sorted = |mut ids: Vec<String>| { ids.sort(); ids };
        assert_eq!(sorted(whole.clone()), sorted(made));
        for limit in [1, 5, 12] {
            assert_eq!(ids(&all_pages(app.agent(), "todo.list", json!({}), limit).await), whole);
        }
        payment_with(&app, json!({ "todoId": "z0" }), "succeeded").await;
        let count = async |filter: Value| all_pages(app.agent(), "todo.list", filter, 3).await.len();
        assert_eq!(count(json!({ "status": "complete" })).await, 1);
        assert_eq!(count(json!({ "status": "open" })).await, 11);
        assert_eq!(count(json!({ "tenancyId": "ten-1" })).await, 6);
        assert_eq!(count(json!({ "tenancyId": "ten-0", "status": "open" })).await, 5);
        assert_eq!(count(json!({ "tenancyId": "ten-2" })).await, 0);
    }

    async fn what_is_wrong_is_refused_by_name(app: TestApp) {
        let table = [
            ("id", json!("")),
            ("id", json!("a.b")),
            ("id", json!("x".repeat(65))),
            ("title", json!("")),
            ("title", json!("é".repeat(201))),
            ("title", json!("4242 4242 4242 4242")),
            ("title", json!("a\0b")),
            ("title", Value::Null),
            ("tenancyId", json!("a b")),
            ("status", json!("complete")),
            ("completedBy", json!("me")),
        ];
        refused(app.agent(), "todo.create", &json!({ "title": "x" }), &table).await;
        let table = [("status", json!("done")), ("limit", json!(101)), ("tenancyId", json!(""))];
        refused(app.agent(), "todo.list", &json!({}), &table).await;
        app.agent().ok("todo.create", json!({ "id": "x".repeat(64), "title": "é".repeat(200) })).await;
        for id in ["unknown", "", "a b", &"x".repeat(65)] {
            assert_eq!(app.agent().fails("todo.get", json!({ "todoId": id })).await.kind(), "NOT_FOUND");
        }
    }
}
