//! Which of the stored responses fits a request (RFC 9111 section 4.1).

use alloc::string::String;
use alloc::vec::Vec;

use crate::fields::{Fields, list, members, trim};

/// Field names that one `Vary` may name; with more a response is not stored.
pub const VARY_NAMES_MAX: usize = 16;

/// The selecting fields of a response and what its request said in them, normalised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selecting {
    /// Names in lower case, sorted.
    names: Vec<String>,
    /// A value for each name; `None` where the request had none.
    values: Vec<Option<Vec<u8>>>,
    /// `Content-Language` where the response has one language.
    language: Option<Vec<u8>>,
}

impl Selecting {
    /// What `Vary` of a response selects by; `None` where it says `*` or names too much.
    #[must_use]
    pub fn of<Q: Fields + ?Sized, R: Fields + ?Sized>(request: &Q, response: &R) -> Option<Self> {
        let names = names(response)?;
        let values = names.iter().map(|name| normal(request, name)).collect();
        let language = match (
            list(response, "content-language").next(),
            list(response, "content-language").nth(1),
        ) {
            (Some(one), None) => Some(one.to_ascii_lowercase()),
            _ => None,
        };
        Some(Self {
            names,
            values,
            language,
        })
    }

    /// Whether a request selects this response.
    #[must_use]
    pub fn matches<Q: Fields + ?Sized>(&self, request: &Q) -> bool {
        self.names.iter().zip(&self.values).all(|(name, stored)| {
            normal(request, name) == *stored
                || (name == "accept-language" && self.is_preferred(request))
        })
    }

    /// Names of the selecting fields.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let values = self.values.iter().flatten().map(Vec::len).sum::<usize>();
        self.names.iter().map(String::len).sum::<usize>() + values
    }

    /// Whether the response is in the one language that the request likes best: then the origin
    /// has nothing better to choose.
    fn is_preferred<Q: Fields + ?Sized>(&self, request: &Q) -> bool {
        let Some(language) = &self.language else {
            return false;
        };
        let ranges = ranges(request, "accept-language");
        match ranges.as_slice() {
            [best, next, ..] if best.0 == next.0 => false,
            [best, ..] => best.0 > 0 && best.1 == *language,
            [] => false,
        }
    }
}

/// A hash of what a request says in these fields: requests that select the same response have the
/// same; whoever shares a response by it still asks [`Selecting::matches`].
#[must_use]
pub fn signature<Q: Fields + ?Sized>(names: &[String], request: &Q) -> u64 {
    let mut out = Vec::new();
    for name in names {
        out.push(0);
        out.extend_from_slice(name.as_bytes());
        if let Some(value) = normal(request, name) {
            out.push(1);
            out.extend_from_slice(&value);
        }
    }
    xxhash_rust::xxh3::xxh3_64(&out)
}

/// The names in `Vary`, in lower case, sorted; `None` where it says `*` or names too much.
#[must_use]
pub fn names<R: Fields + ?Sized>(response: &R) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for name in list(response, "vary") {
        if name == b"*" || names.len() == VARY_NAMES_MAX {
            return None;
        }
        names.push(core::str::from_utf8(name).ok()?.to_ascii_lowercase());
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// What a request says in a field: lines joined, white space around members gone, and for
/// languages and codings the order gone that means nothing.
fn normal<Q: Fields + ?Sized>(request: &Q, name: &str) -> Option<Vec<u8>> {
    if !request.has(name) {
        return None;
    }
    let mut out = Vec::new();
    if matches!(name, "accept-language" | "accept-encoding") {
        for (weight, range) in ranges(request, name) {
            out.extend_from_slice(&range);
            out.extend_from_slice(&weight.to_be_bytes());
            out.push(b',');
        }
    } else if matches!(name, "authorization" | "cookie" | "user-agent") {
        // No lists: every byte counts.
        for value in request.values(name) {
            out.extend_from_slice(value);
            out.push(b'\n');
        }
    } else {
        for (at, member) in list(request, name).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(member);
        }
    }
    Some(out)
}

/// Language ranges or codings with their weights in thousandths, the best first, then by name.
fn ranges<Q: Fields + ?Sized>(request: &Q, name: &str) -> Vec<(u16, Vec<u8>)> {
    let mut out: Vec<(u16, Vec<u8>)> = request
        .values(name)
        .flat_map(members)
        .map(|member| {
            let mut parts = member.split(|byte| *byte == b';');
            let range = trim(parts.next().unwrap_or(&[])).to_ascii_lowercase();
            (parts.find_map(weight).unwrap_or(1_000), range)
        })
        .collect();
    out.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    out.dedup();
    out
}

/// `q=0.5` in thousandths (RFC 9110 section 12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let value = match trim(parameter) {
        [b'q' | b'Q', b'=', value @ ..] => value,
        _ => return None,
    };
    let mut digits = value.iter();
    let whole = u16::from(digits.next()?.checked_sub(b'0').filter(|d| *d <= 1)?);
    let mut thousandths = whole * 1_000;
    if digits.next().is_some_and(|dot| *dot == b'.') {
        for (digit, unit) in digits.zip([100, 10, 1]) {
            thousandths += u16::from(digit.checked_sub(b'0').filter(|d| *d <= 9)?) * unit;
        }
    }
    Some(thousandths.min(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    type Lines<'a> = Vec<(&'a str, &'a str)>;

    #[track_caller]
    fn check(response: &Lines<'_>, stored: &Lines<'_>, asked: &Lines<'_>, expected: bool) {
        let selecting = Selecting::of(stored, response).expect("storable");
        assert_eq!(selecting.matches(asked), expected, "{stored:?} {asked:?}");
    }

    #[test]
    fn requests_match_where_they_say_the_same() {
        let vary = vec![("Vary", "Foo, bar")];
        check(
            &vary,
            &vec![("foo", "1")],
            &vec![("Foo", "1"), ("x", "y")],
            true,
        );
        check(&vary, &vec![("foo", "1")], &vec![("Foo", "2")], false);
        check(&vary, &vec![("foo", "1")], &vec![], false);
        check(&vary, &vec![], &vec![("foo", "")], false);
        check(&vary, &vec![], &vec![], true);
        let two_lines = vec![("Foo", "1"), ("Foo", " 2 ")];
        check(&vary, &vec![("foo", "1,2")], &two_lines, true);
    }

    #[test]
    fn languages_match_without_case_order_and_space() {
        let vary = vec![("Vary", "Accept-Language")];
        let stored = vec![("Accept-Language", "en, de")];
        check(&vary, &stored, &vec![("accept-language", "De ,  eN")], true);
        check(
            &vary,
            &stored,
            &vec![("accept-language", "en, de;q=0.9")],
            false,
        );
        check(&vary, &stored, &vec![("accept-language", "en")], false);
    }

    #[test]
    fn the_language_that_is_liked_best_is_taken() {
        let german = vec![("Vary", "Accept-Language"), ("Content-Language", "de")];
        let stored = vec![("Accept-Language", "en, de")];
        check(
            &german,
            &stored,
            &vec![("Accept-Language", "fr;q=0.5, de")],
            true,
        );
        check(
            &german,
            &stored,
            &vec![("Accept-Language", "fr, de")],
            false,
        );
        check(
            &german,
            &stored,
            &vec![("Accept-Language", "fr, de;q=0.5")],
            false,
        );
        check(
            &german,
            &stored,
            &vec![("Accept-Language", "de;q=0")],
            false,
        );
        check(&german, &stored, &vec![], false);
    }

    #[test]
    fn a_star_anywhere_is_never_stored() {
        let none: Lines<'_> = vec![];
        for star in ["*", "foo, *", ", *", "*, *"] {
            assert_eq!(Selecting::of(&none, &vec![("Vary", star)]), None, "{star}");
        }
        let many: Vec<String> = (0..=VARY_NAMES_MAX)
            .map(|n| alloc::format!("h{n}"))
            .collect();
        let many = many.join(",");
        assert_eq!(Selecting::of(&none, &vec![("Vary", many.as_str())]), None);
    }

    proptest! {
        #[test]
        fn a_request_matches_itself(vary in "[a-c]{0,1}(,[a-c]){0,3}", value: Vec<u8>) {
            let request = vec![("a", value.clone()), ("accept-language", value)];
            let response = vec![("Vary", vary.as_str())];
            let selecting = Selecting::of(&request, &response).expect("storable");
            prop_assert!(selecting.matches(&request));
            let names = names(&response).expect("no star");
            prop_assert_eq!(signature(&names, &request), signature(&names, &request));
        }
    }
}
