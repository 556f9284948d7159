//! The nouns of the sandbox: sessions, intents, their states, and the JSON the API and the events show of them.
//!
//! Lives here: the types a test reads, and why something asked of them is refused. Does not live here: what
//! changes them (`state`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How a tenant pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A card: the money is there at once.
    Card,
    /// Pay by bank: processing first, the money shortly after.
    OpenBanking,
}

/// The life of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// It can be paid.
    Open,
    /// Somebody paid, or started a bank payment that is under way.
    Complete,
    /// Its time is over.
    Expired,
}

/// The life of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentStatus {
    /// A bank payment under way.
    Processing,
    /// The money was taken.
    Succeeded,
    /// The try failed.
    RequiresPaymentMethod,
}

/// Why a try to pay failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentError {
    /// For programs: `card_declined` or `bank_payment_declined`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A checkout session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// `cs_…`
    pub id: String,
    /// The hosted page.
    pub url: String,
    /// Open, complete or expired.
    pub status: SessionStatus,
    /// Has the money been taken?
    pub paid: bool,
    /// What was asked for; once paid, what was taken.
    pub amount_pence: i64,
    /// Lower case, as the provider writes it.
    pub currency: String,
    /// Name and description of the line items, for the hosted page.
    pub description: String,
    /// As it was sent.
    pub metadata: Map<String, Value>,
    /// What the tenant may choose from.
    pub payment_method_types: Vec<Method>,
    /// The intent that completed the session. A declined try has an intent too, but does not complete it.
    pub payment_intent: Option<String>,
    /// Why the latest try failed, while the session is still open.
    pub last_payment_error: Option<PaymentError>,
    /// Where the tenant goes after paying.
    pub success_url: String,
    /// Where the tenant goes without paying.
    pub cancel_url: String,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds.
    pub expires_at: i64,
}

/// A try to pay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// `pi_…`
    pub id: String,
    /// The session it was made on.
    pub session_id: String,
    /// What was taken, or would have been.
    pub amount_pence: i64,
    /// Lower case.
    pub currency: String,
    /// Processing, succeeded or failed.
    pub status: IntentStatus,
    /// Copied from the session.
    pub metadata: Map<String, Value>,
    /// Given back so far.
    pub amount_refunded_pence: i64,
    /// Why it failed, if it did.
    pub last_payment_error: Option<PaymentError>,
    /// Unix seconds.
    pub created: i64,
}

/// Why something asked of the sandbox cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such session or intent.
    #[error("there is no such session or intent")]
    Unknown,
    /// The session is complete or expired.
    #[error("the session is not open")]
    NotOpen,
    /// The session does not allow this method.
    #[error("the session does not allow this payment method")]
    MethodNotAllowed,
    /// Only a bank payment that is processing can be finished.
    #[error("the payment intent is not processing")]
    NotProcessing,
    /// The intent never succeeded, or less than this is left to refund.
    #[error("the payment intent has not that much left to refund")]
    NotRefundable,
}

impl Session {
    /// As the API and the events show it.
    pub(super) fn json(&self) -> Value {
        json!({
            "id": self.id, "object": "checkout.session", "url": self.url, "status": self.status,
            "payment_status": if self.paid { "paid" } else { "unpaid" },
            "payment_intent": self.payment_intent, "payment_method_types": self.payment_method_types,
            "amount_total": self.amount_pence, "currency": self.currency, "metadata": self.metadata,
            "success_url": self.success_url, "cancel_url": self.cancel_url,
            "expires_at": self.expires_at, "created": self.created,
        })
    }
}

impl Intent {
    /// As the API and the events show it.
    pub(super) fn json(&self) -> Value {
        let mut object = json!({
            "id": self.id, "object": "payment_intent", "amount": self.amount_pence, "currency": self.currency,
            "status": self.status, "metadata": self.metadata, "amount_refunded": self.amount_refunded_pence,
            "created": self.created,
        });
        if let Some(error) = &self.last_payment_error {
            object["last_payment_error"] = json!(error);
        }
        object
    }
}

/// A fresh id of one of the provider's kinds.
pub(super) fn new_id(prefix: &str) -> String {
    format!("{prefix}_{:032x}", rand::random::<u128>())
}
