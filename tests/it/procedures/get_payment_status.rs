//! `payment.getPaymentStatus`: one payment of the agency, or nothing.

use quittance::domain::Role;
use serde_json::json;

use super::{STATUSES, payment_in, refused};
use crate::harness::on_both;

const METHOD: &str = "payment.getPaymentStatus";

on_both! {
    async fn it_answers_the_same_as_the_list_in_every_status(app: TestApp) {
        for status in STATUSES {
            let id = payment_in(&app, status).await;
            let payment = app.agent().ok(METHOD, json!({ "paymentId": id })).await;
            assert_eq!(payment["id"], id);
            let page = app.agent().ok("payment.list", json!({ "status": status })).await;
            assert_eq!(page["items"], json!([payment]));
        }
    }

    async fn ids_that_name_no_payment_of_the_agency_are_not_found(app: TestApp) {
        let theirs = app.stranger(Role::Agent).await.create(100).await.id;
        let ours = app.agent().create(100).await.id;
        let shortened = &ours[..35];
        let plain = ours.replace('-', "");
        let long = "x".repeat(10_000);
        for id in [
            "", "x", &theirs, "00000000-0000-0000-0000-000000000000", shortened, &plain,
            &format!("{{{ours}}}"), &format!("urn:uuid:{ours}"), &format!(" {ours}"), "' or '1'='1", &long,
        ] {
            let fault = app.agent().fails(METHOD, json!({ "paymentId": id })).await;
            assert_eq!((fault.code, fault.kind()), (-32004, "NOT_FOUND"), "{id}: {fault:?}");
            assert!(fault.message.len() < 200);
        }
        let table = [json!(1), json!(null), json!([ours])].map(|value| ("paymentId", value));
        refused(app.agent(), METHOD, &json!({}), &table).await;
    }
}
