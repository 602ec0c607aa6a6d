//! What a connection has been answered and has not taken yet: a client that does not read costs a bounded number of bytes.
//! The bytes of a reply count from the moment at which the engine gave it until its body is sent or dropped.
//! Invariant: one reply alone always fits, however large. Not here: sessions, which let fewer requests in while replies are large.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::{Bytes, http};

/// Bytes of replies that a connection may leave unread.
pub const UNSENT_BYTES_MAX: usize = 32 << 20;

/// The unread replies of one connection.
#[derive(Clone, Debug, Default)]
pub struct Unsent(Arc<AtomicUsize>);

/// The bytes of one reply; given back when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Held(#[allow(dead_code, reason = "it is kept to be dropped")] Arc<Share>);

#[derive(Debug)]
struct Share {
    bytes: usize,
    of: Unsent,
}

impl Unsent {
    /// Room for a reply of `bytes`; `None`: too much lies unread already.
    pub fn take(&self, bytes: usize) -> Option<Held> {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let share = Share { bytes, of: self.clone() };
        (before == 0 || before.saturating_add(bytes) <= UNSENT_BYTES_MAX).then(|| Held(Arc::new(share)))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Keeps what `response` brings along as an extension for as long as its body lives.
pub fn keep(mut response: http::Response<Body>) -> http::Response<Body> {
    match response.extensions_mut().remove::<Held>() {
        Some(held) => response.map(|body| Body::new(Keeping { body, _held: held })),
        None => response,
    }
}

/// A body, and what is held for it. The server asks for its end only when everything before has left.
struct Keeping {
    body: Body,
    _held: Held,
}

impl hyper::body::Body for Keeping {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{UNSENT_BYTES_MAX, Unsent};

    #[test]
    fn a_connection_holds_so_many_bytes_and_one_reply_of_any_size() {
        let unsent = Unsent::default();
        let large = unsent.take(UNSENT_BYTES_MAX * 2).unwrap();
        assert!(unsent.take(1).is_none());
        drop(large);
        let half = unsent.take(UNSENT_BYTES_MAX / 2).unwrap();
        let _other = unsent.take(UNSENT_BYTES_MAX / 2).unwrap();
        assert!(unsent.take(1).is_none());
        drop(half);
        assert!(unsent.take(1).is_some());
    }
}
