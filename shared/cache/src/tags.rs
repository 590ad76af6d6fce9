//! Tags that responses are purged by: `Cache-Tag` (commas) and `Surrogate-Key` (spaces).

use alloc::vec::Vec;

use crate::fields::{Fields, list};

/// Tags of one response; more are forgotten, and so is what exceeds [`TAG_BYTES_MAX`].
pub const TAGS_MAX: usize = 128;

/// Bytes of one tag.
pub const TAG_BYTES_MAX: usize = 256;

/// The hash that stands for a tag, compared without case.
#[must_use]
pub fn hash(tag: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&tag.to_ascii_lowercase())
}

/// The tags of a response, sorted.
#[must_use]
pub fn of<F: Fields + ?Sized>(fields: &F) -> Vec<u64> {
    let words = fields
        .values("surrogate-key")
        .flat_map(|keys| keys.split(u8::is_ascii_whitespace));
    let mut out: Vec<u64> = list(fields, "cache-tag")
        .chain(words)
        .filter(|tag| !tag.is_empty() && tag.len() <= TAG_BYTES_MAX)
        .take(TAGS_MAX)
        .map(hash)
        .collect();
    out.sort_unstable();
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn both_fields_are_read_without_case() {
        let found = of(&vec![("Cache-Tag", "a, B"), ("Surrogate-Key", "c  a")]);
        let mut expected = vec![hash(b"A"), hash(b"b"), hash(b"c")];
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn too_many_and_too_long_are_forgotten() {
        let many: Vec<alloc::string::String> = (0..999).map(|n| alloc::format!("t{n}")).collect();
        assert_eq!(of(&vec![("Cache-Tag", many.join(","))]).len(), TAGS_MAX);
        assert!(of(&vec![("Cache-Tag", "x".repeat(TAG_BYTES_MAX + 1))]).is_empty());
    }
}
