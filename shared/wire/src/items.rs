//! Items as they come from outside: bodies of upserts and each item's rules.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_ranking::Kind;

use crate::api::{Item, Rejection};
use crate::events::{json_problem, raw_list};
use crate::ids::{check_id, check_label};
use crate::limits::{
    CREATED_AT_MS_MAX, ITEMS_BYTES_MAX, ITEMS_MAX, LINK_BYTES_MAX, TAGS_MAX, THUMBNAIL_BYTES_MAX,
    TITLE_BYTES_MAX,
};
use crate::problem::Problem;

/// Which field of an item is wrong, and what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {allowed}")]
pub struct ItemError {
    /// The field's name in JSON.
    pub field: &'static str,
    /// What it may be.
    pub allowed: &'static str,
}

/// Items of an upsert: those that are right, and why the others are not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemBatch {
    /// Index in the body and item.
    pub items: Vec<(u32, Item)>,
    /// Refused entries.
    pub rejected: Vec<Rejection>,
}

/// Whether an item may be stored.
///
/// # Errors
///
/// Names the first field that is wrong.
pub fn check(item: &Item) -> Result<(), ItemError> {
    let id = "1 to 64 bytes without control characters";
    rule(check_id(&item.id).is_ok(), "id", id)?;
    rule(check_id(&item.author).is_ok(), "author", id)?;
    let created_at = (0..=CREATED_AT_MS_MAX).contains(&item.created_at_ms);
    rule(created_at, "created_at", "0..9000000000000000 (Unix ms)")?;
    let kind = item
        .kind
        .as_deref()
        .is_none_or(|kind| Kind::from_name(kind).is_some());
    rule(kind, "kind", "post, video, image or dataset")?;
    let tags = item.tags.len() <= TAGS_MAX && item.tags.iter().all(|tag| check_label(tag).is_ok());
    rule(
        tags,
        "tags",
        "at most 16 tags of 1 to 64 bytes without control characters",
    )?;
    let label = |label: &Option<String>| label.as_deref().is_none_or(|l| check_label(l).is_ok());
    rule(label(&item.region), "region", id)?;
    rule(label(&item.language), "language", id)?;
    rule(
        item.title.len() <= TITLE_BYTES_MAX,
        "title",
        "at most 300 bytes",
    )?;
    let thumbnail = item.thumbnail.as_deref().is_none_or(|uri| {
        uri.len() <= THUMBNAIL_BYTES_MAX && (is_image_data(uri) || is_web_link(uri))
    });
    let allowed = "at most 4096 bytes: an http, https or relative URL, or data:image/";
    rule(thumbnail, "thumbnail", allowed)?;
    let link = item
        .link
        .as_deref()
        .is_none_or(|uri| uri.len() <= LINK_BYTES_MAX && is_web_link(uri));
    rule(
        link,
        "link",
        "at most 2048 bytes: an http, https or relative URL",
    )
}

/// Reads the body of an items upsert: `{"items": [...]}` or a bare array, 1 to 500 items.
///
/// # Errors
///
/// 400 for what is not such a body, 413 for one that is too large.
pub fn parse(body: &[u8]) -> Result<ItemBatch, Problem> {
    if body.len() > ITEMS_BYTES_MAX {
        return Err(Problem::too_large(
            "body",
            "the body is too large",
            "at most 4194304 bytes",
        ));
    }
    let entries = raw_list(body, "items", ITEMS_MAX, "1..500")?;
    let mut batch = ItemBatch::default();
    for (index, entry) in (0..).zip(entries) {
        let item = serde_json::from_str::<Item>(entry)
            .map_err(|error| json_problem(&error))
            .and_then(|item| {
                check(&item)
                    .map(|()| item)
                    .map_err(|error| error.to_string())
            });
        match item {
            Ok(item) => batch.items.push((index, item)),
            Err(reason) => batch.rejected.push(Rejection { index, reason }),
        }
    }
    Ok(batch)
}

fn rule(holds: bool, field: &'static str, allowed: &'static str) -> Result<(), ItemError> {
    if holds {
        Ok(())
    } else {
        Err(ItemError { field, allowed })
    }
}

/// A link that a page may follow: http, https or relative, so never `javascript:`.
///
/// Browsers drop tabs, line ends and leading spaces before they look for the scheme, so
/// those are refused, not skipped.
fn is_web_link(uri: &str) -> bool {
    if uri.is_empty()
        || uri
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
    {
        return false;
    }
    let scheme_end = uri.find([':', '/', '?', '#']);
    match scheme_end.and_then(|end| uri.split_at_checked(end)) {
        Some((scheme, rest)) if rest.starts_with(':') => {
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        }
        _ => true,
    }
}

/// A picture inside the item itself.
fn is_image_data(uri: &str) -> bool {
    let prefix = uri.get(..11).unwrap_or("");
    prefix.eq_ignore_ascii_case("data:image/") && !uri.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
