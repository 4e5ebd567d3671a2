//! The heads of answers as they came: names in their case, lines in their order.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most kept of all heads of a request, bytes.
const MOST: usize = 64 << 10;

/// Heads, one after another, each with the empty line behind it.
#[derive(Clone, Debug, Default)]
pub struct Heads(Arc<Mutex<Vec<u8>>>);

impl Heads {
    /// What was kept so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

/// A connection whose first answer's head is kept.
pub(crate) struct Tap<S> {
    stream: S,
    heads: Option<Heads>,
    /// How much of the end of a head has come.
    ends: usize,
}

impl<S> Tap<S> {
    pub(crate) fn new(stream: S, heads: Option<Heads>) -> Self {
        Self { stream, heads, ends: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        const END: &[u8] = b"\r\n\r\n";
        let Some(heads) = &self.heads else { return };
        let mut kept = heads.0.lock();
        for &byte in bytes {
            if kept.len() < MOST {
                kept.push(byte);
            }
            self.ends = match END.get(self.ends) {
                Some(next) if *next == byte => self.ends + 1,
                _ => usize::from(byte == b'\r'),
            };
            if self.ends == END.len() {
                drop(kept);
                self.heads = None;
                return;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buf);
        if self.heads.is_some() {
            let new = buf.filled().get(before..).unwrap_or_default();
            self.take(new);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_its_empty_line_wherever_it_is_cut() {
        let whole = b"HTTP/1.1 200 OK\r\nX-Odd: 1\r\n\r\nbody\r\n\r\n";
        for cut in 0..whole.len() {
            let heads = Heads::default();
            let mut tap = Tap::new((), Some(heads.clone()));
            tap.take(&whole[..cut]);
            tap.take(&whole[cut..]);
            assert_eq!(heads.text(), "HTTP/1.1 200 OK\r\nX-Odd: 1\r\n\r\n", "{cut}");
        }
    }
}
