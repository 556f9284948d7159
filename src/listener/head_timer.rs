//! The clock of request heads: long while nothing has come, short once a head has begun.
//!
//! hyper knows one time for both, from the moment when it is ready for a head. So it is given a timer of ours, which
//! takes a look at what came in. Everything else about heads is hyper's.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::rt::{Sleep, Timer};

use super::limits::Limits;

/// Makes the timers of one connection.
pub(super) struct HeadTimer {
    limits: Limits,
    received_bytes: Arc<AtomicU64>,
}

impl HeadTimer {
    pub(super) fn new(limits: Limits, received_bytes: Arc<AtomicU64>) -> Self {
        Self { limits, received_bytes }
    }

    fn wait_for_head(&self) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadSleep {
            limits: self.limits,
            before: self.received_bytes.load(Ordering::Relaxed),
            received_bytes: Arc::clone(&self.received_bytes),
            has_begun: false,
            sleep: Box::pin(tokio::time::sleep(self.limits.keep_alive)),
        })
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: std::time::Duration) -> Pin<Box<dyn Sleep>> {
        self.wait_for_head()
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.wait_for_head()
    }
}

/// Waits for one head. What a client has sent ahead of its turn lies in hyper's buffer; such a head is timed from its
/// next byte.
struct HeadSleep {
    limits: Limits,
    /// Bytes that had come when hyper began to wait.
    before: u64,
    received_bytes: Arc<AtomicU64>,
    has_begun: bool,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_begun && self.received_bytes.load(Ordering::Relaxed) > self.before {
            self.has_begun = true;
            let end = tokio::time::Instant::now() + self.limits.head_timeout;
            self.sleep.as_mut().reset(end);
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl Sleep for HeadSleep {}
