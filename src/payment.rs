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
mod renew_checkout;
mod resolve_anomaly;
mod shapes;
mod stats;

pub use on_status_change::StatusChange;
pub use shapes::{Anomaly, AuditEntry, CheckoutLink, Payment};

use futures_util::FutureExt;

use crate::{
    domain::{
        AnomalyKind, Cause, PaymentId, PaymentStatus,
        Role::{Admin, Agent},
        Timestamp,
    },
    error::{
        Error,
        Kind::{
            AlreadyPaid, IdempotencyMismatch, InProgress, InvalidTransition, NotFound, OpenPaymentExists,
            PaymentInFlight, ProviderRejected, ProviderUnavailable,
        },
    },
    ledger::{
        Tx,
        rows::{PaymentRow, SessionRow},
    },
    rpc::procedure::{Call, Channel, Procedure},
};

/// The procedures of this namespace.
pub fn procedures() -> Vec<Procedure> {
    vec![
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
                ProviderRejected,
                ProviderUnavailable,
            ],
            create_payment_task::run,
        )
        .repeatable_by("idempotencyKey"),
        Procedure::query("payment.getPaymentStatus", Agent, &[NotFound], get_payment_status::run),
        Procedure::mutation(
            "payment.markPaymentManuallyPaid",
            Agent,
            &[NotFound, InvalidTransition, PaymentInFlight],
            mark_payment_manually_paid::run,
        ),
        Procedure::query("payment.list", Agent, &[], list::run),
        Procedure::query("payment.stats", Agent, &[], stats::run),
        Procedure::query("payment.getCardLimit", Admin, &[], card_limit::get),
        Procedure::mutation("payment.updateCardLimit", Admin, &[], card_limit::update),
        Procedure::mutation(
            "payment.cancelPayment",
            Agent,
            &[NotFound, InvalidTransition, PaymentInFlight],
            cancel_payment::run,
        ),
        Procedure::mutation(
            "payment.markPaymentRefunded",
            Admin,
            &[NotFound, InvalidTransition],
            mark_payment_refunded::run,
        ),
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
        ),
        Procedure::subscription(
            "payment.onStatusChange",
            Channel { notification: "payment.statusChange", unsubscribe: "payment.offStatusChange" },
            Agent,
            &[NotFound],
            on_status_change::run,
        ),
        Procedure::query("payment.auditTrail", Agent, &[NotFound], audit_trail::run),
        Procedure::query("payment.listAnomalies", Admin, &[NotFound], list_anomalies::run),
        Procedure::mutation(
            "payment.resolveAnomaly",
            Admin,
            &[NotFound, PaymentInFlight, IdempotencyMismatch],
            resolve_anomaly::run,
        ),
    ]
}

/// The id a caller sent, or `NOT_FOUND` where it has not the form of one.
fn payment_id(sent: &str) -> Result<PaymentId, Error> {
    PaymentId::parse(sent).ok_or_else(|| Error::not_found("payment", sent))
}

/// The caller's payment, locked. Another agency's answers like an absent one.
async fn lock_own(tx: &mut Tx, call: &Call, id: PaymentId) -> Result<PaymentRow, Error> {
    let row = tx.lock_payment(id).await?.filter(|row| row.agency_id == call.caller.agency_id);
    row.ok_or_else(|| Error::not_found("payment", id))
}

/// The caller's payment as callers see it.
async fn read_own(tx: &mut Tx, call: &Call, id: PaymentId) -> Result<Payment, Error> {
    let found = tx.payment(call.caller.agency_id, id).await?;
    found.map(Payment::from).ok_or_else(|| Error::not_found("payment", id))
}

/// The newest session of the caller's payment, while a tenant may still use it.
async fn newest_session(call: &Call, id: PaymentId) -> Result<Option<SessionRow>, Error> {
    let agency = call.caller.agency_id;
    let look = call.app.ledger.read(move |tx| {
        async move {
            let payment = tx.payment_by_id(id).await?.filter(|row| row.agency_id == agency);
            let payment = payment.ok_or_else(|| Error::not_found("payment", id))?;
            let session = tx.session(id, payment.latest_attempt).await?;
            Ok(session.filter(|_| payment.status.awaits_tenant()))
        }
        .boxed()
    });
    look.await
}

/// Whether the caller may settle a processing payment: an admin may, once it counts as stuck.
async fn may_settle_stuck(tx: &mut Tx, call: &Call, payment: &PaymentRow) -> Result<bool, Error> {
    let admin = call.caller.role.covers(Admin) && payment.status == PaymentStatus::Processing;
    Ok(admin && tx.has_open_anomaly(payment.id, AnomalyKind::StuckProcessing).await?)
}

/// A person's word about a payment.
fn cause(call: &Call) -> Cause {
    Cause {
        actor: call.caller.actor.to_string(),
        request_id: Some(call.request_id.to_string()),
        at: Timestamp::now(),
        happened_at: None,
    }
}
