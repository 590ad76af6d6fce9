//! `/api/v1/similar/{item}` from the origin's stored list.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_wire::json::{self, Fields};
use edgewise_wire::overlay::Overlay;
use edgewise_wire::params::SimilarParams;
use serde_json::Value;

use crate::json::Json;
use crate::stored::{StoredError, is_dead};

const WHAT: &str = "similar items";

/// Score and reasons pass through as the origin wrote them.
struct Neighbour<'a> {
    id: String,
    score: &'a str,
    reasons: &'a str,
    tags: Vec<Value>,
}

impl<'a> Neighbour<'a> {
    fn read(stored: &'a str) -> Result<Self, StoredError> {
        let fields = json::fields(stored.as_bytes()).map_err(StoredError::of(WHAT))?;
        let tags = match fields.get("tags") {
            None => Vec::new(),
            Some(tags) => match json::value(tags.as_bytes()) {
                Ok(Value::Array(tags)) => tags,
                _ => return Err(StoredError::field(WHAT, "tags")),
            },
        };
        Ok(Self {
            id: json::text(field(&fields, "id")?).ok_or_else(|| StoredError::field(WHAT, "id"))?,
            score: field(&fields, "score")?,
            reasons: field(&fields, "reasons")?,
            tags,
        })
    }
}

fn field<'a>(fields: &Fields<'a>, name: &'static str) -> Result<&'a str, StoredError> {
    let field = fields.get(name).copied();
    field.ok_or_else(|| StoredError::field(WHAT, name))
}

/// From the stored `{item, items:[{id, score, reasons, tags}]}`, nearest first, to the
/// answer `{item, items:[{id, score, reasons}]}`: items with the asked tag that were not
/// deleted since, at most `limit`.
///
/// # Errors
///
/// The stored body is not of that shape.
pub fn answer(
    stored: &[u8],
    params: &SimilarParams,
    overlay: Option<&Overlay>,
) -> Result<Vec<u8>, StoredError> {
    let stored = json::fields(stored).map_err(StoredError::of(WHAT))?;
    let item =
        json::text(field(&stored, "item")?).ok_or_else(|| StoredError::field(WHAT, "item"))?;
    let items = json::list(field(&stored, "items")?.as_bytes());
    let items = items.map_err(StoredError::of(WHAT))?;
    let items = items.into_iter().map(Neighbour::read);
    let items = items.collect::<Result<Vec<_>, _>>()?;
    let mut body = Json::with_capacity(1_024);
    body.open('{');
    body.key_text("item", &item);
    body.key("items");
    body.open('[');
    let wanted = |near: &&Neighbour<'_>| {
        params
            .tag
            .as_ref()
            .is_none_or(|tag| near.tags.iter().any(|known| known.as_str() == Some(tag)))
    };
    let alive = items
        .iter()
        .filter(wanted)
        .filter(|near| !is_dead(overlay, &near.id));
    for near in alive.take(params.limit as usize) {
        body.open('{');
        body.key_text("id", &near.id);
        body.key("score");
        body.raw(near.score);
        body.key("reasons");
        body.raw(near.reasons);
        body.close('}');
    }
    body.close(']');
    body.close('}');
    Ok(body.finish().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{overlay, tombstones};

    const STORED: &str = r#"{"item":"q\"1","items":[
        {"id":"a","score":0.30000000000000004,"reasons":["tags", "author"],"tags":["x"]},
        {"id":"b","score":0.2,"reasons":[],"tags":["x","y"]},
        {"id":"c","score":0.1,"reasons":["vector"]}]}"#;

    #[track_caller]
    fn check(query: &str, overlay: Option<&Overlay>, expected: &str) {
        let params = SimilarParams::parse(query).unwrap();
        let body = answer(STORED.as_bytes(), &params, overlay).unwrap();
        assert_eq!(alloc::string::String::from_utf8(body).unwrap(), expected);
    }

    #[test]
    fn limit_tag_and_tombstones_hold_and_scores_pass_through() {
        let a = r#"{"id":"a","score":0.30000000000000004,"reasons":["tags", "author"]}"#;
        let b = r#"{"id":"b","score":0.2,"reasons":[]}"#;
        let around = |items: &str| alloc::format!(r#"{{"item":"q\"1","items":[{items}]}}"#);
        check("limit=1", None, &around(a));
        check("tag=x", None, &around(&alloc::format!("{a},{b}")));
        check("tag=y", None, &around(b));
        let mut dead = overlay(Vec::new());
        dead.tombstones = tombstones(&["a", "c"]);
        check("", Some(&dead), &around(b));
    }

    #[test]
    fn another_shape_is_an_error() {
        let params = SimilarParams::parse("").unwrap();
        for stored in [
            "",
            "[]",
            "{}",
            r#"{"item":1,"items":[]}"#,
            r#"{"item":"a","items":[{}]}"#,
        ] {
            assert!(
                answer(stored.as_bytes(), &params, None).is_err(),
                "{stored}"
            );
        }
    }
}
