//! The write queue: bounded by commands and by bytes, drained in groups.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::SubmitError;

/// Bounds of the queue and of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Commands that wait.
    pub queue_commands: usize,
    /// Bytes of commands that wait, as estimated.
    pub queue_bytes: usize,
    /// A group takes commands until it has this many bytes; it takes at least one.
    pub group_bytes: usize,
    /// Pause before a failed commit is tried again; the second pause is twice as long.
    pub retry_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_commands: 4_096,
            queue_bytes: 64 << 20,
            group_bytes: 8 << 20,
            retry_pause: Duration::from_millis(20),
        }
    }
}

/// A queue of `T` with one taker.
#[derive(Debug)]
pub(super) struct Queue<T> {
    limits: Limits,
    state: Mutex<State<T>>,
    filled: Condvar,
    drained: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<(usize, T)>,
    bytes: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(limits: Limits) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            bytes: 0,
            closed: false,
        };
        Self {
            limits,
            state: Mutex::new(state),
            filled: Condvar::new(),
            drained: Condvar::new(),
        }
    }

    /// Appends `value` of about `bytes`; waits for room where `wait` is set. What is refused
    /// comes back.
    pub(super) fn push(&self, value: T, bytes: usize, wait: bool) -> Result<(), (SubmitError, T)> {
        if bytes > self.limits.queue_bytes {
            return Err((SubmitError::TooLarge, value));
        }
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err((SubmitError::Stopped, value));
            }
            let fits = state.waiting.len() < self.limits.queue_commands
                && state.bytes + bytes <= self.limits.queue_bytes;
            if fits {
                break;
            }
            if !wait {
                return Err((SubmitError::Overloaded, value));
            }
            state = self
                .drained
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.bytes += bytes;
        state.waiting.push_back((bytes, value));
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for commands and takes a group in order; `None` once closed and empty.
    pub(super) fn take_group(&self) -> Option<Vec<T>> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut group = Vec::new();
        let mut group_bytes = 0;
        while group_bytes < self.limits.group_bytes {
            let Some((bytes, value)) = state.waiting.pop_front() else {
                break;
            };
            group_bytes += bytes;
            state.bytes -= bytes;
            group.push(value);
        }
        self.drained.notify_all();
        Some(group)
    }

    /// Takes no more; what waits is still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// Commands that wait.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    // A panic while the lock is held cannot leave the state half changed.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_by_count_and_bytes_and_drains_after_closing() {
        let limits = Limits {
            queue_commands: 3,
            queue_bytes: 100,
            group_bytes: 50,
            ..Limits::default()
        };
        let queue = Queue::new(limits);
        assert_eq!(
            queue.push('x', 101, false),
            Err((SubmitError::TooLarge, 'x'))
        );
        queue.push('a', 30, false).unwrap();
        queue.push('b', 30, false).unwrap();
        assert_eq!(
            queue.push('c', 41, false),
            Err((SubmitError::Overloaded, 'c'))
        );
        queue.push('c', 40, false).unwrap();
        assert_eq!(
            queue.push('d', 0, false),
            Err((SubmitError::Overloaded, 'd'))
        );
        assert_eq!(queue.take_group(), Some(vec!['a', 'b']));
        queue.close();
        assert_eq!(queue.push('e', 1, true), Err((SubmitError::Stopped, 'e')));
        assert_eq!(queue.take_group(), Some(vec!['c']));
        assert_eq!(queue.take_group(), None);
    }
}
