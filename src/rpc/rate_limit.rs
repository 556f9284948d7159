//! How often one token may call: a steady rate, and twice that for a moment.
//!
//! Kept in memory by each instance for itself, so several instances allow as many times more. Only tokens that
//! count get here; what nobody asks is bounded by connections.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};

use crate::{domain::TokenId, error::Error};

/// How many times its steady rate a rested token may call at once.
const BURST_FACTOR: u32 = 2;

/// Checks between two clearings of tokens that have rested: at the default rate one busy token alone brings one
/// about every 8 s, and no more than this many keys can gather in between.
const CHECKS_BETWEEN_SWEEPS: u32 = 4_096;

/// The rates of all tokens.
pub(super) struct RateLimit {
    limiter: DefaultKeyedRateLimiter<TokenId>,
    clock: DefaultClock,
    checks: AtomicU32,
}

impl RateLimit {
    /// So many calls a second for each token; `None` for 0, which is no limit.
    pub(super) fn new(per_second: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        let burst = per_second.saturating_mul(const { NonZeroU32::new(BURST_FACTOR).unwrap() });
        Some(Self {
            limiter: DefaultKeyedRateLimiter::dashmap(Quota::per_second(per_second).allow_burst(burst)),
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
        })
    }

    /// Counts one call.
    pub(super) fn check(&self, token: TokenId) -> Result<(), Error> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_BETWEEN_SWEEPS == CHECKS_BETWEEN_SWEEPS - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&token).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            let whole_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            // Rounded up: whoever waits exactly as long as we said must not be too early.
            Error::RateLimited { retry_after_ms: whole_ms.saturating_add(1) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_twice_the_rate_passes_then_the_token_waits_while_others_go_on() {
        let limit = RateLimit::new(5).expect("5 is a limit");
        let (eager, calm) = (TokenId::new(), TokenId::new());
        assert!((0..10).all(|_| limit.check(eager).is_ok()));
        let Err(Error::RateLimited { retry_after_ms }) = limit.check(eager) else { panic!("passed") };
        assert!((1..=201).contains(&retry_after_ms), "{retry_after_ms}");
        assert!(limit.check(calm).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(RateLimit::new(0).is_none());
    }

    #[test]
    fn rested_tokens_are_forgotten() {
        let limit = RateLimit::new(u32::MAX / 4).expect("a limit");
        for _ in 0..CHECKS_BETWEEN_SWEEPS * 4 {
            assert!(limit.check(TokenId::new()).is_ok());
        }
        assert!(limit.limiter.len() <= CHECKS_BETWEEN_SWEEPS as usize, "{}", limit.limiter.len());
    }
}
