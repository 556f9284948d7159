//! Signed bodies that are not readable as events.

use sha2::Digest;

use super::{Receipt, insert_unless_known};
use crate::{
    App,
    calmony::event::Unreadable,
    domain::{EventId, Timestamp, Verdict},
    error::Error,
    ledger::tables::EventRow,
};

/// Stores a signed body that is not readable as an event, keyed by its hash.
pub async fn quarantine(app: &App, body: &[u8], why: Unreadable) -> Result<Receipt, Error> {
    let key = format!("sha256:{}", hex::encode(sha2::Sha256::digest(body)));
    let event_id = EventId::parse(&key).ok_or_else(|| Error::internal("a hash is always a usable key"))?;
    let now = Timestamp::now();
    let row = EventRow {
        event_id,
        event_type: "unreadable".into(),
        event_created_at: None,
        object_id: None,
        intent_id: None,
        session_id: None,
        amount_pence: None,
        currency: None,
        payment_status: None,
        refunded_pence: None,
        verdict: Verdict::Quarantined,
        reason: Some(why.to_string()),
        agency_id: None,
        payment_id: None,
        tries: 1,
        failures: 0,
        due_at: None,
        leased_until: None,
        reused_at: None,
        body: Some(body.to_vec()),
        received_at: now,
        concluded_at: Some(now),
        // Not for Inngest: it has no type and no id of the provider's.
        unsent: false,
    };
    let added = insert_unless_known(app, row).await?;
    Ok(if added { Receipt::Concluded(Verdict::Quarantined) } else { Receipt::Duplicate })
}
