//! Lists of tags: PostgreSQL arrays, JSON arrays, text with commas.

use super::{Fault, shown};
use crate::replicate::mapping::column::Class;
use crate::replicate::value::Value;

/// Entries of a list that are read; those beyond are left out, as tags beyond the 16th are.
pub(crate) const LIST_ENTRIES_MAX: usize = 256;

/// The entries of a list; `None` where it is NULL. Empty entries are none.
pub(crate) fn list(value: Value<'_>, class: Class) -> Result<Option<Vec<String>>, Fault> {
    let Some(text) = super::text(value, class)? else {
        return Ok(None);
    };
    let text = text.trim();
    let entries = match class {
        Class::Array => array(text)?,
        Class::Json => json(text)?,
        _ if text.starts_with('{') && text.ends_with('}') => array(text)?,
        _ if text.starts_with('[') && text.ends_with(']') => json(text)?,
        _ => split(text, ","),
    };
    Ok(Some(entries))
}

/// The trimmed parts of `text` that are not empty.
pub(crate) fn split(text: &str, separator: &str) -> Vec<String> {
    text.split(separator)
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .take(LIST_ENTRIES_MAX)
        .map(str::to_owned)
        .collect()
}

/// A JSON array of texts, numbers and truth values; null entries are left out.
fn json(text: &str) -> Result<Vec<String>, Fault> {
    let unreadable = |why: &str| {
        Fault::new(
            "type",
            format!("is {}, which is not a JSON list: {why}", shown(text)),
        )
    };
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| unreadable(&error.to_string()))?;
    let entries = match value {
        serde_json::Value::Null => return Ok(Vec::new()),
        serde_json::Value::Array(entries) => entries,
        _ => return Err(unreadable("it is no array")),
    };
    entries
        .into_iter()
        .take(LIST_ENTRIES_MAX)
        .filter_map(|entry| match entry {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) if text.trim().is_empty() => None,
            serde_json::Value::String(text) => Some(Ok(text)),
            serde_json::Value::Bool(value) => Some(Ok(value.to_string())),
            serde_json::Value::Number(value) => Some(Ok(value.to_string())),
            _ => Some(Err(unreadable("an entry is a list or an object"))),
        })
        .collect()
}

/// A PostgreSQL array: `{a,"b, c",NULL}`, also with bounds (`[2:3]={a,b}`).
fn array(text: &str) -> Result<Vec<String>, Fault> {
    let body = match text.split_once('=') {
        Some((bounds, body)) if bounds.starts_with('[') => body,
        _ => text,
    };
    let inner = body
        .strip_prefix('{')
        .and_then(|body| body.strip_suffix('}'))
        .ok_or_else(|| broken_array(text, "it has no braces"))?;
    let mut entries = Vec::new();
    let mut chars = inner.chars().peekable();
    while chars.peek().is_some() && entries.len() < LIST_ENTRIES_MAX {
        let mut entry = String::new();
        let mut quoted = false;
        loop {
            match chars.next() {
                None | Some(',') => break,
                Some('"') if entry.is_empty() && !quoted => {
                    quoted = true;
                    quoted_entry(&mut chars, &mut entry)
                        .ok_or_else(|| broken_array(text, "a quote is not closed"))?;
                }
                Some('{' | '}') => return Err(broken_array(text, "it has more dimensions")),
                Some('\\') => entry.extend(chars.next()),
                Some(c) => entry.push(c),
            }
        }
        let entry = if quoted {
            entry
        } else {
            entry.trim().to_owned()
        };
        let null = !quoted && entry.eq_ignore_ascii_case("null");
        if !null && !entry.trim().is_empty() {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn quoted_entry(chars: &mut impl Iterator<Item = char>, entry: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => entry.push(chars.next()?),
            c => entry.push(c),
        }
    }
}

fn broken_array(text: &str, why: &str) -> Fault {
    Fault::new(
        "type",
        format!("is {}, which is not a list: {why}", shown(text)),
    )
}
