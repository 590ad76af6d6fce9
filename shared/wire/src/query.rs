//! Query strings: bounded, percent-decoded, `+` is a space.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::limits::QUERY_BYTES_MAX;
use crate::problem::Problem;

/// Why a component does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PercentError {
    /// `%` without two hexadecimal digits.
    #[error("has a '%' without two hexadecimal digits")]
    Escape,
    /// The bytes are not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
}

/// Decodes `%XX`; `+` is a space where `plus_is_space` (query strings, not paths).
///
/// # Errors
///
/// A broken escape, or bytes that are not UTF-8.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Result<String, PercentError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = rest.next().and_then(hex).ok_or(PercentError::Escape)?;
                let low = rest.next().and_then(hex).ok_or(PercentError::Escape)?;
                high << 4 | low
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| PercentError::NotUtf8)
}

/// Encodes all but letters, digits and `-._~` (RFC 3986, section 2.3).
pub fn percent_encode(text: &str, out: &mut String) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(DIGITS.get(usize::from(byte >> 4)));
            out.extend(DIGITS.get(usize::from(byte & 15)));
        }
    }
}

/// The raw values of known parameters: unknown names are ignored, the last of repeats wins.
pub(crate) struct Query<'a> {
    pairs: Vec<(&'static str, &'a str)>,
}

impl<'a> Query<'a> {
    /// Splits `query` (without `?`) and keeps what is in `known`.
    ///
    /// # Errors
    ///
    /// The query string is longer than 8 KiB.
    pub(crate) fn split(query: &'a str, known: &[&'static str]) -> Result<Self, Problem> {
        if query.len() > QUERY_BYTES_MAX {
            let detail = format!("the query string has {} bytes", query.len());
            return Err(Problem::parameter("query", detail, "at most 8192 bytes"));
        }
        let mut pairs: Vec<(&'static str, &'a str)> = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Ok(name) = percent_decode(name, true) else {
                continue;
            };
            let Some(&name) = known.iter().find(|known| **known == name) else {
                continue;
            };
            match pairs.iter_mut().find(|(seen, _)| *seen == name) {
                Some(seen) => seen.1 = value,
                None => pairs.push((name, value)),
            }
        }
        Ok(Self { pairs })
    }

    /// The decoded value; `None` where it is absent or empty.
    pub(crate) fn value(&self, name: &'static str) -> Result<Option<String>, Problem> {
        Ok(self.given(name)?.filter(|value| !value.is_empty()))
    }

    /// The decoded value, even where it is empty; `None` where it is absent.
    pub(crate) fn given(&self, name: &'static str) -> Result<Option<String>, Problem> {
        let Some((_, raw)) = self.pairs.iter().find(|(known, _)| *known == name) else {
            return Ok(None);
        };
        let value = percent_decode(raw, true).map_err(|error| {
            let detail = format!("{name} {error}");
            Problem::parameter(name, detail, "percent-encoded UTF-8")
        })?;
        Ok(Some(value))
    }
}

/// Writes a normalised query string: names in the order of the calls, absent ones left out.
#[derive(Default)]
pub(crate) struct Canonical(String);

impl Canonical {
    pub(crate) fn add(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            if !self.0.is_empty() {
                self.0.push('&');
            }
            self.0.push_str(name);
            self.0.push('=');
            percent_encode(value, &mut self.0);
        }
        self
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
