use alloc::vec::Vec;

use super::*;
use crate::bundle::Bundle;
use crate::samples;

const ENTRY: usize = ENTRY_BYTES;

/// The payload of a bundle, its number of columns, and where the columns begin.
fn payload() -> (Vec<u8>, usize, usize) {
    let payload = crate::bundle::codec::tests::payload_of(&samples::bundle());
    let count = usize::from(payload[0]);
    (payload, count, COUNT_BYTES + count * ENTRY)
}

/// The payload with one more column, of number `id`, at the end.
fn with_column(id: u8, flags: u8) -> Vec<u8> {
    let (mut payload, count, start) = payload();
    payload.splice(start..start, [id, flags, 0, 0, 16, 0, 0, 0]);
    payload[0] = count as u8 + 1;
    payload.extend_from_slice(&[0xee; 16]);
    payload
}

#[track_caller]
fn refused(payload: &[u8], error: DecodeError) {
    assert_eq!(Bundle::from_payload(payload), Err(error));
}

#[test]
fn an_unknown_column_is_skipped_unless_it_is_required() {
    let read = Bundle::from_payload(&with_column(250, 0)).unwrap();
    assert_eq!(read.encode(), samples::bundle().encode());
    refused(&with_column(250, REQUIRED), DecodeError::UnknownColumn(250));
    // Between the columns that are known, too.
    assert!(!is_known(column::SKETCHES + 1));
}

#[test]
fn columns_come_in_order_and_once() {
    let order = DecodeError::OutOfRange("the order of columns");
    refused(&with_column(column::HEAD, 0), order.clone());
    let (mut payload, ..) = payload();
    payload[COUNT_BYTES + ENTRY] = column::HEAD;
    refused(&payload, order);
}

#[test]
fn a_broken_directory_is_refused_by_name() {
    let (payload, count, start) = payload();
    let entry = |at: usize, value: u8| {
        let mut payload = payload.clone();
        payload[COUNT_BYTES + at] = value;
        payload
    };
    let broken = DecodeError::OutOfRange("a column's entry");
    refused(&entry(1, 2), broken.clone());
    refused(&entry(2, 1), broken.clone());
    refused(&entry(3, 1), broken.clone());
    // The head is 40 bytes: 39, 48 and very many.
    refused(&entry(4, 39), broken);
    assert!(Bundle::from_payload(&entry(4, 48)).is_err());
    refused(&entry(7, 255), DecodeError::Truncated("a column"));
    let mut more = payload.clone();
    more[1] = 2;
    let many = DecodeError::TooMany {
        what: "columns",
        len: 512 + count as u64,
        max: 256,
    };
    refused(&more, many);
    refused(
        &payload[..start - 1],
        DecodeError::Truncated("the column directory"),
    );
    refused(b"", DecodeError::Truncated("the column directory"));
    refused(&[0; 8], DecodeError::MissingColumn("the head"));
    refused(&[0; 16], DecodeError::TrailingBytes(8));
}

#[test]
fn a_missing_optional_column_takes_its_default() {
    let (payload, count, start) = payload();
    let entries: Vec<&[u8]> = payload[COUNT_BYTES..start].chunks(ENTRY).collect();
    let sizes = entries
        .iter()
        .map(|entry| usize::from(u16::from_le_bytes([entry[4], entry[5]])));
    let sizes: Vec<usize> = sizes.collect();
    for (at, entry) in entries.iter().enumerate() {
        let begin = start + sizes[..at].iter().sum::<usize>();
        let mut without = payload.clone();
        without.drain(begin..begin + sizes[at]);
        without.drain(COUNT_BYTES + at * ENTRY..COUNT_BYTES + (at + 1) * ENTRY);
        without[0] = count as u8 - 1;
        let read = Bundle::from_payload(&without);
        match entry[0] {
            column::HEAD | column::ITEM_IDS | column::AUTHOR_IDS => {
                assert!(matches!(read, Err(DecodeError::MissingColumn(_))));
            }
            // Rows name authors and labels that are not there.
            column::LABELS => assert!(read.is_err()),
            // Whose tags they are is not known without their numbers.
            column::TAG_COUNTS => assert!(read.is_err()),
            id => {
                let read = read.unwrap_or_else(|error| panic!("column {id}: {error}"));
                assert_eq!(read.candidates.len(), 3, "column {id}");
            }
        }
    }
}
