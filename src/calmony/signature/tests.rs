//! The rules of `Calmony-Signature`, one table row each. Does not live here: what the webhook answers.

use proptest::prelude::*;

use super::{SIGNATURE_HEADER, SignatureFault as Fault, sign, verify};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue};
use secrecy::SecretString;

const NOW_MS: i64 = 1_790_000_000_123;
const BODY: &[u8] = br#"{"id":"evt_1"}"#;
const SECRET: &str = "whsec_first";

fn at(timestamp_ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(timestamp_ms).unwrap()
}

fn lines(values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(SIGNATURE_HEADER, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn check(value: &str) -> Result<(), Fault> {
    verify(&lines(&[value.as_bytes()]), BODY, &[SECRET.into()], at(NOW_MS))
}

/// The 64 hex characters for a timestamp exactly as written.
fn v1(secret: &str, timestamp: &str) -> String {
    hex::encode(super::digest(secret, timestamp.as_bytes(), BODY))
}

#[test]
fn agrees_with_an_independent_implementation() {
    // printf '%s' '1790000000123.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_first
    let expected = "t=1790000000123,v1=19155f5702588c579102bb6b3683e9b8e7e2ebbe49bb7ac6d8083a6b867057d2";
    assert_eq!(sign(SECRET, NOW_MS, BODY), expected);
    assert_eq!(check(expected), Ok(()));
}

#[test]
fn the_header_line() {
    let good = sign(SECRET, NOW_MS, BODY);
    let (t, v) = good.split_once(',').unwrap();
    let upper = v.strip_prefix("v1=").unwrap().to_uppercase();
    let pad = |bytes: usize| format!("{good},{}", "x".repeat(bytes - good.len() - 1));
    let parts = |extra: usize| format!("{good}{}", ",a=b".repeat(extra));
    let candidates = |bad: usize| format!("{t}{},{v}", ",v1=00".repeat(bad));
    let table: Vec<(&str, String, Result<(), Fault>)> = vec![
        ("as signed", good.clone(), Ok(())),
        ("either order", format!("{v},{t}"), Ok(())),
        ("spaces around parts", format!("  {t} ,   {v}  "), Ok(())),
        ("a space inside a part makes another key", format!("t ={NOW_MS},{v}"), Err(Fault::NoTimestamp)),
        ("a tab is no space", format!("{t},\t{v}"), Err(Fault::NoCandidate)),
        ("unknown keys and parts without =", format!("v0=abc,,beta,{t},T=1,V1=2,{v},x="), Ok(())),
        ("upper-case hex", format!("{t},v1={upper}"), Ok(())),
        ("4,096 bytes", pad(4_096), Ok(())),
        ("4,097 bytes", pad(4_097), Err(Fault::TooLong)),
        ("32 parts", parts(30), Ok(())),
        ("33 parts", parts(31), Err(Fault::TooManyParts)),
        ("empty", String::new(), Err(Fault::NoTimestamp)),
        ("no t", v.to_owned(), Err(Fault::NoTimestamp)),
        ("t twice, alike", format!("{t},{t},{v}"), Err(Fault::RepeatedTimestamp)),
        ("t twice, the second empty", format!("{t},t=,{v}"), Err(Fault::RepeatedTimestamp)),
        ("no v1", t.to_owned(), Err(Fault::NoCandidate)),
        ("an empty v1", format!("{t},v1="), Err(Fault::Mismatch)),
        ("63 hex characters", good[..good.len() - 1].to_owned(), Err(Fault::Mismatch)),
        ("65 hex characters", format!("{good}0"), Err(Fault::Mismatch)),
        ("not hex", format!("{t},v1={}", "g".repeat(64)), Err(Fault::Mismatch)),
        ("wrong hex", format!("{t},v1={}", "0".repeat(64)), Err(Fault::Mismatch)),
        ("a bad candidate before the good one", candidates(1), Ok(())),
        ("16 candidates", candidates(15), Ok(())),
        ("17 candidates", candidates(16), Err(Fault::TooManyCandidates)),
        ("a t that was not signed", format!("t={},{v}", NOW_MS + 1), Err(Fault::Mismatch)),
    ];
    for (what, header, expected) in table {
        assert_eq!(check(&header), expected, "{what}: {header}");
    }
}

#[test]
fn the_timestamp() {
    let table = [
        ("999999999", Err(Fault::MalformedTimestamp)),
        ("01790000000", Err(Fault::MalformedTimestamp)),
        ("0000000000", Err(Fault::MalformedTimestamp)),
        ("17900000001234", Err(Fault::MalformedTimestamp)),
        ("1790000000.1", Err(Fault::MalformedTimestamp)),
        ("+1790000000", Err(Fault::MalformedTimestamp)),
        ("-1790000000", Err(Fault::MalformedTimestamp)),
        ("1790000000a", Err(Fault::MalformedTimestamp)),
        ("", Err(Fault::MalformedTimestamp)),
        ("1790000000", Ok(())),
        ("1790000000123", Ok(())),
        // The largest that counts as seconds lies in the year 5138, the smallest in milliseconds in 1973.
        ("99999999999", Err(Fault::TooNew)),
        ("100000000000", Err(Fault::TooOld)),
        ("9999999999999", Err(Fault::TooNew)),
    ];
    for (timestamp, expected) in table {
        let header = format!("t={timestamp},v1={}", v1(SECRET, timestamp));
        assert_eq!(check(&header), expected, "{header}");
    }
}

#[test]
fn the_age() {
    let table = [
        (NOW_MS - 300_000, Ok(())),
        (NOW_MS - 300_001, Err(Fault::TooOld)),
        (NOW_MS + 300_000, Ok(())),
        (NOW_MS + 300_001, Err(Fault::TooNew)),
    ];
    for (timestamp_ms, expected) in table {
        assert_eq!(check(&sign(SECRET, timestamp_ms, BODY)), expected, "{timestamp_ms}");
    }
    let forged_and_old = sign("guess", NOW_MS - 300_001, BODY);
    assert_eq!(check(&forged_and_old), Err(Fault::Mismatch), "the age is told only to holders of a secret");
}

#[test]
fn the_secrets() {
    let pair: Vec<SecretString> = vec!["old".into(), "new".into()];
    let header = |secret: &str| lines(&[sign(secret, NOW_MS, BODY).as_bytes()]);
    let both = format!("t={NOW_MS},v1={},v1={}", v1("gone", "1790000000123"), v1("new", "1790000000123"));
    let empty: Vec<SecretString> = vec!["".into()];
    let half_empty: Vec<SecretString> = vec!["".into(), "new".into()];
    let table = [
        ("the first", header("old"), &pair, Ok(())),
        ("the second", header("new"), &pair, Ok(())),
        ("neither", header("gone"), &pair, Err(Fault::Mismatch)),
        ("any candidate, any secret", lines(&[both.as_bytes()]), &pair, Ok(())),
        ("no secret", header("old"), &vec![], Err(Fault::NoSecret)),
        ("an empty secret", header(""), &empty, Err(Fault::NoSecret)),
        ("an empty secret beside a real one", header(""), &half_empty, Err(Fault::Mismatch)),
    ];
    for (what, headers, secrets, expected) in table {
        assert_eq!(verify(&headers, BODY, secrets, at(NOW_MS)), expected, "{what}");
    }
}

#[test]
fn one_header_line_and_the_raw_body() {
    let good = sign(SECRET, NOW_MS, BODY);
    let secrets = [SecretString::from(SECRET)];
    let now = at(NOW_MS);
    assert_eq!(verify(&HeaderMap::new(), BODY, &secrets, now), Err(Fault::Missing));
    let twice = lines(&[good.as_bytes(), good.as_bytes()]);
    assert_eq!(verify(&twice, BODY, &secrets, now), Err(Fault::Repeated));
    let once = lines(&[good.as_bytes()]);
    assert_eq!(verify(&once, br#"{"id": "evt_1"}"#, &secrets, now), Err(Fault::Mismatch));
    let with_opaque_bytes = lines(&[&[b"\xff\xfe=\xfd,", good.as_bytes()].concat()]);
    assert_eq!(verify(&with_opaque_bytes, BODY, &secrets, now), Ok(()));
}

/// Parts of a header: of ours, broken, of others, and bytes of any kind.
fn part() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "(t|v1|v0|T|V1)=[0-9a-f]{0,70}".prop_map(String::into_bytes),
        "t=[0-9]{9,14}".prop_map(String::into_bytes),
        "[ =a-z0-9]{0,20}".prop_map(String::into_bytes),
        prop::collection::vec(prop_oneof![Just(b' '), Just(b'='), 0x21..=0x7E_u8, 0x80..=0xFF_u8], 0..40),
        Just(format!("t={NOW_MS}").into_bytes()),
        Just(format!("v1={}", v1("whsec_a_forgers", &NOW_MS.to_string())).into_bytes()),
    ]
}

proptest! {
    #[test]
    fn no_header_is_believed_without_the_secret(parts in prop::collection::vec(part(), 0..40)) {
        let line = parts.join(&b','.to_owned());
        let headers = lines(&[&line]);
        prop_assert!(verify(&headers, BODY, &[SECRET.into()], at(NOW_MS)).is_err());
    }

    #[test]
    fn a_right_signature_is_found_among_parts_of_other_kinds(
        parts in prop::collection::vec("[ a-su-z0-9]{0,9}=?[a-z0-9]{0,9}", 0..30), at_part in 0..30_usize,
    ) {
        let unknown = |part: &String| !part.trim_matches(' ').starts_with("v1=");
        let mut parts: Vec<String> = parts.into_iter().filter(unknown).collect();
        parts.insert(at_part.min(parts.len()), format!(" t={NOW_MS} "));
        parts.insert(at_part.min(parts.len()), format!("v1={}", v1(SECRET, &NOW_MS.to_string())));
        prop_assert_eq!(check(&parts.join(",")), Ok(()));
    }
}
