//! The main job, end to end: ask, pay on the hosted page, and everything changes together.

use quittance::sandbox::Method;
use serde_json::json;

use crate::harness::on_both;

on_both! {
    async fn a_tenant_pays_by_card(app: TestApp) {
        app.agent().ok("todo.create", json!({ "id": "todo-1", "title": "Collect the deposit" })).await;
        app.agent().ok("customPaymentTask.create", json!({ "id": "task-1", "title": "Keys" })).await;
        let created = app
            .agent()
            .create_with(json!({ "todoId": "todo-1", "customPaymentTaskId": "task-1", "tenancyId": "ten-1" }))
            .await;
        let payment = app.payment(&created.id).await;
        assert_eq!(payment["status"], "pending");
        assert_eq!(payment["checkoutUrl"], created.checkout_url);

        app.calmony().pay(created.session_id(), Method::Card).await.unwrap();
        app.calmony().settled().await;

        let payment = app.payment(&created.id).await;
        assert_eq!(payment["status"], "succeeded");
        assert!(payment["paidAt"].is_string());
        assert_eq!(payment["checkoutUrl"], json!(null));
        let todo = app.agent().ok("todo.get", json!({ "todoId": "todo-1" })).await;
        assert_eq!((&todo["status"], &todo["completedBy"]), (&json!("complete"), &json!("calmony-pay")));
        let task = app.agent().ok("customPaymentTask.get", json!({ "customPaymentTaskId": "task-1" })).await;
        assert_eq!(task["status"], "paid");
        let trail = app.trail(&created.id).await;
        let actions: Vec<_> = trail.iter().map(|(action, ..)| action.as_str()).collect();
        assert_eq!(actions, ["payment.created", "payment.succeeded"]);
    }

    async fn a_tenant_pays_by_bank(app: TestApp) {
        let created = app.agent().create_with(json!({ "method": "open_banking" })).await;
        app.calmony().pay(created.session_id(), Method::OpenBanking).await.unwrap();
        app.calmony().settled().await;
        app.until_status(&created.id, "succeeded").await;
        assert_eq!(app.anomalies(&created.id).await, Vec::<String>::new());
    }
}
