//! The embedded store: key-value tables, snapshots, and one atomic durable transaction at a time.
//!
//! [`Store`] is the seam: what is above it (ingest, readers, verify, backup) knows tables,
//! keys and records, never the engine. [`redb::RedbStore`] is the engine.

pub mod activity;
pub mod block;
mod codec;
#[cfg(test)]
mod corruption;
mod error;
mod guard;
pub mod item;
pub mod keys;
pub mod log;
pub mod memory;
pub mod purge;
pub mod reaction;
pub mod read;
pub mod record;
pub mod redb;
pub mod source;
pub mod table;

use std::ops::ControlFlow;

pub use codec::{Decoder, Encoder};
pub use error::StoreError;
pub use redb::RedbStore;
pub use table::Table;

/// Key-value tables with atomic durable transactions, one writer and any number of readers.
pub trait Store: Send + Sync + 'static {
    /// A consistent view of the last commit; it stays as it is while later commits happen.
    ///
    /// # Errors
    /// Where the engine fails.
    fn read(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// Runs `work` in a transaction and makes it durable: all of it or nothing.
    ///
    /// # Errors
    /// `work`'s own error (then nothing changed), or the engine's. Where the engine fails
    /// in the commit itself, the transaction may or may not have happened.
    fn write(&self, work: &mut Work<'_>) -> Result<(), StoreError>;
}

/// What [`Store::write`] runs.
pub type Work<'a> = dyn FnMut(&mut dyn Transaction) -> Result<(), StoreError> + 'a;

/// What a scan calls for each key and value, in order, until it breaks.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'a;

/// Reads of one consistent state.
pub trait Snapshot {
    /// The value of `key`.
    ///
    /// # Errors
    /// Where the engine fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the keys from `range.from` (inclusive) to `range.to` (exclusive).
    ///
    /// # Errors
    /// Where the engine or `visit` fails.
    fn scan(&self, table: Table, range: &Range, visit: &mut Visit<'_>) -> Result<(), StoreError>;
}

/// Reads and writes of one transaction; reads see its own writes.
pub trait Transaction: Snapshot {
    /// Sets the value of `key`.
    ///
    /// # Errors
    /// Where the engine fails.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Removes `key`; nothing happens where it is absent.
    ///
    /// # Errors
    /// Where the engine fails.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError>;
}

/// Bounds and direction of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First key, inclusive.
    pub from: Vec<u8>,
    /// Last key, exclusive; `None` is the table's end.
    pub to: Option<Vec<u8>>,
    /// From the last key to the first.
    pub reverse: bool,
}

impl Range {
    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Every key from `key` on.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Self {
        Self {
            from: key.to_vec(),
            ..Self::default()
        }
    }

    /// Every key that starts with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            from: prefix.to_vec(),
            to: successor(prefix),
            reverse: false,
        }
    }

    /// The keys from `from` (inclusive) to `to` (exclusive).
    #[must_use]
    pub fn between(from: &[u8], to: &[u8]) -> Self {
        Self {
            from: from.to_vec(),
            to: Some(to.to_vec()),
            reverse: false,
        }
    }

    /// The same keys from the last to the first.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            reverse: true,
            ..self
        }
    }
}

/// The smallest key that is greater than every key with this prefix.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut next = prefix.to_vec();
    while let Some(last) = next.pop() {
        if last < u8::MAX {
            next.push(last + 1);
            return Some(next);
        }
    }
    None
}
