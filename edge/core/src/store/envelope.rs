//! What is stored in the Cache API and KV: the origin's bytes behind when and what they are,
//! so that ages survive every tier.

use alloc::vec::Vec;

use edgewise_ranking::id_hash;

use crate::resource::Resource;

/// Bytes before the value.
const HEAD_BYTES: usize = 12;

/// The `kind` of a resource's value: its number in the low byte, above it 24 bits of the
/// key's hash, so that a store which mixes up its keys is found out.
pub(crate) fn kind_of(resource: &Resource, key: &str) -> u32 {
    let [.., high, middle, low] = id_hash(key).to_be_bytes();
    u32::from_be_bytes([high, middle, low, resource.kind()])
}

/// Wraps a value: `u64 stored_at_ms`, `u32 kind`, both little-endian, then the bytes.
pub(crate) fn wrap(stored_at_ms: i64, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut wrapped = Vec::with_capacity(HEAD_BYTES + body.len());
    wrapped.extend_from_slice(&u64::try_from(stored_at_ms).unwrap_or(0).to_le_bytes());
    wrapped.extend_from_slice(&kind.to_le_bytes());
    wrapped.extend_from_slice(body);
    wrapped
}

/// When it was stored (wall, Unix ms) and the value; `None` where it is not a value of `kind`
/// or from the future (more than a minute: clocks of data centres differ a little).
pub(crate) fn unwrap(bytes: &[u8], kind: u32, wall_ms: i64) -> Option<(i64, &[u8])> {
    let (stored_at, rest) = bytes.split_first_chunk::<8>()?;
    let (found, body) = rest.split_first_chunk::<4>()?;
    let stored_at_ms = i64::try_from(u64::from_le_bytes(*stored_at)).ok()?;
    let known = u32::from_le_bytes(*found) == kind;
    let past = stored_at_ms <= wall_ms.saturating_add(60_000);
    (known && past).then_some((stored_at_ms.min(wall_ms), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_opens_for_its_kind_only() {
        let wrapped = wrap(5_000, 3, b"abc");
        assert_eq!(unwrap(&wrapped, 3, 6_000), Some((5_000, &b"abc"[..])));
        assert_eq!(unwrap(&wrapped, 4, 6_000), None);
        assert_eq!(
            unwrap(&wrapped, 3, 4_000),
            Some((4_000, &b"abc"[..])),
            "small skew"
        );
        assert_eq!(
            unwrap(&wrap(100_000, 3, b""), 3, 0),
            None,
            "from the future"
        );
        for cut in 0..HEAD_BYTES {
            assert_eq!(unwrap(&wrapped[..cut], 3, 6_000), None);
        }
    }
}
