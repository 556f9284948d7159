//! The socket as hyper sees it: it tells the [`Pulse`] what passes, holds the connection's slot, and closes
//! without destroying an answer.
//!
//! The last part: a kernel that gets bytes for a closed socket answers with a reset, and a reset makes the
//! client's kernel forget what it received. A 413 sent to a client that is still writing would be lost just
//! so. Therefore [`Socket::poll_shutdown`] ends our side first, then swallows a little of what still comes.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::limits::LINGER_MAX_BYTES;
use super::pulse::Pulse;

/// A connection's socket. After an upgrade it lives on in the upgrader's hands, slot included: a WebSocket
/// counts as the connection it is.
pub(super) struct Socket {
    stream: TcpStream,
    pulse: Pulse,
    fin_sent: bool,
    swallowed_bytes: usize,
    /// Runs while a write waits for the client to read.
    stalled: Option<Pin<Box<Sleep>>>,
    stall_timeout: Duration,
    _slot: OwnedSemaphorePermit,
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        pulse: Pulse,
        slot: OwnedSemaphorePermit,
        stall_timeout: Duration,
    ) -> Self {
        Self { stream, pulse, fin_sent: false, swallowed_bytes: 0, stalled: None, stall_timeout, _slot: slot }
    }

    fn note_write(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        self.pulse.blocked();
        // The connection's own deadline ends with an upgrade; a WebSocket whose client has stopped reading must
        // not hold its slot for ever either.
        let timeout = self.stall_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
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
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.pulse.received();
        }
        result
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if result.is_ready() {
            self.pulse.flushed();
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Once only: a second one fails when the client has closed meanwhile.
        if !self.fin_sent {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.fin_sent = true;
        }
        if self.pulse.lingers() {
            ready!(self.poll_swallow(cx));
        }
        Poll::Ready(Ok(()))
    }
}
