//! Conditions: a client's, answered from what is stored, and ours, sent to the origin
//! (RFC 9110 section 13, RFC 9111 section 4.3).

use crate::date;
use crate::fields::{Fields, members};
use crate::storable::Stored;

/// Condition fields of a client; the cache answers them itself and sends its own.
pub const CONDITIONS: [&str; 3] = ["if-none-match", "if-modified-since", "if-range"];

/// Whether a client already has what is stored: `If-None-Match`, else `If-Modified-Since`.
/// Only successful answers can be had already (RFC 9110 section 13.2.1).
#[must_use]
pub fn is_not_modified<F: Fields + ?Sized>(request: &F, stored: &Stored, now_s: i64) -> bool {
    if !(200..=299).contains(&stored.status) {
        return false;
    }
    if request.has("if-none-match") {
        return request
            .values("if-none-match")
            .flat_map(members)
            .any(|tag| tag == b"*" || stored.etag.as_deref().is_some_and(|own| weak_eq(tag, own)));
    }
    request
        .first("if-modified-since")
        .and_then(|since| date::parse(since, now_s))
        .is_some_and(|since_s| stored.modified_s <= since_s)
}

/// Whether `If-Range`, where there is one, allows a part of what is stored
/// (RFC 9110 section 13.1.5): strong comparison only.
#[must_use]
pub fn if_range_holds<F: Fields + ?Sized>(request: &F, stored: &Stored, now_s: i64) -> bool {
    let Some(validator) = request.first("if-range") else {
        return true;
    };
    if validator.starts_with(b"\"") {
        return stored.etag.as_deref() == Some(validator);
    }
    let is_strong = stored.terms.response_time_ms.div_euclid(1_000) > stored.modified_s;
    let same = stored
        .last_modified
        .as_deref()
        .and_then(|date| date::parse(date, now_s))
        .is_some_and(|own_s| date::parse(validator, now_s) == Some(own_s));
    is_strong && same
}

/// The condition that asks the origin whether what is stored still holds: field and value.
/// Both where there are both (section 4.3.1).
pub fn condition(stored: &Stored) -> impl Iterator<Item = (&'static str, &[u8])> {
    let etag = stored.etag.as_deref().map(|tag| ("if-none-match", tag));
    let modified = stored
        .last_modified
        .as_deref()
        .map(|date| ("if-modified-since", date));
    etag.into_iter().chain(modified)
}

/// Weak comparison (RFC 9110 section 8.8.3.2).
fn weak_eq(a: &[u8], b: &[u8]) -> bool {
    a.strip_prefix(b"W/").unwrap_or(a) == b.strip_prefix(b"W/").unwrap_or(b)
}
