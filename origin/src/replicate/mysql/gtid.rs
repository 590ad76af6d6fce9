//! Sets of MySQL's global transaction ids: which transactions are applied.

use std::collections::BTreeMap;
use std::fmt;

/// Sources a set may name; a server refuses sets that do not fit a packet long before.
const MAX_SOURCES: usize = 1_024;

/// Intervals a set may have.
const MAX_INTERVALS: usize = 65_536;

/// Transactions by source: ranges of numbers, both ends included, in order and apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GtidSet {
    sources: BTreeMap<[u8; 16], Vec<(u64, u64)>>,
}

impl GtidSet {
    /// Reads `uuid:1-5:7,uuid:1-3`; `None` where it is none (tagged ids are not supported).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        let mut intervals = 0;
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let mut fields = part.split(':').map(str::trim);
            let uuid = parse_uuid(fields.next()?)?;
            for field in fields {
                let (first, last) = field.split_once('-').unwrap_or((field, field));
                let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
                intervals += 1;
                if first == 0 || last < first || last == u64::MAX || intervals > MAX_INTERVALS {
                    return None;
                }
                set.add_range(uuid, first, last);
            }
        }
        (set.sources.len() <= MAX_SOURCES).then_some(set)
    }

    /// Adds a transaction.
    pub(crate) fn add(&mut self, uuid: [u8; 16], number: u64) {
        if number > 0 && number < u64::MAX {
            self.add_range(uuid, number, number);
        }
    }

    fn add_range(&mut self, uuid: [u8; 16], first: u64, last: u64) {
        let ranges = self.sources.entry(uuid).or_default();
        // The common case: the next number of the last range.
        if let Some((_, end)) = ranges.last_mut()
            && first == *end + 1
        {
            *end = last;
            return;
        }
        ranges.push((first, last));
        ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges.drain(..) {
            match joined.last_mut() {
                Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        *ranges = joined;
    }

    /// Whether a transaction is in the set.
    #[cfg(test)]
    pub(crate) fn contains(&self, uuid: [u8; 16], number: u64) -> bool {
        let ranges = self.sources.get(&uuid);
        ranges.is_some_and(|r| {
            r.iter()
                .any(|(first, last)| (*first..=*last).contains(&number))
        })
    }

    /// Source and ranges, for the request of a dump.
    pub(crate) fn sources(&self) -> impl Iterator<Item = ([u8; 16], &[(u64, u64)])> {
        self.sources
            .iter()
            .map(|(uuid, ranges)| (*uuid, ranges.as_slice()))
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (uuid, ranges)) in self.sources.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            for (byte, value) in uuid.iter().enumerate() {
                let dash = if matches!(byte, 4 | 6 | 8 | 10) {
                    "-"
                } else {
                    ""
                };
                write!(f, "{dash}{value:02x}")?;
            }
            for (first, last) in ranges {
                if first == last {
                    write!(f, ":{first}")?;
                } else {
                    write!(f, ":{first}-{last}")?;
                }
            }
        }
        Ok(())
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let mut uuid = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn sets_are_read_and_joined() {
        let set = GtidSet::parse(&format!("{UUID}:5-7:1-3:4,\n{UUID}:10")).unwrap();
        assert_eq!(set.to_string(), format!("{UUID}:1-7:10"));
        assert_eq!(GtidSet::parse("").unwrap(), GtidSet::default());
        for bad in [
            "x:1",
            "3e11fa47:1",
            &format!("{UUID}:tag:1"),
            &format!("{UUID}:3-1"),
        ] {
            assert_eq!(GtidSet::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_added(numbers in proptest::collection::vec(1u64..40, 0..60)) {
            let uuid = parse_uuid(UUID).unwrap();
            let mut set = GtidSet::default();
            numbers.iter().for_each(|number| set.add(uuid, *number));
            let added: BTreeSet<_> = numbers.into_iter().collect();
            for number in 1..40 {
                prop_assert_eq!(set.contains(uuid, number), added.contains(&number));
            }
            prop_assert_eq!(GtidSet::parse(&set.to_string()), Some(set));
        }
    }
}
