//! Ids that are really numbers or UUIDs, so that a column of them can be written as such.

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

    pub(crate) fn text(self, buffer: &'a mut IdBuffer) -> &'a str {
        match self {
            Self::Number(number) => buffer.digits.format(number),
            Self::Uuid(bytes) => hyphenated(&bytes, &mut buffer.uuid),
            Self::Text(text) => text,
        }
    }
}

/// Room for the text of a number or a UUID.
pub(crate) struct IdBuffer {
    digits: itoa::Buffer,
    uuid: [u8; 36],
}

impl IdBuffer {
    pub(crate) fn new() -> Self {
        Self {
            digits: itoa::Buffer::new(),
            uuid: [b'-'; 36],
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

fn hyphenated<'a>(bytes: &[u8; 16], text: &'a mut [u8; 36]) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // Places of the bytes' first digits: hyphens lie between some.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    for (byte, at) in bytes.iter().zip(PLACES) {
        if let Some([high, low]) = text.get_mut(at..at + 2) {
            *high = DIGITS[usize::from(byte >> 4)];
            *low = DIGITS[usize::from(byte & 15)];
        }
    }
    core::str::from_utf8(text).unwrap_or("")
}
