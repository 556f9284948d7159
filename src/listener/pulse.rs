//! Where a connection stands, and therefore when it must be cut: a small state machine and its clock.
//!
//! hyper's own head timer starts when the connection goes idle, so it cannot allow 30 s of idling and 5 s for
//! a head at once. This one is told what happens by the two places that see it: the socket ([`super::io`]:
//! bytes came, a write blocked, everything was flushed) and the service (asked, answered, upgraded).
//! No socket and no timer here: [`super::connection`] sleeps until [`Pulse::deadline`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::Limits;

/// Why a connection was cut; only for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Idle,
    SlowHead,
    SlowReader,
    Lingered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No byte of the next request has come.
    Idle { since: Instant },
    /// Some of a head has come.
    Head { since: Instant },
    /// The service has the request. How long it takes, and how long it lets a body take, is its own affair.
    Busy,
    /// hyper has the whole response but may not have written it all.
    Answered,
    /// The response is out and our side closed; the client may still be sending.
    Lingering { since: Instant },
    /// No longer HTTP, no longer ours.
    Upgraded,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    blocked_since: Option<Instant>,
    /// Whether the client may be sending something we shall not read when hyper closes the connection.
    may_be_sending: bool,
}

/// The state of one connection, shared by its socket, its service and its watchdog. They run in one task, so
/// the lock is never contended.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<Mutex<State>>);

impl Pulse {
    pub(super) fn new() -> Self {
        let phase = Phase::Idle { since: Instant::now() };
        Self(Arc::new(Mutex::new(State { phase, blocked_since: None, may_be_sending: false })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a plain assignment: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came from the client. While busy they are of the body, or of a pipelined head that hyper buffers;
    /// such a head is timed from its next byte (at worst it has the idle time as well).
    pub(super) fn received(&self) {
        let mut state = self.state();
        if let Phase::Idle { .. } = state.phase {
            state.phase = Phase::Head { since: Instant::now() };
            state.may_be_sending = true;
        }
    }

    /// The service was given a request.
    pub(super) fn asked(&self, has_body: bool) {
        let mut state = self.state();
        state.phase = Phase::Busy;
        state.may_be_sending = has_body;
    }

    /// Whether the service has not been given the request that is coming in, nor owes an answer to one before.
    pub(super) fn is_unasked(&self) -> bool {
        matches!(self.state().phase, Phase::Idle { .. } | Phase::Head { .. })
    }

    /// The service answered 101.
    pub(super) fn upgraded(&self) {
        self.state().phase = Phase::Upgraded;
    }

    /// hyper let go of the response body: all of it is in hyper's write buffer.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        if state.phase == Phase::Busy {
            state.phase = Phase::Answered;
        }
    }

    /// The kernel took no more.
    pub(super) fn blocked(&self) {
        self.state().blocked_since.get_or_insert_with(Instant::now);
    }

    /// hyper's write buffer is empty (it flushes the socket only then).
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        state.blocked_since = None;
        if state.phase == Phase::Answered {
            state.phase = Phase::Idle { since: Instant::now() };
        }
    }

    /// The server is stopping: a connection between two requests has nothing to linger for.
    pub(super) fn stopping(&self) {
        let mut state = self.state();
        if let Phase::Idle { .. } = state.phase {
            state.may_be_sending = false;
        }
    }

    /// hyper closes the connection; says whether input must be swallowed before the socket may be dropped.
    pub(super) fn lingers(&self) -> bool {
        let mut state = self.state();
        if state.phase == Phase::Upgraded || !state.may_be_sending {
            return false;
        }
        if !matches!(state.phase, Phase::Lingering { .. }) {
            state.phase = Phase::Lingering { since: Instant::now() };
        }
        true
    }

    /// When the connection must be cut if nothing happens until then, and why.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<(Instant, Cut)> {
        let state = self.state();
        let by_phase = match state.phase {
            Phase::Idle { since } => Some((since + limits.idle_timeout, Cut::Idle)),
            Phase::Head { since } => Some((since + limits.head_timeout, Cut::SlowHead)),
            Phase::Lingering { since } => Some((since + limits.linger_timeout, Cut::Lingered)),
            Phase::Busy | Phase::Answered => None,
            Phase::Upgraded => return None,
        };
        let by_write = state.blocked_since.map(|since| (since + limits.write_stall_timeout, Cut::SlowReader));
        by_phase.into_iter().chain(by_write).min_by_key(|(at, _)| *at)
    }
}

/// Reports the end of a response when dropped, which is how hyper says that it has buffered all of it.
pub(super) struct AnsweredOnDrop(pub(super) Pulse);

impl Drop for AnsweredOnDrop {
    fn drop(&mut self) {
        self.0.answered();
    }
}
