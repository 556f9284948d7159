//! How much of a listener one client may take: heads, waiting times, connections, each with its reason.
//!
//! Not here: what a body may weigh and how long it may take. That differs by route, so the rooms that
//! own the routes pass it to [`read_body`](super::read_body).

use std::time::Duration;

/// Fields in a request head. Browsers behind two proxies send about 40.
pub const HEAD_MAX_FIELDS: usize = 64;

/// Bytes in a request head, request line included. Twice what common proxies pass on; the biggest honest
/// field here is a bearer token or a `Calmony-Signature` of 4 KiB.
pub const HEAD_MAX_BYTES: usize = 16 * 1024;

/// What hyper may buffer of a connection's input: a whole head and what came with it. By default it grows to
/// 400 KiB, which a thousand clients could make it do at once.
pub const BUFFER_MAX_BYTES: usize = 2 * HEAD_MAX_BYTES;

/// From the first byte of a head to its last. A head fits in a few packets; only a dripping client needs longer.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection without a byte of a (next) request is kept, unless configured otherwise. Longer than the 60 s
/// after which common load balancers let go of one: were it shorter, we might close just as a request comes.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long what was written may wait for its reader, from the first write the kernel would not take until the last
/// byte is handed over. Not from byte to byte: a reader that takes one packet every minute would hold its
/// connection for hours. With 8 MiB as the largest answer it asks for 140 KiB a second.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection that we have closed still swallows input, so that the client finds the answer and not a reset.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How much such a connection swallows. Some times more than any body we take; no reason to read on after it.
pub const LINGER_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Connections of one listener, upgraded ones included. Each costs a task, a read buffer of at most 32 KiB and
/// the answer being written. No cap per address: callers sit behind proxies.
pub const MAX_CONNECTIONS: u32 = 1_024;

/// Connections beyond those that are being told so at once; more wait in the kernel's backlog.
pub const MAX_REFUSALS: usize = 64;

/// How long one that is to be refused may take to send its request, and to begin with it.
pub const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause after an accept that failed for want of file descriptors or memory: without it the loop would spin,
/// since the connection it could not take stays first in the backlog.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(250);

/// The limits of one listener. `Default` is what Quittance promises; tests shorten the waiting times.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// See [`HEAD_TIMEOUT`].
    pub head_timeout: Duration,
    /// See [`KEEP_ALIVE`].
    pub keep_alive: Duration,
    /// See [`WRITE_TIMEOUT`].
    pub write_timeout: Duration,
    /// See [`LINGER_TIMEOUT`].
    pub linger_timeout: Duration,
    /// See [`MAX_CONNECTIONS`].
    pub max_connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: HEAD_TIMEOUT,
            keep_alive: KEEP_ALIVE,
            write_timeout: WRITE_TIMEOUT,
            linger_timeout: LINGER_TIMEOUT,
            max_connections: MAX_CONNECTIONS,
        }
    }
}
