//! `payment.createPaymentTask`: the bounds of its input. They stand for those of every procedure, which are made of
//! the same types.

use serde_json::{Value, json};

use super::{create_calls, refused};
use crate::harness::{Fault, TestApp, create_params, on_both};

const METHOD: &str = "payment.createPaymentTask";

/// Calls with a body of exactly this text as params.
async fn raw(app: &TestApp, params: &str) -> Result<Value, Fault> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{METHOD}","params":{params}}}"#);
    let request = app.http.post(&app.rpc_url).header("content-type", "application/json").body(body);
    let answer = request.bearer_auth(app.agent().token.as_ref().unwrap()).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    match answer.get("error") {
        None => Ok(answer["result"].clone()),
        Some(error) => Err(Fault {
            code: error["code"].as_i64().unwrap(),
            message: error["message"].as_str().unwrap().to_owned(),
            data: error["data"].clone(),
        }),
    }
}

on_both! {
    async fn values_out_of_bounds_are_refused_by_name(app: TestApp) {
        let text = |chars: usize| json!("é".repeat(chars));
        let table = [
            ("amountPence", json!(0)),
            ("amountPence", json!(-1)),
            ("amountPence", json!(100_000_000)),
            ("amountPence", json!(i64::MAX)),
            ("amountPence", json!(u64::MAX)),
            ("amountPence", json!(1.5)),
            ("amountPence", json!("100")),
            ("amountPence", json!(true)),
            ("amountPence", json!([100])),
            ("amountPence", Value::Null),
            ("paymentType", json!("rent")),
            ("paymentType", json!("CUSTOM")),
            ("paymentType", json!("")),
            ("paymentType", json!(1)),
            ("paymentType", json!({ "custom": null })),
            ("paymentType", Value::Null),
            ("description", json!("")),
            ("description", text(501)),
            ("description", json!("nul \0")),
            ("description", json!("bell \u{7}")),
            ("description", json!("delete \u{7f}")),
            ("description", json!("next line \u{85}")),
            ("description", json!("a\ttab")),
            ("description", json!("two\r\nlines")),
            ("description", json!("   ")),
            ("description", json!("\u{200B}")),
            ("description", json!("Deposit \u{202E}005£")),
            ("description", json!("card 4242 4242 4242 4242, thanks")),
            ("description", json!("5555-5555-5555-4444")),
            ("description", json!("378282246310005")),
            ("description", json!("6304000000000000000")),
            ("description", json!(["a"])),
            ("description", Value::Null),
            ("method", json!("cash")),
            ("method", json!("Card")),
            ("tenancyId", json!("")),
            ("tenancyId", json!("a b")),
            ("tenancyId", json!("x".repeat(65))),
            ("tenancyId", json!(7)),
            ("todoId", json!(7)),
            ("customPaymentTaskId", json!({})),
            ("idempotencyKey", json!("")),
            ("idempotencyKey", json!("a b")),
            ("idempotencyKey", json!("é")),
            ("idempotencyKey", json!("x".repeat(65))),
            ("idempotencyKey", json!(1)),
        ];
        refused(app.agent(), METHOD, &create_params(json!({})), &table).await;
        assert_eq!(app.agent().ok("payment.list", json!({})).await["items"], json!([]));
        assert_eq!(create_calls(&app), []);
    }

    async fn values_at_their_bounds_are_taken(app: TestApp) {
        let table = [
            ("amountPence", json!(1)),
            ("amountPence", json!(99_999_999)),
            ("description", json!("x")),
            ("description", json!("é".repeat(500))),
            ("description", json!("🔑".repeat(500))),
            ("description", json!("Rent 2026-07-01 - 2026-07-31")),
            ("description", json!("Refund to 20-00-00 12345670")),
            ("description", json!("إيجار شهر يوليو 👩‍👩‍👧")),
            ("description", json!("called 0207 946 0000; ref 4242424242424241; 1234567890128; 4242 4242-4242 4242")),
            ("tenancyId", json!("x".repeat(64))),
            ("tenancyId", json!("4242424242424242")),
            ("idempotencyKey", json!("4242424242424242")),
            ("idempotencyKey", json!("~".repeat(64))),
        ];
        for (field, value) in table {
            let created = app.agent().create_with(json!({ (field): value })).await;
            if field != "idempotencyKey" {
                assert_eq!(app.payment(&created.id).await[field], value);
            }
        }
    }

    async fn only_digits_spell_a_whole_number(app: TestApp) {
        for amount in ["1.0", "1e3", "1E3", "100.00", "\"100\"", "1e400", "99999999999999999999"] {
            let params = format!(r#"{{"amountPence":{amount},"paymentType":"custom","description":"x"}}"#);
            let fault = raw(&app, &params).await.unwrap_err();
            assert_eq!(fault.kind(), "INVALID_PARAMS", "{amount}: {fault:?}");
        }
        raw(&app, r#"{"amountPence":1000,"paymentType":"custom","description":"x"}"#).await.unwrap();
    }

    async fn null_equals_absent(app: TestApp) {
        let nothing = json!({
            "method": null, "tenancyId": null, "todoId": null, "customPaymentTaskId": null,
            "idempotencyKey": null,
        });
        let created = app.agent().create_with(nothing).await;
        let payment = app.payment(&created.id).await;
        assert_eq!(payment["method"], "card");
        for field in ["tenancyId", "todoId", "customPaymentTaskId"] {
            assert_eq!(payment[field], Value::Null, "{field}");
        }
    }

    async fn what_is_missing_is_named(app: TestApp) {
        for field in ["amountPence", "paymentType", "description"] {
            let mut params = create_params(json!({}));
            params.as_object_mut().unwrap().remove(field);
            let fault = app.agent().fails(METHOD, params).await;
            assert_eq!((fault.kind(), &fault.data["path"]), ("INVALID_PARAMS", &json!(field)));
        }
    }

    async fn an_unknown_field_is_named_with_the_nearest_known_one(app: TestApp) {
        let table = [
            ("amount_pence", Some("amountPence")),
            ("ammountPence", Some("amountPence")),
            ("desciption", Some("description")),
            ("idempotency_key", Some("idempotencyKey")),
            ("tenancyID", Some("tenancyId")),
            ("agencyId", None),
            ("🙂", None),
        ];
        for (field, nearest) in table {
            let fault = app.agent().fails(METHOD, create_params(json!({ (field): 1 }))).await;
            assert_eq!((fault.kind(), &fault.data["path"]), ("INVALID_PARAMS", &json!(field)));
            let reason = fault.data["reason"].as_str().unwrap();
            if let Some(nearest) = nearest {
                assert!(reason.contains(&format!("`{nearest}`")), "{field}: {reason}");
            }
        }
    }

    async fn params_come_in_four_spellings(app: TestApp) {
        let object = r#"{"amountPence":1,"paymentType":"custom","description":"x"}"#;
        raw(&app, object).await.unwrap();
        raw(&app, &format!("[{object}]")).await.unwrap();
        for nothing in ["null", "[]", "{}", "[{}]"] {
            let fault = raw(&app, nothing).await.unwrap_err();
            assert_eq!((fault.kind(), &fault.data["path"]), ("INVALID_PARAMS", &json!("amountPence")));
        }
        for wrong in ["[1]", "[[]]", &format!("[{object},{object}]"), r#"["x"]"#] {
            assert_eq!(raw(&app, wrong).await.unwrap_err().code, -32602, "{wrong}");
        }
    }

    async fn texts_never_show_more_of_the_input_than_its_name(app: TestApp) {
        let secret = "4242 4242 4242 4242";
        let fault = app.agent().fails(METHOD, create_params(json!({ "description": secret }))).await;
        assert!(!format!("{fault:?}").contains("4242"), "{fault:?}");
    }
}
