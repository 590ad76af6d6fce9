//! What [`Cells`](super::cells::Cells) is for records, for entries that lie in blocks: a
//! transaction reads and writes a block once, whatever it does with the block's entries.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::store::block::{self, BITS_MAX, BLOCK_BYTES_MAX, BlockKey, Cut, Packable};
use crate::store::{Encoder, Range, Snapshot, StoreError, Table, Transaction};

/// Entries of `table` by prefix and hash, over what the transaction began with.
#[derive(Debug)]
pub(crate) struct Packed<const PREFIX: usize, V> {
    table: Table,
    /// Memory kept over a flush; beyond, what the last transaction did not use is forgotten first.
    kept_bytes_max: usize,
    kept_bytes: usize,
    packs: HashMap<[u8; PREFIX], Pack<V>>,
    /// Prefixes that were used since the last flush.
    used: Vec<[u8; PREFIX]>,
    /// Flushes so far.
    turn: u64,
    scratch: Encoder,
}

/// A prefix's blocks, as far as they were needed.
#[derive(Debug)]
struct Pack<V> {
    bits: u8,
    /// Ascending by bucket.
    blocks: Vec<Block<V>>,
    /// The turn it was used in.
    used_in: u64,
    bytes: usize,
}

/// A block: its bytes as they are stored, and the entries that were touched since.
#[derive(Debug)]
struct Block<V> {
    bucket: u32,
    /// Empty where it is not stored.
    stored: Vec<u8>,
    /// Ascending by hash.
    touched: Vec<(u64, Touched<V>)>,
}

#[derive(Debug)]
struct Touched<V> {
    value: Option<V>,
    is_changed: bool,
}

impl<const PREFIX: usize, V: Packable> Packed<PREFIX, V> {
    pub(crate) fn new(table: Table, kept_bytes_max: usize) -> Self {
        Self {
            table,
            kept_bytes_max,
            kept_bytes: 0,
            packs: HashMap::new(),
            used: Vec::new(),
            turn: 1,
            scratch: Encoder::default(),
        }
    }

    /// The value of an entry to change.
    pub(crate) fn get_mut(
        &mut self,
        stored: &dyn Snapshot,
        prefix: [u8; PREFIX],
        hash: u64,
    ) -> Result<Option<&mut V>, StoreError> {
        let entry = self.touch(stored, prefix, hash)?;
        entry.is_changed |= entry.value.is_some();
        Ok(entry.value.as_mut())
    }

    /// The value of an entry to change, `absent` where there is none.
    pub(crate) fn entry_or(
        &mut self,
        stored: &dyn Snapshot,
        prefix: [u8; PREFIX],
        hash: u64,
        absent: V,
    ) -> Result<&mut V, StoreError> {
        let entry = self.touch(stored, prefix, hash)?;
        entry.is_changed = true;
        Ok(entry.value.get_or_insert(absent))
    }

    /// The value of an entry to change, made where it is absent.
    pub(crate) fn entry(
        &mut self,
        stored: &dyn Snapshot,
        prefix: [u8; PREFIX],
        hash: u64,
    ) -> Result<&mut V, StoreError>
    where
        V: Default,
    {
        self.entry_or(stored, prefix, hash, V::default())
    }

    /// Removes an entry and returns its value.
    pub(crate) fn remove(
        &mut self,
        stored: &dyn Snapshot,
        prefix: [u8; PREFIX],
        hash: u64,
    ) -> Result<Option<V>, StoreError> {
        let entry = self.touch(stored, prefix, hash)?;
        entry.is_changed |= entry.value.is_some();
        Ok(entry.value.take())
    }

    /// Forgets what was not written: somebody else writes the table.
    pub(crate) fn forget(&mut self) {
        self.packs.clear();
        self.used.clear();
        self.kept_bytes = 0;
    }

    /// Writes what changed, in key order (neighbours share pages).
    pub(crate) fn flush(&mut self, stored: &mut dyn Transaction) -> Result<(), StoreError> {
        let mut used = std::mem::take(&mut self.used);
        used.sort_unstable();
        for prefix in &used {
            if let Some(pack) = self.packs.get_mut(prefix) {
                pack.flush(self.table, prefix, stored, &mut self.scratch)?;
                self.kept_bytes -= pack.bytes;
                pack.bytes = pack.size_bytes::<PREFIX>();
                self.kept_bytes += pack.bytes;
            }
        }
        used.clear();
        self.used = used;
        if self.kept_bytes > self.kept_bytes_max {
            self.forget_some();
        }
        self.turn += 1;
        Ok(())
    }

    /// Keeps of what the last transaction used as much as may be kept.
    fn forget_some(&mut self) {
        let (turn, max) = (self.turn, self.kept_bytes_max);
        let mut kept_bytes = 0;
        self.packs.retain(|_, pack| {
            let is_kept = pack.used_in == turn && kept_bytes + pack.bytes <= max;
            kept_bytes += if is_kept { pack.bytes } else { 0 };
            is_kept
        });
        self.kept_bytes = kept_bytes;
        // What one large transaction needed is not held for good.
        self.packs.shrink_to_fit();
        self.used.shrink_to(self.packs.len());
    }

    /// An entry as it is now.
    fn touch(
        &mut self,
        stored: &dyn Snapshot,
        prefix: [u8; PREFIX],
        hash: u64,
    ) -> Result<&mut Touched<V>, StoreError> {
        let pack = match self.packs.entry(prefix) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(Pack::load(self.table, &prefix, stored)?),
        };
        if pack.used_in != self.turn {
            pack.used_in = self.turn;
            self.used.push(prefix);
        }
        let block = pack.block(self.table, &prefix, stored, hash)?;
        let touched = &mut block.touched;
        let at = match touched.binary_search_by_key(&hash, |(hash, _)| *hash) {
            Ok(at) => at,
            Err(at) => {
                let value = block::find(self.table, &prefix, &block.stored, hash)?;
                let is_changed = false;
                touched.insert(at, (hash, Touched { value, is_changed }));
                at
            }
        };
        Ok(&mut touched[at].1)
    }
}

impl<V: Packable> Pack<V> {
    fn load<const PREFIX: usize>(
        table: Table,
        prefix: &[u8; PREFIX],
        stored: &dyn Snapshot,
    ) -> Result<Self, StoreError> {
        let first = stored.get(table, BlockKey::new(prefix, 0).bytes())?;
        let bits = match &first {
            Some(first) => block::open(table, first)?.0,
            None => 0,
        };
        Ok(Self {
            bits,
            blocks: vec![Block::new(0, first.unwrap_or_default())],
            used_in: 0,
            bytes: 0,
        })
    }

    /// The block that a hash is in.
    fn block<const PREFIX: usize>(
        &mut self,
        table: Table,
        prefix: &[u8; PREFIX],
        stored: &dyn Snapshot,
        hash: u64,
    ) -> Result<&mut Block<V>, StoreError> {
        let bucket = block::bucket(hash, self.bits);
        let known = self
            .blocks
            .binary_search_by_key(&bucket, |block| block.bucket);
        let at = match known {
            Ok(at) => at,
            Err(at) => {
                let found = stored.get(table, BlockKey::new(prefix, bucket).bytes())?;
                if let Some(block) = &found {
                    let (bits, input) = block::open(table, block)?;
                    if bits != self.bits {
                        return Err(input.corrupt("a block has other bits than the first"));
                    }
                }
                self.blocks
                    .insert(at, Block::new(bucket, found.unwrap_or_default()));
                at
            }
        };
        Ok(&mut self.blocks[at])
    }

    fn flush<const PREFIX: usize>(
        &mut self,
        table: Table,
        prefix: &[u8; PREFIX],
        stored: &mut dyn Transaction,
        scratch: &mut Encoder,
    ) -> Result<(), StoreError> {
        for block in &mut self.blocks {
            if block.is_changed() {
                block.encode(table, prefix, self.bits, scratch)?;
                if scratch.bytes().len() > BLOCK_BYTES_MAX && self.bits < BITS_MAX {
                    return self.split(table, prefix, stored, scratch);
                }
                let is_needed = block.bucket == 0 && self.bits > 0;
                block.write(table, prefix, stored, scratch.bytes(), is_needed)?;
            }
            block.touched = Vec::new();
        }
        Ok(())
    }

    /// Cuts the prefix's entries into more blocks.
    fn split<const PREFIX: usize>(
        &mut self,
        table: Table,
        prefix: &[u8; PREFIX],
        stored: &mut dyn Transaction,
        scratch: &mut Encoder,
    ) -> Result<(), StoreError> {
        let mut blocks = BTreeMap::new();
        stored.scan(table, &Range::prefix(prefix), &mut |key, block| {
            if let Some((_, bucket)) = BlockKey::split(key) {
                blocks.insert(bucket, block.to_vec());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let before: Vec<u32> = blocks.keys().copied().collect();
        for block in self.blocks.iter().filter(|block| block.is_changed()) {
            block.encode(table, prefix, self.bits, scratch)?;
            blocks.insert(block.bucket, scratch.bytes().to_vec());
        }
        let mut entries = Vec::new();
        for block in blocks.values() {
            entries.extend_from_slice(block::open(table, block)?.1.rest());
        }
        let Cut { bits, blocks } = block::cut::<V>(table, &entries, self.bits + 1)?;
        for bucket in before {
            if blocks.binary_search_by_key(&bucket, |(at, _)| *at).is_err() {
                stored.delete(table, BlockKey::new(prefix, bucket).bytes())?;
            }
        }
        for (bucket, block) in &blocks {
            stored.put(table, BlockKey::new(prefix, *bucket).bytes(), block)?;
        }
        self.bits = bits;
        self.blocks = blocks
            .into_iter()
            .map(|(bucket, block)| Block::new(bucket, block))
            .collect();
        Ok(())
    }

    fn size_bytes<const PREFIX: usize>(&self) -> usize {
        let blocks = self.blocks.iter();
        let blocks = blocks.map(|block| size_of::<Block<V>>() + block.stored.capacity());
        PREFIX + size_of::<Self>() + blocks.sum::<usize>()
    }
}

impl<V: Packable> Block<V> {
    const fn new(bucket: u32, stored: Vec<u8>) -> Self {
        Self {
            bucket,
            stored,
            touched: Vec::new(),
        }
    }

    fn is_changed(&self) -> bool {
        self.touched.iter().any(|(_, entry)| entry.is_changed)
    }

    /// Its bytes as it is now.
    fn encode(
        &self,
        table: Table,
        prefix: &[u8],
        bits: u8,
        out: &mut Encoder,
    ) -> Result<(), StoreError> {
        let changed = self.touched.iter().filter(|(_, entry)| entry.is_changed);
        let changes = changed.map(|(hash, entry)| (*hash, entry.value.as_ref()));
        out.clear();
        block::start(out, bits);
        block::merge(table, prefix, &self.stored, changes, out)
    }

    /// Stores its bytes; an empty block goes, unless it is needed.
    fn write<const PREFIX: usize>(
        &mut self,
        table: Table,
        prefix: &[u8; PREFIX],
        stored: &mut dyn Transaction,
        bytes: &[u8],
        is_needed: bool,
    ) -> Result<(), StoreError> {
        let key = BlockKey::new(prefix, self.bucket);
        if block::is_empty(bytes) && !is_needed {
            if !self.stored.is_empty() {
                stored.delete(table, key.bytes())?;
            }
            self.stored.clear();
        } else {
            stored.put(table, key.bytes(), bytes)?;
            self.stored.clear();
            self.stored.extend_from_slice(bytes);
        }
        Ok(())
    }
}
