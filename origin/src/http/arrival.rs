//! Whether a request waits for its own body: then its client is late, not the server.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Tells of the body of one request.
pub(super) struct Arrival(Arc<AtomicBool>);

impl Arrival {
    /// Whether the route reads the body and the next part of it has not come.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The request, and what tells of its body.
pub(super) fn watched(request: Request) -> (Request, Arrival) {
    let awaited = Arc::new(AtomicBool::new(false));
    let arrival = Arrival(Arc::clone(&awaited));
    let request = request.map(|body| Body::new(Watched { body, awaited }));
    (request, arrival)
}

struct Watched {
    body: Body,
    awaited: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.awaited.store(polled.is_pending(), Ordering::Release);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
