//! Bodies: of answers to clients, and of requests to the origin.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::live::Reader;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    Empty,
    Full(Bytes),
    /// Read while it arrives.
    Live(Reader),
    /// Passed on.
    Pass(Box<Passed>),
}

/// A body of the origin's that is passed on, as fast as its client reads it.
#[derive(Debug)]
pub(crate) struct Passed {
    body: Incoming,
    idle: Idle,
}

/// The body was not whole, so the connection is cut: a clean end would be a lie.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the origin's body is not whole")
    }
}

impl std::error::Error for Cut {}

impl Passed {
    pub(crate) fn new(body: Incoming, idle: Duration) -> Box<Self> {
        Box::new(Self {
            body,
            idle: Idle::new(idle),
        })
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let body = self.get_mut();
        match body {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::replace(body, Self::Empty) {
                Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Live(reader) => {
                let next = ready!(reader.poll_next(context));
                Poll::Ready(next.map(|next| next.map(Frame::data).map_err(|_| Cut)))
            }
            Self::Pass(passed) => {
                let Some(next) = ready!(passed.idle.poll(&mut passed.body, context)) else {
                    return Poll::Ready(None);
                };
                Poll::Ready(Some(next))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Live(_) => false,
            Self::Pass(passed) => passed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Live(_) => SizeHint::default(),
            Self::Pass(passed) => passed.body.size_hint(),
        }
    }
}

/// A clock that a pause of a body must not outrun.
#[derive(Debug)]
pub(crate) struct Idle {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, sleep: None }
    }

    /// The next frame of `body`; cut where it pauses too long or breaks off.
    pub(crate) fn poll(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            if let Some(sleep) = &mut self.sleep {
                sleep.as_mut().reset(Instant::now() + self.limit);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| Cut)));
        }
        let limit = self.limit;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(Some(Err(Cut)))
    }
}
