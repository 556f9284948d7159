//! The namespace `customPaymentTask`.

use quittance::domain::Role;
use serde_json::{Value, json};

use super::{all_pages, ids, keys, payment_with, refused};
use crate::harness::on_both;

const CREATE: &str = "customPaymentTask.create";
const GET: &str = "customPaymentTask.get";
const LIST: &str = "customPaymentTask.list";

on_both! {
    async fn a_task_is_created_under_the_hosts_id_or_one_of_ours(app: TestApp) {
        let params = json!({ "id": "Task_1-a", "title": "Keys", "amountPence": 4_500, "tenancyId": "ten-1" });
        let task = app.agent().ok(CREATE, params.clone()).await;
        assert_eq!(
            keys(&task),
            ["id", "title", "amountPence", "tenancyId", "status", "paidAt", "createdAt"]
        );
        for (field, value) in params.as_object().unwrap() {
            assert_eq!(task[field], *value, "{field}");
        }
        assert_eq!((&task["status"], &task["paidAt"]), (&json!("pending"), &Value::Null));
        assert_eq!(app.agent().ok(GET, json!({ "customPaymentTaskId": "Task_1-a" })).await, task);

        let ours = app.agent().ok(CREATE, json!({ "title": "x", "id": null, "amountPence": null })).await;
        let id = uuid::Uuid::try_parse(ours["id"].as_str().unwrap()).unwrap();
        assert_eq!((id.get_version_num(), &ours["amountPence"]), (7, &Value::Null));
    }

    async fn the_same_id_again_answers_the_row_or_a_mismatch(app: TestApp) {
        let params = json!({ "id": "task-1", "title": "Keys", "amountPence": 25_000, "tenancyId": "ten-1" });
        app.agent().ok(CREATE, params.clone()).await;
        payment_with(&app, json!({ "customPaymentTaskId": "task-1" }), "succeeded").await;
        let paid = app.agent().ok(GET, json!({ "customPaymentTaskId": "task-1" })).await;
        assert_eq!(paid["status"], "paid");
        assert_eq!(app.admin().ok(CREATE, params.clone()).await, paid);
        let others = [
            ("title", json!("keys")),
            ("amountPence", json!(101)),
            ("amountPence", Value::Null),
            ("tenancyId", json!("ten-2")),
            ("tenancyId", Value::Null),
        ];
        for (field, value) in others {
            let mut other = params.clone();
            other[field] = value;
            let fault = app.agent().fails(CREATE, other).await;
            assert_eq!((fault.code, fault.kind()), (-32009, "IDEMPOTENCY_MISMATCH"), "{fault:?}");
        }
        // Ids are each agency's own.
        let stranger = app.stranger(Role::Agent).await;
        stranger.ok(CREATE, json!({ "id": "task-1", "title": "Theirs" })).await;
        assert_eq!(app.agent().ok(GET, json!({ "customPaymentTaskId": "task-1" })).await, paid);
    }

    async fn a_payment_asks_for_the_tasks_amount_in_its_tenancy(app: TestApp) {
        let own = json!({ "id": "task-1", "title": "Keys", "amountPence": 100, "tenancyId": "ten-1" });
        app.agent().ok(CREATE, own).await;
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Keys", "tenancyId": "ten-1" })).await;
        let pay = |more: Value| {
            let mut params = json!({
                "amountPence": 100, "paymentType": "custom", "description": "Keys", "customPaymentTaskId": "task-1",
            });
            params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            app.agent().call("payment.createPaymentTask", params)
        };
        let of_todo = json!({ "customPaymentTaskId": null, "todoId": "todo-1", "tenancyId": "ten-2" });
        for (more, path) in [
            (json!({ "amountPence": 99 }), "amountPence"),
            (json!({ "amountPence": 101, "tenancyId": "ten-1" }), "amountPence"),
            (json!({ "tenancyId": "ten-2" }), "tenancyId"),
            (of_todo, "tenancyId"),
        ] {
            let fault = pay(more.clone()).await.unwrap_err();
            assert_eq!((fault.kind(), &fault.data["path"]), ("INVALID_PARAMS", &json!(path)), "{more}: {fault:?}");
        }
        assert_eq!(app.agent().ok("payment.list", json!({})).await["items"], json!([]), "nothing was made");
        pay(json!({ "todoId": "todo-1", "tenancyId": "ten-1" })).await.unwrap();
        let task = app.agent().ok(GET, json!({ "customPaymentTaskId": "task-1" })).await;
        assert_eq!((&task["status"], &task["amountPence"]), (&json!("pending"), &json!(100)));
    }

    async fn tasks_are_listed_newest_first_page_by_page(app: TestApp) {
        app.stranger(Role::Agent).await.ok(CREATE, json!({ "id": "theirs", "title": "x" })).await;
        let mut made = Vec::new();
        for n in 0..7 {
            let params = json!({ "id": format!("task-{n}"), "title": "x", "tenancyId": format!("ten-{}", n % 2) });
            app.agent().ok(CREATE, params).await;
            made.insert(0, format!("task-{n}"));
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        for limit in [1, 3, 7, 100] {
            assert_eq!(ids(&all_pages(app.agent(), LIST, json!({}), limit).await), made);
        }
        payment_with(&app, json!({ "customPaymentTaskId": "task-0" }), "succeeded").await;
        let count = async |filter: Value| all_pages(app.agent(), LIST, filter, 2).await.len();
        assert_eq!(count(json!({ "status": "paid" })).await, 1);
        assert_eq!(count(json!({ "status": "pending", "tenancyId": "ten-0" })).await, 3);
        assert_eq!(count(json!({ "tenancyId": "ten-1" })).await, 3);
    }

    async fn what_is_wrong_is_refused_by_name(app: TestApp) {
        let table = [
            ("id", json!("")),
            ("id", json!("a.b")),
            ("title", json!("")),
            ("title", json!("é".repeat(201))),
            ("title", json!("4242-4242-4242-4242")),
            ("amountPence", json!(0)),
            ("amountPence", json!(100_000_000)),
            ("amountPence", json!(1.0)),
            ("amountPence", json!("1")),
            ("tenancyId", json!("a b")),
            ("status", json!("paid")),
        ];
        refused(app.agent(), CREATE, &json!({ "title": "x" }), &table).await;
        let table = [("status", json!("open")), ("limit", json!(0)), ("tenancyId", json!(""))];
        refused(app.agent(), LIST, &json!({}), &table).await;
        for id in ["unknown", "", "a b"] {
            let fault = app.agent().fails(GET, json!({ "customPaymentTaskId": id })).await;
            assert_eq!(fault.kind(), "NOT_FOUND");
        }
    }
}
