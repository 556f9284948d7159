//! `Calmony-Signature`: the header that proves an event comes from the provider, signed and verified side by side.
//!
//! Lives here: the header's form, its limits, the HMAC and the age rule. Does not live here: reading the body's
//! JSON (`calmony::event`), and the HTTP answer, which is the same for every fault so that a forger learns
//! nothing from it (`webhook`).

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

#[cfg(test)]
mod tests;

/// The header that carries timestamp and signatures: `t=<unix milliseconds>,v1=<hex>`.
pub const SIGNATURE_HEADER: &str = "Calmony-Signature";

/// A genuine header is about 90 bytes; this leaves room for rotation and unknown parts, not for abuse.
const MAX_HEADER_BYTES: usize = 4_096;
/// Comma-separated parts of any kind, known or not.
const MAX_PARTS: usize = 32;
/// Every candidate costs a comparison with every secret.
const MAX_CANDIDATES: usize = 16;
/// How far the signing time may lie from ours, either way: a captured delivery is worthless after that.
const MAX_AGE_MS: i64 = 300_000;
/// The smallest timestamp taken for milliseconds (March 1973 in milliseconds, the year 5138 in seconds).
const FIRST_MILLISECOND_TIMESTAMP: i64 = 100_000_000_000;
/// Bytes of an HMAC-SHA256.
const DIGEST_BYTES: usize = 32;

/// Why a delivery is not believed. For the log only: the sender is told the same whatever the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// No `Calmony-Signature` header.
    #[error("the Calmony-Signature header is missing")]
    Missing,
    /// More than one header line of that name.
    #[error("there is more than one Calmony-Signature header line")]
    Repeated,
    /// The header value is over 4,096 bytes.
    #[error("the Calmony-Signature header is longer than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    /// The header has more than 32 comma-separated parts.
    #[error("the Calmony-Signature header has more than {MAX_PARTS} parts")]
    TooManyParts,
    /// No `t` part.
    #[error("the signature carries no timestamp")]
    NoTimestamp,
    /// More than one `t` part, even when they agree.
    #[error("the signature carries more than one timestamp")]
    RepeatedTimestamp,
    /// `t` is not 10 to 13 digits without a leading zero.
    #[error("the signature's timestamp is not 10 to 13 digits without a leading zero")]
    MalformedTimestamp,
    /// No `v1` part.
    #[error("the header carries no v1 signature")]
    NoCandidate,
    /// More than 16 `v1` parts.
    #[error("the header carries more than {MAX_CANDIDATES} v1 signatures")]
    TooManyCandidates,
    /// No secret is configured, or only empty ones: nothing can be believed then.
    #[error("no webhook secret is configured")]
    NoSecret,
    /// No candidate was made with a configured secret over this timestamp and this body.
    #[error("no v1 signature matches a configured secret")]
    Mismatch,
    /// The signature is right but was made more than 300 seconds ago.
    #[error("the signature is older than {} seconds", MAX_AGE_MS / 1000)]
    TooOld,
    /// The signature is right but dated more than 300 seconds ahead of our clock.
    #[error("the signature is dated more than {} seconds ahead", MAX_AGE_MS / 1000)]
    TooNew,
}

/// The whole header value, `t=…,v1=…`, for `body` signed at `timestamp_ms` (Unix milliseconds).
pub fn sign(secret: &str, timestamp_ms: i64, body: &[u8]) -> String {
    let timestamp = timestamp_ms.to_string();
    let digest = digest(secret, timestamp.as_bytes(), body);
    format!("t={timestamp},v1={}", hex::encode(digest))
}

/// Does one of `secrets` vouch for exactly these bytes, near enough to `now`?
///
/// The age is looked at last, so that only somebody who holds a secret can learn what our clock says.
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[SecretString],
    now: DateTime<Utc>,
) -> Result<(), SignatureFault> {
    let mut lines = headers.get_all(SIGNATURE_HEADER).iter();
    let line = lines.next().ok_or(SignatureFault::Missing)?;
    if lines.next().is_some() {
        return Err(SignatureFault::Repeated);
    }
    let claim = Claim::parse(line.as_bytes())?;

    // An empty secret is one that anybody knows.
    let mut secrets = secrets.iter().map(ExposeSecret::expose_secret).filter(|s| !s.is_empty()).peekable();
    if secrets.peek().is_none() {
        return Err(SignatureFault::NoSecret);
    }
    // Every pair is compared to its end: the time taken says neither which secret matched nor how far.
    let mut matched = Choice::from(0);
    for secret in secrets {
        let expected = digest(secret, claim.timestamp_as_sent, body);
        for candidate in &claim.candidates {
            matched |= candidate.ct_eq(&expected);
        }
    }
    if !bool::from(matched) {
        return Err(SignatureFault::Mismatch);
    }

    // Thirteen digits at most: the difference of two such numbers cannot overflow.
    match now.timestamp_millis() - claim.timestamp_ms {
        age if age > MAX_AGE_MS => Err(SignatureFault::TooOld),
        age if age < -MAX_AGE_MS => Err(SignatureFault::TooNew),
        _ => Ok(()),
    }
}

/// What one header line claims. The timestamp is kept as it was sent as well, because those bytes were signed.
struct Claim<'a> {
    timestamp_as_sent: &'a [u8],
    timestamp_ms: i64,
    candidates: Vec<[u8; DIGEST_BYTES]>,
}

impl<'a> Claim<'a> {
    /// Works on bytes: a part that is no text is an unknown part, not a reason to refuse the others.
    fn parse(line: &'a [u8]) -> Result<Self, SignatureFault> {
        if line.len() > MAX_HEADER_BYTES {
            return Err(SignatureFault::TooLong);
        }
        if line.split(|byte| *byte == b',').count() > MAX_PARTS {
            return Err(SignatureFault::TooManyParts);
        }
        let mut timestamp = None;
        let mut candidates = Vec::new();
        let mut candidate_count = 0;
        for part in line.split(|byte| *byte == b',').map(trim_spaces) {
            if let Some(value) = part.strip_prefix(b"t=") {
                if timestamp.replace(value).is_some() {
                    return Err(SignatureFault::RepeatedTimestamp);
                }
            } else if let Some(value) = part.strip_prefix(b"v1=") {
                candidate_count += 1;
                let mut candidate = [0; DIGEST_BYTES];
                // A malformed candidate counts towards the limit, and cannot match.
                if hex::decode_to_slice(value, &mut candidate).is_ok() {
                    candidates.push(candidate);
                }
            }
        }
        let timestamp_as_sent = timestamp.ok_or(SignatureFault::NoTimestamp)?;
        let timestamp_ms = milliseconds(timestamp_as_sent).ok_or(SignatureFault::MalformedTimestamp)?;
        match candidate_count {
            0 => Err(SignatureFault::NoCandidate),
            1..=MAX_CANDIDATES => Ok(Self { timestamp_as_sent, timestamp_ms, candidates }),
            _ => Err(SignatureFault::TooManyCandidates),
        }
    }
}

/// The provider signs milliseconds, its documentation's model (Stripe) seconds: the size tells which was sent.
fn milliseconds(digits: &[u8]) -> Option<i64> {
    let well_formed =
        (10..=13).contains(&digits.len()) && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit);
    if !well_formed {
        return None;
    }
    let number: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if number >= FIRST_MILLISECOND_TIMESTAMP { number } else { number * 1000 })
}

fn trim_spaces(mut part: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = part {
        part = rest;
    }
    part
}

fn digest(secret: &str, timestamp: &[u8], body: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(timestamp);
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().into()
}
