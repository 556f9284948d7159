//! The breaker: after five failures in a row the provider is left alone for ten seconds.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::CallFault;

/// Failures in a row that open it.
const OPENS_AFTER: u32 = 5;
/// How long it stays open. Then one call is let through; if that fails too, it opens again.
const OPEN_FOR: Duration = Duration::from_secs(10);

/// Counts failures in a row.
pub struct Breaker {
    open_for: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// A closed breaker; `time_scale` multiplies its waiting time.
    pub fn new(time_scale: f64) -> Self {
        Self { open_for: OPEN_FOR.mul_f64(time_scale), state: Mutex::default() }
    }

    /// Lets a call through, or not.
    pub fn admit(&self) -> Result<(), CallFault> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match state.open_until {
            Some(until) if Instant::now() < until => Err(CallFault::unknown("the breaker is open")),
            Some(_) => {
                // One call goes ahead; the others wait for what it finds.
                state.open_until = Some(Instant::now() + self.open_for);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Learns how a call went. A refusal is an answer: the provider is there.
    pub fn record<T>(&self, outcome: &Result<T, CallFault>) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match outcome {
            Ok(_) | Err(CallFault::Rejected { .. }) => *state = State::default(),
            Err(CallFault::Unknown { .. }) => {
                state.failures += 1;
                if state.failures >= OPENS_AFTER {
                    if state.open_until.is_none() {
                        tracing::warn!(failures = state.failures, "Calmony Pay is left alone for a while");
                    }
                    state.open_until = Some(Instant::now() + self.open_for);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_open_it_and_one_success_closes_it() {
        let breaker = Breaker::new(0.001);
        let failure: Result<(), _> = Err(CallFault::unknown("test"));
        for _ in 0..4 {
            breaker.record(&failure);
            assert!(breaker.admit().is_ok());
        }
        breaker.record(&failure);
        assert!(breaker.admit().is_err());
        std::thread::sleep(Duration::from_millis(30));
        assert!(breaker.admit().is_ok(), "one call is let through");
        assert!(breaker.admit().is_err(), "and only one");
        breaker.record(&Ok(()));
        assert!(breaker.admit().is_ok());
    }
}
