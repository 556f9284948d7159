//! A webhook body, read into what we use of it.
//!
//! The envelope is `{ id, type, created?, data: { object } }`; unknown fields are ignored unread, and no field beyond
//! the object's id is counted on (docs/money.md, "Webhooks"). Reading never fails on what an event *says*, only on its form.

use std::borrow::Cow;

use super::json::{Document, Json};
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
    /// `amount`, or what was received of it; of a session `amount_total`.
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
    /// Money went back, but the event does not say of which intent, and we do not guess.
    RefundUnnamed,
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
    /// An event about an intent or session whose id is missing or unusable.
    #[error("data.object has no usable id")]
    NoSubject,
}

impl Event {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let document = Document::read(body).ok_or(Unreadable::NotJson)?;
        let envelope = document.root();
        if !envelope.is_object() {
            return Err(Unreadable::NotJson);
        }
        let [id, event_type, created, data] = envelope.fields(["id", "type", "created", "data"]);
        let id = id.text().and_then(|id| EventId::parse(&id)).ok_or(Unreadable::NoId)?;
        let event_type = kept(event_type).ok_or(Unreadable::NoType)?;
        let [object] = data.fields(["object"]);
        if !object.is_object() {
            return Err(Unreadable::NoObject);
        }
        let [object_id, intent, session, metadata] =
            object.fields(["id", "payment_intent", "checkout_session", "metadata"]);
        let [amount, amount_total, received, refunded, currency] =
            object.fields(["amount", "amount_total", "amount_received", "amount_refunded", "currency"]);
        let [payment_status, error] = object.fields(["payment_status", "last_payment_error"]);
        let [ledger_ref, agency_ref, attempt_ref] = metadata.fields(["ledger_id", "agency_id", "attempt"]);

        let of_intent = event_type.starts_with("payment_intent.");
        let of_session = event_type.starts_with("checkout.session.");
        let intent_id = if of_intent { object_id.text() } else { reference(intent) };
        let intent_id = intent_id.and_then(|id| IntentId::parse(&id));
        let session_id = if of_session { object_id.text() } else { reference(session) };
        let session_id = session_id.and_then(|id| SessionId::parse(&id));

        let mut amount = match event_type.as_str() {
            "payment_intent.succeeded" | "payment_intent.refunded" => amount_of_intent(amount, received),
            _ if of_session => pence(amount_total),
            _ => pence(amount),
        };
        let refunded = match pence(refunded) {
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
        let payment_status = kept(payment_status);
        let meaning = match event_type.as_str() {
            "payment_intent.succeeded" => Meaning::Report(Report::Succeeded),
            "payment_intent.processing" => Meaning::Report(Report::Processing),
            "payment_intent.failed"
            | "payment_intent.payment_failed"
            | "payment_intent.canceled"
            | "checkout.session.async_payment_failed" => Meaning::Report(Report::Failed),
            "charge.refunded" if intent_id.is_none() => Meaning::RefundUnnamed,
            "payment_intent.refunded" | "charge.refunded" => Meaning::Report(Report::Refunded(refunded)),
            "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
                match payment_status.as_deref() {
                    Some("paid") if intent_id.is_none() => Meaning::PaidUnnamed,
                    Some("paid") => Meaning::Report(Report::Succeeded),
                    Some(_) | None => Meaning::Report(Report::Processing),
                }
            }
            "checkout.session.expired" => Meaning::SessionExpired,
            _ => Meaning::Unknown,
        };
        // A session may be all that is named, but an event of an intent that does not name it says nothing.
        let nameless = intent_id.is_none() && (of_intent || session_id.is_none());
        if nameless && !matches!(meaning, Meaning::Unknown | Meaning::RefundUnnamed) {
            return Err(Unreadable::NoSubject);
        }
        Ok(Self {
            id,
            created_at: created
                .whole_number()
                .filter(|s| CALENDAR.contains(s))
                .and_then(Timestamp::from_seconds),
            object_id: kept(object_id),
            intent_id,
            session_id,
            ledger_ref: kept(ledger_ref),
            agency_ref: kept(agency_ref),
            attempt_ref: attempt(attempt_ref),
            amount,
            currency: self::currency(currency),
            payment_status,
            refunded,
            failure_code: failure_code(error),
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

/// A text that is there, as a column keeps it: the beginning of a long one, and U+FFFD for control characters, of which
/// PostgreSQL can't store the first.
pub(super) fn kept(value: Json<'_>) -> Option<String> {
    let text = value.text().filter(|text| !text.is_empty())?;
    let mut text = text.replace(char::is_control, "\u{FFFD}");
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    Some(text)
}

/// An id, given as text or as the object itself.
pub(super) fn reference(value: Json<'_>) -> Option<Cow<'_, str>> {
    value.text().or_else(|| {
        let [id] = value.fields(["id"]);
        id.text()
    })
}

/// An amount, told apart from none and from nonsense.
pub(super) fn pence(value: Json<'_>) -> Reported {
    match value.whole_number() {
        _ if value.is_null() => Reported::Absent,
        number => number.and_then(Pence::new).map_or(Reported::Unreadable, Reported::Pence),
    }
}

/// The amount of an intent that succeeded or was refunded: what was received of it, where it says so.
pub(super) fn amount_of_intent(amount: Json<'_>, received: Json<'_>) -> Reported {
    pence(if received.is_null() { amount } else { received })
}

/// A currency; something that is none reads as a foreign one, so that it never passes for pounds.
pub(super) fn currency(value: Json<'_>) -> Option<String> {
    (!value.is_null()).then(|| kept(value).unwrap_or_else(|| "unreadable".into()))
}

/// The code of an error object.
pub(super) fn failure_code(error: Json<'_>) -> Option<String> {
    let [code] = error.fields(["code"]);
    code.text().and_then(|code| machine_word(&code))
}

fn attempt(value: Json<'_>) -> Option<Option<i32>> {
    if value.is_null() {
        return None;
    }
    let number = value.whole_number().and_then(|number| i32::try_from(number).ok());
    Some(number.or_else(|| value.text()?.parse().ok()))
}

/// A short code such as `card_declined`. Anything longer may be prose, which we neither keep nor show.
pub fn machine_word(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    ((1..=64).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
        let charge = about("charge.refunded", json!({ "id": "ch_1", "amount_refunded": 7 }));
        assert_eq!(charge.meaning, Meaning::RefundUnnamed);
        let failed = about("checkout.session.async_payment_failed", json!({ "id": "cs_1" }));
        assert_eq!(failed.meaning, Meaning::Report(Report::Failed));
        let paid = json!({ "id": "cs_1", "payment_status": "paid" });
        assert_eq!(about("checkout.session.async_payment_succeeded", paid).meaning, Meaning::PaidUnnamed);
    }

    #[test]
    fn what_was_received_is_the_amount_of_a_success_alone() {
        let amount = |event_type: &str| {
            let object = json!({ "id": "pi_1", "amount": 5, "amount_received": 4, "amount_total": 3, "payment_intent": "pi_1" });
            about(event_type, object).amount_pence()
        };
        assert_eq!(amount("payment_intent.succeeded"), Some(4));
        assert_eq!(amount("payment_intent.refunded"), Some(4));
        assert_eq!(amount("payment_intent.processing"), Some(5));
        assert_eq!(amount("payment_intent.canceled"), Some(5));
        assert_eq!(amount("charge.refunded"), Some(5));
        assert_eq!(amount("checkout.session.completed"), Some(3));
    }

    #[test]
    fn texts_are_kept_as_a_column_holds_them() {
        let body = format!(
            r#"{{"id":"evt_1","type":"x\ud83d\u0000","data":{{"object":{{"id":"{}"}}}}}}"#,
            "é".repeat(MAX_TEXT_BYTES)
        );
        let event = Event::parse(body.as_bytes()).unwrap();
        assert_eq!(event.event_type, "x\u{FFFD}\u{FFFD}");
        assert_eq!(event.object_id, Some("é".repeat(MAX_TEXT_BYTES / 2)));
        let body = r#"{"id":"evt_\ud83d","type":"x","data":{"object":{}}}"#;
        assert_eq!(Event::parse(body.as_bytes()), Err(Unreadable::NoId));
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
