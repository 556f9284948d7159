//! The namespace `payment`: one line per procedure, one file each.

mod audit_trail;
mod cancel_payment;
mod card_limit;
mod create_payment_task;
mod get_payment_status;
mod list;
mod list_anomalies;
mod mark_payment_manually_paid;
mod mark_payment_refunded;
mod on_status_change;
mod own_payment;
mod renew_checkout;
mod resolve_anomaly;
mod shapes;
mod stats;
mod withdraw_manual_payment;

pub use on_status_change::StatusChange;
pub use shapes::{Anomaly, AuditEntry, CheckoutLink, Payment};

use crate::{
    domain::Role::{Admin, Agent, Viewer},
    error::Kind::{
        AlreadyPaid, IdempotencyMismatch, InProgress, InvalidTransition, NotFound, OpenPaymentExists,
        PaymentInFlight, ProviderRejected, ProviderUnavailable,
    },
    rpc::procedure::{Channel, Procedure},
};

/// The procedures of this namespace.
pub fn procedures() -> Vec<Procedure> {
    let procedures = vec![
        Procedure::mutation(
            "payment.createPaymentTask",
            Agent,
            &[
                NotFound,
                OpenPaymentExists,
                AlreadyPaid,
                IdempotencyMismatch,
                InProgress,
                InvalidTransition,
                PaymentInFlight,
                ProviderRejected,
                ProviderUnavailable,
            ],
            create_payment_task::run,
        )
        .repeatable_by("idempotencyKey")
        .with_examples(create_payment_task::EXAMPLES),
        Procedure::query("payment.getPaymentStatus", Viewer, &[NotFound], get_payment_status::run)
            .with_examples(get_payment_status::EXAMPLES),
        Procedure::mutation(
            "payment.markPaymentManuallyPaid",
            Agent,
            &[NotFound, InvalidTransition, PaymentInFlight],
            mark_payment_manually_paid::run,
        )
        .with_examples(mark_payment_manually_paid::EXAMPLES),
        Procedure::query("payment.list", Viewer, &[], list::run).with_examples(list::EXAMPLES),
        Procedure::query("payment.stats", Viewer, &[], stats::run).with_examples(stats::EXAMPLES),
        Procedure::query("payment.getCardLimit", Admin, &[], card_limit::get)
            .with_examples(card_limit::GET_EXAMPLES),
        Procedure::mutation("payment.updateCardLimit", Admin, &[], card_limit::update)
            .with_examples(card_limit::UPDATE_EXAMPLES),
        Procedure::mutation(
            "payment.cancelPayment",
            Agent,
            &[NotFound, InvalidTransition, PaymentInFlight],
            cancel_payment::run,
        )
        .with_examples(cancel_payment::EXAMPLES),
        Procedure::mutation(
            "payment.markPaymentRefunded",
            Admin,
            &[NotFound, InvalidTransition],
            mark_payment_refunded::run,
        )
        .with_examples(mark_payment_refunded::EXAMPLES),
        Procedure::mutation(
            "payment.withdrawManualPayment",
            Admin,
            &[NotFound, InvalidTransition],
            withdraw_manual_payment::run,
        )
        .with_examples(withdraw_manual_payment::EXAMPLES),
        Procedure::mutation(
            "payment.renewCheckout",
            Agent,
            &[
                NotFound,
                InvalidTransition,
                PaymentInFlight,
                OpenPaymentExists,
                AlreadyPaid,
                InProgress,
                ProviderRejected,
                ProviderUnavailable,
            ],
            renew_checkout::run,
        )
        .with_examples(renew_checkout::EXAMPLES),
        Procedure::subscription(
            "payment.onStatusChange",
            Channel { notification: "payment.statusChange", unsubscribe: "payment.offStatusChange" },
            Viewer,
            &[NotFound],
            on_status_change::run,
        )
        .with_examples(on_status_change::EXAMPLES),
        Procedure::query("payment.auditTrail", Viewer, &[NotFound], audit_trail::run)
            .with_examples(audit_trail::EXAMPLES),
        Procedure::query("payment.listAnomalies", Admin, &[NotFound], list_anomalies::run)
            .with_examples(list_anomalies::EXAMPLES),
        Procedure::mutation(
            "payment.resolveAnomaly",
            Admin,
            &[NotFound, IdempotencyMismatch],
            resolve_anomaly::run,
        )
        .with_examples(resolve_anomaly::EXAMPLES),
    ];
    // What a call is about, for whoever reads the log.
    procedures.into_iter().map(|procedure| procedure.logging(&["paymentId", "ledgerEntryId"])).collect()
}
