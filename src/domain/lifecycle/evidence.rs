//! What the provider reports about a payment, once it is known which payment and which attempt it speaks of. How that is
//! read out of an event or an answer is `calmony`'s business.

use crate::domain::{IntentId, Pence};

/// What the provider reports about a payment, already placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The intent it speaks of.
    pub intent: Option<IntentId>,
    /// The attempt it belongs to, if one of the payment's.
    pub attempt: Option<i32>,
    /// The amount it names.
    pub amount: Reported,
    /// The currency it names.
    pub currency: Option<String>,
    /// What happened.
    pub report: Report,
}

/// An amount in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// None given: no mismatch.
    Absent,
    /// This much.
    Pence(Pence),
    /// Something that is no whole number of pence: a mismatch.
    Unreadable,
}

/// What happened, as the provider tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The money is on its way.
    Processing,
    /// This try failed.
    Failed,
    /// The money came.
    Succeeded,
    /// So much went back, over all refunds of the intent; `None` is all of it.
    Refunded(Option<Pence>),
}
