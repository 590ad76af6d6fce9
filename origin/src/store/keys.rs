//! Keys of the tables: fixed-width big-endian integers, so that they sort by value.

use crate::ingest::rows::RowKey;

/// Name in [`Table::Meta`](super::Table::Meta): the file's format.
pub const FORMAT: &[u8] = b"format";
/// Name in `Meta`: sequence number of the log's last record.
pub const POSITION: &[u8] = b"position";
/// Name in `Meta`: the next user number.
pub const NEXT_USER: &[u8] = b"next_user";
/// Name in `Meta`: the first log record whose event id may still be in `Dedupe`.
pub const DEDUPE_FROM: &[u8] = b"dedupe_from";
/// Name in `Meta`: the hot score's parameters that the sums were made with.
pub const HOT_CONFIG: &[u8] = b"hot_config";
/// Name in `Meta`: the rule of outliers that the sums were made by.
pub const OUTLIER_RULE: &[u8] = b"outlier_rule";
/// Name in `Meta`: receipt wall time of the newest log record; receipt never goes back.
pub const WALL_MS: &[u8] = b"wall_ms";

/// Name in `Meta`: the next number of a mapped table.
pub const NEXT_TABLE: &[u8] = b"next_table";
/// Name in `Meta`: how many dead letters there are, by table.
pub const DEAD_LETTERS: &[u8] = b"dead_letters";

/// Rows whose integer keys differ in these lowest bits only share a block.
pub const BLOCK_BITS: u32 = 6;

/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a UTC day.
pub const DAY_MS: i64 = 86_400_000;

/// Second part of a key of `Hides`: an item.
pub const HIDDEN_ITEM: u8 = 0;
/// Second part of a key of `Hides`: an author.
pub const HIDDEN_AUTHOR: u8 = 1;

/// The hour since 1970 of a time; times before 1970 are in hour 0.
#[must_use]
pub fn hour_of(at_ms: i64) -> u32 {
    u32::try_from(at_ms.max(0) / HOUR_MS).unwrap_or(u32::MAX)
}

/// The UTC day since 1970 of a time; times before 1970 are in day 0.
#[must_use]
pub fn day_of(at_ms: i64) -> u32 {
    u32::try_from(at_ms.max(0) / DAY_MS).unwrap_or(u32::MAX)
}

/// A key of one number.
#[must_use]
pub fn number(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}

/// A key of two numbers: (user, author), (user, item).
#[must_use]
pub fn pair(first: u64, second: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..].copy_from_slice(&second.to_be_bytes());
    key
}

/// A key of a number, a day and a number: (user, day, item), (user, day, author).
#[must_use]
pub fn by_day(first: u64, day: u32, second: u64) -> [u8; 20] {
    let mut key = [0; 20];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..12].copy_from_slice(&day.to_be_bytes());
    key[12..].copy_from_slice(&second.to_be_bytes());
    key
}

/// A key of a number and a day or hour: (item, hour); the first 12 bytes of [`by_day`].
#[must_use]
pub fn number_slot(first: u64, slot: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..].copy_from_slice(&slot.to_be_bytes());
    key
}

/// A key of a day and a number: (day, block of users).
#[must_use]
pub fn slot_number(slot: u32, second: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&slot.to_be_bytes());
    key[4..].copy_from_slice(&second.to_be_bytes());
    key
}

/// A key of `Hides`: (user, kind, hash).
#[must_use]
pub fn hide(user: u64, kind: u8, hash: u64) -> [u8; 17] {
    let mut key = [0; 17];
    key[..8].copy_from_slice(&user.to_be_bytes());
    key[8] = kind;
    key[9..].copy_from_slice(&hash.to_be_bytes());
    key
}

const INT_ROW: u8 = 0;
const HASH_ROW: u8 = 1;

/// An integer key so that its bytes sort by value.
const fn sortable(key: i64) -> u64 {
    (key as u64) ^ (1 << 63)
}

/// The slot of an integer key in its block.
#[must_use]
pub const fn row_slot(key: i64) -> usize {
    (sortable(key) & ((1 << BLOCK_BITS) - 1)) as usize
}

/// A key of `Rows`: the block of an integer key.
#[must_use]
pub fn row_block(table: u32, key: i64) -> [u8; 13] {
    tagged(table, INT_ROW, (sortable(key) >> BLOCK_BITS).to_be_bytes())
}

/// A key of `Rows` and `DeadKeys`: a hashed key.
#[must_use]
pub fn row_hash(table: u32, key: u128) -> [u8; 21] {
    tagged(table, HASH_ROW, key.to_be_bytes())
}

/// A key of `DeadKeys`.
#[must_use]
pub fn dead(table: u32, key: RowKey) -> Vec<u8> {
    match key {
        RowKey::Int(key) => tagged::<8, 13>(table, INT_ROW, sortable(key).to_be_bytes()).to_vec(),
        RowKey::Hash(key) => row_hash(table, key).to_vec(),
    }
}

/// The first key (slot 0) of the block, or the hashed key, that a key of `Rows` names.
#[must_use]
pub fn read_row(key: &[u8]) -> Option<RowKey> {
    match (key.get(4), key.len()) {
        (Some(&INT_ROW), 13) => {
            let block = read_u64(key, 5)?;
            Some(RowKey::Int((block << BLOCK_BITS) as i64 ^ i64::MIN))
        }
        (Some(&HASH_ROW), 21) => {
            let bytes = key.get(5..)?;
            Some(RowKey::Hash(u128::from_be_bytes(bytes.try_into().ok()?)))
        }
        _ => None,
    }
}

/// A key of `Checkpoints`.
#[must_use]
pub fn checkpoint(source: &str, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(source.len() + 1 + name.len());
    key.extend_from_slice(source.as_bytes());
    key.push(0);
    key.extend_from_slice(name.as_bytes());
    key
}

fn tagged<const PART: usize, const KEY: usize>(table: u32, tag: u8, part: [u8; PART]) -> [u8; KEY] {
    let mut key = [0; KEY];
    key[..4].copy_from_slice(&table.to_be_bytes());
    key[4] = tag;
    key[5..].copy_from_slice(&part);
    key
}

/// The big-endian u64 at byte `at` of a key.
#[must_use]
pub fn read_u64(key: &[u8], at: usize) -> Option<u64> {
    let bytes = key.get(at..at.checked_add(8)?)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// The big-endian u32 at byte `at` of a key.
#[must_use]
pub fn read_u32(key: &[u8], at: usize) -> Option<u32> {
    let bytes = key.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_value() {
        assert!(by_day(1, 255, 9) < by_day(1, 256, 0));
        assert!(pair(1, u64::MAX) < pair(2, 0));
        assert_eq!(read_u64(&by_day(7, 8, 9), 12), Some(9));
        assert_eq!(read_u32(&by_day(7, 8, 9), 8), Some(8));
        assert_eq!(read_u64(&[0; 7], 0), None);
    }

    #[test]
    fn rows_sort_by_key_and_are_read_back() {
        let blocks = [i64::MIN, -65, -64, -1, 0, 63, 64, i64::MAX].map(|key| row_block(7, key));
        assert!(blocks.is_sorted());
        assert_eq!(blocks[2], blocks[3]);
        assert_eq!(blocks[4], blocks[5]);
        assert_eq!(read_row(&blocks[3]), Some(RowKey::Int(-64)));
        assert_eq!(read_row(&row_block(1, 130)), Some(RowKey::Int(128)));
        assert_eq!((row_slot(-1), row_slot(0), row_slot(130)), (63, 0, 2));
        let hash = RowKey::Hash(u128::MAX / 3);
        assert_eq!(read_row(&dead(1, hash)), Some(hash));
        assert!(row_block(1, i64::MAX).as_slice() < row_hash(1, 0).as_slice());
        assert_eq!(read_row(&[0; 12]), None);
    }
}
