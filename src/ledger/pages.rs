//! What the list statements are asked for.

use crate::domain::*;

/// A page of todos or custom payment tasks.
#[derive(Clone, Debug)]
pub struct HostPage<S> {
    /// Whose.
    pub agency: AgencyId,
    /// Only these.
    pub status: Option<S>,
    /// Only of this tenancy.
    pub tenancy: Option<HostId>,
    /// Only older than this row.
    pub before: Option<(Timestamp, HostId)>,
    /// At most so many.
    pub limit: i64,
}

/// A page of payments.
#[derive(Clone, Debug)]
pub struct PaymentPage {
    /// Whose.
    pub agency: AgencyId,
    /// Only of this tenancy.
    pub tenancy: Option<HostId>,
    /// Only these.
    pub status: Option<PaymentStatus>,
    /// Only these.
    pub payment_type: Option<PaymentType>,
    /// Only older than this payment.
    pub before: Option<PaymentId>,
    /// At most so many.
    pub limit: i64,
}

/// A page of anomalies.
#[derive(Clone, Debug)]
pub struct AnomalyPage {
    /// Whose.
    pub agency: AgencyId,
    /// Only these.
    pub status: Option<AnomalyStatus>,
    /// Only of this payment.
    pub payment: Option<PaymentId>,
    /// Only older than this one.
    pub before: Option<AnomalyId>,
    /// At most so many.
    pub limit: i64,
}

/// Changes of statuses that have a number.
#[derive(Clone, Debug)]
pub struct ChangesAfter {
    /// Whose.
    pub agency: AgencyId,
    /// Only of this payment, which must be the agency's.
    pub payment: Option<PaymentId>,
    /// Only with a higher number.
    pub sequence: i64,
    /// At most so many.
    pub limit: i64,
}
