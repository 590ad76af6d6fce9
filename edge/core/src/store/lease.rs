//! Who refreshes what: one at a time per key and isolate.
//!
//! A lease is a note with an expiry, not a shared promise: hosts forbid sharing I/O between
//! requests. Who finds a key leased serves what there is, or sleeps and looks again.

use alloc::vec::Vec;

use crate::limits::LEASES_MAX;

/// Leases, few at a time: key hash and expiry, ascending by key.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    until_ms: Vec<(u64, i64)>,
}

impl Leases {
    /// Takes the lease of `key` until `until_ms`; false where another holds it.
    pub(crate) fn take(&mut self, key: u64, wall_ms: i64, until_ms: i64) -> bool {
        if self.is_held(key, wall_ms) {
            return false;
        }
        if self.until_ms.len() >= LEASES_MAX {
            self.until_ms.retain(|&(_, until_ms)| until_ms > wall_ms);
            if self.until_ms.len() >= LEASES_MAX {
                return false;
            }
        }
        match self.place(key) {
            Ok(expired) => self.until_ms[expired].1 = until_ms,
            Err(place) => self.until_ms.insert(place, (key, until_ms)),
        }
        true
    }

    /// Whether somebody holds it.
    pub(crate) fn is_held(&self, key: u64, wall_ms: i64) -> bool {
        self.place(key)
            .is_ok_and(|place| wall_ms < self.until_ms[place].1)
    }

    /// Extends a lease its holder still needs.
    pub(crate) fn extend(&mut self, key: u64, until_ms: i64) {
        if let Ok(place) = self.place(key) {
            let (_, held_until_ms) = &mut self.until_ms[place];
            *held_until_ms = until_ms.max(*held_until_ms);
        }
    }

    /// Gives it back.
    pub(crate) fn release(&mut self, key: u64) {
        if let Ok(place) = self.place(key) {
            self.until_ms.remove(place);
        }
    }

    /// Where the key's lease is, or belongs.
    fn place(&self, key: u64) -> Result<usize, usize> {
        self.until_ms.binary_search_by_key(&key, |&(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_until_release_or_expiry() {
        let mut leases = Leases::default();
        assert!(leases.take(1, 0, 100));
        assert!(!leases.take(1, 99, 200));
        assert!(leases.take(1, 100, 200), "expired");
        leases.extend(1, 300);
        assert!(!leases.take(1, 250, 400));
        leases.release(1);
        assert!(leases.take(1, 250, 400));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut leases = Leases::default();
        for key in 0..LEASES_MAX as u64 {
            assert!(leases.take(key, 0, 10));
        }
        assert!(!leases.take(9_999_999, 5, 20), "full");
        assert!(leases.take(9_999_999, 10, 20), "expired ones make room");
    }
}
