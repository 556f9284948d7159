//! What is asked: the requests of each measured operation, written as a platform or the provider writes them.

use std::{collections::HashMap, path::Path};

use quittance::calmony::signature::sign;
use serde_json::{Value, json};

use super::{driver::Request, server::WEBHOOK_SECRET};

const TYPES: [&str; 4] = ["holding_deposit", "move_in_balance", "renewal_fee", "custom"];

/// Ids and tokens of a loaded ledger.
pub struct Samples {
    /// The token of agency 1, 2 and so on.
    pub tokens: Vec<String>,
    payments: Vec<(String, usize)>,
    tenancies: Vec<(String, usize)>,
}

impl Samples {
    /// Reads what the loader wrote.
    pub fn read(folder: &Path) -> Self {
        let pairs = |name: &str| -> Vec<(String, usize)> {
            let text = std::fs::read_to_string(folder.join(name)).expect("the loader's file");
            let pair = |line: &str| {
                let (id, agency) = line.split_once('\t').expect("two columns");
                (id.to_owned(), agency.parse().expect("a number"))
            };
            text.lines().map(pair).collect()
        };
        let tokens = pairs("tokens.tsv").into_iter().map(|(token, _)| token).collect();
        Self { tokens, payments: pairs("payments.tsv"), tenancies: pairs("tenancies.tsv") }
    }

    /// `payment.getPaymentStatus` of a random payment.
    pub fn status(&self) -> Request {
        let (id, agency) = one_of(&self.payments);
        let params = json!({ "paymentId": id });
        self.call("payment.getPaymentStatus", params, *agency, &format!(r#""id":"{id}""#))
    }

    /// `payment.list`, the first page: a quarter each without a filter, by status, by type, by tenancy.
    pub fn list(&self) -> Request {
        let any = rand::random_range(1..=self.tokens.len());
        let (agency, filter) = match rand::random_range(0..4) {
            0 => (any, json!({})),
            1 => (any, json!({ "status": one_of(&["pending", "succeeded", "cancelled"]) })),
            2 => (any, json!({ "paymentType": one_of(&TYPES) })),
            _ => {
                let (tenancy, agency) = one_of(&self.tenancies);
                (*agency, json!({ "tenancyId": tenancy }))
            }
        };
        // A small agency may have none of a status.
        self.page(agency, filter, r#""items":["#)
    }

    /// A page of an agency's payments; its answer holds this.
    pub fn page(&self, agency: usize, mut params: Value, expect: &str) -> Request {
        params["limit"] = 20.into();
        self.call("payment.list", params, agency, expect)
    }

    /// `payment.stats` of a random agency.
    pub fn stats(&self) -> Request {
        let agency = rand::random_range(1..=self.tokens.len());
        self.call("payment.stats", json!({}), agency, r#""succeeded":{"count":"#)
    }

    /// `payment.createPaymentTask`, a third of them above the card limit. The description says which run made it.
    pub fn create(&self, run: &str) -> Request {
        let (tenancy, agency) = one_of(&self.tenancies);
        let params = json!({
            "amountPence": rand::random_range(1_000..301_000), "paymentType": one_of(&TYPES), "tenancyId": tenancy,
            "description": format!("Payment of run {run}"),
        });
        self.call("payment.createPaymentTask", params, *agency, r#""checkoutUrl":"https://"#)
    }

    fn call(&self, method: &str, params: Value, agency: usize, expect: &str) -> Request {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let head = HashMap::from([("authorization", format!("Bearer {}", self.tokens[agency - 1]))]);
        Request { bytes: post("/rpc", &head, &body), expect: expect.to_owned() }
    }
}

/// The webhook that says that the money of the k-th prepared payment came. Signed now.
pub fn webhook(run: &str, k: usize, (payment, intent): &(String, String), amount_pence: i64) -> Request {
    let now = chrono::Utc::now();
    let body = json!({
        "id": format!("evt_{run}_{k}"), "object": "event", "created": now.timestamp(), "livemode": false,
        "type": "payment_intent.succeeded",
        "data": { "object": {
            "id": intent, "object": "payment_intent", "amount": amount_pence, "amount_received": amount_pence,
            "currency": "gbp", "status": "succeeded", "capture_method": "automatic",
            "confirmation_method": "automatic", "description": "Move-in balance for tenancy",
            "payment_method": format!("pm_{k}"), "payment_method_types": ["card", "open_banking"],
            "receipt_email": "tenant@example.com", "latest_charge": format!("ch_{run}_{k}"),
            "created": now.timestamp(), "metadata": { "ledger_id": payment },
        } },
    })
    .to_string();
    let signature = sign(WEBHOOK_SECRET, now.timestamp_millis(), body.as_bytes());
    let head = HashMap::from([("calmony-signature", signature)]);
    Request { bytes: post("/api/webhooks/calmony-pay", &head, &body), expect: r#""received":true"#.into() }
}

fn post(path: &str, head: &HashMap<&str, String>, body: &str) -> Vec<u8> {
    let lines: String = head.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         {lines}\r\n{body}"
    )
    .into_bytes()
}

fn one_of<T>(of: &[T]) -> &T {
    &of[rand::random_range(0..of.len())]
}
