use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use lz4_flex::block::compress;
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::frame::{Format, Payload};
use super::{Reader, Writer};
use crate::decode::DecodeError;

const FORMAT: Format = Format {
    magic: "TEST",
    version: 3,
    bytes_max: 1_000,
    raw_bytes_max: 2_000,
};

/// A frame with any header values and a right checksum.
fn frame(magic: &str, version: u8, schema: u64, len: u32, block: &[u8]) -> Vec<u8> {
    let mut bytes = magic.as_bytes().to_vec();
    bytes.push(version);
    bytes.extend_from_slice(&schema.to_le_bytes());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(block);
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

#[track_caller]
fn refused(bytes: &[u8], error: DecodeError) {
    assert_eq!(FORMAT.open(5, bytes), Err(error));
}

#[test]
fn a_frame_is_refused_by_name() {
    let payload = [9; 50];
    let block = compress(&payload);
    assert_eq!(
        FORMAT.open(5, &frame("TEST", 3, 5, 50, &block)),
        Ok(Payload::copy_of(&payload))
    );

    refused(b"", DecodeError::Truncated("its header"));
    refused(b"TEST", DecodeError::Truncated("its header"));
    refused(b"TEST\x03", DecodeError::Truncated("its header"));
    refused(
        &frame("TOAD", 3, 5, 50, &block),
        DecodeError::Magic { expected: "TEST" },
    );
    let version = DecodeError::UnknownVersion {
        found: 4,
        expected: 3,
    };
    refused(&frame("TEST", 4, 5, 50, &block), version);
    let schema = DecodeError::SchemaMismatch {
        found: 6,
        expected: 5,
    };
    refused(&frame("TEST", 3, 6, 50, &block), schema);
    refused(&frame("TEST", 3, 5, 51, &block), DecodeError::Compression);
    refused(&frame("TEST", 3, 5, 49, &block), DecodeError::Compression);
    refused(&frame("TEST", 3, 5, 50, b""), DecodeError::Compression);
    refused(
        &[0; 1_001],
        DecodeError::TooLarge {
            len: 1_001,
            max: 1_000,
        },
    );
}

#[test]
fn a_claimed_size_over_the_limit_is_refused_before_it_is_reserved() {
    let block = compress(&[9; 50]);
    let too_large = DecodeError::TooLarge {
        len: u32::MAX as usize,
        max: 2_000,
    };
    refused(&frame("TEST", 3, 5, u32::MAX, &block), too_large);
    // Within the limit, but LZ4 could never get there from so few bytes.
    refused(
        &frame("TEST", 3, 5, 2_000, &[0; 7]),
        DecodeError::Compression,
    );
}

#[test]
fn a_long_list_is_refused_by_its_name_before_it_is_read() {
    let mut out = Writer::default();
    out.varint(u64::MAX);
    let bytes = out.finish();
    let error = DecodeError::TooMany {
        what: "things",
        len: u64::MAX,
        max: 10,
    };
    assert_eq!(Reader::new(&bytes).len("things", 10), Err(error));
}

#[test]
fn an_overlong_varint_is_refused() {
    for bytes in [[0xff; 10], [0x80; 10]] {
        assert_eq!(
            Reader::new(&bytes).varint("n"),
            Err(DecodeError::OutOfRange("n"))
        );
    }
}

#[test]
fn a_constant_column_takes_no_room() {
    let mut out = Writer::default();
    out.ints(&[7; 900]);
    assert_eq!(out.finish().len(), 2);
}

#[test]
fn numbers_and_uuids_are_written_as_such() {
    let size = |id: &str| {
        let mut out = Writer::default();
        out.ids(vec![id; 100].into_iter());
        out.finish().len()
    };
    assert!(size("18446744073709551615") < 20);
    assert!(size("00000000-0000-4000-8000-00000000000a") < 1_610);
    // Other spellings must come back as they were, so they stay texts.
    assert!(size("00000000-0000-4000-8000-00000000000A") > 3_600);
    assert!(size("007") > 300);
    assert!(size("18446744073709551616") > 2_000);
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        (0_u64..1_000).prop_map(|number| format!("0{number}")),
        any::<[u8; 16]>().prop_map(|b| {
            let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
            [
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..],
            ]
            .join("-")
        }),
        "[0-9a-fA-F-]{36}",
        "\\PC{0,16}",
    ]
}

fn column() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![
        prop::collection::vec(any::<u64>(), 0..50),
        prop::collection::vec(0_u64..300, 0..200),
        (any::<u64>(), 0_usize..50).prop_map(|(value, len)| vec![value; len]),
        prop::collection::vec(any::<u64>(), 0..50).prop_map(|mut values| {
            values.sort_unstable();
            values
        }),
        (any::<u64>(), prop::collection::vec(0_u64..5_000, 0..200)).prop_map(|(base, values)| {
            values
                .into_iter()
                .map(|value| base.wrapping_add(value))
                .collect()
        }),
    ]
}

proptest! {
    #[test]
    fn integers_come_back(values in column()) {
        let mut out = Writer::default();
        out.ints(&values);
        let bytes = out.finish();
        let mut input = Reader::new(&bytes);
        prop_assert_eq!(input.ints("column", values.len(), u64::MAX), Ok(values));
        prop_assert_eq!(input.end(), Ok(()));
    }

    #[test]
    fn signed_integers_come_back(values in prop::collection::vec(any::<i64>(), 0..50)) {
        let mut out = Writer::default();
        out.signed(&values);
        let bytes = out.finish();
        prop_assert_eq!(Reader::new(&bytes).signed("column", values.len()), Ok(values));
    }

    #[test]
    fn floats_come_back_to_the_bit(doubles in prop::collection::vec(any::<u64>(), 0..50)) {
        let values: Vec<f64> = doubles.iter().copied().map(f64::from_bits).collect();
        let mut out = Writer::default();
        out.f64s(&values);
        let bytes = out.finish();
        let read = Reader::new(&bytes).f64s("column", values.len()).unwrap();
        prop_assert_eq!(read.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), doubles);
    }

    #[test]
    fn ids_come_back(ids in prop::collection::vec(id(), 0..40)) {
        let mut out = Writer::default();
        out.ids(ids.iter().map(String::as_str));
        let bytes = out.finish();
        let mut input = Reader::new(&bytes);
        let mut read = Vec::new();
        input.ids("ids", ids.len(), 256, |id| read.push(id.to_string())).unwrap();
        prop_assert_eq!(read, ids);
        prop_assert_eq!(input.end(), Ok(()));
    }

    #[test]
    fn any_bytes_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), len in 0_usize..300) {
        let _ = Reader::new(&bytes).ints("column", len, u64::MAX);
        let _ = Reader::new(&bytes).f64s("column", len);
        let _ = Reader::new(&bytes).ids("ids", len, 64, |_| {});
        let _ = Reader::new(&bytes).texts("texts", len, 64, |_| {});
        let _ = FORMAT.open(5, &bytes);
    }
}
