//! Small records side by side in blocks: what one user has of a kind, for fewer and larger
//! records in the engine.
//!
//! An *entry* is (prefix, hash) → value. The entries of a prefix lie in blocks at (prefix, bucket
//! u32), where a bucket is the first `bits` bits of the hash, so that they sort by hash across
//! blocks too. All blocks of a prefix have the same `bits`; bucket 0 says how many and is there
//! while there is any. A block is a version, `bits`, then for each entry its hash and its value.

use super::codec::{Decoder, Encoder};
use super::error::StoreError;
use super::table::Table;
use super::{keys, reaction::Reaction, record::Record};

/// Bytes of a block before it is split in two.
pub const BLOCK_BYTES_MAX: usize = 512;
/// Bits of a hash that tell blocks apart at most; blocks of hashes that agree in more just grow.
pub const BITS_MAX: u8 = u32::BITS as u8;

const VERSION: u8 = 1;
/// Version and bits.
const HEADER_BYTES: usize = 2;
/// Bytes of a key: a number, a day and a bucket.
const KEY_BYTES_MAX: usize = 16;

/// A value that shares a record with others. It says itself where it ends.
pub trait Packable: Sized {
    /// Appends its bytes.
    fn put(&self, prefix: &[u8], out: &mut Encoder);

    /// Reads what [`Packable::put`] appended.
    ///
    /// # Errors
    /// Where it is no such value.
    fn take(input: &mut Decoder<'_>, table: Table, prefix: &[u8]) -> Result<Self, StoreError>;

    /// Passes over a value.
    ///
    /// # Errors
    /// Where it has no end.
    fn skip(input: &mut Decoder<'_>) -> Result<(), StoreError>;

    /// Adds what happened since: it comes to the same in any order and in any parts.
    fn merge(&mut self, part: &Self);
}

/// What becomes of an entry.
#[derive(Debug)]
pub enum Change<'v, V> {
    /// It is this.
    Set(&'v V),
    /// It is what it was with this [merged](Packable::merge) into it.
    Merge(&'v V),
    /// It goes.
    Remove,
}

/// What is called for each entry: prefix, hash and value.
pub type VisitEntry<'a, V> = dyn FnMut(&[u8], u64, V) -> Result<(), StoreError> + 'a;

/// A count.
impl Packable for u64 {
    fn put(&self, _prefix: &[u8], out: &mut Encoder) {
        out.uint(*self);
    }

    fn take(input: &mut Decoder<'_>, _table: Table, _prefix: &[u8]) -> Result<Self, StoreError> {
        input.uint()
    }

    fn skip(input: &mut Decoder<'_>) -> Result<(), StoreError> {
        input.uint().map(drop)
    }

    fn merge(&mut self, part: &Self) {
        *self = self.saturating_add(*part);
    }
}

/// A time, Unix ms, of the day that ends the prefix.
impl Packable for i64 {
    fn put(&self, prefix: &[u8], out: &mut Encoder) {
        out.int(self.wrapping_sub(midnight_ms(prefix)));
    }

    fn take(input: &mut Decoder<'_>, _table: Table, prefix: &[u8]) -> Result<Self, StoreError> {
        Ok(input.int()?.wrapping_add(midnight_ms(prefix)))
    }

    fn skip(input: &mut Decoder<'_>) -> Result<(), StoreError> {
        input.uint().map(drop)
    }

    /// The later one.
    fn merge(&mut self, part: &Self) {
        *self = (*self).max(*part);
    }
}

/// A part says what interaction happened and when; what stands is no part.
impl Packable for Reaction {
    fn put(&self, _prefix: &[u8], out: &mut Encoder) {
        out.sized(|out| self.write(out));
    }

    fn take(input: &mut Decoder<'_>, table: Table, _prefix: &[u8]) -> Result<Self, StoreError> {
        Self::decode(table, input.sized()?)
    }

    fn skip(input: &mut Decoder<'_>) -> Result<(), StoreError> {
        input.sized().map(drop)
    }

    fn merge(&mut self, part: &Self) {
        self.kinds |= part.kinds;
        self.last_ms = self.last_ms.max(part.last_ms);
    }
}

fn midnight_ms(prefix: &[u8]) -> i64 {
    keys::read_u32(prefix, 8).map_or(0, |day| i64::from(day) * keys::DAY_MS)
}

/// A block's key in its table.
#[derive(Clone, Copy, Debug)]
pub struct BlockKey {
    bytes: [u8; KEY_BYTES_MAX],
    len: usize,
}

impl BlockKey {
    /// The key of a prefix's `bucket`.
    #[must_use]
    pub fn new<const PREFIX: usize>(prefix: &[u8; PREFIX], bucket: u32) -> Self {
        const { assert!(PREFIX + 4 <= KEY_BYTES_MAX) };
        let mut bytes = [0; KEY_BYTES_MAX];
        bytes[..PREFIX].copy_from_slice(prefix);
        bytes[PREFIX..PREFIX + 4].copy_from_slice(&bucket.to_be_bytes());
        Self {
            bytes,
            len: PREFIX + 4,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Prefix and bucket of a key.
    #[must_use]
    pub fn split(key: &[u8]) -> Option<(&[u8], u32)> {
        let (prefix, bucket) = key.split_last_chunk()?;
        Some((prefix, u32::from_be_bytes(*bucket)))
    }
}

/// The bucket of a hash: its first `bits` bits, left-aligned.
#[must_use]
pub const fn bucket(hash: u64, bits: u8) -> u32 {
    let first = (hash >> 32) as u32;
    match bits {
        0 => 0,
        1..BITS_MAX => first & (u32::MAX << (BITS_MAX - bits)),
        _ => first,
    }
}

/// A block's `bits`, and its entries.
///
/// # Errors
/// Where it is no block.
pub fn open(table: Table, block: &[u8]) -> Result<(u8, Decoder<'_>), StoreError> {
    let mut input = Decoder::record(table, block, VERSION)?;
    let bits = input.byte()?;
    if bits > BITS_MAX {
        return Err(input.corrupt("a block of too many bits"));
    }
    Ok((bits, input))
}

/// Starts a block.
pub fn start(out: &mut Encoder, bits: u8) {
    out.byte(VERSION).byte(bits);
}

/// Whether a block has no entry.
#[must_use]
pub const fn is_empty(block: &[u8]) -> bool {
    block.len() <= HEADER_BYTES
}

/// The value of `hash` in a block; an empty slice is a block that is not there.
///
/// # Errors
/// Where the block is corrupt.
pub fn find<V: Packable>(
    table: Table,
    prefix: &[u8],
    block: &[u8],
    hash: u64,
) -> Result<Option<V>, StoreError> {
    if is_empty(block) {
        return Ok(None);
    }
    let (_, mut input) = open(table, block)?;
    while !input.is_empty() {
        let at = input.fixed()?;
        if at >= hash {
            return (at == hash)
                .then(|| V::take(&mut input, table, prefix))
                .transpose();
        }
        V::skip(&mut input)?;
    }
    Ok(None)
}

/// Appends the entries of a block with `changes` made, ascending by hash.
///
/// # Errors
/// Where the block is corrupt.
pub fn merge<'v, V: Packable + 'v>(
    table: Table,
    prefix: &[u8],
    block: &[u8],
    changes: impl Iterator<Item = (u64, Change<'v, V>)>,
    out: &mut Encoder,
) -> Result<(), StoreError> {
    let mut input = Decoder::part(table, block);
    if !block.is_empty() {
        input = open(table, block)?.1;
    }
    let mut last = None;
    for (hash, change) in changes {
        // What lies before the change is copied as it is.
        let before = input.rest();
        let mut copied = 0;
        let mut found = None;
        while !input.is_empty() {
            let mut entry = input.clone();
            let at = entry.fixed()?;
            if last.is_some_and(|last| at <= last) {
                return Err(entry.corrupt(UNSORTED));
            }
            if at > hash {
                break;
            }
            if at == hash {
                found = Some(entry.clone());
            }
            V::skip(&mut entry)?;
            last = Some(at);
            if at < hash {
                copied = before.len() - entry.rest().len();
            }
            input = entry;
        }
        out.raw(before.get(..copied).unwrap_or_default());
        match (change, found) {
            (Change::Remove, _) => {}
            (Change::Merge(part), Some(mut found)) => {
                let mut value = V::take(&mut found, table, prefix)?;
                value.merge(part);
                out.fixed(hash);
                value.put(prefix, out);
            }
            (Change::Set(value) | Change::Merge(value), _) => {
                out.fixed(hash);
                value.put(prefix, out);
            }
        }
    }
    out.raw(input.rest());
    Ok(())
}

const UNSORTED: &str = "a block's entries are out of order";

/// Where each of these sorted entries starts, with its hash.
fn starts<V: Packable>(table: Table, entries: &[u8]) -> Result<Vec<(u64, usize)>, StoreError> {
    let mut input = Decoder::part(table, entries);
    let mut starts: Vec<(u64, usize)> = Vec::new();
    while !input.is_empty() {
        let start = entries.len() - input.rest().len();
        let hash = input.fixed()?;
        if starts.last().is_some_and(|(last, _)| *last >= hash) {
            return Err(input.corrupt(UNSORTED));
        }
        V::skip(&mut input)?;
        starts.push((hash, start));
    }
    Ok(starts)
}

/// A prefix's entries in blocks.
#[derive(Debug)]
pub struct Cut {
    /// Bits of every block.
    pub bits: u8,
    /// Buckets, ascending, with their blocks.
    pub blocks: Vec<(u32, Vec<u8>)>,
}

/// Cuts a prefix's entries, one after the other, into blocks, ascending by bucket: of at least
/// `bits_min` bits, and of as many as it takes for every block to be small enough.
///
/// # Errors
/// Where the entries are corrupt.
pub fn cut<V: Packable>(table: Table, entries: &[u8], bits_min: u8) -> Result<Cut, StoreError> {
    let starts = starts::<V>(table, entries)?;
    let mut bits = bits_min;
    while bits < BITS_MAX && largest(&starts, entries.len(), bits) > BLOCK_BYTES_MAX {
        bits += 1;
    }
    let mut blocks: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut out = Encoder::default();
    // Bucket 0 is there even where it is empty: it says how many bits there are.
    start(&mut out, bits);
    let mut at = 0;
    for (from, to, next) in runs(&starts, entries.len(), bits) {
        if next != at {
            blocks.push((at, out.bytes().to_vec()));
            out.clear();
            start(&mut out, bits);
            at = next;
        }
        out.raw(entries.get(from..to).unwrap_or_default());
    }
    blocks.push((at, out.finish()));
    Ok(Cut { bits, blocks })
}

/// The bytes from where to where each bucket has.
fn runs(
    starts: &[(u64, usize)],
    len: usize,
    bits: u8,
) -> impl Iterator<Item = (usize, usize, u32)> + '_ {
    let mut rest = starts;
    std::iter::from_fn(move || {
        let &(hash, from) = rest.first()?;
        let at = bucket(hash, bits);
        let entries = rest.partition_point(|&(hash, _)| bucket(hash, bits) == at);
        rest = rest.get(entries..)?;
        Some((from, rest.first().map_or(len, |&(_, next)| next), at))
    })
}

fn largest(starts: &[(u64, usize)], len: usize, bits: u8) -> usize {
    let sizes = runs(starts, len, bits).map(|(from, to, _)| to - from + HEADER_BYTES);
    sizes.max().unwrap_or(0)
}

/// Decodes a block found at `key`: each entry's prefix, hash and value, ascending.
///
/// # Errors
/// Where key or block are corrupt, or `visit` fails.
pub fn entries<V: Packable>(
    table: Table,
    key: &[u8],
    block: &[u8],
    visit: &mut VisitEntry<'_, V>,
) -> Result<(), StoreError> {
    let (bits, mut input) = open(table, block)?;
    let (prefix, at) = BlockKey::split(key).ok_or_else(|| input.corrupt("key is too short"))?;
    let mut last = None;
    while !input.is_empty() {
        let hash = input.fixed()?;
        if last.is_some_and(|last| hash <= last) {
            return Err(input.corrupt(UNSORTED));
        }
        if bucket(hash, bits) != at {
            return Err(input.corrupt("an entry in another's block"));
        }
        last = Some(hash);
        visit(prefix, hash, V::take(&mut input, table, prefix)?)?;
    }
    Ok(())
}
