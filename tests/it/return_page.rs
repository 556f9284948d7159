//! The page a tenant's browser comes back to: for people, never a proof of payment.

use reqwest::Method;
use serde_json::json;

use crate::harness::on_both;

on_both! {
    async fn the_return_page_thanks_and_changes_nothing(app: TestApp) {
        let created = app.agent().create(25_000).await;
        let before = app.payment(&created.id).await;
        let page = app.webhook_url.replace("/api/webhooks/calmony-pay", "/checkout/return");
        for query in ["", &format!("?payment={}&status=paid", created.id), "?payment=<script>"] {
            let answer = app.http.get(format!("{page}{query}")).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
            assert_eq!(answer.headers()["cache-control"], "no-store");
            let text = answer.text().await.expect("a page");
            assert!(text.contains("Thank you") && !text.contains("<script"), "{text}");
            assert!(!text.contains(&created.id), "the page tells nothing about a payment");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let answer = app.http.request(method.clone(), &page).body("{}").send().await.expect("an answer");
            assert_eq!(answer.status(), 405, "{method}");
        }
        assert_eq!(app.http.head(&page).send().await.expect("an answer").status(), 200);
        assert_eq!(app.payment(&created.id).await, before);
        assert_eq!(before["status"], json!("pending"));
    }
}
