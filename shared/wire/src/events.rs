//! Bodies of `POST /api/v1/events`: the valid events count, the others are named.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::api::{Event, Rejection};
use crate::json;
use crate::limits::{EVENTS_BYTES_MAX, EVENTS_MAX};
use crate::problem::Problem;

mod check;

pub use check::{delivered_event, event as check_event};

/// What a client sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventBatch {
    /// Index in the body and event. Repeated ids are kept: the counter says duplicate.
    pub events: Vec<(u32, Event)>,
    /// Refused entries.
    pub rejected: Vec<Rejection>,
    /// The session token that came with them, unverified.
    pub session: Option<String>,
}

/// Reads `{"events": [...], "session"?}`, a bare array or a single event, 1 to 500 events
/// in at most 256 KiB, at domain time `domain_now_ms`.
///
/// # Errors
///
/// 400 for what is not such a body, 413 for one that is too large, 415 for a content type
/// other than JSON and `text/plain` (which `sendBeacon` sends).
pub fn parse(
    body: &[u8],
    content_type: Option<&str>,
    domain_now_ms: i64,
) -> Result<EventBatch, Problem> {
    if body.len() > EVENTS_BYTES_MAX {
        let detail = format!("the body has {} bytes", body.len());
        return Err(Problem::too_large("body", detail, "at most 262144 bytes"));
    }
    if !content_type.is_none_or(is_json) {
        return Err(Problem::media_type("application/json or text/plain"));
    }
    let session = session_of(body);
    let entries = raw_list(body, "events", EVENTS_MAX, "1..500")?;
    let mut batch = EventBatch {
        session,
        ..EventBatch::default()
    };
    for (index, entry) in (0..).zip(entries) {
        match check::event(entry, domain_now_ms) {
            Ok(event) => batch.events.push((index, event)),
            Err(reason) => batch.rejected.push(Rejection { index, reason }),
        }
    }
    Ok(batch)
}

/// Whether a content type may hold JSON: `application/json`, `+json` or `text/plain`.
#[must_use]
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    essence.is_empty()
        || essence == "application/json"
        || essence == "text/plain"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The entries of `{"<field>": [...]}`, of a bare array, or of a single entry.
pub(crate) fn raw_list<'a>(
    body: &'a [u8],
    field: &'static str,
    max: usize,
    range: &'static str,
) -> Result<Vec<&'a str>, Problem> {
    let shape = || format!("{{\"{field}\": [...]}}, an array or a single entry");
    let text = core::str::from_utf8(body)
        .map_err(|_| Problem::body("body", "the body is not UTF-8", "JSON"))?;
    if text.trim_ascii().is_empty() {
        return Err(Problem::body("body", "the body is empty", shape()));
    }
    let whole = json::raw(text.as_bytes())
        .map_err(|error| Problem::body("body", json_problem(&error), "JSON"))?;
    let entries = match whole.as_bytes().first() {
        Some(b'[') => json::list(whole.as_bytes()),
        Some(b'{') => {
            let fields = json::fields(whole.as_bytes())
                .map_err(|error| Problem::body("body", json_problem(&error), "JSON"))?;
            match fields.get(field) {
                Some(list) if list.starts_with('[') => json::list(list.as_bytes()),
                Some(_) => {
                    let detail = format!("{field} is not an array");
                    return Err(Problem::body(field, detail, format!("{range} entries")));
                }
                None if fields.contains_key("id") || fields.contains_key("type") => {
                    Ok(Vec::from([whole]))
                }
                None => return Err(Problem::body(field, format!("{field} is missing"), shape())),
            }
        }
        _ => return Err(Problem::body("body", "the body has another shape", shape())),
    };
    let entries = entries.map_err(|error| Problem::body("body", json_problem(&error), "JSON"))?;
    if entries.is_empty() {
        let detail = format!("{field} is empty");
        return Err(Problem::body(field, detail, format!("{range} entries")));
    }
    if entries.len() > max {
        let detail = format!("{field} has {} entries", entries.len());
        return Err(Problem::too_large(
            field,
            detail,
            format!("{range} entries"),
        ));
    }
    Ok(entries)
}

/// What serde_json says, without the position's type names.
pub(crate) fn json_problem(error: &serde_json::Error) -> String {
    format!("invalid JSON: {error}")
}

/// The body's session where it has a usable one: a bad one is ignored, like any bad session.
fn session_of(body: &[u8]) -> Option<String> {
    let session = json::text(json::fields(body).ok()?.get("session")?)?;
    (!session.is_empty()).then_some(session)
}

#[cfg(test)]
mod tests;
