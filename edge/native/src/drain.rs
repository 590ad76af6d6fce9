//! From serving to stopped: who may still work, and until when.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

/// What the process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It answers.
    Serving,
    /// It answers, but `/readyz` says that it is about to stop.
    Leaving,
    /// It accepts nothing and finishes what it has.
    Draining,
}

/// Returns once the phase is `Draining`, or whoever could say so is gone.
pub(crate) async fn draining(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|&phase| phase == Phase::Draining).await;
}

/// Work of one thread that a stop waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    open: Rc<Cell<usize>>,
    ended: Rc<Notify>,
}

/// One piece of work; over when dropped.
#[derive(Debug)]
pub(crate) struct Task(Tasks);

impl Tasks {
    /// Counts a piece of work until its guard is dropped.
    pub(crate) fn begin(&self) -> Task {
        self.open.set(self.open.get() + 1);
        Task(self.clone())
    }

    /// Pieces of work under way.
    pub(crate) fn open(&self) -> usize {
        self.open.get()
    }

    /// Waits until none is under way, at most `limit`; returns how many are left.
    pub(crate) async fn finish(&self, limit: Duration) -> usize {
        let none = async {
            while self.open() > 0 {
                self.ended.notified().await;
            }
        };
        let _ = tokio::time::timeout(limit, none).await;
        self.open()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let left = self.0.open.get().saturating_sub(1);
        self.0.open.set(left);
        if left == 0 {
            self.0.ended.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_waits_for_what_is_under_way_and_not_for_ever() {
        let tasks = Tasks::default();
        assert_eq!(tasks.finish(Duration::ZERO).await, 0);
        let (first, second) = (tasks.begin(), tasks.begin());
        drop(first);
        assert_eq!(tasks.finish(Duration::from_millis(1)).await, 1);
        drop(second);
        assert_eq!(tasks.finish(Duration::from_secs(5)).await, 0);
    }
}
