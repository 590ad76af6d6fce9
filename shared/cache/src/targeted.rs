//! Targeted cache control (RFC 9213): fields for shared caches that win over `Cache-Control` and
//! `Expires`, written as dictionaries of RFC 9651.

use alloc::vec::Vec;

use crate::directives::{DELTA_SECONDS_MAX, ResponseDirectives};
use crate::fields::{Fields, trim};

/// The fields that are followed, the most specific first (RFC 9213 section 2.2).
pub const TARGETED: [&str; 2] = ["edgewise-cache-control", "cdn-cache-control"];

/// The directives that count for this cache: those of the first targeted field that is a
/// dictionary with members, else `Cache-Control`'s. The flag says that they are targeted, so
/// that `Expires` and `Pragma` do not count.
#[must_use]
pub fn directives<F: Fields + ?Sized>(fields: &F) -> (ResponseDirectives, bool) {
    for name in TARGETED {
        if let Some(found) = read(fields, name) {
            return (found, true);
        }
    }
    (ResponseDirectives::of(fields), false)
}

fn read<F: Fields + ?Sized>(fields: &F, name: &str) -> Option<ResponseDirectives> {
    let mut joined: Vec<u8> = Vec::new();
    for value in fields.values(name) {
        if !joined.is_empty() {
            joined.push(b',');
        }
        joined.extend_from_slice(trim(value));
    }
    if joined.is_empty() {
        return None;
    }
    let members = Dictionary { rest: &joined }.read()?;
    let mut out = ResponseDirectives::default();
    for (key, value) in &members {
        set(&mut out, key, value);
    }
    Some(out)
}

/// A directive of a wrong type is no directive (RFC 9213 section 2.1).
fn set(out: &mut ResponseDirectives, key: &[u8], value: &Value) {
    match (key, value) {
        (b"max-age", Value::Integer(seconds)) => out.max_age_s = delta(*seconds),
        (b"s-maxage", Value::Integer(seconds)) => out.s_maxage_s = delta(*seconds),
        (b"stale-while-revalidate", Value::Integer(seconds)) => {
            out.stale_while_revalidate_s = delta(*seconds);
        }
        (b"stale-if-error", Value::Integer(seconds)) => out.stale_if_error_s = delta(*seconds),
        (b"no-store", Value::True) => out.no_store = true,
        (b"no-cache", Value::True) => out.no_cache = true,
        (b"no-cache", Value::Text(names)) => out.no_cache |= out.withhold(Some(names)),
        (b"private", Value::True) => out.private = true,
        (b"private", Value::Text(names)) => out.private |= out.withhold(Some(names)),
        (b"public", Value::True) => out.public = true,
        (b"must-revalidate", Value::True) => out.must_revalidate = true,
        (b"proxy-revalidate", Value::True) => out.proxy_revalidate = true,
        (b"must-understand", Value::True) => out.must_understand = true,
        _ => {}
    }
}

fn delta(seconds: i64) -> Option<u32> {
    let seconds = u32::try_from(seconds.max(0)).unwrap_or(DELTA_SECONDS_MAX);
    Some(seconds.min(DELTA_SECONDS_MAX))
}

/// Members of a field; with more it is refused as a whole.
const MEMBERS_MAX: usize = 64;

/// What directives need of a member's value; the rest is checked and forgotten.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    True,
    Integer(i64),
    Text(Vec<u8>),
    Other,
}

/// A parser of dictionaries (RFC 9651 section 4.2.2). Any error refuses the whole field.
struct Dictionary<'a> {
    rest: &'a [u8],
}

impl Dictionary<'_> {
    fn read(mut self) -> Option<Vec<(Vec<u8>, Value)>> {
        let mut out: Vec<(Vec<u8>, Value)> = Vec::new();
        self.skip(|byte| byte == b' ');
        while !self.rest.is_empty() {
            if out.len() == MEMBERS_MAX {
                return None;
            }
            let key = self.key()?;
            let value = if self.take(b'=') {
                if self.peek() == Some(b'(') {
                    self.inner_list()?;
                    Value::Other
                } else {
                    self.bare_item()?
                }
            } else {
                Value::True
            };
            self.parameters()?;
            // The last of a key counts.
            out.retain(|member| member.0 != key);
            out.push((key, value));
            self.skip(is_ows);
            if self.rest.is_empty() {
                break;
            }
            if !self.take(b',') {
                return None;
            }
            self.skip(is_ows);
            if self.rest.is_empty() {
                return None;
            }
        }
        (!out.is_empty()).then_some(out)
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.next();
        }
        found
    }

    fn skip(&mut self, mut what: impl FnMut(u8) -> bool) {
        while self.peek().is_some_and(&mut what) {
            self.next();
        }
    }

    /// Bytes while they are `what`.
    fn run(&mut self, mut what: impl FnMut(u8) -> bool) -> &[u8] {
        let len = self
            .rest
            .iter()
            .position(|byte| !what(*byte))
            .unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(len);
        self.rest = rest;
        run
    }

    fn key(&mut self) -> Option<Vec<u8>> {
        if !self.peek()?.is_ascii_lowercase() && self.peek()? != b'*' {
            return None;
        }
        let key = self.run(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        });
        Some(Vec::from(key))
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(|byte| byte == b' ');
            self.key()?;
            if self.take(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn inner_list(&mut self) -> Option<()> {
        self.next();
        loop {
            self.skip(|byte| byte == b' ');
            if self.take(b')') {
                return Some(());
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.peek()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn bare_item(&mut self) -> Option<Value> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(Value::Text),
            b':' => self.delimited(b':', |byte| {
                byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
            }),
            b'?' => {
                self.next();
                match self.next()? {
                    b'1' => Some(Value::True),
                    b'0' => Some(Value::Other),
                    _ => None,
                }
            }
            b'@' => {
                self.next();
                matches!(self.number()?, Value::Integer(_)).then_some(Value::Other)
            }
            b'%' => {
                self.next();
                self.string().map(|_| Value::Other)
            }
            first if first.is_ascii_alphabetic() || first == b'*' => {
                let token = self.run(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                });
                Some(Value::Text(Vec::from(token)))
            }
            _ => None,
        }
    }

    fn delimited(&mut self, end: u8, what: impl FnMut(u8) -> bool) -> Option<Value> {
        self.next();
        self.run(what);
        self.take(end).then_some(Value::Other)
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        if !self.take(b'"') {
            return None;
        }
        let mut out = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(out),
                b'\\' => match self.next()? {
                    escaped @ (b'"' | b'\\') => out.push(escaped),
                    _ => return None,
                },
                byte @ b' '..=b'~' => out.push(byte),
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let negative = self.take(b'-');
        let digits = Vec::from(self.run(|byte| byte.is_ascii_digit()));
        if digits.is_empty() || digits.len() > 15 {
            return None;
        }
        if self.take(b'.') {
            let fraction = self.run(|byte| byte.is_ascii_digit()).len();
            let ok = digits.len() <= 12 && (1..=3).contains(&fraction);
            return ok.then_some(Value::Other);
        }
        let value = digits
            .iter()
            .fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Some(Value::Integer(if negative { -value } else { value }))
    }
}

const fn is_ows(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[track_caller]
    fn check(value: &str, max_age_s: Option<u32>, targeted: bool) {
        let fields = vec![("CDN-Cache-Control", value), ("Cache-Control", "max-age=7")];
        let (found, by_target) = directives(&fields);
        assert_eq!(
            (found.max_age_s, by_target),
            (max_age_s, targeted),
            "{value}"
        );
    }

    #[test]
    fn a_dictionary_wins_and_anything_else_is_ignored() {
        check("max-age=5", Some(5), true);
        check(
            "foo, max-age=5;a=1;b, bar=(a \"b\";c 1.5), x=?0",
            Some(5),
            true,
        );
        check("max-age=99999999999", Some(DELTA_SECONDS_MAX), true);
        check("max-age=-1", Some(0), true);
        check("max-age=1, max-age=5", Some(5), true);
        check("no-store", None, true);
        for invalid in [
            "",
            " ",
            "MaX-aGe=5",
            "max-age =5",
            "max-age= 5",
            "max-age=5, &&&",
            "max-age=5,",
            "max-age=5 x",
            "max-age=1234567890123456",
            "a=\"open",
            "a=(1",
            "a=1.1234",
            "a=:!:",
            "a=@1.5",
        ] {
            check(invalid, Some(7), false);
        }
    }

    #[test]
    fn a_wrong_type_is_no_directive() {
        check("max-age=\"5\"", None, true);
        check("max-age", None, true);
    }

    #[test]
    fn ours_wins_over_the_general_one_and_lines_are_one_dictionary() {
        let fields = vec![
            ("CDN-Cache-Control", "max-age=5"),
            ("Edgewise-Cache-Control", "max-age=9"),
            ("Edgewise-Cache-Control", "no-cache=\"a\", private"),
        ];
        let (found, targeted) = directives(&fields);
        assert!(targeted && found.private && !found.no_cache);
        assert_eq!(found.max_age_s, Some(9));
        assert_eq!(found.withheld, ["a"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(value: Vec<u8>) {
            let _ = directives(&vec![("cdn-cache-control", value)]);
        }
    }
}
