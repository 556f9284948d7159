//! What people may ask for, and what a repeated request finds: one function a request. Each looks at the payment as it is
//! while locked; to record what is allowed is the business of `super::Facts`.
//!
//! A repeat is answered by the row again, or refused. It changes nothing, however late it comes.

use super::{ManualMark, ManualState, Marks};
use crate::domain::{FreeText, Label, PaymentId, PaymentStatus};

/// What is to be done about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may be done: record it.
    Do,
    /// It was done before: answer the row as it is.
    RowAgain,
    /// It may not.
    Refused(Refusal),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `INVALID_TRANSITION`: not from this status, or a late repeat of what was undone since.
    InvalidTransition {
        /// The payment's status.
        from: PaymentStatus,
    },
    /// `PAYMENT_IN_FLIGHT`: money is on its way.
    PaymentInFlight,
    /// `ALREADY_PAID`: another payment paid the custom payment task.
    AlreadyPaid {
        /// The payment that did.
        by: PaymentId,
    },
    /// `OPEN_PAYMENT_EXISTS`: another payment has the only place at the custom payment task.
    OpenPaymentExists {
        /// The payment that has it.
        other: PaymentId,
    },
}

/// What other payments did to the custom payment task of one that wants to be paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskPlace {
    /// Another payment pays it ([`super::Facts::task_paid_by`]).
    pub paid_by: Option<PaymentId>,
    /// Another payment of it is `pending` or `processing`.
    pub taken_by: Option<PaymentId>,
}

/// `cancelPayment`. `may_settle_stuck`: an admin asks, and the newest attempt has a `stuck_processing`, settled or not.
pub fn cancel(status: PaymentStatus, may_settle_stuck: bool) -> Decision {
    match status {
        PaymentStatus::Pending | PaymentStatus::Failed => Decision::Do,
        PaymentStatus::Processing if may_settle_stuck => Decision::Do,
        PaymentStatus::Processing => Decision::Refused(Refusal::PaymentInFlight),
        PaymentStatus::Cancelled => Decision::RowAgain,
        PaymentStatus::Succeeded | PaymentStatus::Refunded => not_from(status),
    }
}

/// `markPaymentManuallyPaid`. `may_settle_stuck` as for [`cancel`].
pub fn mark_manually_paid(
    status: PaymentStatus,
    marks: &Marks,
    reference: Option<&Label<200>>,
    may_settle_stuck: bool,
) -> Decision {
    let was_withdrawn = |mark: &ManualMark| matches!(mark.state, ManualState::Withdrawn(_));
    if marks.manual.values().any(|mark| was_withdrawn(mark) && mark.reference.as_ref() == reference) {
        // A late repeat of the mistake, or the same mistake again. Either way the status does not matter.
        return not_from(status);
    }
    let is_marked = || marks.manual_payment().is_some_and(|(_, mark)| mark.reference.as_ref() == reference);
    match status {
        PaymentStatus::Pending | PaymentStatus::Failed => Decision::Do,
        PaymentStatus::Processing if may_settle_stuck => Decision::Do,
        PaymentStatus::Processing => Decision::Refused(Refusal::PaymentInFlight),
        PaymentStatus::Succeeded if is_marked() => Decision::RowAgain,
        PaymentStatus::Succeeded | PaymentStatus::Refunded | PaymentStatus::Cancelled => not_from(status),
    }
}

/// `withdrawManualPayment`.
pub fn withdraw_manual_payment(status: PaymentStatus, marks: &Marks, reason: &FreeText<500>) -> Decision {
    let was_reason = |mark: &ManualMark| matches!(&mark.state, ManualState::Withdrawn(of) if of == reason);
    match marks.manual.last_key_value().map(|(_, newest)| newest) {
        Some(newest) if newest.stands() && !marks.manual.values().any(was_reason) => Decision::Do,
        Some(newest) if was_reason(newest) => Decision::RowAgain,
        // Nothing stands; or a late repeat of an earlier withdrawal, which must not withdraw what was marked since.
        Some(_) | None => not_from(status),
    }
}

/// `markPaymentRefunded`. While money is on its way there is none to give back, so `processing` is no reason to come back
/// later, as it is for cancelling.
pub fn mark_refunded(status: PaymentStatus, marks: &Marks, reference: &Label<200>) -> Decision {
    match status {
        PaymentStatus::Succeeded => Decision::Do,
        PaymentStatus::Refunded if marks.refund_reference.as_ref() == Some(reference) => Decision::RowAgain,
        PaymentStatus::Pending
        | PaymentStatus::Processing
        | PaymentStatus::Failed
        | PaymentStatus::Refunded
        | PaymentStatus::Cancelled => not_from(status),
    }
}

/// A link to pay by: `renewCheckout`, and whatever else hands one out. Only a payment that may be paid has one: the status
/// is asked first, then the custom payment task. Whether the link is an old one or a new one is `checkout`'s business.
pub fn checkout_link(status: PaymentStatus, task: TaskPlace) -> Decision {
    match status {
        PaymentStatus::Pending | PaymentStatus::Failed => {}
        PaymentStatus::Processing => return Decision::Refused(Refusal::PaymentInFlight),
        PaymentStatus::Succeeded | PaymentStatus::Refunded | PaymentStatus::Cancelled => {
            return not_from(status);
        }
    }
    match task {
        TaskPlace { paid_by: Some(by), .. } => Decision::Refused(Refusal::AlreadyPaid { by }),
        TaskPlace { taken_by: Some(other), .. } => Decision::Refused(Refusal::OpenPaymentExists { other }),
        TaskPlace { paid_by: None, taken_by: None } => Decision::Do,
    }
}

fn not_from(from: PaymentStatus) -> Decision {
    Decision::Refused(Refusal::InvalidTransition { from })
}
