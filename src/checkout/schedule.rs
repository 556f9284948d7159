//! When a session is looked at again. docs/money.md, "Janitor": read back at 2, 10 and 30 minutes, then hourly until
//! its expiry and 10 minutes beyond; asked for again after 5 s, doubling to an hour, where its outcome is unknown.

use std::time::Duration;

use crate::{
    calmony::client::{SESSION_LIFETIME, SessionReading},
    domain::{AttemptBest, Timestamp},
    ledger::tables::SessionRow,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// The first read-backs; then hourly.
const FIRST_READS: [Duration; 3] =
    [Duration::from_secs(2 * 60), Duration::from_secs(10 * 60), Duration::from_secs(30 * 60)];
/// How far beyond its expiry a session is believed to be alive: clocks differ, and a payment may be on its way.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10 * 60);
/// The first repetition of a create whose outcome is unknown; each further one waits twice as long.
const FIRST_REPEAT: Duration = Duration::from_secs(5);
/// How long a create is repeated. The provider forgets its keys after 24 hours (its documentation, "Idempotency");
/// an hour is left for clocks and for the call itself.
pub const REPEAT_FOR: Duration = Duration::from_secs(23 * 3_600);
/// How often a payment that is processing is read.
const READ_PROCESSING_EVERY: Duration = Duration::from_secs(86_400);
/// After so long in processing a person should look.
const STUCK_AFTER: Duration = Duration::from_secs(14 * 86_400);

/// What comes after a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another one.
    At(Timestamp),
    /// None: the link is dead.
    Over,
    /// None: it is processing for so long that a person should look.
    Stuck,
}

/// After the provider said how a session stands.
pub fn after_reading(row: &SessionRow, reading: &SessionReading, now: Timestamp, time_scale: f64) -> Next {
    let over = is_over(row, now, time_scale);
    let again = Next::At(next_read(opened_at(row), now, time_scale));
    match row.processing_since.filter(|_| row.best == AttemptBest::Processing) {
        Some(since) if since.plus(STUCK_AFTER.mul_f64(time_scale)) <= now => Next::Stuck,
        Some(_) if reading.complete && reading.intent_id.is_some() || over => {
            Next::At(now.plus(READ_PROCESSING_EVERY.mul_f64(time_scale)))
        }
        Some(_) => again,
        // Paid, but by an intent it does not name yet: that is worth another look.
        None if reading.paid && reading.intent_id.is_none() && !over => again,
        None if reading.paid || reading.expired || over => Next::Over,
        None => again,
    }
}

/// After a visit that learned nothing: the provider did not answer. Past its expiry a session is still asked after,
/// hourly, since money may have come through it; after as long as makes a payment stuck it is let go.
pub fn unread(row: &SessionRow, now: Timestamp, time_scale: f64) -> Next {
    let past = |since: Timestamp| since.plus(STUCK_AFTER.mul_f64(time_scale)) <= now;
    match row.processing_since.filter(|_| row.best == AttemptBest::Processing) {
        Some(since) if past(since) => Next::Stuck,
        Some(_) if is_over(row, now, time_scale) => {
            Next::At(now.plus(READ_PROCESSING_EVERY.mul_f64(time_scale)))
        }
        None if past(opened_at(row)) => Next::Over,
        Some(_) | None if is_over(row, now, time_scale) => Next::At(now.plus(HOUR.mul_f64(time_scale))),
        Some(_) | None => Next::At(next_read(opened_at(row), now, time_scale)),
    }
}

/// When the session was opened: it may have been asked for long before, and have been made at a later try.
fn opened_at(row: &SessionRow) -> Timestamp {
    row.expires_at.map_or(row.created_at, |at| at.minus(SESSION_LIFETIME))
}

/// Whether the session's link is past its expiry and the margin.
fn is_over(row: &SessionRow, now: Timestamp, time_scale: f64) -> bool {
    row.expires_at.is_none_or(|at| at.plus(EXPIRY_MARGIN.mul_f64(time_scale)) <= now)
}

/// When a session opened at `opened_at` is read next, after `now`; the last time is its expiry and a margin.
pub fn next_read(opened_at: Timestamp, now: Timestamp, time_scale: f64) -> Timestamp {
    let hourly = (1..=24).map(|hours| HOUR * hours);
    let last = opened_at.plus(SESSION_LIFETIME).plus(EXPIRY_MARGIN.mul_f64(time_scale));
    FIRST_READS
        .into_iter()
        .chain(hourly)
        .map(|after| opened_at.plus(after.mul_f64(time_scale)))
        .find(|at| *at > now)
        .map_or_else(|| last.max(now.plus(MINUTE.mul_f64(time_scale))), |at| at.min(last))
}

/// When a create whose outcome is unknown is repeated.
pub fn next_repeat(session: &SessionRow, now: Timestamp, time_scale: f64) -> Timestamp {
    let doublings = u32::try_from(session.tries.clamp(1, 16) - 1).unwrap_or(0);
    now.plus((FIRST_REPEAT * 2_u32.pow(doublings)).min(HOUR).mul_f64(time_scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AgencyId, PaymentId};

    fn session(asked_at: Timestamp) -> SessionRow {
        let url = url::Url::parse("https://example.com/paid").unwrap();
        crate::checkout::session_of(&url, AgencyId::new(), PaymentId::new(), 1, asked_at)
    }

    fn minutes_until_next(opened_minutes_ago: i64) -> i64 {
        let now = Timestamp::from_seconds(1_000_000_000).unwrap();
        let opened = Timestamp::from_seconds(1_000_000_000 - opened_minutes_ago * 60).unwrap();
        (next_read(opened, now, 1.0).to_utc() - now.to_utc()).num_minutes()
    }

    #[test]
    fn reads_come_at_2_10_and_30_minutes_then_hourly_until_expiry_and_a_margin() {
        assert_eq!(minutes_until_next(0), 2);
        assert_eq!(minutes_until_next(2), 8);
        assert_eq!(minutes_until_next(10), 20);
        assert_eq!(minutes_until_next(30), 30);
        assert_eq!(minutes_until_next(60), 60);
        assert_eq!(minutes_until_next(23 * 60), 60);
        assert_eq!(minutes_until_next(24 * 60), 10);
    }

    #[test]
    fn times_count_from_when_the_session_was_opened() {
        let opened = Timestamp::from_seconds(1_000_000_000).unwrap();
        let asked = opened.minus(HOUR * 20);
        let row = SessionRow { expires_at: Some(opened.plus(SESSION_LIFETIME)), ..session(asked) };
        for (hours, minutes) in [(1, 60), (5, 60), (23, 60), (24, 10)] {
            let now = opened.plus(HOUR * hours);
            for next in [after_reading(&row, &SessionReading::default(), now, 1.0), unread(&row, now, 1.0)] {
                assert_eq!(next, Next::At(now.plus(MINUTE * minutes)), "{hours}");
            }
        }
    }

    #[test]
    fn repetitions_double_from_5_seconds_to_an_hour() {
        let now = Timestamp::now();
        let after = |tries| {
            let session = SessionRow { tries, ..session(now) };
            (next_repeat(&session, now, 1.0).to_utc() - now.to_utc()).num_seconds()
        };
        assert_eq!([1, 2, 3, 10, 11, 500].map(after), [5, 10, 20, 2_560, 3_600, 3_600]);
    }
}
