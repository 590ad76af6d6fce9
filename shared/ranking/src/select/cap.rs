//! At most so many items of an author in any so many consecutive positions.

use alloc::vec;
use alloc::vec::Vec;

/// Stands for an author none of whose items is a candidate.
pub(crate) const NO_AUTHOR: u32 = u32::MAX;

/// Who was placed in the last positions, and how many items are left by author.
///
/// Every step is O(1): whether any author with items left is free is kept as a count.
#[derive(Clone, Debug)]
pub(crate) struct AuthorCap {
    max: u32,
    window: usize,
    /// Authors by position, oldest first; starts with those that earlier pages carried over.
    history: Vec<u32>,
    /// By author: items within the last `window - 1` positions.
    recent: Vec<u32>,
    /// By author: candidates that are not placed yet.
    left: Vec<u32>,
    total_left: usize,
    /// Candidates that are not placed yet and whose author is at the maximum.
    blocked_left: usize,
}

impl AuthorCap {
    /// `authors` is the number of distinct authors; `carried` names the authors of the
    /// positions before the page, oldest first; `eligible` the author of each candidate.
    pub(crate) fn new(
        max: u32,
        window: u32,
        authors: usize,
        carried: impl Iterator<Item = u32>,
        eligible: impl Iterator<Item = u32>,
    ) -> Self {
        let mut cap = Self {
            max: max.max(1),
            window: window.max(1) as usize,
            history: Vec::with_capacity(128),
            recent: vec![0; authors],
            left: vec![0; authors],
            total_left: 0,
            blocked_left: 0,
        };
        for author in eligible {
            cap.left[author as usize] += 1;
            cap.total_left += 1;
        }
        for author in carried {
            cap.advance(author);
        }
        cap
    }

    /// Whether an item of `author` may take the next position.
    #[inline]
    pub(crate) fn allows(&self, author: u32) -> bool {
        self.recent[author as usize] < self.max
    }

    /// Whether any candidate that is left may take the next position.
    pub(crate) fn allows_any(&self) -> bool {
        self.total_left > self.blocked_left
    }

    /// Candidates that are not placed yet.
    pub(crate) fn left(&self) -> usize {
        self.total_left
    }

    /// Positions in a window.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// Items an author may have in a window.
    pub(crate) fn max(&self) -> usize {
        self.max as usize
    }

    /// Authors of the positions so far, oldest first.
    pub(crate) fn history(&self) -> &[u32] {
        &self.history
    }

    /// Takes out a candidate of `author` that will not be placed.
    pub(crate) fn withdraw(&mut self, author: u32) {
        self.total_left -= 1;
        self.left[author as usize] -= 1;
        if !self.allows(author) {
            self.blocked_left -= 1;
        }
    }

    /// Puts a candidate of `author` at the next position.
    pub(crate) fn place(&mut self, author: u32) {
        self.withdraw(author);
        self.advance(author);
    }

    /// Moves on by one position, which `author` takes.
    fn advance(&mut self, author: u32) {
        let reach = self.window - 1;
        if reach == 0 {
            return;
        }
        if self.history.len() >= reach {
            self.release(self.history[self.history.len() - reach]);
        }
        self.history.push(author);
        if author == NO_AUTHOR {
            return;
        }
        let recent = &mut self.recent[author as usize];
        *recent += 1;
        if *recent == self.max {
            self.blocked_left += self.left[author as usize] as usize;
        }
    }

    /// The position that left the window no longer counts against its author.
    fn release(&mut self, author: u32) {
        if author == NO_AUTHOR {
            return;
        }
        let recent = &mut self.recent[author as usize];
        if *recent == self.max {
            self.blocked_left -= self.left[author as usize] as usize;
        }
        *recent -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn third_of_an_author_waits_for_the_window_to_pass() {
        let eligible = [0, 0, 0, 1].into_iter();
        let mut cap = AuthorCap::new(2, 4, 2, core::iter::empty(), eligible);
        cap.place(0);
        cap.place(0);
        assert!(!cap.allows(0));
        assert!(cap.allows_any(), "author 1 has an item left");
        cap.place(1);
        assert!(!cap.allows(0), "positions 1 to 3 hold two of author 0");
        assert!(!cap.allows_any(), "only author 0 is left");
        assert_eq!(cap.left(), 1);
    }

    #[test]
    fn carried_authors_count_and_leave() {
        let carried = [0, 0, NO_AUTHOR].into_iter();
        let mut cap = AuthorCap::new(2, 4, 2, carried, [0, 1, 1].into_iter());
        assert!(!cap.allows(0));
        cap.place(1);
        assert!(
            cap.allows(0),
            "the oldest of author 0 is now four positions back"
        );
        cap.place(0);
        assert!(cap.allows(0), "and the second one too");
        assert_eq!(cap.left(), 1);
        assert!(cap.allows_any());
    }
}
