//! `Cache-Status` (RFC 9211): how this cache handled a request.

use alloc::string::String;
use core::fmt::Write;

use crate::decide::Reason;

/// The name of this cache.
pub const CACHE_NAME: &str = "edgewise";

/// How a request was handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handling<'a> {
    /// Why the origin was asked; `None` is a hit.
    pub forwarded: Option<Reason>,
    /// What the origin answered.
    pub forward_status: Option<u16>,
    /// What is left of the lifetime, seconds; negative once stale.
    pub ttl_s: Option<i64>,
    /// The answer was stored.
    pub stored: bool,
    /// The request shared another's answer.
    pub collapsed: bool,
    /// The key it was looked up by.
    pub key: Option<&'a str>,
    /// Whatever else is worth saying: a token.
    pub detail: Option<&'a str>,
}

impl Reason {
    /// The word of RFC 9211 section 2.2.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl Handling<'_> {
    /// The field's value.
    #[must_use]
    pub fn value(&self) -> String {
        let mut out = String::with_capacity(48);
        out.push_str(CACHE_NAME);
        match self.forwarded {
            None => out.push_str("; hit"),
            Some(reason) => {
                out.push_str("; fwd=");
                out.push_str(reason.token());
            }
        }
        // Writing to a string cannot fail.
        if let Some(status) = self.forward_status {
            let _ = write!(out, "; fwd-status={status}");
        }
        if let Some(ttl_s) = self.ttl_s {
            let _ = write!(out, "; ttl={ttl_s}");
        }
        if self.stored {
            out.push_str("; stored");
        }
        if self.collapsed {
            out.push_str("; collapsed");
        }
        if let Some(key) = self.key {
            out.push_str("; key=");
            quote(key, &mut out);
        }
        if let Some(detail) = self.detail {
            out.push_str("; detail=");
            out.push_str(detail);
        }
        out
    }
}

/// A string of RFC 9651: quotes and backslashes escaped, what it cannot hold as `?`.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_told_in_the_words_of_the_rfc() {
        let hit = Handling {
            ttl_s: Some(-7),
            key: Some("a\"é"),
            ..Handling::default()
        };
        assert_eq!(hit.value(), "edgewise; hit; ttl=-7; key=\"a\\\"?\"");
        let forwarded = Handling {
            forwarded: Some(Reason::Stale),
            forward_status: Some(304),
            stored: true,
            collapsed: true,
            detail: Some("revalidated"),
            ..Handling::default()
        };
        assert_eq!(
            forwarded.value(),
            "edgewise; fwd=stale; fwd-status=304; stored; collapsed; detail=revalidated"
        );
    }
}
