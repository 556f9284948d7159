//! What the sandbox gets wrong on request, and the one seeded dice all of it is rolled with.
//!
//! Lives here: which faults there are, their bounds, and drawing what happens to one create call or one event.
//! Does not live here: carrying a drawn fault out (`api` for create calls, `delivery` for events).

use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// Statuses a server may answer with; below 200 are interim answers that end no exchange.
const STATUSES: RangeInclusive<u16> = 200..=599;
/// A delay longer than this is a loss; it also keeps `Sandbox::settled` from waiting for ever.
const MAX_DELAY_MS: u64 = 600_000;

/// The faults that are switched on. All are off by default; probabilities run from 0.0 (never) to 1.0 (always).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// An event is delivered a second time after it was accepted, under the same id.
    pub duplicate: f64,
    /// An event waits until the next one has gone out, or a second when none follows.
    pub reorder: f64,
    /// An event is held back for a time out of `delay_ms`.
    pub delay: f64,
    /// The shortest and the longest delay, in milliseconds.
    pub delay_ms: (u64, u64),
    /// An event is never delivered.
    pub loss: f64,
    /// Before an event comes a forgery of it: another id, another amount, signed with a secret nobody gave out.
    pub forged: f64,
    /// The money taken differs from what was asked; events and read-backs agree on the wrong amount.
    pub wrong_amount: f64,
    /// A create call is answered 500 and nothing is made.
    pub fail_before: f64,
    /// A create call is answered 500 although the session was made.
    pub fail_after: f64,
    /// A create call makes the session and is never answered.
    pub hang: f64,
    /// A create call makes the session, then the connection is closed without an answer.
    pub drop_answer: f64,
    /// A create call makes the session and is answered 200 with a body that breaks off.
    pub broken_answer: f64,
    /// A create call is answered 400 and nothing is made.
    pub reject: f64,
    /// Every create call is answered with this status and nothing is made.
    pub status: Option<u16>,
    /// Every read of a session or an intent is answered with this status.
    pub read_status: Option<u16>,
    /// Throws the dice anew from this seed, so that the same calls and events meet the same faults again.
    pub seed: Option<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            duplicate: 0.0,
            reorder: 0.0,
            delay: 0.0,
            delay_ms: (100, 1_000),
            loss: 0.0,
            forged: 0.0,
            wrong_amount: 0.0,
            fail_before: 0.0,
            fail_after: 0.0,
            hang: 0.0,
            drop_answer: 0.0,
            broken_answer: 0.0,
            reject: 0.0,
            status: None,
            read_status: None,
            seed: None,
        }
    }
}

impl Faults {
    /// The first field that is out of bounds, and what its bounds are.
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let probabilities = [
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("delay", self.delay),
            ("loss", self.loss),
            ("forged", self.forged),
            ("wrong_amount", self.wrong_amount),
            ("fail_before", self.fail_before),
            ("fail_after", self.fail_after),
            ("hang", self.hang),
            ("drop_answer", self.drop_answer),
            ("broken_answer", self.broken_answer),
            ("reject", self.reject),
        ];
        if let Some((name, _)) = probabilities.into_iter().find(|(_, p)| !(0.0..=1.0).contains(p)) {
            return Some((name, "must lie between 0.0 and 1.0"));
        }
        if self.delay_ms.0 > self.delay_ms.1 || self.delay_ms.1 > MAX_DELAY_MS {
            return Some(("delay_ms", "must be [shortest, longest] of at most 600000"));
        }
        [("status", self.status), ("read_status", self.read_status)]
            .into_iter()
            .find(|(_, status)| status.is_some_and(|status| !STATUSES.contains(&status)))
            .map(|(name, _)| (name, "must lie between 200 and 599"))
    }
}

/// What happens to one create call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CreateFate {
    Answered,
    Status(u16),
    Rejected,
    FailedBefore,
    FailedAfter,
    Hung,
    Dropped,
    Broken,
}

/// What happens to one event on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventFate {
    pub(super) duplicated: bool,
    pub(super) held_back: bool,
    pub(super) delay_ms: u64,
    pub(super) lost: bool,
    pub(super) forged: bool,
}

/// The seeded source of every random choice that a fault needs. Ids come from elsewhere: they must differ from
/// those of an earlier run with the same seed, because a database may outlive the run.
#[derive(Debug)]
pub(super) struct Dice(StdRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Every die is rolled every time, so that switching one fault on does not change what the others do.
    pub(super) fn create(&mut self, faults: &Faults) -> CreateFate {
        let rolled = [
            (self.hit(faults.reject), CreateFate::Rejected),
            (self.hit(faults.fail_before), CreateFate::FailedBefore),
            (self.hit(faults.fail_after), CreateFate::FailedAfter),
            (self.hit(faults.hang), CreateFate::Hung),
            (self.hit(faults.drop_answer), CreateFate::Dropped),
            (self.hit(faults.broken_answer), CreateFate::Broken),
        ];
        let first_hit = rolled.into_iter().find(|(hit, _)| *hit).map(|(_, fate)| fate);
        faults.status.map(CreateFate::Status).or(first_hit).unwrap_or(CreateFate::Answered)
    }

    pub(super) fn event(&mut self, faults: &Faults) -> EventFate {
        let delayed = self.hit(faults.delay);
        let delay_ms = self.0.random_range(faults.delay_ms.0..=faults.delay_ms.1);
        EventFate {
            duplicated: self.hit(faults.duplicate),
            held_back: self.hit(faults.reorder),
            delay_ms: if delayed { delay_ms } else { 0 },
            lost: self.hit(faults.loss),
            forged: self.hit(faults.forged),
        }
    }

    /// The pence really taken where `asked_pence` was asked.
    pub(super) fn amount_pence(&mut self, faults: &Faults, asked_pence: i64) -> i64 {
        let difference = self.0.random_range(1..=100);
        if self.hit(faults.wrong_amount) { asked_pence + difference } else { asked_pence }
    }

    fn hit(&mut self, probability: f64) -> bool {
        // A roll is in 0.0..1.0: a probability of 1.0 always hits, one of 0.0 never does.
        self.0.random::<f64>() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_run() {
        let faults = Faults { loss: 0.5, delay: 0.5, hang: 0.3, reject: 0.3, ..Faults::default() };
        let run = |seed| {
            let mut dice = Dice::new(seed);
            (0..64).map(|_| (dice.create(&faults), dice.event(&faults))).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn switching_a_fault_on_leaves_the_others_as_they_were() {
        let losses = |faults: &Faults| {
            let mut dice = Dice::new(1);
            (0..64).map(|_| dice.event(faults).lost).collect::<Vec<_>>()
        };
        let quiet = Faults { loss: 0.5, ..Faults::default() };
        let noisy = Faults { loss: 0.5, delay: 1.0, duplicate: 1.0, ..Faults::default() };
        assert_eq!(losses(&quiet), losses(&noisy));
    }

    #[test]
    fn faults_out_of_bounds_are_named() {
        let table = [
            (Faults::default(), None),
            (Faults { loss: 1.1, ..Faults::default() }, Some("loss")),
            (Faults { hang: -0.1, ..Faults::default() }, Some("hang")),
            (Faults { reorder: f64::NAN, ..Faults::default() }, Some("reorder")),
            (Faults { delay_ms: (2, 1), ..Faults::default() }, Some("delay_ms")),
            (Faults { delay_ms: (0, u64::MAX), ..Faults::default() }, Some("delay_ms")),
            (Faults { status: Some(199), ..Faults::default() }, Some("status")),
            (Faults { read_status: Some(600), ..Faults::default() }, Some("read_status")),
        ];
        for (faults, expected) in table {
            assert_eq!(faults.fault().map(|(name, _)| name), expected, "{faults:?}");
        }
    }
}
