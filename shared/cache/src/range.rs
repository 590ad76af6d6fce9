//! Parts of a stored answer (RFC 9110 section 14).

use alloc::format;
use alloc::string::String;

use crate::fields::{Fields, trim};

/// What of a stored body answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it: no range was asked for, or one that is not understood or not worth following
    /// (several ranges, a bad one).
    Whole,
    /// Bytes `first..=last`.
    Bytes {
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// A range past the end: 416.
    Unsatisfiable,
}

/// What of a body of `total` bytes the `Range` of a request asks for.
#[must_use]
pub fn part<F: Fields + ?Sized>(request: &F, total: u64) -> Part {
    let mut values = request.values("range");
    match (values.next(), values.next()) {
        (Some(range), None) => parse(trim(range), total).unwrap_or(Part::Whole),
        _ => Part::Whole,
    }
}

/// `Content-Range` of a part.
#[must_use]
pub fn content_range(first: u64, last: u64, total: u64) -> String {
    format!("bytes {first}-{last}/{total}")
}

/// `Content-Range` of a 416.
#[must_use]
pub fn unsatisfied_range(total: u64) -> String {
    format!("bytes */{total}")
}

fn parse(range: &[u8], total: u64) -> Option<Part> {
    let (unit, set) = range.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") || set.contains(&b',') {
        return None;
    }
    let set = trim(set);
    let dash = set.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (set.get(..dash)?, set.get(dash + 1..)?);
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(match (suffix.min(total), total) {
            (0, _) => Part::Unsatisfiable,
            (len, _) => Part::Bytes {
                first: total - len,
                last: total - 1,
            },
        });
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    if first >= total {
        return Some(Part::Unsatisfiable);
    }
    Some(Part::Bytes {
        first,
        last: last.min(total - 1),
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[track_caller]
    fn check(range: &str, expected: Part) {
        assert_eq!(part(&vec![("Range", range)], 10), expected, "{range}");
    }

    #[test]
    fn one_range_of_bytes_is_followed() {
        check("bytes=0-1", Part::Bytes { first: 0, last: 1 });
        check("Bytes=3-", Part::Bytes { first: 3, last: 9 });
        check("bytes=3-99", Part::Bytes { first: 3, last: 9 });
        check("bytes=-4", Part::Bytes { first: 6, last: 9 });
        check("bytes=-99", Part::Bytes { first: 0, last: 9 });
        check("bytes=10-", Part::Unsatisfiable);
        check("bytes=-0", Part::Unsatisfiable);
    }

    #[test]
    fn what_is_not_followed_gets_the_whole() {
        for whole in [
            "",
            "bytes",
            "items=0-1",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "bytes=--1",
        ] {
            check(whole, Part::Whole);
        }
        let twice = vec![("Range", "bytes=0-1"), ("Range", "bytes=0-1")];
        assert_eq!(part(&twice, 10), Part::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within(range: Vec<u8>, spec in "bytes=[0-9]{0,22}-[0-9]{0,22}", total: u64) {
            for value in [range, spec.into_bytes()] {
                if let Part::Bytes { first, last } = part(&vec![("range", value)], total) {
                    prop_assert!(first <= last && last < total);
                }
            }
        }
    }
}
