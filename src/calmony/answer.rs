//! What Calmony Pay answers, read into what we use of it and checked before anything believes it.
//!
//! Not here: asking (`calmony::client`), and what follows from an answer (`checkout`).

use url::Url;

use super::{
    event::{amount_of_intent, currency, failure_code, kept, pence, reference},
    json::Document,
};
use crate::domain::{
    IntentId, Pence, SessionId,
    lifecycle::{Report, Reported},
};

/// The longest link that is believed.
const MAX_URL_BYTES: usize = 2_048;

/// A session that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub session_id: SessionId,
    /// The link for the tenant.
    pub url: String,
}

/// How a session stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionReading {
    /// It was completed, or says that it is paid.
    pub complete: bool,
    /// The provider says that it is paid.
    pub paid: bool,
    /// Its link is dead.
    pub expired: bool,
    /// The intent that paid it.
    pub intent_id: Option<IntentId>,
}

/// How an intent stands: what an event about it would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentReading {
    /// What happened; `None` where nothing has yet.
    pub report: Option<Report>,
    /// Its amount.
    pub amount: Reported,
    /// Its currency, as sent.
    pub currency: Option<String>,
    /// `metadata.ledger_id`, as sent.
    pub ledger_ref: Option<String>,
    /// `metadata.agency_id`, as sent.
    pub agency_ref: Option<String>,
    /// Its code for a failure.
    pub failure_code: Option<String>,
}

impl Made {
    /// Reads the answer of a create call, or says what is wrong with it.
    pub(super) fn read(answer: &Document<'_>, api_is_on_loopback: bool) -> Result<Self, &'static str> {
        let [id, url] = answer.root().fields(["id", "url"]);
        let session_id =
            id.text().and_then(|id| SessionId::parse(&id)).ok_or("an answer without a usable id")?;
        let url = url.text().and_then(|url| checkout_link(&url, api_is_on_loopback));
        Ok(Self { session_id, url: url.ok_or("an answer without a usable link")? })
    }
}

impl SessionReading {
    /// Reads the answer about a session; `None` where it is about another.
    pub(super) fn read(answer: &Document<'_>, id: &SessionId) -> Option<Self> {
        let [about, status, payment_status, intent] =
            answer.root().fields(["id", "status", "payment_status", "payment_intent"]);
        if about.text()? != id.as_str() {
            return None;
        }
        let (status, paid) = (status.text(), payment_status.text().as_deref() == Some("paid"));
        Some(Self {
            complete: status.as_deref() == Some("complete") || paid,
            paid,
            expired: status.as_deref() == Some("expired"),
            intent_id: reference(intent).and_then(|id| IntentId::parse(&id)),
        })
    }
}

impl IntentReading {
    /// Money is on its way, and nothing else is known.
    pub const PROCESSING: Self = Self {
        report: Some(Report::Processing),
        amount: Reported::Absent,
        currency: None,
        ledger_ref: None,
        agency_ref: None,
        failure_code: None,
    };

    /// Reads the answer about an intent; `None` where it is about another.
    pub(super) fn read(answer: &Document<'_>, id: &IntentId) -> Option<Self> {
        let [about, status, metadata, error] =
            answer.root().fields(["id", "status", "metadata", "last_payment_error"]);
        let [amount, received, refunded, in_currency] =
            answer.root().fields(["amount", "amount_received", "amount_refunded", "currency"]);
        let [ledger_ref, agency_ref] = metadata.fields(["ledger_id", "agency_id"]);
        if about.text()? != id.as_str() {
            return None;
        }
        let report = match (status.text().as_deref(), pence(refunded)) {
            (_, Reported::Pence(refunded)) if refunded > Pence::ZERO => {
                Some(Report::Refunded(Some(refunded)))
            }
            (Some("succeeded"), _) => Some(Report::Succeeded),
            (Some("processing"), _) => Some(Report::Processing),
            (Some("failed" | "requires_payment_method" | "canceled"), _) => Some(Report::Failed),
            _ => None,
        };
        let amount = match report {
            Some(Report::Succeeded | Report::Refunded(_)) => amount_of_intent(amount, received),
            Some(Report::Processing | Report::Failed) | None => pence(amount),
        };
        Some(Self {
            report,
            amount,
            currency: currency(in_currency),
            ledger_ref: kept(ledger_ref),
            agency_ref: kept(agency_ref),
            failure_code: failure_code(error),
        })
    }
}

/// A link as it may be handed out: in the form that a browser would make of it, https with a host and nothing else, or
/// http on loopback, where the API is on loopback itself.
fn checkout_link(link: &str, api_is_on_loopback: bool) -> Option<String> {
    let link = Url::parse(link).ok()?;
    let secure = link.scheme() == "https" || api_is_on_loopback;
    let anonymous = link.username().is_empty() && link.password().is_none();
    let fits = is_safe_link(&link) && secure && anonymous && link.as_str().len() <= MAX_URL_BYTES;
    fits.then(|| link.into())
}

/// Whether a browser, or we, may be sent there: https anywhere, http on a loopback address only.
pub fn is_safe_link(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Whether the address is on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::calmony::event::Event;

    #[test]
    fn links_are_https_unless_the_api_is_on_loopback() {
        let https = Some("https://pay.example/c".to_owned());
        assert_eq!(checkout_link("https://pay.example/c", false), https);
        assert_eq!(checkout_link(" HTTPS:pay.example\\\tc\n", true), https);
        for loopback in ["http://127.0.0.1:4010/c", "http://localhost/c", "http://[::1]/c"] {
            assert_eq!(checkout_link(loopback, false), None, "{loopback}");
            assert_eq!(checkout_link(loopback, true).as_deref(), Some(loopback));
        }
        for wrong in
            ["http://pay.example/c", "https://", "https://a@pay.example/", "//pay.example", "javascript:1"]
        {
            assert_eq!(checkout_link(wrong, true), None, "{wrong}");
        }
    }

    /// JSON with fields of ours in it, of any type.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("1e999".to_owned()),
            Just(r#""\ud83d""#.to_owned()),
            Just(r#""\u0000""#.to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            "[a-z_0-9]{0,12}".prop_map(|text| format!("\"{text}\"")),
            prop_oneof![
                Just("pi_1"),
                Just("cs_1"),
                Just("evt_1"),
                Just("paid"),
                Just("succeeded"),
                Just("complete"),
                Just("gbp"),
                Just("https://pay.example/c"),
                Just("payment_intent.succeeded"),
                Just("charge.refunded")
            ]
            .prop_map(|text| format!("\"{text}\"")),
        ];
        let key = prop_oneof![
            Just("id"),
            Just("type"),
            Just("data"),
            Just("object"),
            Just("status"),
            Just("payment_status"),
            Just("url"),
            Just("payment_intent"),
            Just("amount"),
            Just("amount_received"),
            Just("amount_refunded"),
            Just("currency"),
            Just("metadata"),
            Just("ledger_id"),
            Just("attempt"),
            Just("created"),
            Just("\\ud83d"),
            Just("x"),
        ];
        leaf.prop_recursive(5, 60, 10, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((key.clone(), inner), 0..10).prop_map(|fields| {
                    let fields = fields.into_iter().map(|(key, value)| format!("\"{key}\":{value}"));
                    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn answers_and_events_of_any_shape_are_read_or_refused(text in json(), cut in 0..80_usize, stray: u8) {
            let (session, intent) = (SessionId::parse("cs_1").unwrap(), IntentId::parse("pi_1").unwrap());
            let mut broken = text.clone().into_bytes();
            let at = cut.min(broken.len() - 1);
            broken[at] = stray;
            prop_assert!(Document::read(text.as_bytes()).is_some(), "{}", text);
            for bytes in [text.as_bytes(), &broken, &text.as_bytes()[..at]] {
                if let Ok(event) = Event::parse(bytes) {
                    prop_assert!(!event.event_type.contains('\0'));
                    prop_assert!(event.object_id.is_none_or(|id| !id.contains('\0')));
                }
                let Some(answer) = Document::read(bytes) else { continue };
                if let Ok(made) = Made::read(&answer, false) {
                    prop_assert!(made.url.starts_with("https://"));
                }
                SessionReading::read(&answer, &session);
                IntentReading::read(&answer, &intent);
            }
        }

        #[test]
        fn rubbish_beside_them_changes_no_event(rubbish in json(), object in json(), id in "[a-z]{1,9}") {
            let object = format!(r#"{{"id":"pi_{id}","x":{object},"amount":5}}"#);
            let plain = format!(r#"{{"id":"evt_{id}","type":"payment_intent.succeeded","data":{{"object":{object}}}}}"#);
            let beside = format!(
                r#"{{"y":{rubbish},"id":"evt_{id}","type":"payment_intent.succeeded","\ud83d":{rubbish},"data":{{"y":{rubbish},"object":{object}}}}}"#
            );
            let event = Event::parse(plain.as_bytes());
            prop_assert!(event.is_ok());
            prop_assert_eq!(event, Event::parse(beside.as_bytes()));
        }
    }
}
