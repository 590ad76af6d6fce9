//! The column directory: which columns a payload has, and where each begins.

use alloc::vec::Vec;

use edgewise_ranking::Feature;

use super::part::{Parts, PartsWriter};
use crate::decode::DecodeError;

/// Numbers of the columns. A number is never given to another column.
pub(super) mod column {
    pub(in super::super) const HEAD: u8 = 1;
    pub(in super::super) const USER: u8 = 2;
    pub(in super::super) const USER_VECTOR: u8 = 3;
    pub(in super::super) const FOLLOWS: u8 = 4;
    pub(in super::super) const HIDDEN_AUTHORS: u8 = 5;
    pub(in super::super) const REMOVED_ITEMS: u8 = 6;
    pub(in super::super) const APPLIED_EVENTS: u8 = 7;
    pub(in super::super) const ITEM_IDS: u8 = 8;
    pub(in super::super) const AUTHOR_IDS: u8 = 9;
    pub(in super::super) const LABELS: u8 = 10;
    pub(in super::super) const AUTHOR: u8 = 11;
    pub(in super::super) const CREATED_AT: u8 = 12;
    pub(in super::super) const SOURCES: u8 = 13;
    pub(in super::super) const KIND: u8 = 14;
    pub(in super::super) const LANGUAGE: u8 = 15;
    pub(in super::super) const REGION: u8 = 16;
    pub(in super::super) const TAG_COUNTS: u8 = 17;
    pub(in super::super) const TAGS: u8 = 18;
    pub(in super::super) const SKETCHES: u8 = 19;
    /// And the feature's discriminant.
    pub(in super::super) const FEATURE: u8 = 64;
}

/// One above the largest number that is known here.
const KNOWN_END: usize = column::FEATURE as usize + Feature::COUNT;
/// Bytes of the number of columns and what is reserved beside it.
const COUNT_BYTES: usize = 8;
/// Bytes of an entry.
const ENTRY_BYTES: usize = 8;
/// Flag of a column without which the others mislead.
const REQUIRED: u8 = 1;

/// Columns that are being written, in the order of their numbers.
#[derive(Default)]
pub(super) struct Columns {
    entries: Vec<[u8; ENTRY_BYTES]>,
    bytes: Vec<u8>,
}

impl Columns {
    /// Appends a column that a reader must know.
    pub(super) fn required(&mut self, id: u8, write: impl FnOnce(&mut PartsWriter<'_>)) {
        self.push(id, REQUIRED, write);
    }

    /// Appends a column that a reader may skip.
    pub(super) fn optional(&mut self, id: u8, write: impl FnOnce(&mut PartsWriter<'_>)) {
        self.push(id, 0, write);
    }

    fn push(&mut self, id: u8, flags: u8, write: impl FnOnce(&mut PartsWriter<'_>)) {
        let start = self.bytes.len();
        write(&mut PartsWriter::new(&mut self.bytes));
        let len = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        let [a, b, c, d] = len.to_le_bytes();
        self.entries.push([id, flags, 0, 0, a, b, c, d]);
    }

    /// The payload.
    pub(super) fn finish(self) -> Vec<u8> {
        let directory = COUNT_BYTES + self.entries.len() * ENTRY_BYTES;
        let mut payload = Vec::with_capacity(directory + self.bytes.len());
        payload.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        payload.extend(self.entries.as_flattened());
        payload.extend_from_slice(&self.bytes);
        payload
    }
}

/// The known columns of a payload.
pub(super) struct Directory<'a> {
    columns: [Option<&'a [u8]>; KNOWN_END],
}

impl<'a> Directory<'a> {
    /// Reads the directory of `payload`, which begins at a multiple of 8 in memory.
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let truncated = DecodeError::Truncated("the column directory");
        let (count, rest) = payload
            .split_first_chunk::<COUNT_BYTES>()
            .ok_or(truncated.clone())?;
        let count = u64::from_le_bytes(*count);
        // A number is a byte and none comes twice.
        if count > 256 {
            return Err(DecodeError::TooMany {
                what: "columns",
                len: count,
                max: 256,
            });
        }
        let (entries, mut rest) = rest
            .split_at_checked(count as usize * ENTRY_BYTES)
            .ok_or(truncated)?;
        let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
        let mut columns = [None; KNOWN_END];
        let mut before = None;
        for &[id, flags, reserved, reserved_too, a, b, c, d] in entries {
            let len = u32::from_le_bytes([a, b, c, d]) as usize;
            if before.is_some_and(|before| before >= id) {
                return Err(DecodeError::OutOfRange("the order of columns"));
            }
            if flags & !REQUIRED != 0
                || reserved != 0
                || reserved_too != 0
                || !len.is_multiple_of(8)
            {
                return Err(DecodeError::OutOfRange("a column's entry"));
            }
            let (bytes, after) = rest
                .split_at_checked(len)
                .ok_or(DecodeError::Truncated("a column"))?;
            match columns.get_mut(usize::from(id)) {
                Some(column) if is_known(id) => *column = Some(bytes),
                _ if flags & REQUIRED != 0 => return Err(DecodeError::UnknownColumn(id)),
                _ => {}
            }
            (before, rest) = (Some(id), after);
        }
        match rest.len() {
            0 => Ok(Self { columns }),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    /// The column's parts; `None` where the payload does not have it.
    pub(super) fn get(&self, id: u8) -> Option<Parts<'a>> {
        let column = self.columns.get(usize::from(id)).copied().flatten();
        column.map(Parts::new)
    }
}

const fn is_known(id: u8) -> bool {
    matches!(id, column::HEAD..=column::SKETCHES) || id >= column::FEATURE
}

#[cfg(test)]
mod tests;
