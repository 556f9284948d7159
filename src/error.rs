//! Everything that can go wrong, once: the table from kind to code, text and data.
//!
//! [`Kind`] is the contract (docs/frontend.md, "Errors"); the numbers follow tRPC's. The fields of a variant of
//! [`Error`] that are not skipped are `error.data`, and their types its published schema. Texts are for people: they
//! name the field or the id, and never hold SQL, paths, secrets or the provider's prose. What only the log may know
//! travels as the source of [`Error::Internal`].

use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::{PaymentId, PaymentStatus, Role, lifecycle::requests::Refusal};

/// How long a caller who was told `BUSY` should wait.
const BUSY_RETRY_AFTER_MS: u64 = 1_000;

/// Any failure of a procedure.
#[derive(Debug, thiserror::Error, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub enum Error {
    /// A field is missing, unknown or wrong.
    #[error("{path}{}{reason}", if .path.is_empty() { "" } else { ": " })]
    InvalidParams {
        /// Where, as `amountPence` or `items.0`; empty for the input as a whole.
        path: String,
        /// What is wrong with it.
        reason: String,
        /// Of a place beyond the change feed's end: the number of the newest change, from which to go on.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "i64")]
        latest: Option<i64>,
    },
    /// No token, or none that counts.
    #[error("a valid bearer token is required")]
    Unauthorized,
    /// The token's role may not do this.
    #[error("this needs the role {required}")]
    Forbidden {
        /// The role that may.
        required: Role,
    },
    /// Absent, another agency's, or an id of the wrong form.
    #[error("{what} {id} was not found")]
    NotFound {
        /// The kind of row.
        what: &'static str,
        /// The id as the caller sent it, shortened.
        id: String,
    },
    /// The payment's status forbids what was asked.
    #[error("a payment that is {from} can't be {asked}")]
    InvalidTransition {
        /// Where it stands.
        from: PaymentStatus,
        /// What was asked, as a participle.
        asked: &'static str,
        /// The payment, where a link was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "PaymentId")]
        ledger_entry_id: Option<PaymentId>,
    },
    /// Money is on its way.
    #[error("the payment is processing: money is on its way, so it can't be {asked} now")]
    PaymentInFlight {
        /// What was asked, as a participle.
        asked: &'static str,
        /// The payment, where a link was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "PaymentId")]
        ledger_entry_id: Option<PaymentId>,
    },
    /// The custom task has a payment under way.
    #[error("the custom payment task has a payment under way")]
    OpenPaymentExists {
        /// That payment.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "PaymentId")]
        ledger_entry_id: Option<PaymentId>,
    },
    /// The custom task has been paid.
    #[error("the custom payment task has been paid")]
    AlreadyPaid {
        /// The payment that paid it.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "PaymentId")]
        ledger_entry_id: Option<PaymentId>,
    },
    /// The same key or id was used for something else.
    #[error("{what} was used before with other values")]
    IdempotencyMismatch {
        /// The key or id.
        #[serde(skip)]
        what: &'static str,
        /// The payment made under it.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(with = "PaymentId")]
        ledger_entry_id: Option<PaymentId>,
    },
    /// Another call with this key is still at work.
    #[error("a call with the same idempotencyKey is still at work: try again")]
    InProgress {
        /// The payment it works on.
        ledger_entry_id: PaymentId,
    },
    /// Calmony Pay refused the payment, which is now `failed`.
    #[error("Calmony Pay refused the payment; it is now failed")]
    ProviderRejected {
        /// The payment.
        ledger_entry_id: PaymentId,
    },
    /// Calmony Pay could not be asked, or its answer was lost.
    #[error(
        "Calmony Pay did not answer; the payment stays as it is: call payment.renewCheckout, or repeat the call with the same idempotencyKey if it had one"
    )]
    ProviderUnavailable {
        /// The payment.
        ledger_entry_id: PaymentId,
    },
    /// The token has used up its rate.
    #[error("too many requests with this token")]
    RateLimited {
        /// When it may try again.
        retry_after_ms: u64,
    },
    /// Too much to do, or the database is away.
    #[error("the server is busy: try again")]
    Busy {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// A fault of ours. The log has the cause under the request id.
    #[error("internal error")]
    Internal {
        /// For the log.
        #[serde(skip)]
        #[source]
        cause: Fault,
    },
}

/// What only the log may know.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A statement failed.
    #[error("database: {0}")]
    Database(String),
    /// A transaction failed only because another was faster.
    #[error("database: {0}")]
    LostRace(String),
    /// A transaction may stand or not. It must not be run again.
    #[error("the commit is in doubt: {0}")]
    InDoubt(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// The name of an error on the wire: `error.data.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "described on `Error`")]
pub enum Kind {
    InvalidParams,
    Unauthorized,
    Forbidden,
    NotFound,
    InvalidTransition,
    PaymentInFlight,
    OpenPaymentExists,
    AlreadyPaid,
    IdempotencyMismatch,
    InProgress,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
    Busy,
    Internal,
}

impl Kind {
    /// The name on the wire, as a label for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParams => "INVALID_PARAMS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::InvalidTransition => "INVALID_TRANSITION",
            Self::PaymentInFlight => "PAYMENT_IN_FLIGHT",
            Self::OpenPaymentExists => "OPEN_PAYMENT_EXISTS",
            Self::AlreadyPaid => "ALREADY_PAID",
            Self::IdempotencyMismatch => "IDEMPOTENCY_MISMATCH",
            Self::InProgress => "IN_PROGRESS",
            Self::ProviderRejected => "PROVIDER_REJECTED",
            Self::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
            Self::RateLimited => "RATE_LIMITED",
            Self::Busy => "BUSY",
            Self::Internal => "INTERNAL",
        }
    }

    /// The JSON-RPC code, after tRPC's table. -32005 to -32011 are jsonrpsee's own, but for -32009, which it
    /// never sends.
    pub const fn code(self) -> i32 {
        match self {
            Self::InvalidParams => -32602,
            Self::Unauthorized => -32001,
            Self::Forbidden => -32003,
            Self::NotFound => -32004,
            Self::InvalidTransition | Self::PaymentInFlight => -32012,
            Self::OpenPaymentExists | Self::AlreadyPaid | Self::IdempotencyMismatch | Self::InProgress => {
                -32009
            }
            Self::ProviderRejected => -32050,
            Self::ProviderUnavailable => -32051,
            Self::RateLimited => -32029,
            Self::Busy => -32053,
            Self::Internal => -32603,
        }
    }
}

impl Error {
    /// A fault of ours, with what the log should say.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::Internal { cause: Fault::Other(cause.into()) }
    }

    /// Too much to do.
    pub fn busy() -> Self {
        Self::Busy { retry_after_ms: BUSY_RETRY_AFTER_MS }
    }

    /// A person's request that the lifecycle refuses. `payment` is told where a link of it was asked for.
    pub fn refused(refusal: Refusal, payment: Option<PaymentId>, asked: &'static str) -> Self {
        match refusal {
            Refusal::InvalidTransition { from } => {
                Self::InvalidTransition { from, asked, ledger_entry_id: payment }
            }
            Refusal::PaymentInFlight => Self::PaymentInFlight { asked, ledger_entry_id: payment },
            Refusal::AlreadyPaid { by } => Self::AlreadyPaid { ledger_entry_id: Some(by) },
            Refusal::OpenPaymentExists { other } => Self::OpenPaymentExists { ledger_entry_id: Some(other) },
        }
    }

    /// A row that is absent, another agency's, or named by an id of the wrong form.
    pub fn not_found(what: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { what, id: id.to_string().chars().take(64).collect() }
    }

    /// A field that is wrong.
    pub fn invalid(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::InvalidParams { path: path.into(), reason: reason.into(), latest: None }
    }

    /// A place beyond the change feed's end, which is at `latest`.
    pub fn beyond_the_feed(path: impl Into<String>, latest: i64) -> Self {
        let reason = format!("is beyond the newest change, which is {latest}");
        Self::InvalidParams { path: path.into(), reason, latest: Some(latest) }
    }

    /// The kind on the wire.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::InvalidParams { .. } => Kind::InvalidParams,
            Self::Unauthorized => Kind::Unauthorized,
            Self::Forbidden { .. } => Kind::Forbidden,
            Self::NotFound { .. } => Kind::NotFound,
            Self::InvalidTransition { .. } => Kind::InvalidTransition,
            Self::PaymentInFlight { .. } => Kind::PaymentInFlight,
            Self::OpenPaymentExists { .. } => Kind::OpenPaymentExists,
            Self::AlreadyPaid { .. } => Kind::AlreadyPaid,
            Self::IdempotencyMismatch { .. } => Kind::IdempotencyMismatch,
            Self::InProgress { .. } => Kind::InProgress,
            Self::ProviderRejected { .. } => Kind::ProviderRejected,
            Self::ProviderUnavailable { .. } => Kind::ProviderUnavailable,
            Self::RateLimited { .. } => Kind::RateLimited,
            Self::Busy { .. } => Kind::Busy,
            Self::Internal { .. } => Kind::Internal,
        }
    }

    /// When to try again, where the error is about being asked too much.
    pub const fn retry_after_ms(&self) -> Option<u64> {
        if let Self::RateLimited { retry_after_ms } | Self::Busy { retry_after_ms } = self {
            return Some(*retry_after_ms);
        }
        None
    }

    /// `error.data`: the kind, the fields of the kind and the request's id.
    pub fn data(&self, request_id: &str) -> Value {
        let fields = serde_json::to_value(self);
        // Plain words and ids always serialize; the kind is what must never be missing.
        let mut data = fields.unwrap_or_else(|_| json!({ "kind": self.kind() }));
        data["requestId"] = request_id.into();
        data
    }

    /// The schema of [`Error::data`] for each kind.
    pub fn data_schemas(generator: &mut SchemaGenerator) -> Vec<(Kind, Value)> {
        let mut union = Self::json_schema(generator).to_value();
        let variants = union["oneOf"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let described = variants.into_iter().map(|mut schema| {
            let kind = serde_json::from_value(schema["properties"]["kind"]["const"].clone());
            schema["properties"]["requestId"] = json!({
                "description": "The answer's `x-request-id`, under which the log knows the call.",
                "type": "string",
            });
            if let Some(required) = schema["required"].as_array_mut() {
                required.push("requestId".into());
            }
            (kind.expect("each variant has the name of a kind"), schema)
        });
        described.collect()
    }

    /// Whether the transaction failed only because another was faster, so that it may be run again.
    pub fn lost_a_race(&self) -> bool {
        matches!(self, Self::Internal { cause: Fault::LostRace(_) })
    }

    /// The full story for the log, causes included.
    pub fn story(&self) -> String {
        match self {
            Self::Internal { cause } => format!("internal error: {cause}"),
            other => other.to_string(),
        }
    }
}

/// An error with its causes, in one line; a client's own words say little.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
