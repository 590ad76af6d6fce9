//! What a 304 or an answer to HEAD changes of a stored response (RFC 9111 sections 3.2, 4.3.4
//! and 4.3.5).

use crate::fields::{Fields, FieldsMut, remove_hop_by_hop};
use crate::storable::Stored;
use crate::targeted;

/// Fields that describe the stored body: a 304 does not change them.
const OF_THE_BODY: [&str; 6] = [
    "content-encoding",
    "content-length",
    "content-md5",
    "content-range",
    "etag",
    "repr-digest",
];

/// Fields that are not stored because they are made for each answer.
const MADE_HERE: [&str; 3] = ["age", "cache-status", "x-cache-status"];

/// Makes the fields of a response those to store: hop-by-hop ones, withheld ones and those made
/// for each answer are gone.
pub fn to_store<F: FieldsMut>(fields: &mut F, stored: &Stored) {
    remove_hop_by_hop(fields);
    for name in MADE_HERE {
        fields.remove_field(name);
    }
    for name in &stored.withheld {
        fields.remove_field(name);
    }
}

/// Lays the fields of a newer answer over stored ones. `fresh` is what [`to_store`] left of it.
pub fn freshen<S: FieldsMut, F: Fields>(stored: &mut S, fresh: &F) {
    // What targets shared caches counts as a whole: one that is gone would hide the new
    // `Cache-Control`.
    if fresh.has("cache-control") {
        for name in targeted::TARGETED {
            stored.remove_field(name);
        }
    }
    for (name, _) in fresh.lines() {
        if is_updated(name) {
            stored.remove_field(name);
        }
    }
    for (name, value) in fresh.lines() {
        if is_updated(name) {
            stored.append_field(name, value);
        }
    }
}

/// Whether an answer to HEAD is about the same body as what is stored (section 4.3.5).
#[must_use]
pub fn head_agrees<F: Fields + ?Sized>(head: &F, stored: &Stored, body_bytes: u64) -> bool {
    let same = |name: &str, own: Option<&[u8]>| match head.first(name) {
        Some(theirs) => own.is_none_or(|own| own == theirs),
        None => true,
    };
    let length = head
        .first("content-length")
        .and_then(|value| core::str::from_utf8(value).ok()?.parse().ok());
    same("etag", stored.etag.as_deref())
        && same("last-modified", stored.last_modified.as_deref())
        && length.is_none_or(|length: u64| length == body_bytes)
}

fn is_updated(name: &str) -> bool {
    !OF_THE_BODY
        .iter()
        .any(|field| name.eq_ignore_ascii_case(field))
}
