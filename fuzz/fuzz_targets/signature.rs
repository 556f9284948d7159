//! Whatever the signature header says, nobody is believed without the secret, and whoever has it is.

#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use quittance::calmony::signature::{SIGNATURE_HEADER, sign, verify};

const SECRET: &str = "whsec_0123456789abcdef";

fuzz_target!(|input: (&[u8], &[u8])| {
    let (line, body) = input;
    let now = chrono::Utc::now();
    let right = sign(SECRET, now.timestamp_millis(), body);
    let believed = |line: HeaderValue| {
        let headers = HeaderMap::from_iter([(SIGNATURE_HEADER.parse().expect("a name"), line)]);
        verify(&headers, body, &[SECRET.into()], now).is_ok()
    };
    assert!(believed(right.parse().expect("a value")));
    if let Ok(line) = HeaderValue::from_bytes(line) {
        assert!(!believed(line), "a signature was guessed");
    }
});
