//! What the audit trail tells of a change of the facts: one row per transition, and the rows that are none.

use super::Facts;
use crate::domain::{AuditAction, PaymentStatus};

/// What kind of fact was recorded, as far as the trail tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// A report of the provider, or something that was noticed.
    Evidence,
    /// A new link.
    Renewal,
    /// The payment was called off.
    Cancellation,
    /// A manual mark.
    ManualPayment,
    /// The withdrawal of one.
    Withdrawal,
    /// A refund mark.
    RefundMark,
}

/// One row of the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditStep {
    /// What happened.
    pub action: AuditAction,
    /// The status before.
    pub from: PaymentStatus,
    /// The status after; the same where the row is no transition.
    pub to: PaymentStatus,
}

/// The rows that a change of the facts leaves, in order.
///
/// A new link and a withdrawal are each told by exactly one row, transition or not. More money gone back that leads to no
/// `refunded` is told by a row of its own, which is no transition: `refundedPence` never rises unseen.
pub fn audit_steps(recorded: Recorded, before: &Facts, after: &Facts) -> Vec<AuditStep> {
    let (from, to) = (before.status(), after.status());
    let by_action = |action: fn(PaymentStatus) -> AuditAction| {
        steps(from, to).into_iter().map(|(from, to)| AuditStep { action: action(to), from, to }).collect()
    };
    match recorded {
        Recorded::Renewal => vec![AuditStep { action: AuditAction::CheckoutRenewed, from, to }],
        Recorded::Withdrawal => vec![AuditStep { action: AuditAction::ManualPaymentWithdrawn, from, to }],
        Recorded::ManualPayment => by_action(|_| AuditAction::ManuallyPaid),
        Recorded::Cancellation | Recorded::RefundMark => by_action(action_of),
        Recorded::Evidence => {
            let mut rows: Vec<AuditStep> = by_action(action_of);
            let is_told = rows.iter().any(|row| row.action == AuditAction::Refunded);
            if after.refunded() > before.refunded() && !is_told {
                rows.push(AuditStep { action: AuditAction::Refunded, from: to, to });
            }
            rows
        }
    }
}

/// The transitions from one status to another. A refund that arrives before its success makes two.
pub fn steps(from: PaymentStatus, to: PaymentStatus) -> Vec<(PaymentStatus, PaymentStatus)> {
    use PaymentStatus::{Cancelled, Failed, Pending, Processing, Refunded, Succeeded};
    match (from, to) {
        (from, to) if from == to => vec![],
        (Pending | Processing | Failed | Cancelled, Refunded) => {
            vec![(from, Succeeded), (Succeeded, Refunded)]
        }
        (from, to) => vec![(from, to)],
    }
}

/// The audit action of a step that the provider's evidence caused.
pub fn action_of(to: PaymentStatus) -> AuditAction {
    match to {
        PaymentStatus::Pending => AuditAction::CheckoutRenewed,
        PaymentStatus::Processing => AuditAction::Processing,
        PaymentStatus::Succeeded => AuditAction::Succeeded,
        PaymentStatus::Failed => AuditAction::Failed,
        PaymentStatus::Refunded => AuditAction::Refunded,
        PaymentStatus::Cancelled => AuditAction::Cancelled,
    }
}
