//! The socket as hyper sees it: it tells the [`Pulse`] what passes, holds the connection's slot, names the refusals
//! that hyper gives by itself, and closes without destroying an answer.
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
use super::{REQUEST_ID_HEADER, RequestId};

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
    /// hyper's own refusal with an id in it, on its way out.
    refusal: Option<Refusal>,
    _slot: OwnedSemaphorePermit,
}

/// An answer to a head that hyper can't read (400, 431): no service sees the request, so no service names it.
struct Refusal {
    bytes: Vec<u8>,
    written_bytes: usize,
    /// What hyper takes to be written.
    length_bytes: usize,
}

impl Refusal {
    /// The same answer under a fresh id, where these bytes begin one.
    fn of(answer: &[u8]) -> Option<Self> {
        let line_bytes = answer.windows(2).position(|two| two == b"\r\n")? + 2;
        let (line, rest) = answer.starts_with(b"HTTP/1.1 4").then(|| answer.split_at(line_bytes))?;
        let id = format!("{REQUEST_ID_HEADER}: {}\r\n", RequestId::new());
        Some(Self {
            bytes: [line, id.as_bytes(), rest].concat(),
            written_bytes: 0,
            length_bytes: answer.len(),
        })
    }
}

impl Socket {
    pub(super) fn new(
        stream: TcpStream,
        pulse: Pulse,
        slot: OwnedSemaphorePermit,
        stall_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            pulse,
            fin_sent: false,
            swallowed_bytes: 0,
            stalled: None,
            stall_timeout,
            refusal: None,
            _slot: slot,
        }
    }

    /// Writes what is left of a refusal, then says that all of hyper's answer is written.
    fn poll_refusal(&mut self, cx: &mut Context<'_>, mut refusal: Refusal) -> Poll<io::Result<usize>> {
        while let Some(rest) = refusal.bytes.get(refusal.written_bytes..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => refusal.written_bytes += written,
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => {
                    self.refusal = Some(refusal);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(refusal.length_bytes))
    }

    /// The refusal to write in place of `answer`: one begun before, or a new one where no service has been asked.
    fn refusal_for(&mut self, answer: &[u8]) -> Option<Refusal> {
        self.refusal.take().or_else(|| self.pulse.is_unasked().then(|| Refusal::of(answer)).flatten())
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
        let result = match self.refusal_for(buf) {
            Some(refusal) => self.poll_refusal(cx, refusal),
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
        };
        self.note_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        let result = match self.refusal_for(first) {
            Some(refusal) => self.poll_refusal(cx, refusal),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        };
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
