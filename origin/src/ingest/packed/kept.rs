//! The blocks at hand: those that the last transactions used, as far as there is room for them.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::store::block::{self, BlockKey};
use crate::store::{Snapshot, StoreError, Table};

/// Blocks of `table` by prefix and bucket.
#[derive(Debug)]
pub(super) struct Kept<const PREFIX: usize> {
    table: Table,
    bytes_max: usize,
    bytes: usize,
    packs: HashMap<[u8; PREFIX], Pack>,
    /// Transactions so far.
    turn: u64,
    /// There was no room for a block in this turn.
    is_full: bool,
}

/// A prefix's blocks, as far as they are at hand.
#[derive(Debug)]
struct Pack {
    bits: u8,
    /// The turn it was last used in.
    used_in: u64,
    /// Bucket and bytes, ascending; no bytes where nothing is stored.
    blocks: Vec<(u32, Vec<u8>)>,
}

impl<const PREFIX: usize> Kept<PREFIX> {
    pub(super) fn new(table: Table, bytes_max: usize) -> Self {
        Self {
            table,
            bytes_max,
            bytes: 0,
            packs: HashMap::new(),
            turn: 1,
            is_full: false,
        }
    }

    /// Bits of a prefix's blocks.
    pub(super) fn bits(
        &mut self,
        prefix: &[u8; PREFIX],
        stored: &dyn Snapshot,
    ) -> Result<u8, StoreError> {
        match self.packs.entry(*prefix) {
            Entry::Occupied(mut known) => {
                known.get_mut().used_in = self.turn;
                Ok(known.get().bits)
            }
            Entry::Vacant(vacant) => {
                // The first block says it.
                let first = stored.get(self.table, BlockKey::new(prefix, 0).bytes())?;
                let bits = match &first {
                    Some(first) => block::open(self.table, first)?.0,
                    None => 0,
                };
                vacant.insert(Pack {
                    bits,
                    used_in: self.turn,
                    blocks: Vec::new(),
                });
                self.bytes += Pack::BYTES + PREFIX;
                self.keep(prefix, 0, first.unwrap_or_default());
                Ok(bits)
            }
        }
    }

    /// Calls `work` with the block that `hash` is in; an empty slice is one that is not there.
    pub(super) fn with_block<T>(
        &mut self,
        prefix: &[u8; PREFIX],
        hash: u64,
        stored: &dyn Snapshot,
        work: impl FnOnce(&[u8]) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let bits = self.bits(prefix, stored)?;
        self.with_bucket(prefix, block::bucket(hash, bits), stored, work)
    }

    /// Calls `work` with the block of a bucket; an empty slice is one that is not there.
    pub(super) fn with_bucket<T>(
        &mut self,
        prefix: &[u8; PREFIX],
        bucket: u32,
        stored: &dyn Snapshot,
        work: impl FnOnce(&[u8]) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(pack) = self.packs.get(prefix)
            && let Ok(at) = pack.place(bucket)
        {
            return work(&pack.blocks[at].1);
        }
        let found = stored.get(self.table, BlockKey::new(prefix, bucket).bytes())?;
        let found = found.unwrap_or_default();
        if !found.is_empty() {
            let (bits, input) = block::open(self.table, &found)?;
            if self.packs.get(prefix).is_some_and(|pack| pack.bits != bits) {
                return Err(input.corrupt("a block has other bits than the first"));
            }
        }
        let done = work(&found)?;
        self.keep(prefix, bucket, found);
        Ok(done)
    }

    /// Keeps a block that is not at hand, where there is room.
    fn keep(&mut self, prefix: &[u8; PREFIX], bucket: u32, block: Vec<u8>) {
        let size = Pack::block_bytes(&block);
        if self.bytes + size > self.bytes_max {
            self.is_full = true;
            return;
        }
        if let Some(pack) = self.packs.get_mut(prefix)
            && let Err(at) = pack.place(bucket)
        {
            pack.blocks.insert(at, (bucket, block));
            self.bytes += size;
        }
    }

    /// A block's bytes are others now.
    pub(super) fn replace(&mut self, prefix: &[u8; PREFIX], bucket: u32, bytes: &[u8]) {
        let Some(pack) = self.packs.get_mut(prefix) else {
            return;
        };
        let Ok(at) = pack.place(bucket) else {
            return;
        };
        let block = &mut pack.blocks[at].1;
        self.bytes -= Pack::block_bytes(block);
        block.clear();
        block.extend_from_slice(bytes);
        self.bytes += Pack::block_bytes(block);
    }

    /// A prefix's blocks are others now.
    pub(super) fn replace_all(
        &mut self,
        prefix: &[u8; PREFIX],
        bits: u8,
        blocks: Vec<(u32, Vec<u8>)>,
    ) {
        let Some(pack) = self.packs.get_mut(prefix) else {
            return;
        };
        self.bytes -= pack.bytes();
        (pack.bits, pack.blocks) = (bits, Vec::new());
        self.bytes += pack.bytes();
        for (bucket, block) in blocks {
            self.keep(prefix, bucket, block);
        }
    }

    /// A transaction is over. Where there was no room, what it did not use is forgotten.
    pub(super) fn end_turn(&mut self) {
        // Replaced blocks may have grown.
        if self.is_full || self.bytes > self.bytes_max {
            let (turn, max) = (self.turn, self.bytes_max);
            let mut bytes = 0;
            self.packs.retain(|_, pack| {
                let size = pack.bytes() + PREFIX;
                let is_kept =
                    pack.used_in == turn && !pack.blocks.is_empty() && bytes + size <= max;
                bytes += if is_kept { size } else { 0 };
                is_kept
            });
            self.bytes = bytes;
            // What one large transaction needed is not held for good.
            if self.packs.capacity() > 4 * self.packs.len() {
                self.packs.shrink_to_fit();
            }
            self.is_full = false;
        }
        self.turn += 1;
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.packs.clear();
        self.bytes = 0;
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let packs = self.packs.values();
        let counted: usize = packs.map(|pack| pack.bytes() + PREFIX).sum();
        assert_eq!(self.bytes, counted);
        counted
    }
}

impl Pack {
    const BYTES: usize = size_of::<Self>();

    /// Where a bucket's block is, or belongs.
    fn place(&self, bucket: u32) -> Result<usize, usize> {
        self.blocks.binary_search_by_key(&bucket, |(at, _)| *at)
    }

    const fn block_bytes(block: &Vec<u8>) -> usize {
        size_of::<(u32, Vec<u8>)>() + block.capacity()
    }

    fn bytes(&self) -> usize {
        let blocks = self
            .blocks
            .iter()
            .map(|(_, block)| Self::block_bytes(block));
        Self::BYTES + blocks.sum::<usize>()
    }
}
