//! A webhook body of any kind is read or refused, and nothing in what is kept of it troubles a database.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quittance::calmony::event::Event;

fuzz_target!(|body: &[u8]| {
    let Ok(event) = Event::parse(body) else { return };
    let texts = [
        Some(&event.event_type),
        event.object_id.as_ref(),
        event.ledger_ref.as_ref(),
        event.agency_ref.as_ref(),
        event.currency.as_ref(),
        event.payment_status.as_ref(),
        event.failure_code.as_ref(),
    ];
    assert!(texts.into_iter().flatten().all(|text| text.len() <= 255 && !text.chars().any(char::is_control)));
    assert_eq!(Event::parse(body), Ok(event), "reading is deterministic");
});
