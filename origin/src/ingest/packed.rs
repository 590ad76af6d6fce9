//! What [`Cells`](super::cells::Cells) is for records, for entries that lie in blocks: a
//! transaction reads and writes a block once, whatever it does with the block's entries.

mod kept;
mod scanned;
#[cfg(test)]
mod tests;
mod touched;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use self::kept::Kept;
use self::scanned::Scanned;
use self::touched::{Entry, State, Touched};
use crate::store::block::{self, BITS_MAX, BLOCK_BYTES_MAX, BlockKey, Cut, Packable};
use crate::store::{Encoder, Range, Snapshot, StoreError, Table, Transaction};

/// Changes of a prefix from which on all of its blocks are read in one go, unless there are many
/// more blocks than changes.
const SCANNED_FROM: usize = 4;

/// Entries of `table` by prefix and hash, over what the transaction began with.
#[derive(Debug)]
pub(crate) struct Packed<const PREFIX: usize, V> {
    table: Table,
    kept: Kept<PREFIX>,
    touched: Touched<PREFIX, V>,
    scratch: Scratch,
}

/// Memory that is used again for each prefix.
#[derive(Debug, Default)]
struct Scratch {
    scanned: Scanned,
    block: Encoder,
}

impl<const PREFIX: usize, V: Packable> Packed<PREFIX, V> {
    /// Blocks of at most `kept_bytes_max` stay in memory, in a transaction and after it.
    pub(crate) fn new(table: Table, kept_bytes_max: usize) -> Self {
        Self {
            table,
            kept: Kept::new(table, kept_bytes_max),
            touched: Touched::new(),
            scratch: Scratch::default(),
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
        if entry.value.is_some() {
            entry.state = State::Changed;
        }
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
        entry.state = State::Changed;
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
        if entry.value.is_some() {
            entry.state = State::Changed;
        }
        Ok(entry.value.take())
    }

    /// Merges `part` into an entry, which need not be read for that; an absent one becomes `part`.
    pub(crate) fn merge(&mut self, prefix: [u8; PREFIX], hash: u64, part: V) {
        let Some(at) = self.touched.find(&prefix, hash) else {
            self.touched.insert(prefix, hash, Some(part), State::Part);
            return;
        };
        let entry = self.touched.entry_mut(at);
        match &mut entry.value {
            Some(value) => value.merge(&part),
            absent => *absent = Some(part),
        }
        if entry.state == State::Read {
            entry.state = State::Changed;
        }
    }

    /// Forgets what was not written: somebody else writes the table.
    pub(crate) fn forget(&mut self) {
        self.touched.clear();
        self.kept.clear();
    }

    /// Writes what changed, in key order (neighbours share pages).
    pub(crate) fn flush(&mut self, stored: &mut dyn Transaction) -> Result<(), StoreError> {
        let order = self.touched.changed();
        let entries = self.touched.entries();
        let mut rest = order.as_slice();
        while let Some(&first) = rest.first() {
            let prefix = entries[first as usize].prefix;
            let of_prefix = rest.partition_point(|&at| entries[at as usize].prefix <= prefix);
            let (now, later) = rest.split_at(of_prefix);
            let changes = Changes {
                table: self.table,
                prefix,
                entries,
                order: now,
            };
            changes.write(&mut self.kept, stored, &mut self.scratch)?;
            rest = later;
        }
        self.touched.clear();
        self.kept.end_turn();
        self.scratch.scanned.shrink();
        Ok(())
    }

    /// An entry as it is now.
    fn touch(
        &mut self,
        stored: &dyn Snapshot,
        prefix: [u8; PREFIX],
        hash: u64,
    ) -> Result<&mut Entry<PREFIX, V>, StoreError> {
        let known = self.touched.find(&prefix, hash);
        if let Some(at) = known
            && self.touched.entry_mut(at).state != State::Part
        {
            return Ok(self.touched.entry_mut(at));
        }
        let value = self.kept.with_block(&prefix, hash, stored, |block| {
            block::find::<V>(self.table, &prefix, block, hash)
        })?;
        let Some(at) = known else {
            let at = self.touched.insert(prefix, hash, value, State::Read);
            return Ok(self.touched.entry_mut(at));
        };
        let entry = self.touched.entry_mut(at);
        if let Some(mut value) = value {
            if let Some(part) = &entry.value {
                value.merge(part);
            }
            entry.value = Some(value);
        }
        entry.state = State::Changed;
        Ok(entry)
    }
}

/// What changed of a prefix.
struct Changes<'a, const PREFIX: usize, V> {
    table: Table,
    prefix: [u8; PREFIX],
    entries: &'a [Entry<PREFIX, V>],
    /// Which of `entries` they are, ascending by hash.
    order: &'a [u32],
}

impl<const PREFIX: usize, V: Packable> Changes<'_, PREFIX, V> {
    fn hash(&self, at: u32) -> u64 {
        self.entries[at as usize].hash
    }

    /// The first changes of `order`, as many as are in one block, with their bucket.
    fn next_bucket<'o>(&self, order: &'o [u32], bits: u8) -> Option<(u32, &'o [u32], &'o [u32])> {
        let bucket = block::bucket(self.hash(*order.first()?), bits);
        let end = order.partition_point(|&at| block::bucket(self.hash(at), bits) <= bucket);
        let (now, later) = order.split_at(end);
        Some((bucket, now, later))
    }

    /// A block with the changes that are its own, in `out`.
    fn encode(
        &self,
        block: &[u8],
        changes: &[u32],
        bits: u8,
        out: &mut Encoder,
    ) -> Result<(), StoreError> {
        let changes = changes.iter().map(|&at| {
            let entry = &self.entries[at as usize];
            (entry.hash, entry.change())
        });
        out.clear();
        block::start(out, bits);
        block::merge(self.table, &self.prefix, block, changes, out)
    }

    fn write(
        &self,
        kept: &mut Kept<PREFIX>,
        stored: &mut dyn Transaction,
        Scratch {
            scanned,
            block: scratch,
        }: &mut Scratch,
    ) -> Result<(), StoreError> {
        let prefix = &self.prefix;
        let changes = self.order.len();
        let scan = if changes >= SCANNED_FROM {
            scanned.read(self.table, prefix, &*stored, changes)?
        } else {
            None
        };
        let is_scanned = scan.is_some();
        let bits = match scan {
            Some(bits) => bits,
            None => kept.bits(prefix, &*stored)?,
        };
        let mut rest = self.order;
        while let Some((bucket, now, later)) = self.next_bucket(rest, bits) {
            let mut encode = |block: &[u8]| {
                self.encode(block, now, bits, scratch)?;
                Ok(!block.is_empty())
            };
            let was_stored = if is_scanned {
                encode(scanned.block(bucket))?
            } else {
                kept.with_bucket(prefix, bucket, &*stored, encode)?
            };
            let block = scratch.bytes();
            if block.len() > BLOCK_BYTES_MAX && bits < BITS_MAX {
                return self.split(rest, bits, kept, stored, scratch);
            }
            let key = BlockKey::new(prefix, bucket);
            let is_needed = bucket == 0 && bits > 0;
            if !block::is_empty(block) || is_needed {
                stored.put(self.table, key.bytes(), block)?;
                kept.replace(prefix, bucket, block);
            } else {
                if was_stored {
                    stored.delete(self.table, key.bytes())?;
                }
                kept.replace(prefix, bucket, &[]);
            }
            rest = later;
        }
        Ok(())
    }

    /// Cuts the prefix's entries, with the changes `order`, into more blocks.
    fn split(
        &self,
        order: &[u32],
        bits: u8,
        kept: &mut Kept<PREFIX>,
        stored: &mut dyn Transaction,
        scratch: &mut Encoder,
    ) -> Result<(), StoreError> {
        let (table, prefix) = (self.table, &self.prefix);
        let mut blocks = BTreeMap::new();
        stored.scan(table, &Range::prefix(prefix), &mut |key, block| {
            if let Some((_, bucket)) = BlockKey::split(key) {
                blocks.insert(bucket, block.to_vec());
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let before: Vec<u32> = blocks.keys().copied().collect();
        let mut rest = order;
        while let Some((bucket, now, later)) = self.next_bucket(rest, bits) {
            let block = blocks.entry(bucket).or_default();
            self.encode(block, now, bits, scratch)?;
            *block = scratch.bytes().to_vec();
            rest = later;
        }
        let mut entries = Vec::new();
        for block in blocks.values() {
            entries.extend_from_slice(block::open(table, block)?.1.rest());
        }
        let Cut { bits, blocks } = block::cut::<V>(table, &entries, bits + 1)?;
        for bucket in before {
            if blocks.binary_search_by_key(&bucket, |(at, _)| *at).is_err() {
                stored.delete(table, BlockKey::new(prefix, bucket).bytes())?;
            }
        }
        for (bucket, block) in &blocks {
            stored.put(table, BlockKey::new(prefix, *bucket).bytes(), block)?;
        }
        kept.replace_all(prefix, bits, blocks);
        Ok(())
    }
}
