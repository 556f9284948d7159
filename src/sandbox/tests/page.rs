//! The hosted page as a browser without script sees it, and the strings a script pulls.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Bench, request};
use crate::sandbox::{IntentStatus, SessionStatus};

impl Bench {
    async fn press(&self, id: &str, action: &str, form: &'static str) -> reqwest::Response {
        let url = self.url(&format!("/checkout/{id}/{action}"));
        let request = self.client.post(url).header("origin", self.sandbox.url());
        request.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.unwrap()
    }

    async fn look(&self, id: &str) -> String {
        self.client.get(self.url(&format!("/checkout/{id}"))).send().await.unwrap().text().await.unwrap()
    }

    async fn pull(&self, path: &str, body: &'static str) -> (StatusCode, Value) {
        let answer = self.client.post(self.url(path)).body(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

fn leads_to(answer: &reqwest::Response) -> &str {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    answer.headers()["location"].to_str().unwrap()
}

#[tokio::test]
async fn it_shows_what_is_paid_and_nothing_gets_in() {
    let bench = Bench::start().await;
    let id = bench.open().await;
    let answer = bench.client.get(bench.url(&format!("/checkout/{id}"))).send().await.unwrap();
    let headers = answer.headers().clone();
    assert_eq!(headers["x-frame-options"], "DENY");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.contains("form-action 'self' https://agency.example http://127.0.0.1:9;"), "{policy}");
    let page = answer.text().await.unwrap();
    for shown in ["£1,234.56", "Sandbox", "no real money", "Pay by card", "Pay by bank", "Decline", "Leave"]
    {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(page.contains("Holding deposit &lt;b&gt;&amp; more&lt;/b&gt;"));
    assert!(!page.contains("<input") && !page.contains("<script"));

    let mut bank_only = request();
    bank_only["payment_method_types"] = json!(["open_banking"]);
    let made: Value = bench.post(None, &bank_only).await.unwrap().json().await.unwrap();
    let page = bench.look(made["id"].as_str().unwrap()).await;
    assert!(page.contains("Pay by bank") && !page.contains("Pay by card"));
}

#[tokio::test]
async fn its_buttons() {
    let bench = Bench::start().await;
    let id = bench.open().await;
    assert_eq!(leads_to(&bench.press(&id, "leave", "").await), "http://127.0.0.1:9/back");
    let declined = bench.press(&id, "decline", "").await;
    assert_eq!(leads_to(&declined), bench.url(&format!("/checkout/{id}")));
    assert!(bench.look(&id).await.contains("The card was declined."));
    assert_eq!(bench.press(&id, "pay", "method=cheque").await.status(), StatusCode::BAD_REQUEST);
    let paid = bench.press(&id, "pay", "method=card").await;
    assert_eq!(leads_to(&paid), "https://agency.example/done?a=1");
    assert!(bench.look(&id).await.contains("Payment complete"));
    let twice = bench.press(&id, "pay", "method=card").await;
    assert_eq!(twice.status(), StatusCode::CONFLICT);
    assert!(twice.text().await.unwrap().contains("Payment complete"));

    let bank = bench.open().await;
    leads_to(&bench.press(&bank, "pay", "method=open_banking").await);
    assert!(bench.look(&bank).await.contains("Payment on its way"));
    let expired = bench.open().await;
    bench.sandbox.expire(&expired).await.unwrap();
    assert!(bench.look(&expired).await.contains("This link has expired"));
    assert!(bench.look("cs_none").await.contains("There is no such payment"));
    let index = bench.client.get(bench.url("/")).send().await.unwrap().text().await.unwrap();
    assert!(index.contains(&expired) && index.contains("processing"));
}

#[tokio::test]
async fn other_sites_cannot_press_them() {
    let bench = Bench::start().await;
    let id = bench.open().await;
    for path in [format!("/checkout/{id}/pay"), format!("/sandbox/sessions/{id}/pay")] {
        let post = || bench.client.post(bench.url(&path)).body("method=card");
        for (header, value) in
            [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
        {
            let refused = post().header(header, value).send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path} {header}: {value}");
        }
    }
    assert_eq!(bench.sandbox.session(&id).unwrap().status, SessionStatus::Open);
}

#[tokio::test]
async fn a_script_plays_the_tenant() {
    let bench = Bench::start().await;
    let (first, second) = (bench.open().await, bench.open().await);
    let (_, listed) = bench.get("/sandbox/sessions").await;
    assert_eq!(listed["sessions"][0]["id"], second, "newest first");

    let (status, _) = bench.pull(&format!("/sandbox/sessions/{first}/decline"), "").await;
    assert_eq!(status, StatusCode::OK);
    let (_, paid) = bench.pull(&format!("/sandbox/sessions/{first}/pay"), r#"{"method":"card"}"#).await;
    let intent_id = paid["payment_intent"].as_str().unwrap();
    assert_eq!(bench.sandbox.intent(intent_id).unwrap().status, IntentStatus::Succeeded);
    let refund = format!("/sandbox/intents/{intent_id}/refund");
    assert_eq!(bench.pull(&refund, r#"{"amount":56}"#).await.1, json!({ "amount_refunded": 56 }));
    assert_eq!(bench.pull(&refund, "").await.1, json!({ "amount_refunded": 123_456 }));
    assert_eq!(bench.pull(&refund, "").await.0, StatusCode::CONFLICT);
    assert_eq!(bench.pull(&format!("/sandbox/sessions/{second}/expire"), "").await.0, StatusCode::OK);
    assert_eq!(bench.pull(&format!("/sandbox/sessions/{second}/pay"), "").await.0, StatusCode::CONFLICT);
    assert_eq!(bench.pull("/sandbox/sessions/cs_none/pay", "").await.0, StatusCode::NOT_FOUND);
    assert_eq!(bench.get("/sandbox/faults/more").await.0, StatusCode::NOT_FOUND);
    let types = bench.event_types().await;
    assert_eq!(types.iter().filter(|event_type| *event_type == "payment_intent.refunded").count(), 2);
}
