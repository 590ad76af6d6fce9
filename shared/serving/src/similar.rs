//! `/api/v1/similar/{item}` from the origin's stored list.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use edgewise_wire::overlay::Overlay;
use edgewise_wire::params::SimilarParams;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::Json;
use crate::stored::{StoredError, is_dead, parse};

#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    item: Cow<'a, str>,
    #[serde(borrow)]
    items: Vec<Neighbour<'a>>,
}

/// Score and reasons pass through as the origin wrote them.
#[derive(Deserialize)]
struct Neighbour<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    score: &'a RawValue,
    #[serde(borrow)]
    reasons: &'a RawValue,
    #[serde(borrow, default)]
    tags: Vec<Cow<'a, str>>,
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
    let stored: Stored<'_> = parse("similar items", stored)?;
    let mut json = Json::with_capacity(1_024);
    json.open('{');
    json.key_text("item", &stored.item);
    json.key("items");
    json.open('[');
    let wanted = |near: &&Neighbour<'_>| {
        params
            .tag
            .as_ref()
            .is_none_or(|tag| near.tags.iter().any(|known| known == tag))
    };
    let alive = stored
        .items
        .iter()
        .filter(wanted)
        .filter(|near| !is_dead(overlay, &near.id));
    for near in alive.take(params.limit as usize) {
        json.open('{');
        json.key_text("id", &near.id);
        json.key("score");
        json.raw(near.score.get());
        json.key("reasons");
        json.raw(near.reasons.get());
        json.close('}');
    }
    json.close(']');
    json.close('}');
    Ok(json.finish().into_bytes())
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
