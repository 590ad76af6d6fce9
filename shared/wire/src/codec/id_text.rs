//! Ids that are really numbers or UUIDs, so that a column of them can be written as such.

use alloc::string::String;

/// What an id's text stands for; only the canonical spelling counts, so that the text can
/// be written back from the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdText<'a> {
    /// A decimal number without leading zeros.
    Number(u64),
    /// 8-4-4-4-12 lower-case hexadecimal digits.
    Uuid([u8; 16]),
    /// Anything else.
    Text(&'a str),
}

impl<'a> IdText<'a> {
    /// Classes in the column of classes.
    pub(crate) const NUMBER: u64 = 0;
    pub(crate) const UUID: u64 = 1;
    pub(crate) const TEXT: u64 = 2;

    pub(crate) fn of(id: &'a str) -> Self {
        number(id).map_or_else(|| uuid(id).map_or(Self::Text(id), Self::Uuid), Self::Number)
    }

    pub(crate) const fn class(&self) -> u64 {
        match self {
            Self::Number(_) => Self::NUMBER,
            Self::Uuid(_) => Self::UUID,
            Self::Text(_) => Self::TEXT,
        }
    }

    pub(crate) fn push_to(self, out: &mut String) {
        match self {
            Self::Number(number) => out.push_str(itoa::Buffer::new().format(number)),
            Self::Uuid(bytes) => push_uuid(&bytes, out),
            Self::Text(text) => out.push_str(text),
        }
    }
}

fn number(id: &str) -> Option<u64> {
    let canonical = id == "0" || !id.starts_with('0');
    let digits = canonical && id.bytes().all(|byte| byte.is_ascii_digit());
    if digits { id.parse().ok() } else { None }
}

fn uuid(id: &str) -> Option<[u8; 16]> {
    if id.len() != 36 {
        return None;
    }
    let mut value = 0_u128;
    for (at, byte) in id.bytes().enumerate() {
        let digit = match (at, byte) {
            (8 | 13 | 18 | 23, b'-') => continue,
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9') => byte - b'0',
            (_, b'a'..=b'f') => byte - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u128::from(digit);
    }
    Some(value.to_be_bytes())
}

fn push_uuid(bytes: &[u8; 16], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    // Places of the digits: all but those of the four hyphens.
    let places = (0..36).filter(|at| !matches!(at, 8 | 13 | 18 | 23));
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (at, digit) in places.zip(digits) {
        text[at] = DIGITS[usize::from(digit)];
    }
    out.push_str(core::str::from_utf8(&text).unwrap_or(""));
}
