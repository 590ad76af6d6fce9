//! What an edge stores: the origin's internal resources, their keys, paths and tags.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::{HotWindow, id_hash};
use edgewise_wire::overlay::{item_tag, key_tag, user_tag};

use crate::limits::KEY_MAX_BYTES;

/// One thing the origin has and the edge keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// A user's candidates.
    Bundle { user: String },
    /// A segment's candidates: `all`, `region=XX` or `language=xx`.
    Pool { segment: String },
    /// A hot list.
    Hot(HotKey),
    /// Items similar to one.
    Similar { item: String },
    /// Users like one.
    Suggested { user: String },
    /// Facts of items, ascending and without repeats; kept item by item.
    Items { ids: Vec<String> },
    /// What changed lately.
    Overlay,
    /// A model snapshot; immutable.
    Model { version: String },
}

/// Which hot list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HotKey {
    pub(crate) window: HotWindow,
    pub(crate) region: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) tag: Option<String>,
}

impl HotKey {
    /// The unfiltered list of a window.
    pub(crate) const fn of(window: HotWindow) -> Self {
        Self {
            window,
            region: None,
            language: None,
            tag: None,
        }
    }
}

impl Resource {
    /// The pool of everybody.
    pub(crate) fn pool_all() -> Self {
        Self::Pool {
            segment: "all".into(),
        }
    }

    /// Key in every tier: the path's last part, so that it is read as easily as a log line.
    pub(crate) fn key(&self) -> String {
        let key = match self {
            Self::Items { ids } => format!("items/{:016x}", id_hash(&ids.join(","))),
            _ => self.tail(),
        };
        if key.len() <= KEY_MAX_BYTES {
            return key;
        }
        let family = key.split(['/', '?']).next().unwrap_or_default();
        format!("{family}/long/{:016x}", id_hash(&key))
    }

    /// Path at the origin.
    pub(crate) fn path(&self) -> String {
        format!("/internal/v1/{}", self.tail())
    }

    fn tail(&self) -> String {
        match self {
            Self::Bundle { user } => with_encoded("candidates/", user),
            Self::Pool { segment } => match segment.split_once('=') {
                Some((name, label)) => with_encoded(&format!("pools/{name}="), label),
                None => format!("pools/{segment}"),
            },
            Self::Hot(hot) => {
                let mut tail = format!("lists/hot?window={}", hot.window.name());
                let filters = [
                    ("region", &hot.region),
                    ("language", &hot.language),
                    ("tag", &hot.tag),
                ];
                for (name, value) in filters {
                    if let Some(value) = value {
                        tail.push('&');
                        tail.push_str(name);
                        tail.push('=');
                        push_encoded(&mut tail, value);
                    }
                }
                tail
            }
            Self::Similar { item } => with_encoded("similar/", item),
            Self::Suggested { user } => with_encoded("suggested/", user),
            Self::Items { ids } => {
                let mut tail = String::from("items?ids=");
                for (index, id) in ids.iter().enumerate() {
                    if index > 0 {
                        tail.push(',');
                    }
                    push_encoded(&mut tail, id);
                }
                tail
            }
            Self::Overlay => "overlay".into(),
            Self::Model { version } => with_encoded("models/", version),
        }
    }

    /// Number in the stored envelope; a new shape of a value takes a new number.
    pub(crate) const fn kind(&self) -> u8 {
        match self {
            Self::Bundle { .. } => 1,
            Self::Pool { .. } => 2,
            Self::Hot(_) => 3,
            Self::Similar { .. } => 4,
            Self::Suggested { .. } => 5,
            Self::Items { .. } => 6,
            Self::Overlay => 7,
            Self::Model { .. } => 8,
        }
    }

    /// Hashes of the tags it is purged by, besides everything; `key` is its key.
    pub(crate) fn tags(&self, key: &str) -> [u64; 3] {
        let (family, one) = match self {
            Self::Bundle { user } => (Some("list:bundle"), Some(user_tag(user))),
            Self::Suggested { user } => (Some("list:suggested"), Some(user_tag(user))),
            Self::Hot(_) => (Some("list:hot"), None),
            Self::Similar { item } => (Some("list:similar"), Some(item_tag(item))),
            Self::Pool { .. } => (Some("list:pool"), None),
            // Items are judged one by one; the others are not purged by tag.
            Self::Items { .. } | Self::Overlay | Self::Model { .. } => (None, None),
        };
        let key = key_tag(key);
        // 0 is everything, which every purge is asked about anyway.
        [family, one.as_deref(), Some(&key)].map(|tag| tag.map_or(0, id_hash))
    }
}

/// Hashes of the tags that one item's facts are purged by.
pub(crate) fn tags_of_item(id: &str) -> [u64; 2] {
    [id_hash(&item_tag(id)), id_hash("list:items")]
}

/// Key of one item's facts in memory.
pub(crate) fn item_key(id: &str) -> String {
    with_encoded("item/", id)
}

fn with_encoded(prefix: &str, text: &str) -> String {
    let mut out = String::with_capacity(prefix.len() + text.len());
    out.push_str(prefix);
    push_encoded(&mut out, text);
    out
}

/// Percent-encodes all but the unreserved characters of RFC 3986 (and `:` and `@`).
pub(crate) fn push_encoded(out: &mut String, text: &str) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend(
                [byte >> 4, byte & 15]
                    .iter()
                    .filter_map(|&half| HEX.get(usize::from(half))),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded_and_keys_are_their_tails() {
        let bundle = Resource::Bundle {
            user: "a/b ?é".into(),
        };
        assert_eq!(bundle.path(), "/internal/v1/candidates/a%2Fb%20%3F%C3%A9");
        assert_eq!(bundle.key(), "candidates/a%2Fb%20%3F%C3%A9");
        let hot = Resource::Hot(HotKey {
            tag: Some("c&d".into()),
            ..HotKey::of(HotWindow::Hour)
        });
        assert_eq!(hot.path(), "/internal/v1/lists/hot?window=1h&tag=c%26d");
        let pool = Resource::Pool {
            segment: "region=CH".into(),
        };
        assert_eq!(pool.path(), "/internal/v1/pools/region=CH");
    }

    #[test]
    fn every_key_fits_the_store() {
        let long = "é".repeat(32);
        let hot = Resource::Hot(HotKey {
            window: HotWindow::Week,
            region: Some(long.clone()),
            language: Some(long.clone()),
            tag: Some(long.clone()),
        });
        assert!(hot.key().len() <= KEY_MAX_BYTES);
        assert_ne!(
            hot.key(),
            Resource::Hot(HotKey {
                tag: None,
                ..match hot.clone() {
                    Resource::Hot(key) => key,
                    _ => unreachable!(),
                }
            })
            .key()
        );
        let ids = (0..100).map(|index| format!("{index}{long}")).collect();
        assert!(Resource::Items { ids }.key().len() <= KEY_MAX_BYTES);
    }
}
