//! All blocks of a prefix, read in one go.

use std::ops::ControlFlow;

use crate::store::block::{self, BlockKey};
use crate::store::{Range, Snapshot, StoreError, Table};

/// Bytes that are kept for the next prefix.
const KEPT_BYTES: usize = 1 << 16;

/// The blocks of the prefix that was read last.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// One after the other.
    bytes: Vec<u8>,
    /// Buckets, ascending, with where in `bytes` each one's block ends.
    ends: Vec<(u32, usize)>,
}

impl Scanned {
    /// Reads a prefix's blocks and returns their bits; `None` where `changes` need a small part of
    /// them only.
    pub(super) fn read<const PREFIX: usize>(
        &mut self,
        table: Table,
        prefix: &[u8; PREFIX],
        stored: &dyn Snapshot,
        changes: usize,
    ) -> Result<Option<u8>, StoreError> {
        self.bytes.clear();
        self.ends.clear();
        let (mut first, mut is_large) = (None, false);
        stored.scan(table, &Range::prefix(prefix), &mut |key, bytes| {
            let (bits, input) = block::open(table, bytes)?;
            is_large = first.is_none() && (changes as u64) << 2 < 1 << bits;
            if is_large {
                return Ok(ControlFlow::Break(()));
            }
            if *first.get_or_insert(bits) != bits {
                return Err(input.corrupt("a block has other bits than the first"));
            }
            if let Some((_, bucket)) = BlockKey::split(key) {
                self.bytes.extend_from_slice(bytes);
                self.ends.push((bucket, self.bytes.len()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(first.or((!is_large).then_some(0)))
    }

    /// Gives back what a user with a long history needed.
    pub(super) fn shrink(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
    }

    /// The block of a bucket; an empty slice is one that is not there.
    pub(super) fn block(&self, bucket: u32) -> &[u8] {
        let Ok(at) = self.ends.binary_search_by_key(&bucket, |(at, _)| *at) else {
            return &[];
        };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before].1);
        &self.bytes[start..self.ends[at].1]
    }
}
