//! Errors that no handler has a word in, as RFC 9457 has them.
//!
//! hyper answers what it cannot read as HTTP by itself, without a body. [`Told`] puts a document in place of such an answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const KIND: &str = "application/problem+json";

fn document(status: StatusCode, detail: &str) -> String {
    let (title, number) = (status.canonical_reason().unwrap_or_default(), status.as_u16());
    format!("{{\"title\":\"{title}\",\"status\":{number},\"detail\":\"{detail}\"}}")
}

/// An answer of the server's own.
pub(crate) fn answer(status: StatusCode, detail: &str) -> Response {
    (status, [(header::CONTENT_TYPE, KIND)], document(status, detail)).into_response()
}

/// What is to be said instead of bytes that hyper writes, where they are a refusal of its own.
fn instead(bytes: &[u8]) -> Option<Vec<u8>> {
    let head = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let (status, detail) = match head.get(..2)? {
        b"00" => (StatusCode::BAD_REQUEST, "the request cannot be read"),
        b"14" => (StatusCode::URI_TOO_LONG, "the address is too long"),
        b"31" => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too long"),
        _ => return None,
    };
    // Handlers say something in each error; only hyper's own answers end with their head, and close.
    let text = std::str::from_utf8(bytes).ok()?.to_ascii_lowercase();
    let bare = text.ends_with("\r\n\r\n") && text.contains("content-length: 0\r\n");
    if !bare || !text.contains("connection: close\r\n") {
        return None;
    }
    let body = document(status, detail);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {KIND}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    Some(head.into_bytes())
}

/// A stream on which hyper's bare refusals say what is wrong.
pub(crate) struct Told<S> {
    stream: S,
    /// What is written instead, how much of it was, and the bytes it stands for.
    pending: Option<(Vec<u8>, usize, usize)>,
}

impl<S> Told<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self { stream, pending: None }
    }
}

impl<S: AsyncWrite + Unpin> Told<S> {
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        pass: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.pending.is_none() {
            let Some(told) = instead(first) else { return pass(Pin::new(&mut self.stream), cx) };
            self.pending = Some((told, 0, first.len()));
        }
        let Some((told, at, stands_for)) = &mut self.pending else { return Poll::Ready(Ok(0)) };
        while *at < told.len() {
            let rest = told.get(*at..).unwrap_or_default();
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => *at += written,
            }
        }
        let done = *stands_for;
        self.pending = None;
        Poll::Ready(Ok(done))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Told<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Told<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, bytes, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = match pieces {
            [only] => only,
            _ => &[][..],
        };
        self.write(cx, first, |stream, cx| stream.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
