//! The socket as hyper sees it, with the three things that no library does for it: it counts what came in, it gives up
//! a client that has stopped reading, and it closes without destroying the last answer.
//!
//! The last: a kernel that gets bytes for a closed socket answers with a reset, and a reset may make the client lose
//! what it has not read yet. A 413 sent to a client that is still writing would be lost just so. Therefore
//! [`Socket::poll_shutdown`] ends our side first, then swallows a little of what still comes.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::limits::{LINGER_MAX_BYTES, Limits};

/// A connection's socket. After an upgrade it lives on in the upgrader's hands, slot included: a WebSocket
/// counts as the connection it is.
pub(super) struct Socket {
    stream: TcpStream,
    limits: Limits,
    received_bytes: Arc<AtomicU64>,
    client_has_closed: bool,
    /// Runs while the client leaves something unread, until all of it is on its way.
    write_deadline: Option<Pin<Box<Sleep>>>,
    /// Runs from the moment when our side is closed.
    linger: Option<Pin<Box<Sleep>>>,
    swallowed_bytes: usize,
    server_stops: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        slot: OwnedSemaphorePermit,
        limits: Limits,
        server_stops: CancellationToken,
    ) -> Self {
        Self {
            stream,
            limits,
            received_bytes: Arc::default(),
            client_has_closed: false,
            write_deadline: None,
            linger: None,
            swallowed_bytes: 0,
            server_stops,
            _slot: slot,
        }
    }

    /// How many bytes have come so far.
    pub(super) fn received_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.received_bytes)
    }

    fn bound(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            return written;
        }
        let timeout = self.limits.write_timeout;
        let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(sleep(timeout)));
        deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads and forgets until the client closes, fails, or has sent more than we care to take.
    fn poll_swallow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [MaybeUninit::<u8>::uninit(); 8 * 1024];
        while self.swallowed_bytes < LINGER_MAX_BYTES {
            let mut buffer = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.swallowed_bytes += buffer.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.client_has_closed |= read == 0 && buf.remaining() > 0;
        self.received_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bound(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bound(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever writes to us flushes when nothing is left to be written.
        self.write_deadline = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            // Once only: a second one fails when the client has closed meanwhile.
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            // A server that stops closes idle connections, and has no time for clients that keep theirs open.
            if self.client_has_closed || self.server_stops.is_cancelled() {
                return Poll::Ready(Ok(()));
            }
            self.linger = Some(Box::pin(sleep(self.limits.linger_timeout)));
        }
        if let Some(linger) = &mut self.linger
            && linger.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        self.poll_swallow(cx).map(Ok)
    }
}
