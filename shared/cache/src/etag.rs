//! Entity tags: made from a hash of the body, compared as RFC 9110 section 13.1.2 says.

use alloc::format;
use alloc::string::String;

/// A strong entity tag from a hash of the body (XXH3-64).
#[must_use]
pub fn etag(body_hash: u64) -> String {
    format!("\"{body_hash:016x}\"")
}

/// Whether an `If-None-Match` value names `etag`: `*`, or a list compared weakly.
#[must_use]
pub fn if_none_match_matches(if_none_match: &str, etag: &str) -> bool {
    let value = if_none_match.trim();
    if value == "*" {
        return true;
    }
    let opaque = etag.strip_prefix("W/").unwrap_or(etag);
    let mut rest = value;
    while let Some(start) = rest.find('"') {
        let Some(from_quote) = rest.get(start..) else {
            return false;
        };
        let Some(len) = from_quote.get(1..).and_then(|inner| inner.find('"')) else {
            return false;
        };
        if from_quote.get(..len + 2) == Some(opaque) {
            return true;
        }
        rest = from_quote.get(len + 2..).unwrap_or("");
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(if_none_match: &str, etag: &str, expected: bool) {
        assert_eq!(
            if_none_match_matches(if_none_match, etag),
            expected,
            "{if_none_match}"
        );
    }

    #[test]
    fn lists_weak_tags_and_the_star_match() {
        check("*", "\"a\"", true);
        check("\"a\"", "\"a\"", true);
        check("W/\"a\"", "\"a\"", true);
        check("\"b\", W/\"a,c\" , \"d\"", "\"a,c\"", true);
        check("\"b\"", "\"a\"", false);
        check("a", "\"a\"", false);
        check("\"a", "\"a\"", false);
        check("", "\"a\"", false);
    }

    #[test]
    fn a_tag_is_sixteen_digits() {
        assert_eq!(etag(0xab), "\"00000000000000ab\"");
    }

    proptest! {
        #[test]
        fn any_header_is_compared_without_a_panic(value in ".*", hash: u64) {
            let tag = etag(hash);
            let _ = if_none_match_matches(&value, &tag);
            // An entity tag holds no quote, so what comes before it cannot swallow the next.
            let list = format!("W/\"{}\", {tag}", value.replace('"', ""));
            prop_assert!(if_none_match_matches(&list, &tag));
        }
    }
}
