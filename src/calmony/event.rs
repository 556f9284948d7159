//! A webhook body, read into what we use of it.
//!
//! The envelope is `{ id, type, created?, data: { object } }`; unknown fields are ignored, and no field beyond the
//! object's id is counted on (README, "Webhooks"). Reading never fails on what an event *says*, only on its form.

use serde_json::Value;

use crate::domain::{
    EventId, IntentId, Pence, SessionId, Timestamp,
    lifecycle::{Report, Reported},
};

/// Seconds since 1970 that both databases can keep: up to the year 9999.
const CALENDAR: std::ops::RangeInclusive<i64> = 0..=253_402_300_799;
/// Longest text kept from an event in a column of the inbox, in bytes.
const MAX_TEXT_BYTES: usize = 255;

/// An authentic event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The provider's id, by which it is recognised when it comes again.
    pub id: EventId,
    /// As sent, like `payment_intent.succeeded`.
    pub event_type: String,
    /// When the provider made it.
    pub created_at: Option<Timestamp>,
    /// `data.object.id`.
    pub object_id: Option<String>,
    /// The intent it speaks of.
    pub intent_id: Option<IntentId>,
    /// The checkout session it speaks of.
    pub session_id: Option<SessionId>,
    /// `metadata.ledger_id`, as sent.
    pub ledger_ref: Option<String>,
    /// `metadata.agency_id`, as sent.
    pub agency_ref: Option<String>,
    /// `metadata.attempt`: a number or its text. `Some(None)` where it is neither.
    pub attempt_ref: Option<Option<i32>>,
    /// `amount`; of a session `amount_total`.
    pub amount: Reported,
    /// `currency`, as sent.
    pub currency: Option<String>,
    /// `payment_status`, of a session.
    pub payment_status: Option<String>,
    /// `amount_refunded`, of a refund.
    pub refunded: Option<Pence>,
    /// `last_payment_error.code`, of a failure.
    pub failure_code: Option<String>,
    /// What it means.
    pub meaning: Meaning,
}

/// What an event means for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It reports on a payment.
    Report(Report),
    /// A session was paid, but the event names no intent: the session must be read.
    PaidUnnamed,
    /// A session's link is dead.
    SessionExpired,
    /// A type we have no use for.
    Unknown,
}

/// Why a body is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or no object.
    #[error("the body is not a JSON object")]
    NotJson,
    /// No usable `id`.
    #[error("id is missing or unusable")]
    NoId,
    /// No `type`.
    #[error("type is missing")]
    NoType,
    /// No `data.object`.
    #[error("data.object is missing")]
    NoObject,
    /// An event about an intent or session that does not say which.
    #[error("data.object names no intent and no session")]
    NoSubject,
}

impl Event {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let envelope: Value = serde_json::from_slice(body).map_err(|_| Unreadable::NotJson)?;
        if !envelope.is_object() {
            return Err(Unreadable::NotJson);
        }
        let id = envelope["id"].as_str().and_then(EventId::parse).ok_or(Unreadable::NoId)?;
        let event_type = text(&envelope["type"]).ok_or(Unreadable::NoType)?;
        let object = &envelope["data"]["object"];
        if !object.is_object() {
            return Err(Unreadable::NoObject);
        }
        let of_session = event_type.starts_with("checkout.session.");
        let object_id = text(&object["id"]);
        let own_intent = object_id.as_deref().filter(|_| event_type.starts_with("payment_intent."));
        let intent_id = own_intent.or_else(|| reference(&object["payment_intent"])).and_then(IntentId::parse);
        let own_session = object_id.as_deref().filter(|_| of_session);
        let session_id =
            own_session.or_else(|| reference(&object["checkout_session"])).and_then(SessionId::parse);
        let (mut amount, currency) = (
            pence(&object[if of_session { "amount_total" } else { "amount" }]),
            currency(&object["currency"]),
        );
        let refunded = match pence(&object["amount_refunded"]) {
            Reported::Absent => None,
            Reported::Pence(pence) => Some(pence),
            Reported::Unreadable => {
                // How much went back can't be said, so nothing is concluded from it.
                if event_type.ends_with(".refunded") {
                    amount = Reported::Unreadable;
                }
                None
            }
        };
        let payment_status = text(&object["payment_status"]);
        let meaning = match event_type.as_str() {
            "payment_intent.succeeded" => Meaning::Report(Report::Succeeded),
            "payment_intent.processing" => Meaning::Report(Report::Processing),
            "payment_intent.failed" | "payment_intent.payment_failed" => Meaning::Report(Report::Failed),
            "payment_intent.refunded" | "charge.refunded" => Meaning::Report(Report::Refunded(refunded)),
            "checkout.session.completed" if payment_status.as_deref() != Some("paid") => {
                Meaning::Report(Report::Processing)
            }
            "checkout.session.completed" if intent_id.is_none() => Meaning::PaidUnnamed,
            "checkout.session.completed" => Meaning::Report(Report::Succeeded),
            "checkout.session.expired" => Meaning::SessionExpired,
            _ => Meaning::Unknown,
        };
        if meaning != Meaning::Unknown && intent_id.is_none() && session_id.is_none() {
            return Err(Unreadable::NoSubject);
        }
        let metadata = &object["metadata"];
        Ok(Self {
            id,
            created_at: envelope["created"]
                .as_i64()
                .filter(|s| CALENDAR.contains(s))
                .and_then(Timestamp::from_seconds),
            object_id,
            intent_id,
            session_id,
            ledger_ref: text(&metadata["ledger_id"]),
            agency_ref: text(&metadata["agency_id"]),
            attempt_ref: attempt(&metadata["attempt"]),
            amount,
            currency,
            payment_status,
            refunded,
            failure_code: object["last_payment_error"]["code"].as_str().and_then(machine_word),
            meaning,
            event_type,
        })
    }

    /// The amount as a column keeps it.
    pub fn amount_pence(&self) -> Option<i64> {
        match self.amount {
            Reported::Pence(pence) => Some(pence.get()),
            Reported::Absent | Reported::Unreadable => None,
        }
    }
}

/// A text that is there and fits a column. NUL can't be stored in PostgreSQL.
pub(super) fn text(value: &Value) -> Option<String> {
    let fits = |text: &&str| !text.is_empty() && text.len() <= MAX_TEXT_BYTES && !text.contains('\0');
    value.as_str().filter(fits).map(str::to_owned)
}

/// An id, given as text or as the object itself.
fn reference(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["id"].as_str())
}

/// An amount, told apart from none and from nonsense.
pub(super) fn pence(value: &Value) -> Reported {
    match value {
        Value::Null => Reported::Absent,
        other => other.as_i64().and_then(Pence::new).map_or(Reported::Unreadable, Reported::Pence),
    }
}

/// A currency; something that is none reads as a foreign one, so that it never passes for pounds.
pub(super) fn currency(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        other => Some(text(other).unwrap_or_else(|| "unreadable".into())),
    }
}

fn attempt(value: &Value) -> Option<Option<i32>> {
    let number = match value {
        Value::Null => return None,
        Value::String(text) => text.parse().ok(),
        other => other.as_i64().and_then(|number| i32::try_from(number).ok()),
    };
    Some(number)
}

/// A short code such as `card_declined`. Anything longer may be prose, which we neither keep nor show.
pub fn machine_word(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(event: Value) -> Result<Event, Unreadable> {
        Event::parse(event.to_string().as_bytes())
    }

    fn about(event_type: &str, object: Value) -> Event {
        parse(json!({ "id": "evt_1", "type": event_type, "data": { "object": object } })).unwrap()
    }

    #[test]
    fn a_minimal_event_is_enough() {
        let event =
            about("payment_intent.succeeded", json!({ "id": "pi_1", "metadata": { "ledger_id": "x" } }));
        assert_eq!(event.intent_id, IntentId::parse("pi_1"));
        assert_eq!(event.ledger_ref.as_deref(), Some("x"));
        assert_eq!(event.amount, Reported::Absent);
        assert_eq!(event.meaning, Meaning::Report(Report::Succeeded));
    }

    #[test]
    fn each_type_has_its_meaning() {
        let session = |status: &str, intent: Value| {
            about(
                "checkout.session.completed",
                json!({ "id": "cs_1", "payment_status": status, "payment_intent": intent, "amount_total": 5 }),
            )
        };
        assert_eq!(session("paid", json!("pi_1")).meaning, Meaning::Report(Report::Succeeded));
        assert_eq!(session("paid", json!({ "id": "pi_1" })).intent_id, IntentId::parse("pi_1"));
        assert_eq!(session("paid", Value::Null).meaning, Meaning::PaidUnnamed);
        assert_eq!(session("unpaid", Value::Null).meaning, Meaning::Report(Report::Processing));
        assert_eq!(session("paid", json!("pi_1")).amount_pence(), Some(5));
        let refund =
            about("charge.refunded", json!({ "id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 7 }));
        assert_eq!(refund.meaning, Meaning::Report(Report::Refunded(Pence::new(7))));
        assert_eq!(refund.intent_id, IntentId::parse("pi_1"));
        let failed = about(
            "payment_intent.payment_failed",
            json!({ "id": "pi_1", "last_payment_error": { "code": "card_declined", "message": "prose" } }),
        );
        assert_eq!(failed.failure_code.as_deref(), Some("card_declined"));
        assert_eq!(about("invoice.paid", json!({})).meaning, Meaning::Unknown);
    }

    #[test]
    fn amounts_that_are_no_pence_are_told_apart_from_absent_ones() {
        for unreadable in [json!("100"), json!(1.5), json!(-1), json!([])] {
            let event = about("payment_intent.succeeded", json!({ "id": "pi_1", "amount": unreadable }));
            assert_eq!(event.amount, Reported::Unreadable);
        }
    }

    #[test]
    fn attempts_are_numbers_or_their_text() {
        let attempt = |value| {
            about("payment_intent.failed", json!({ "id": "pi_1", "metadata": { "attempt": value } }))
                .attempt_ref
        };
        assert_eq!(attempt(json!(2)), Some(Some(2)));
        assert_eq!(attempt(json!("2")), Some(Some(2)));
        assert_eq!(attempt(json!("two")), Some(None));
        assert_eq!(attempt(Value::Null), None);
    }

    #[test]
    fn bodies_that_are_no_events_say_why() {
        assert_eq!(Event::parse(b"nope"), Err(Unreadable::NotJson));
        assert_eq!(Event::parse(b"[]"), Err(Unreadable::NotJson));
        assert_eq!(parse(json!({ "type": "x" })), Err(Unreadable::NoId));
        assert_eq!(parse(json!({ "id": "evt_1" })), Err(Unreadable::NoType));
        assert_eq!(parse(json!({ "id": "evt_1", "type": "x" })), Err(Unreadable::NoObject));
        let nobody = json!({ "id": "evt_1", "type": "payment_intent.succeeded", "data": { "object": {} } });
        assert_eq!(parse(nobody), Err(Unreadable::NoSubject));
    }
}
