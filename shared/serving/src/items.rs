//! `/api/v1/items` from stored item objects.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_wire::json::{self, Fields};
use edgewise_wire::overlay::Overlay;

use crate::json::Json;
use crate::stored::{StoredError, is_dead};

/// Splits the origin's map `{id: item object or null}` into item objects, to be stored one
/// by one. An id that the catalogue does not know is absent or null: it is left out.
///
/// # Errors
///
/// The stored body is not of that shape.
pub fn split(stored: &[u8]) -> Result<Fields<'_>, StoredError> {
    let mut map = json::fields(stored).map_err(StoredError::of("items"))?;
    map.retain(|_, item| *item != "null");
    Ok(map)
}

/// The answer `{items:[...]}`: the item object of each id in the order asked, an id once,
/// unknown and deleted items left out. `find` gives the stored object of an id.
///
/// # Errors
///
/// A stored object is not JSON.
pub fn answer<'a>(
    ids: &[String],
    find: impl Fn(&str) -> Option<&'a [u8]>,
    overlay: Option<&Overlay>,
) -> Result<Vec<u8>, StoredError> {
    let mut body = Json::with_capacity(64 + ids.len() * 400);
    body.open('{');
    body.key("items");
    body.open('[');
    for (at, id) in ids.iter().enumerate() {
        let answered = ids.iter().take(at).any(|before| before == id);
        if answered || is_dead(overlay, id) {
            continue;
        }
        if let Some(item) = find(id) {
            let item = json::raw(item).map_err(StoredError::of("item"))?;
            body.raw(item);
        }
    }
    body.close(']');
    body.close('}');
    Ok(body.finish().into_bytes())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;
    use crate::fixture::{overlay, tombstones};

    #[test]
    fn items_come_in_the_order_asked_once_and_alive() {
        let stored =
            br#"{"a": {"id":"a","title":"A"}, "b": {"id":"b"}, "c": null, "d": {"id":"d"}}"#;
        let items = split(stored).unwrap();
        assert_eq!(items.keys().collect::<Vec<_>>(), ["a", "b", "d"]);
        let ids = ["b", "x", "c", "a", "b", "d"].map(|id| id.to_string());
        let mut dead = overlay(Vec::new());
        dead.tombstones = tombstones(&["d"]);
        let find = |id: &str| items.get(id).map(|item| item.as_bytes());
        let body = answer(&ids, find, Some(&dead)).unwrap();
        assert_eq!(body, br#"{"items":[{"id":"b"},{"id":"a","title":"A"}]}"#);
    }

    #[test]
    fn another_shape_is_an_error() {
        assert!(split(b"[]").is_err());
        let ids = ["a".to_string()];
        assert!(answer(&ids, |_| Some(b"{".as_slice()), None).is_err());
    }
}
