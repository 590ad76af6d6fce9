use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn written(values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(values, &mut PartsWriter::new(&mut bytes));
    bytes
}

/// Reads from a copy that is aligned.
fn read_all<T: Lane>(bytes: &[u8], len: Len, max: T) -> Result<Vec<T>, DecodeError> {
    let payload = crate::codec::frame::Payload::copy_of(bytes);
    let mut input = Parts::new(payload.bytes());
    let values = read("column", &mut input, len, max)?;
    input.end()?;
    Ok(values)
}

#[track_caller]
fn check(values: &[u64], bytes: usize) {
    let written = written(values);
    assert_eq!(written.len(), bytes);
    let read = read_all::<u64>(&written, Len::Exactly(values.len()), u64::MAX);
    assert_eq!(read.as_deref(), Ok(values));
}

#[test]
fn a_column_takes_the_room_of_its_width() {
    check(&[], 16);
    check(&[7; 900], 16);
    let mixed = |max: u64| -> Vec<u64> { (0..64).map(|at| at * 2_654_435_761 % max).collect() };
    check(&mixed(2), 16 + 8);
    check(&mixed(16), 16 + 32);
    check(&mixed(1 << 8), 16 + 64);
    // 12 bits: bytes and nibbles.
    check(&mixed(1 << 12), 16 + 64 + 32);
}

#[test]
fn sorted_values_are_differences_and_rare_large_ones_exceptions() {
    // Only the first difference is another: an exception, whose two columns are two heads.
    let sorted: Vec<u64> = (0..900).map(|at| 1_000_000_007 + at * 37).collect();
    check(&sorted, 3 * 16);
    let mut small = [3_u64; 900];
    (small[5], small[899]) = (1 << 40, 1 << 50);
    // Constant, with two exceptions: their rows take 2 bytes, their values 8.
    check(&small, 3 * 16 + 8 + 16);
}

#[test]
fn what_does_not_fit_is_refused() {
    let bytes = written(&[5, 300, 70_000, 1 << 33]);
    let out_of_range = DecodeError::OutOfRange("column");
    assert_eq!(
        read_all::<u32>(&bytes, Len::Exactly(4), u32::MAX),
        Err(out_of_range.clone())
    );
    assert_eq!(
        read_all::<u64>(&bytes, Len::Exactly(4), 1 << 32),
        Err(out_of_range.clone())
    );
    assert_eq!(
        read_all::<u64>(&bytes, Len::Exactly(3), u64::MAX),
        Err(out_of_range.clone())
    );
    let too_many = DecodeError::TooMany {
        what: "column",
        len: 4,
        max: 3,
    };
    assert_eq!(
        read_all::<u64>(&bytes, Len::AtMost(3), u64::MAX),
        Err(too_many)
    );
    // A base that wraps around.
    let mut wraps = written(&[3, 1, 9]);
    wraps[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(
        read_all::<u64>(&wraps, Len::Exactly(3), u64::MAX),
        Err(out_of_range)
    );
}

#[test]
fn a_claimed_length_is_checked_before_it_is_reserved() {
    let mut bytes = written(&[1, 2, 3]);
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = DecodeError::TooMany {
        what: "column",
        len: u64::from(u32::MAX),
        max: 10,
    };
    assert_eq!(
        read_all::<u64>(&bytes, Len::AtMost(10), u64::MAX),
        Err(error)
    );
}

fn column() -> impl Strategy<Value = Vec<u64>> {
    let value = (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift);
    let narrow = (any::<u64>(), 0_u64..5_000).prop_map(|(base, width)| (base >> 1, width + 1));
    prop_oneof![
        prop::collection::vec(value, 0..200),
        (narrow, prop::collection::vec(any::<u64>(), 0..200)).prop_map(
            |((base, width), values)| { values.iter().map(|value| base + value % width).collect() }
        ),
        prop::collection::vec(any::<u64>(), 0..200).prop_map(|mut values| {
            values.sort_unstable();
            values
        }),
        // Small with a few large.
        prop::collection::vec((0_u64..8, 0_u32..20), 0..300).prop_map(|values| {
            let large = |(value, at): (u64, u32)| if at == 0 { value << 14 | 5 } else { value };
            values.into_iter().map(large).collect()
        }),
    ]
}

proptest! {
    #[test]
    fn integers_come_back(values in column()) {
        let bytes = written(&values);
        let len = Len::Exactly(values.len());
        prop_assert_eq!(&read_all::<u64>(&bytes, len, u64::MAX).unwrap(), &values);
        let narrow: Option<Vec<u32>> = values.iter().map(|&value| value.try_into().ok()).collect();
        let read = read_all::<u32>(&bytes, len, u32::MAX).ok();
        prop_assert_eq!(read, narrow);
    }

    #[test]
    fn any_bytes_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        head in any::<[u8; 6]>(),
        len in 0_usize..300,
    ) {
        // A likely head, so that more is reached.
        let mut bytes = bytes;
        for (slot, byte) in bytes.iter_mut().skip(8).zip([len as u8, (len >> 8) as u8, 0, 0]) {
            *slot = byte;
        }
        for (slot, byte) in bytes.iter_mut().skip(12).zip([head[0] & 67, head[1] & 1, head[2] & 1, 0]) {
            *slot = byte;
        }
        let _ = read_all::<u32>(&bytes, Len::Exactly(len), u32::MAX);
        let _ = read_all::<u64>(&bytes, Len::Exactly(len), u64::MAX);
    }
}
