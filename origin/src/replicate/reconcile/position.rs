//! Positions as servers and sources print them, to tell whether a stream has passed one.

/// A position that can be compared with another of the same server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Printed {
    /// PostgreSQL's `0/16B3748`.
    Lsn(u64),
    /// MySQL's `binlog.000003:1234`.
    Binlog(u64, u64),
}

impl Printed {
    /// The first position in `text`; `None` where there is none.
    #[must_use]
    pub(super) fn find(text: &str) -> Option<Self> {
        text.split_whitespace()
            .map(|word| word.trim_matches([',', ';', '(', ')']))
            .find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        if let Some((high, low)) = word.split_once('/') {
            let half = |text: &str| u32::from_str_radix(text, 16).ok().map(u64::from);
            return Some(Self::Lsn(half(high)? << 32 | half(low)?));
        }
        let (file, offset) = word.split_once(':')?;
        let (_, number) = file.rsplit_once('.')?;
        Some(Self::Binlog(number.parse().ok()?, offset.parse().ok()?))
    }

    /// Whether a stream that is here has passed `other`; positions of different kinds have not.
    #[must_use]
    pub(super) fn is_past(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self >= other
    }
}

#[cfg(test)]
mod tests {
    use super::Printed;

    #[test]
    fn positions_are_ordered_as_the_server_writes() {
        let at = |text| Printed::find(text).expect(text);
        assert!(at("1/0").is_past(&at("0/FFFFFFFF")));
        assert!(!at("0/16B3748").is_past(&at("0/16B3749")));
        assert!(at("binlog.000010:4").is_past(&at("mariadb-bin.000009:99999")));
        assert!(!at("binlog.000010:4").is_past(&at("0/4")));
        assert_eq!(at("at 0/16B3748 (3)"), at("0/16B3748"));
        assert_eq!(Printed::find("nowhere"), None);
        assert_eq!(Printed::find("x/y"), None);
    }
}
