//! Which payment does an event speak of, and which attempt of it?

use futures_util::try_join;

use crate::{
    calmony::event::Event,
    domain::PaymentId,
    error::Error,
    ledger::{
        Tx,
        rows::{PaymentRow, SessionRow},
    },
};

/// Where an event belongs. The payment's row is locked; of a conflict perhaps that of the other payment, too.
pub enum Place {
    /// To no payment we know yet.
    Nowhere,
    /// To this one.
    At(PaymentRow),
    /// Its references disagree; the anomaly sits on this one.
    Conflict(PaymentRow),
}

/// Places an event: by its intent, else by `metadata.ledger_id`, else by its checkout session. Where the intent or
/// the session is known for one payment and the metadata names another, or another agency, that is a conflict.
pub async fn place(tx: &Tx, event: &Event) -> Result<Place, Error> {
    let by_intent = async {
        match &event.intent_id {
            Some(intent) => Ok::<_, Error>(tx.intent(intent).await?.map(|row| row.payment_id)),
            None => Ok(None),
        }
    };
    let by_session = async {
        match &event.session_id {
            Some(session) => Ok(tx.session_by_id(session).await?.map(|row| row.payment_id)),
            None => Ok(None),
        }
    };
    let by_metadata = event.ledger_ref.as_deref().and_then(PaymentId::parse);
    // Mostly the right one, so it is locked without waiting for what the others say.
    let named = async {
        match by_metadata {
            Some(payment) => tx.lock_payment(payment).await,
            None => Ok(None),
        }
    };
    let (by_intent, by_session, mut named) = try_join!(by_intent, by_session, named)?;
    let mut found = None;
    for candidate in [by_intent, by_metadata, by_session].into_iter().flatten() {
        found = match Some(candidate) == by_metadata {
            true => named.take(),
            false => tx.lock_payment(candidate).await?,
        };
        if found.is_some() {
            break;
        }
    }
    let Some(payment) = found else { return Ok(Place::Nowhere) };
    let disagrees = |named: Option<PaymentId>| named.is_some_and(|named| named != payment.id);
    let another_payment =
        event.ledger_ref.is_some() && by_metadata != Some(payment.id) || disagrees(by_session);
    let another_agency = event
        .agency_ref
        .as_deref()
        .is_some_and(|agency| !agency.eq_ignore_ascii_case(&payment.agency_id.to_string()));
    Ok(if another_payment || another_agency { Place::Conflict(payment) } else { Place::At(payment) })
}

/// The attempt an event belongs to: `metadata.attempt`, else that of its session, else the payment's only one.
/// `None` where that can't be said, or names an attempt the payment does not have.
pub fn attempt(event: &Event, sessions: &[SessionRow]) -> Option<i32> {
    let known = |attempt: &i32| sessions.iter().any(|session| session.attempt == *attempt);
    match (event.attempt_ref, &event.session_id) {
        (Some(named), _) => named.filter(known),
        (None, Some(id)) => {
            let of_session = sessions.iter().find(|session| session.session_id.as_ref() == Some(id));
            // Ours may not be stored yet; but where it is, this is another one.
            let unknown = || only(sessions).filter(|session| session.session_id.is_none());
            of_session.or_else(unknown).map(|session| session.attempt)
        }
        (None, None) => only(sessions).map(|session| session.attempt),
    }
}

fn only(sessions: &[SessionRow]) -> Option<&SessionRow> {
    match sessions {
        [only] => Some(only),
        _ => None,
    }
}
