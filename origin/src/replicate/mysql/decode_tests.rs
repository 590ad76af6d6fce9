//! Values as a server writes them; the bytes of dates, times and decimals are from the server's
//! own documentation and from binlogs of MariaDB 10.11.

use super::*;
use proptest::prelude::*;

/// Reads one column of one row and says what it is.
#[track_caller]
fn check(kind: Kind, bytes: &[u8], expected: Value<'_>) {
    let slots = [Slot { kind, wanted: true }];
    let row = [&[0], bytes].concat();
    let mut cursor = Cursor::new(&row, "test");
    let mut image = Image::default();
    image.read(&mut cursor, &slots, &[1]).unwrap();
    assert_eq!(image.get(0), expected);
    assert!(cursor.is_empty(), "everything is read");
    // A column that is passed over takes the same bytes; a cut one is an error.
    let skipped = [Slot {
        wanted: false,
        ..slots[0].clone()
    }];
    let mut cursor = Cursor::new(&row, "test");
    let mut image = Image::default();
    image.read(&mut cursor, &skipped, &[1]).unwrap();
    assert_eq!((image.get(0), cursor.is_empty()), (Value::Unchanged, true));
    for cut in 0..row.len() {
        let mut image = Image::default();
        assert!(
            image
                .read(&mut Cursor::new(&row[..cut], "test"), &slots, &[1])
                .is_err()
        );
    }
}

fn labels(of: &[&str]) -> Labels {
    of.iter().map(|label| Box::from(*label)).collect()
}

#[test]
fn integers_keep_their_sign() {
    check(
        Kind::Int {
            bytes: 1,
            unsigned: false,
        },
        &[0xff],
        Value::Int(-1),
    );
    check(
        Kind::Int {
            bytes: 1,
            unsigned: true,
        },
        &[0xff],
        Value::Uint(255),
    );
    check(
        Kind::Int {
            bytes: 3,
            unsigned: false,
        },
        &[0, 0, 0x80],
        Value::Int(-8_388_608),
    );
    check(
        Kind::Int {
            bytes: 8,
            unsigned: true,
        },
        &[0xff; 8],
        Value::Uint(u64::MAX),
    );
    check(Kind::Bit { bytes: 2 }, &[1, 2], Value::Uint(0x0102));
    check(Kind::Year, &[126], Value::Int(2026));
    check(Kind::Year, &[0], Value::Int(0));
    check(Kind::Double, &1.5_f64.to_le_bytes(), Value::Float(1.5));
    check(Kind::Float, &1.5_f32.to_le_bytes(), Value::Float(1.5));
}

#[test]
fn moments_are_utc_microseconds() {
    // 2026-11-21 12:34:56 UTC.
    let (seconds, micros) = (1_795_264_496_i64, 1_795_264_496_000_000);
    let big = (seconds as u32).to_be_bytes();
    check(
        Kind::OldTimestamp,
        &(seconds as u32).to_le_bytes(),
        Value::Time(micros),
    );
    check(Kind::Timestamp { digits: 0 }, &big, Value::Time(micros));
    let with_fraction = [&big[..], &[0x01, 0x89, 0x3a]].concat();
    check(
        Kind::Timestamp { digits: 6 },
        &with_fraction,
        Value::Time(micros + 100_666),
    );
    check(
        Kind::Timestamp { digits: 3 },
        &[&big[..], &[0x03, 0xe8]].concat(),
        Value::Time(micros + 100_000),
    );
    check(
        Kind::Timestamp { digits: 0 },
        &[0; 4],
        Value::Text("0000-00-00"),
    );
    let packed = 1_u64 << 39 | (2026 * 13 + 11) << 22 | 21 << 17 | 12 << 12 | 34 << 6 | 56;
    check(
        Kind::Datetime { digits: 0 },
        &packed.to_be_bytes()[3..],
        Value::Time(micros),
    );
    let fraction = [&packed.to_be_bytes()[3..], &[50]].concat();
    check(
        Kind::Datetime { digits: 2 },
        &fraction,
        Value::Time(micros + 500_000),
    );
    check(
        Kind::OldDatetime,
        &20_261_121_123_456_u64.to_le_bytes(),
        Value::Time(micros),
    );
    let day = (2026_u32 << 9 | 11 << 5 | 21).to_le_bytes();
    check(Kind::Date, &day[..3], Value::Time(1_795_219_200_000_000));
    check(Kind::Date, &[0; 3], Value::Text("0000-00-00"));
}

#[test]
fn times_are_text() {
    let packed = 0x80_0000_u32 + (12 << 12 | 34 << 6 | 56);
    check(
        Kind::Time { digits: 0 },
        &packed.to_be_bytes()[1..],
        Value::Text("12:34:56"),
    );
    let negative = 0x80_0000_u32 - (1 << 12);
    check(
        Kind::Time { digits: 0 },
        &negative.to_be_bytes()[1..],
        Value::Text("-01:00:00"),
    );
    let with_fraction = [&packed.to_be_bytes()[1..], &[50]].concat();
    check(
        Kind::Time { digits: 2 },
        &with_fraction,
        Value::Text("12:34:56.50"),
    );
    check(
        Kind::OldTime,
        &123_456_u32.to_le_bytes()[..3],
        Value::Text("12:34:56"),
    );
}

#[test]
fn decimals_are_text() {
    let kind = Kind::Decimal {
        precision: 14,
        scale: 4,
    };
    // The example of the server's source: 1234567890.1234.
    let bytes = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
    check(kind.clone(), &bytes, Value::Text("1234567890.1234"));
    let negative = [0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d];
    check(kind, &negative, Value::Text("-1234567890.1234"));
    check(
        Kind::Decimal {
            precision: 5,
            scale: 0,
        },
        &[0x80, 0, 7],
        Value::Text("7"),
    );
    check(
        Kind::Decimal {
            precision: 2,
            scale: 2,
        },
        &[0x80 | 5],
        Value::Text("0.05"),
    );
}

#[test]
fn text_is_in_its_character_set() {
    let utf8 = Kind::Text {
        prefix: 1,
        charset: Charset::Utf8,
    };
    check(utf8.clone(), b"\x04gr\xc3\xbc", Value::Text("grü"));
    check(utf8, b"\x02\xc3(", Value::Bytes(b"\xc3("));
    let latin1 = Kind::Text {
        prefix: 2,
        charset: Charset::Latin1,
    };
    check(latin1, b"\x04\0gr\xfc\x80", Value::Text("grü€"));
    let other = Kind::Text {
        prefix: 1,
        charset: Charset::Other,
    };
    check(other, b"\x01a", Value::Bytes(b"a"));
    check(
        Kind::Bytes { prefix: 1, pad: 4 },
        b"\x02ab",
        Value::Bytes(b"ab\0\0"),
    );
}

#[test]
fn labels_come_from_the_catalogue() {
    let kind = Kind::Enum {
        bytes: 1,
        labels: labels(&["like", "view"]),
    };
    check(kind.clone(), &[2], Value::Text("view"));
    check(kind.clone(), &[0], Value::Text(""));
    check(kind, &[9], Value::Text(""));
    let kind = Kind::Set {
        bytes: 1,
        labels: labels(&["a", "b", "c"]),
    };
    check(kind.clone(), &[0b101], Value::Text("a,c"));
    check(kind, &[0], Value::Text(""));
}

#[test]
fn null_and_absent_are_not_the_same() {
    let slot = Slot {
        kind: Kind::Year,
        wanted: true,
    };
    let slots = [slot.clone(), slot.clone(), slot];
    let row = [0b01, 126];
    let mut image = Image::default();
    // The second column is not in the image; of the two that are, the first is NULL.
    image
        .read(&mut Cursor::new(&row, "test"), &slots, &[0b101])
        .unwrap();
    assert_eq!(image.get(0), Value::Null);
    assert_eq!(image.get(1), Value::Unchanged);
    assert_eq!(image.get(2), Value::Int(2026));
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1usize..=8, any::<bool>()).prop_map(|(bytes, unsigned)| Kind::Int { bytes, unsigned }),
        (1usize..=65, 0usize..=30).prop_map(|(precision, scale)| Kind::Decimal {
            precision: precision.max(scale).max(1),
            scale
        }),
        (0u8..=9).prop_map(|digits| Kind::Time { digits }),
        (0u8..=9).prop_map(|digits| Kind::Datetime { digits }),
        (0u8..=9).prop_map(|digits| Kind::Timestamp { digits }),
        (1usize..=4).prop_map(|prefix| Kind::Text {
            prefix,
            charset: Charset::Latin1
        }),
        (1usize..=4, 0usize..20).prop_map(|(prefix, pad)| Kind::Bytes { prefix, pad }),
        (1usize..=4).prop_map(|prefix| Kind::Json { prefix }),
        (1usize..=8).prop_map(|bytes| Kind::Set {
            bytes,
            labels: labels(&["a", "b"])
        }),
        Just(Kind::Date),
        Just(Kind::OldDatetime),
        Just(Kind::OldTime),
    ]
}

proptest! {
    #[test]
    fn noise_never_panics(
        kinds in proptest::collection::vec((any_kind(), any::<bool>()), 1..6),
        row in proptest::collection::vec(any::<u8>(), 0..120),
        present: u8,
    ) {
        let slots: Vec<_> =
            kinds.into_iter().map(|(kind, wanted)| Slot { kind, wanted }).collect();
        let mut image = Image::default();
        let _ = image.read(&mut Cursor::new(&row, "test"), &slots, &[present]);
        for index in 0..slots.len() {
            let _ = image.get(index);
        }
    }

    #[test]
    fn a_wanted_and_a_skipped_column_end_at_the_same_byte(
        kind in any_kind(),
        row in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let rest = |wanted| {
            let slots = [Slot { kind: kind.clone(), wanted }];
            let mut cursor = Cursor::new(&row, "test");
            let read = Image::default().read(&mut cursor, &slots, &[1]);
            read.is_ok().then(|| cursor.rest().len())
        };
        if let Some(wanted) = rest(true) {
            prop_assert_eq!(rest(false), Some(wanted));
        }
    }

    #[test]
    fn days_are_counted_as_the_calendar_does(days in -700_000i64..2_900_000) {
        // The inverse, by the same author.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        prop_assert_eq!(days_from_civil(year, month, day), days);
    }
}
