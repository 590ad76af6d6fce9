//! `Cache-Control` of responses and requests (RFC 9111 section 5.2), read with tolerance.

use alloc::string::String;
use alloc::vec::Vec;

use crate::fields::{self, Fields};

/// What a time that overflows stands for, seconds (RFC 9111 section 1.2.2).
pub const DELTA_SECONDS_MAX: u32 = 1 << 31;

/// Field names that one `no-cache` or `private` may name; beyond, the directive counts as bare.
pub const FIELD_NAMES_MAX: usize = 32;

/// Directives of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// `max-age`, seconds; 0 where its value is not a number.
    pub max_age_s: Option<u32>,
    /// `s-maxage`, seconds; 0 where its value is not a number.
    pub s_maxage_s: Option<u32>,
    /// `stale-while-revalidate` (RFC 5861), seconds.
    pub stale_while_revalidate_s: Option<u32>,
    /// `stale-if-error` (RFC 5861), seconds.
    pub stale_if_error_s: Option<u32>,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache` without field names.
    pub no_cache: bool,
    /// `private` without field names.
    pub private: bool,
    /// Fields that `no-cache` or `private` name, in lower case: not stored.
    pub withheld: Vec<String>,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
}

/// Directives of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `max-age`, seconds; 0 where its value is not a number.
    pub max_age_s: Option<u32>,
    /// `min-fresh`, seconds.
    pub min_fresh_s: Option<u32>,
    /// `max-stale`, seconds; [`DELTA_SECONDS_MAX`] without a value.
    pub max_stale_s: Option<u32>,
    /// `no-cache`.
    pub no_cache: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
}

impl ResponseDirectives {
    /// Reads every `Cache-Control` line. Of a directive that comes twice the first counts.
    #[must_use]
    pub fn of<F: Fields + ?Sized>(fields: &F) -> Self {
        let mut out = Self::default();
        for member in fields::list(fields, "cache-control") {
            let (name, argument) = split(member);
            let argument = argument.map(|value| fields::unquote(value).unwrap_or_default());
            out.set(name, argument.as_deref());
        }
        out
    }

    fn set(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |directive: &str| name.eq_ignore_ascii_case(directive.as_bytes());
        // What should be a number and is none makes a response stale (section 4.2.1).
        let seconds = || argument.and_then(delta_seconds).unwrap_or(0);
        if is("max-age") {
            self.max_age_s.get_or_insert_with(seconds);
        } else if is("s-maxage") {
            self.s_maxage_s.get_or_insert_with(seconds);
        } else if is("stale-while-revalidate") {
            self.stale_while_revalidate_s.get_or_insert_with(seconds);
        } else if is("stale-if-error") {
            self.stale_if_error_s.get_or_insert_with(seconds);
        } else if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache |= self.withhold(argument);
        } else if is("private") {
            self.private |= self.withhold(argument);
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand = true;
        }
    }

    /// Notes named fields; whether there are none, so that the directive is about the response.
    pub(crate) fn withhold(&mut self, argument: Option<&[u8]>) -> bool {
        let names: Vec<String> = argument
            .map(|names| {
                fields::members(names)
                    .filter_map(|name| core::str::from_utf8(name).ok())
                    .map(str::to_ascii_lowercase)
                    .collect()
            })
            .unwrap_or_default();
        if names.is_empty() || self.withheld.len() + names.len() > FIELD_NAMES_MAX {
            return true;
        }
        self.withheld.extend(names);
        false
    }
}

impl RequestDirectives {
    /// Reads every `Cache-Control` line; `Pragma: no-cache` where there is none (section 5.4).
    #[must_use]
    pub fn of<F: Fields + ?Sized>(fields: &F) -> Self {
        let mut out = Self::default();
        let mut any = false;
        for member in fields::list(fields, "cache-control") {
            any = true;
            let (name, argument) = split(member);
            let argument = argument.map(|value| fields::unquote(value).unwrap_or_default());
            out.set(name, argument.as_deref());
        }
        if !any {
            out.no_cache = fields::has_token(fields, "pragma", "no-cache");
        }
        out
    }

    fn set(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |directive: &str| name.eq_ignore_ascii_case(directive.as_bytes());
        let seconds = argument.and_then(delta_seconds);
        if is("max-age") {
            self.max_age_s.get_or_insert(seconds.unwrap_or(0));
        } else if is("min-fresh") {
            self.min_fresh_s = self.min_fresh_s.or(seconds);
        } else if is("max-stale") {
            let any = argument.is_none().then_some(DELTA_SECONDS_MAX);
            self.max_stale_s = self.max_stale_s.or(seconds).or(any);
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        }
    }
}

/// Seconds (section 1.2.2): digits alone; what is too large becomes [`DELTA_SECONDS_MAX`].
#[must_use]
pub fn delta_seconds(value: &[u8]) -> Option<u32> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = value.iter().fold(0_u32, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    Some(seconds.min(DELTA_SECONDS_MAX))
}

fn split(member: &[u8]) -> (&[u8], Option<&[u8]>) {
    match member.iter().position(|byte| *byte == b'=') {
        Some(at) => (member.get(..at).unwrap_or(&[]), member.get(at + 1..)),
        None => (member, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn response(value: &str) -> ResponseDirectives {
        ResponseDirectives::of(&vec![("Cache-Control", value)])
    }

    #[track_caller]
    fn max_age(value: &str, expected: Option<u32>) {
        assert_eq!(response(value).max_age_s, expected, "{value}");
    }

    #[test]
    fn max_age_is_read_as_senders_write_it() {
        max_age("max-age=5", Some(5));
        max_age("MaX-aGe=\"5\"", Some(5));
        max_age("max-age=005", Some(5));
        max_age("max-age=99999999999999999999", Some(DELTA_SECONDS_MAX));
        max_age("a=\"max-age=9\", max-age=1", Some(1));
        max_age("max-age=1, max-age=9", Some(1));
        max_age("foo max-age=9", None);
        max_age("max-age =9", None);
    }

    #[test]
    fn what_is_no_number_of_seconds_makes_stale() {
        for bad in ["-5", "5.0", "'5'", "5s", "", " 5", "\"5"] {
            max_age(&alloc::format!("max-age={bad}"), Some(0));
        }
        max_age("max-age", Some(0));
    }

    #[test]
    fn named_fields_are_withheld_and_bare_directives_count() {
        let found = response("no-cache=\"A, b\", private=c, max-age=1");
        assert_eq!(found.withheld, ["a", "b", "c"]);
        assert!(!found.no_cache && !found.private);
        assert!(response("no-cache=\"\"").no_cache);
        assert!(response("private=\"a").private);
        let many = alloc::format!("private=\"{}\"", "x,".repeat(FIELD_NAMES_MAX + 1));
        assert!(response(&many).private);
    }

    #[test]
    fn requests_say_what_they_accept() {
        let of = |value| RequestDirectives::of(&vec![("Cache-Control", value)]);
        assert_eq!(of("max-stale").max_stale_s, Some(DELTA_SECONDS_MAX));
        assert_eq!(of("max-stale=5").max_stale_s, Some(5));
        assert_eq!(of("max-stale=x").max_stale_s, None);
        assert_eq!(of("max-age=x").max_age_s, Some(0));
        assert!(of("only-if-cached").only_if_cached);
        assert!(RequestDirectives::of(&vec![("Pragma", "no-cache")]).no_cache);
        let both = vec![("Pragma", "no-cache"), ("Cache-Control", "max-age=5")];
        assert!(!RequestDirectives::of(&both).no_cache);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(value: Vec<u8>) {
            let fields = vec![("cache-control", value)];
            let found = ResponseDirectives::of(&fields);
            prop_assert!(found.withheld.len() <= FIELD_NAMES_MAX);
            let _ = RequestDirectives::of(&fields);
        }
    }
}
