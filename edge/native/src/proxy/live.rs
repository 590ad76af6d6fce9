//! A body that is read by many while it arrives.
//!
//! As long as it may be stored all of it is kept and late readers begin at its start. Beyond the
//! largest object only a window is kept: the slowest reader holds the origin back, and nobody
//! joins any longer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::options::WINDOW_BYTES;

/// Bytes that all bodies that are arriving may hold together; beyond, those that arrive are not
/// stored.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    bytes_max: u64,
}

impl Budget {
    pub(crate) const fn new(bytes_max: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            bytes_max,
        }
    }

    /// Takes bytes; whether they were within the budget.
    fn take(&self, bytes: u64) -> bool {
        self.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.bytes_max
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// How a body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Whole,
    Aborted,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Bytes>,
    /// Chunks that are gone from the front.
    gone: usize,
    bytes: u64,
    /// Of these, those that are kept.
    held_bytes: u64,
    end: End,
    /// Too large to be stored.
    large: bool,
    readers: Vec<Option<Place>>,
    writer: Option<Waker>,
}

#[derive(Debug, Default)]
struct Place {
    next: usize,
    waker: Option<Waker>,
}

/// The body. [`Reader`]s read it.
#[derive(Debug)]
pub(crate) struct Live {
    state: Mutex<State>,
    bytes_max: u64,
    budget: Arc<Budget>,
}

/// The body ended before it was whole.
#[derive(Debug)]
pub(crate) struct Aborted;

impl Live {
    /// A body that is stored up to `bytes_max`.
    pub(crate) fn new(bytes_max: u64, budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                chunks: VecDeque::new(),
                gone: 0,
                bytes: 0,
                held_bytes: 0,
                end: End::Open,
                large: false,
                readers: Vec::new(),
                writer: None,
            }),
            bytes_max,
            budget: Arc::clone(budget),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader from the start; `None` once the start is gone.
    pub(crate) fn read(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state();
        if state.large {
            return None;
        }
        let place = Some(Place::default());
        let at = match state.readers.iter().position(Option::is_none) {
            Some(at) => {
                state.readers[at] = place;
                at
            }
            None => {
                state.readers.push(place);
                state.readers.len() - 1
            }
        };
        drop(state);
        Some(Reader {
            live: Arc::clone(self),
            at,
        })
    }

    /// Adds bytes. Whether anybody, or the store, still wants them.
    pub(crate) fn push(&self, chunk: Bytes) -> bool {
        let mut state = self.state();
        if chunk.is_empty() {
            return true;
        }
        let bytes = chunk.len() as u64;
        state.bytes += bytes;
        state.held_bytes += bytes;
        state.chunks.push_back(chunk);
        let affordable = self.budget.take(bytes);
        if state.bytes > self.bytes_max || !affordable {
            state.large = true;
        }
        if state.large {
            state.trim(&self.budget);
        }
        state.wake_readers();
        !state.large || state.readers.iter().any(Option::is_some)
    }

    /// Ready when there is room for more.
    pub(crate) fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let wanted = state.readers.iter().any(Option::is_some);
        if !state.large || !wanted || state.held_bytes < WINDOW_BYTES {
            return Poll::Ready(());
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// All bytes with `last` after them, unless they are too many to be stored.
    pub(crate) fn whole(&self, last: Option<&Bytes>) -> Option<Bytes> {
        let state = self.state();
        let last_bytes = last.map_or(0, Bytes::len) as u64;
        if state.large || state.bytes + last_bytes > self.bytes_max {
            return None;
        }
        // Copied: a chunk as it came keeps the whole buffer that it was read into.
        let bytes = usize::try_from(state.bytes + last_bytes).ok()?;
        let mut whole = BytesMut::with_capacity(bytes);
        for chunk in state.chunks.iter().chain(last) {
            whole.extend_from_slice(chunk);
        }
        Some(whole.freeze())
    }

    /// The body is whole, with `last` at its end.
    pub(crate) fn finish(&self, last: Option<Bytes>) {
        if let Some(last) = last {
            self.push(last);
        }
        let mut state = self.state();
        state.end = End::Whole;
        state.wake_readers();
    }

    /// The body ends before it is whole, unless it is.
    pub(crate) fn abort(&self) {
        let mut state = self.state();
        if state.end == End::Open {
            state.end = End::Aborted;
            state.wake_readers();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let held_bytes = self.state().held_bytes;
        self.budget.give_back(held_bytes);
    }
}

impl State {
    fn wake_readers(&mut self) {
        for place in self.readers.iter_mut().flatten() {
            if let Some(waker) = place.waker.take() {
                waker.wake();
            }
        }
    }

    /// Forgets what every reader has read.
    fn trim(&mut self, budget: &Budget) {
        let next = self.readers.iter().flatten().map(|place| place.next).min();
        let read = next.unwrap_or(self.gone + self.chunks.len());
        while self.gone < read
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.gone += 1;
            self.held_bytes -= chunk.len() as u64;
            budget.give_back(chunk.len() as u64);
        }
    }
}

/// One reader's place in a body.
#[derive(Debug)]
pub(crate) struct Reader {
    live: Arc<Live>,
    at: usize,
}

impl Reader {
    /// The next bytes; `None` at the end of a whole body.
    pub(crate) fn poll_next(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, Aborted>>> {
        let mut state = self.live.state();
        let state = &mut *state;
        let Some(place) = state.readers.get_mut(self.at).and_then(Option::as_mut) else {
            return Poll::Ready(Some(Err(Aborted)));
        };
        if let Some(chunk) = state.chunks.get(place.next - state.gone) {
            let chunk = chunk.clone();
            place.next += 1;
            if state.large {
                state.trim(&self.live.budget);
                if let Some(writer) = state.writer.take() {
                    writer.wake();
                }
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
        match state.end {
            End::Open => {
                place.waker = Some(context.waker().clone());
                Poll::Pending
            }
            End::Whole => Poll::Ready(None),
            End::Aborted => Poll::Ready(Some(Err(Aborted))),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.live.state();
        if let Some(place) = state.readers.get_mut(self.at) {
            *place = None;
        }
        if state.large {
            state.trim(&self.live.budget);
        }
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(bytes_max: u64) -> Arc<Live> {
        Live::new(bytes_max, &Arc::new(Budget::new(u64::MAX / 2)))
    }

    fn read(reader: &mut Reader) -> Poll<Option<Result<Bytes, Aborted>>> {
        reader.poll_next(&Context::from_waker(Waker::noop()))
    }

    #[track_caller]
    fn check(reader: &mut Reader, expected: &'static str) {
        match read(reader) {
            Poll::Ready(Some(Ok(bytes))) => assert_eq!(bytes, expected),
            other => panic!("{expected} expected, not {other:?}"),
        }
    }

    #[test]
    fn late_readers_read_from_the_start() {
        let live = live(100);
        let mut early = live.read().expect("room");
        assert!(read(&mut early).is_pending());
        assert!(live.push(Bytes::from_static(b"ab")));
        check(&mut early, "ab");
        let mut late = live.read().expect("room");
        live.push(Bytes::from_static(b"c"));
        check(&mut late, "ab");
        let last = Bytes::from_static(b"d");
        assert_eq!(live.whole(Some(&last)).as_deref(), Some(&b"abcd"[..]));
        live.finish(Some(last));
        check(&mut late, "c");
        check(&mut early, "c");
        check(&mut late, "d");
        assert!(matches!(read(&mut late), Poll::Ready(None)));
    }

    #[test]
    fn an_aborted_body_is_an_error_for_everybody() {
        let live = live(100);
        let mut reader = live.read().expect("room");
        live.push(Bytes::from_static(b"ab"));
        live.abort();
        check(&mut reader, "ab");
        assert!(matches!(read(&mut reader), Poll::Ready(Some(Err(Aborted)))));
    }

    #[test]
    fn what_is_too_large_is_a_window_held_back_by_the_slowest() {
        let live = live(10);
        let mut fast = live.read().expect("room");
        let slow = live.read().expect("room");
        let context = Context::from_waker(Waker::noop());
        let chunk = Bytes::from(vec![7; usize::try_from(WINDOW_BYTES / 4).expect("small")]);
        for _ in 0..4 {
            assert!(live.poll_room(&context).is_ready());
            assert!(live.push(chunk.clone()));
            assert!(matches!(read(&mut fast), Poll::Ready(Some(Ok(_)))));
        }
        assert!(live.read().is_none(), "its start may be gone");
        assert!(live.poll_room(&context).is_pending(), "held back");
        drop(slow);
        assert!(live.poll_room(&context).is_ready());
        drop(fast);
        assert!(!live.push(chunk), "nobody wants it");
        assert_eq!(live.whole(None), None);
    }

    #[test]
    fn what_all_hold_together_is_bounded_and_given_back() {
        let budget = Arc::new(Budget::new(3));
        let first = Live::new(100, &budget);
        let second = Live::new(100, &budget);
        let reader = second.read().expect("room");
        first.push(Bytes::from_static(b"ab"));
        second.push(Bytes::from_static(b"cd"));
        assert!(first.whole(None).is_some() && second.whole(None).is_none());
        drop((first, reader, second));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
