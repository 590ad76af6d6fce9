//! Keys of the tables: fixed-width big-endian integers, so that they sort by value.

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

/// A key of a day and a number: (day, user).
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
}
