//! What the procedures share: the caller's payment, read or locked, and what a person asks of it. Not here: what may be asked
//! of which payment (`domain::lifecycle::requests`).

use futures_util::FutureExt;

use super::Payment;
use crate::{
    domain::{
        AnomalyKind, Cause, PaymentId, PaymentStatus, Role::Admin, Timestamp, lifecycle::requests::Decision,
    },
    error::Error,
    ledger::{
        Tx,
        tables::{PaymentRow, SessionRow},
    },
    payment_sync::{LoadedPayment, PaymentFact, apply},
    rpc::procedure::Call,
};

/// The id a caller sent, or `NOT_FOUND` where it has not the form of one.
pub fn payment_id(sent: &str) -> Result<PaymentId, Error> {
    PaymentId::parse(sent).ok_or_else(|| Error::not_found("payment", sent))
}

/// The caller's payment, locked, with what is recorded about it. Another agency's answers like an absent one.
pub async fn lock_own(tx: &Tx, call: &Call, id: PaymentId) -> Result<LoadedPayment, Error> {
    let found = LoadedPayment::lock(tx, call.caller.agency_id, id).await?;
    found.ok_or_else(|| Error::not_found("payment", id))
}

/// What a person asks of a payment: records it where the lifecycle allows it. `asked` is a participle, for the error.
pub async fn request(
    tx: &Tx,
    call: &Call,
    loaded: LoadedPayment,
    decision: Decision,
    fact: PaymentFact,
    asked: &'static str,
) -> Result<(), Error> {
    match decision {
        Decision::Do => apply(tx, loaded, &fact, &cause(call)).await.map(drop),
        Decision::RowAgain => Ok(()),
        Decision::Refused(refusal) => Err(Error::refused(refusal, None, asked)),
    }
}

/// The caller's payment as callers see it.
pub async fn read_own(tx: &Tx, call: &Call, id: PaymentId) -> Result<Payment, Error> {
    let found = tx.payment(call.caller.agency_id, id).await?;
    found.map(Payment::from).ok_or_else(|| Error::not_found("payment", id))
}

/// The newest session of the caller's payment, while a tenant may still use it.
pub async fn newest_session(call: &Call, id: PaymentId) -> Result<Option<SessionRow>, Error> {
    let agency = call.caller.agency_id;
    let look = call.app.ledger.read(move |tx| {
        async move {
            let payment = tx.payment_row(agency, id).await?;
            let payment = payment.ok_or_else(|| Error::not_found("payment", id))?;
            let session = tx.session(agency, id, payment.latest_attempt).await?;
            Ok(session.filter(|_| payment.status.awaits_tenant()))
        }
        .boxed()
    });
    look.await
}

/// Whether the caller may settle a processing payment: an admin may, once its newest attempt has counted as stuck.
pub async fn may_settle_stuck(tx: &Tx, call: &Call, payment: &PaymentRow) -> Result<bool, Error> {
    if !call.caller.role.covers(Admin) || payment.status != PaymentStatus::Processing {
        return Ok(false);
    }
    let attempt = payment.latest_attempt.to_string();
    let anomalies = tx.anomalies_of(payment.agency_id, payment.id).await?;
    Ok(anomalies.iter().any(|row| row.kind == AnomalyKind::StuckProcessing && row.reference == attempt))
}

/// A person's word about a payment.
pub fn cause(call: &Call) -> Cause {
    Cause {
        actor: call.caller.actor.to_string(),
        request_id: Some(call.request_id.to_string()),
        at: Timestamp::now(),
        happened_at: None,
    }
}
