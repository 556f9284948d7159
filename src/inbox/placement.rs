//! Which payment does an event speak of, and which attempt of it?

use futures_util::try_join;

use crate::{
    calmony::event::Event,
    domain::PaymentId,
    error::Error,
    ledger::{
        Tx,
        tables::{PaymentLinks, SessionRow},
    },
};

/// Where an event belongs. Nothing is locked yet: what is looked up here never changes once it is there.
pub enum Placement {
    /// To no payment we know yet.
    Nowhere,
    /// To this one.
    At(PaymentLinks),
    /// Its references disagree; the anomaly sits on this one.
    Conflict(PaymentLinks),
}

/// Places an event: by its intent, else by `metadata.ledger_id`, else by its checkout session. Where the intent or
/// the session is known for one payment and the metadata names another, or another agency, that is a conflict.
pub async fn place(tx: &Tx, event: &Event) -> Result<Placement, Error> {
    let by_intent = async {
        match &event.intent_id {
            Some(intent) => {
                let found = tx.intent(intent).await?;
                Ok::<_, Error>(found.map(|row| (row.agency_id, row.payment_id)))
            }
            None => Ok(None),
        }
    };
    let by_session = async {
        match &event.session_id {
            Some(session) => {
                let found = tx.session_by_id(session).await?;
                Ok(found.map(|row| (row.agency_id, row.payment_id)))
            }
            None => Ok(None),
        }
    };
    let named = event.ledger_ref.as_deref().and_then(PaymentId::parse);
    let by_metadata = async {
        match named {
            Some(payment) => tx.links_of_any_agency(payment).await,
            None => Ok(None),
        }
    };
    let (by_intent, by_session, by_metadata) = try_join!(by_intent, by_session, by_metadata)?;
    let payment = match (by_intent, by_metadata, by_session) {
        // Mostly they say the same.
        (Some((_, id)), Some(payment), _) if payment.id == id => Some(payment),
        (Some((agency, id)), _, _) => tx.payment_links(agency, id).await?,
        (None, Some(payment), _) => Some(payment),
        (None, None, Some((agency, id))) => tx.payment_links(agency, id).await?,
        (None, None, None) => None,
    };
    let Some(payment) = payment else { return Ok(Placement::Nowhere) };
    let another_session = by_session.is_some_and(|(_, id)| id != payment.id);
    let another_payment = event.ledger_ref.is_some() && named != Some(payment.id) || another_session;
    let another_agency = event
        .agency_ref
        .as_deref()
        .is_some_and(|agency| !agency.eq_ignore_ascii_case(&payment.agency_id.to_string()));
    Ok(if another_payment || another_agency { Placement::Conflict(payment) } else { Placement::At(payment) })
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
