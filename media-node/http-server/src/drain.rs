//! Reads what a handler has left of a request's body.
//!
//! A request that is refused early (no key, a wrong method) has its body still on the way. An HTTP/1.1 server that just
//! answers must then close the connection, and the client, told nothing of it, loses its next request. So a short rest is
//! read and thrown away; where there is more, or it does not come, the answer says `Connection: close`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::timeout;

/// How long a rest may take to come.
const TIMEOUT: Duration = Duration::from_millis(500);

/// A body that is read by the handler, and by the server once that is done.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Incoming>>);

impl Shared {
    pub(crate) fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(body)))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Incoming) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the rest, up to so many bytes. False if there is more.
    async fn is_drained(&self, most: usize) -> bool {
        let mut left = most;
        loop {
            match std::future::poll_fn(|cx| self.with(|body| Pin::new(body).poll_frame(cx))).await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    match left.checked_sub(length) {
                        Some(rest) => left = rest,
                        None => return false,
                    }
                }
            }
        }
    }

    /// Makes the connection usable after the answer, or says that it is not.
    pub(crate) async fn finish(&self, most: usize, waits_for_leave: bool, answer: &mut Response) {
        if self.with(|body| body.is_end_stream()) {
            return;
        }
        // Reading would ask a client for a body that it has been told not to send.
        let drained =
            !waits_for_leave && timeout(TIMEOUT, self.is_drained(most)).await.unwrap_or(false);
        if !drained {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl Body for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.with(|body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}
