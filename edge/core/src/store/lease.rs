//! Who refreshes what: one at a time per key and isolate.
//!
//! A lease is a note with an expiry, not a shared promise: hosts forbid sharing I/O between
//! requests. Who finds a key leased serves what there is, or sleeps and looks again.

use alloc::collections::BTreeMap;

use crate::limits::LEASES_MAX;

/// Leases by key hash.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    until_ms: BTreeMap<u64, i64>,
}

impl Leases {
    /// Takes the lease of `key` until `until_ms`; false where another holds it.
    pub(crate) fn take(&mut self, key: u64, wall_ms: i64, until_ms: i64) -> bool {
        if self.is_held(key, wall_ms) {
            return false;
        }
        if self.until_ms.len() >= LEASES_MAX {
            self.until_ms.retain(|_, &mut until_ms| until_ms > wall_ms);
            if self.until_ms.len() >= LEASES_MAX {
                return false;
            }
        }
        self.until_ms.insert(key, until_ms);
        true
    }

    /// Whether somebody holds it.
    pub(crate) fn is_held(&self, key: u64, wall_ms: i64) -> bool {
        self.until_ms
            .get(&key)
            .is_some_and(|&until_ms| wall_ms < until_ms)
    }

    /// Extends a lease its holder still needs.
    pub(crate) fn extend(&mut self, key: u64, until_ms: i64) {
        if let Some(held_until_ms) = self.until_ms.get_mut(&key) {
            *held_until_ms = until_ms.max(*held_until_ms);
        }
    }

    /// Gives it back.
    pub(crate) fn release(&mut self, key: u64) {
        self.until_ms.remove(&key);
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
