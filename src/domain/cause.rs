//! Who says so, and when: what stands behind every change.

use super::Timestamp;

/// Who or what says so, and when.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The token's actor, `calmony-pay` or `janitor`.
    pub actor: String,
    /// The request, where a caller asked.
    pub request_id: Option<String>,
    /// Now.
    pub at: Timestamp,
    /// When it happened, according to the provider.
    pub happened_at: Option<Timestamp>,
}

/// The actor of everything the provider tells us.
pub const CALMONY_PAY: &str = "calmony-pay";
/// The actor of everything we had to ask the provider for.
pub const JANITOR: &str = "janitor";

impl Cause {
    /// The provider says so.
    pub fn calmony_pay(happened_at: Option<Timestamp>) -> Self {
        Self { actor: CALMONY_PAY.into(), request_id: None, at: Timestamp::now(), happened_at }
    }
}
