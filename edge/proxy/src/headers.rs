//! Header fields on their way to the origin and back (RFC 9110 section 7.6).

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_cache::cache_status::{CACHE_NAME, Handling};
use edgewise_cache::fields::{FieldLines, Fields, FieldsMut, list, remove_hop_by_hop};

use crate::message::Asking;

/// Header lines of a request or an answer; beyond, 431 or 502.
pub(crate) const LINES_MAX: usize = 128;

/// Times that a request may come through this proxy before it is refused as a loop (RFC 8586).
const LOOPS_MAX: usize = 3;

/// Fields that origins take for the URL or the client though anybody can send them: not part of
/// the key, so they never reach the origin as they came. The native proxy has the same list.
const UNKEYED: [&str; 14] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
];

/// A client's header fields as the origin gets them. `Host` and `Content-Length` are the
/// runtime's: it makes them from the URL and the body.
pub(crate) fn to_origin(asking: &Asking) -> FieldLines {
    let mut fields = asking.fields.clone();
    remove_hop_by_hop(&mut fields);
    for name in UNKEYED
        .into_iter()
        .chain(["expect", "host", "content-length"])
    {
        fields.remove_field(name);
    }
    fields.append_field("x-forwarded-host", asking.host.as_bytes());
    fields.append_field("x-forwarded-proto", asking.scheme.as_bytes());
    if !asking.client.is_empty() {
        append_item(&mut fields, "x-forwarded-for", &asking.client);
    }
    append_item(&mut fields, "cdn-loop", CACHE_NAME);
    fields.append_field("via", b"1.1 edgewise");
    fields
}

/// Takes away conditions and ranges of a client's: the cache asks for the whole.
pub(crate) fn without_conditions(fields: &mut FieldLines) {
    for name in ["if-none-match", "if-modified-since", "if-range", "range"] {
        fields.remove_field(name);
    }
}

/// Whether a request has come through here too often.
pub(crate) fn is_loop(fields: &FieldLines) -> bool {
    let name = CACHE_NAME.as_bytes();
    let passes = list(fields, "cdn-loop").filter(|item| {
        let id = item.split(|byte| *byte == b';').next().unwrap_or(item);
        id.trim_ascii() == name
    });
    passes.count() >= LOOPS_MAX
}

/// Puts a field in place of all of its name.
pub(crate) fn set(fields: &mut FieldLines, name: &str, value: &str) {
    fields.remove_field(name);
    fields.append_field(name, value.as_bytes());
}

/// Takes away what describes a body (RFC 9110 section 15.4.5).
pub(crate) fn without_body(fields: &mut FieldLines) {
    fields.retain(|(name, _)| {
        let name = name.to_ascii_lowercase();
        !name.starts_with("content-") || name == "content-location"
    });
}

/// Says what was done, after what caches before this one did.
pub(crate) fn mark(fields: &mut FieldLines, handling: &Handling<'_>) {
    let short = match (handling.forwarded, handling.ttl_s) {
        (Some(_), _) if handling.forward_status == Some(304) => "REVALIDATED",
        (_, Some(ttl_s)) if ttl_s < 0 => "STALE",
        (None, _) => "HIT",
        (Some(_), _) => "MISS",
    };
    set(fields, "x-cache-status", short);
    fields.append_field("cache-status", handling.value().as_bytes());
}

/// Bytes that fields take.
pub(crate) fn bytes(fields: &FieldLines) -> u64 {
    fields
        .iter()
        .map(|(name, value)| (name.len() + value.len() + 64) as u64)
        .sum()
}

fn append_item(fields: &mut FieldLines, name: &str, item: &str) {
    let mut values: Vec<&[u8]> = fields.values(name).collect();
    values.push(item.as_bytes());
    let joined = values.join(&b", "[..]);
    fields.remove_field(name);
    fields.push((String::from(name), joined));
}
