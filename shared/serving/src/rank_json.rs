//! `edgewise rank` and `edge_rank`: JSON in, JSON lines out, so that anyone can check a
//! formula to the bit.
//!
//! Input: `{query, candidates, model?, config?, prior?, as_of_ms?, sketch_scale?}`.
//!
//! - `query`: `now_ms` (required); `limit` (1 to 10,000, default: all candidates); `profile`
//!   (`feed`, `video`; default `feed`); `selection` (`none`: pure score order, `diverse`; default
//!   `diverse`, as in the HTTP API); `seed` (integer or `"0x..."`) or `request_id` (the seed is its hash, as for
//!   a served page; default seed 0); `user`, `tag`, `language`, `region`; `exclude`,
//!   `hidden_authors`, `shown` and `recent_authors` (arrays of ids); `position` (default: the
//!   number of `shown`). Other fields are ignored, as in the HTTP API.
//! - `candidates`, at most 10,000: `id`, `author`, `created_at_ms` (required); `sources`,
//!   `tags` (arrays), `kind`, `language`, `region`; and features by the feature table's
//!   names, beside them or in an object `features`: a number, `null` (missing), `"NaN"`,
//!   `"Infinity"` or `"-Infinity"`. Any other field is an error.
//!   `late` (ids) are refused when they are about to be placed: the next best takes their place.
//!   Of the user and the moment, for features: `user_language`, `user_region`,
//!   `utc_offset_minutes`, `session_tags` (array), `session_authors` (counts by author),
//!   `user_vector` (`{scale, values}`).
//! - `sketch` of a candidate: 8 integers, -127 to 127, in steps of the input's `sketch_scale`
//!   (default 1); `as_of_ms`: the time that hot scores are of (default `now_ms`).
//! - `model`: a model snapshot as URL-safe base64, for configurations that blend its trees; its
//!   configuration is taken where `config` is absent.
//! - `config`: a ranking configuration; `prior`: the catalogue's mean watch ratio, 0.5.
//!
//! Output: a line `{"id","score","bits","score_rank","position"}` an item; `score` reads back
//! to the same bits and is null where it is not finite, `bits` is `0x` and 16 hex digits.
//! Where the model lacks a head that the configuration blends, every line says `fallback`.

mod asked;
mod candidates;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use edgewise_ranking::{
    Candidates, Context, Model, Profile, Query, RankingConfig, SKETCH_DIMS, Scoring, Selection,
    id_hash, rank as rank_candidates,
};
use edgewise_wire::ids::check_id;
use edgewise_wire::json;
use edgewise_wire::model::ModelSnapshot;
use serde_json::Value;

use self::asked::Asked;
use self::candidates::candidates_of;
use crate::json::Json;

/// Most candidates of one input, and the largest `limit`.
pub const CANDIDATES_MAX: usize = 10_000;

/// Why an input is not ranked. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum RankInputError {
    /// The input is not JSON.
    #[error("the input is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// A field is absent or is not what it must be.
    #[error("{field} must be {expected}")]
    Field {
        /// Path of the field, such as `candidates[3].id`.
        field: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A candidate has a field that is neither a fact nor a feature.
    #[error("candidates[{index}] has an unknown field {name:?}")]
    UnknownField {
        /// Index of the candidate.
        index: usize,
        /// The field.
        name: String,
    },
    /// Two candidates have the same id.
    #[error("the candidate id {id:?} is given twice")]
    Duplicate {
        /// The id.
        id: String,
    },
    /// There are more candidates than [`CANDIDATES_MAX`].
    #[error("there are {count} candidates; at most {CANDIDATES_MAX} are ranked")]
    TooMany {
        /// Candidates there are.
        count: usize,
    },
    /// The model snapshot is refused.
    #[error("model: {0}")]
    Model(String),
    /// The configuration is refused.
    #[error("config: {0}")]
    Config(String),
}

type Result<T> = core::result::Result<T, RankInputError>;

/// Ranks the candidates of `input` and prints a JSON line an item, best first.
///
/// ```
/// let input = br#"{"query": {"now_ms": 3600000}, "candidates": [
///     {"id": "a", "author": "x", "created_at_ms": 3600000, "likes": 0}]}"#;
/// let line = r#"{"id":"a","score":0.3,"bits":"0x3fd3333333333333","score_rank":1,"position":1}"#;
/// assert_eq!(edgewise_serving::rank_json::rank(input)?.trim_end(), line);
/// # Ok::<(), edgewise_serving::rank_json::RankInputError>(())
/// ```
///
/// # Errors
///
/// Names what is wrong with the input, by field and index.
pub fn rank(input: &[u8]) -> Result<String> {
    let input = json::value(input)?;
    let input = input
        .as_object()
        .ok_or_else(|| field("the input", "an object"))?;
    let rows = input.get("candidates").and_then(Value::as_array);
    let rows = rows.ok_or_else(|| field("candidates", "an array of objects"))?;
    let given = |name| input.get(name).filter(|value: &&Value| !value.is_null());
    let snapshot = match given("model") {
        None => ModelSnapshot::default(),
        Some(model) => model
            .as_str()
            .map(ModelSnapshot::from_base64)
            .ok_or_else(|| field("model", "a model snapshot as base64"))?
            .map_err(|error| RankInputError::Model(error.to_string()))?,
    };
    let config = match input.get("config") {
        None | Some(Value::Null) => snapshot.configs.into_iter().next().unwrap_or_default(),
        Some(config) => RankingConfig::from_value(config)
            .map_err(|error| RankInputError::Config(error.to_string()))?,
    };
    let prior = input.get("prior").filter(|prior| !prior.is_null());
    let prior = match prior.map(number) {
        None => 0.5,
        Some(Some(prior)) => prior,
        Some(None) => return Err(field("prior", NUMBER)),
    };
    let query = input.get("query").and_then(Value::as_object);
    let query = Asked(query.ok_or_else(|| field("query", "an object"))?);
    let as_of_ms = match given("as_of_ms") {
        None => query.now_ms().unwrap_or(0),
        Some(value) => integer(value).ok_or_else(|| field("as_of_ms", "an integer, Unix ms"))?,
    };
    let scale = match given("sketch_scale").map(number) {
        None => 1.0,
        Some(Some(scale)) => scale,
        Some(None) => return Err(field("sketch_scale", NUMBER)),
    };
    #[allow(clippy::cast_possible_truncation)] // a scale is an f32 by contract
    let candidates = candidates_of(rows, as_of_ms, scale as f32)?;
    let model = Model {
        version: String::from("rank"),
        heads: snapshot.heads,
    };
    ranked(&query, &candidates, &model, &config, prior)
}

fn ranked(
    asked: &Asked<'_>,
    candidates: &Candidates,
    model: &Model,
    config: &RankingConfig,
    prior: f64,
) -> Result<String> {
    let removed_items = asked.hashes("exclude")?;
    let hidden_authors = asked.hashes("hidden_authors")?;
    let shown = asked.hashes("shown")?;
    let late = asked.hashes("late")?;
    let admits = |row: u32| {
        let id = candidates.id_hashes.get(row as usize);
        id.is_none_or(|id| late.binary_search(id).is_err())
    };
    let is_shown = |hash: u64| shown.binary_search(&hash).is_ok();
    let recent_authors: Vec<u64> = asked
        .ids("recent_authors")?
        .iter()
        .map(|id| id_hash(id))
        .collect();
    let everything = u64::try_from(candidates.len().max(1)).unwrap_or(u64::MAX);
    let limit = asked.integer("limit", 1..=CANDIDATES_MAX as u64, "an integer, 1 to 10000")?;
    let position = asked.integer("position", 0..=u64::from(u32::MAX), "an integer, 0 or more")?;
    let query = Query {
        limit: u32::try_from(limit.unwrap_or(everything)).unwrap_or(u32::MAX),
        profile: match asked.text("profile")? {
            None | Some("feed") => Profile::Feed,
            Some("video") => Profile::Video,
            Some(_) => return Err(field("query.profile", "\"feed\" or \"video\"")),
        },
        selection: match asked.text("selection")? {
            Some("none") => Selection::None,
            None | Some("diverse") => Selection::Diverse,
            Some(_) => return Err(field("query.selection", "\"none\" or \"diverse\"")),
        },
        own_author: asked.text("user")?.map(id_hash),
        removed_items: &removed_items,
        hidden_authors: &hidden_authors,
        shown: (!shown.is_empty()).then_some(&is_shown as &dyn Fn(u64) -> bool),
        tag: asked.text("tag")?,
        language: asked.text("language")?,
        region: asked.text("region")?,
        position: u32::try_from(position.unwrap_or(shown.len() as u64)).unwrap_or(u32::MAX),
        recent_authors: &recent_authors,
        completion_prior: prior,
        context: Context {
            language: asked.text("user_language")?,
            region: asked.text("user_region")?,
            utc_offset_minutes: asked.utc_offset_minutes()?,
            session_authors: &asked.session_authors()?,
            session_tags: &asked.session_tags()?,
            vector: asked.user_vector()?,
        },
        admits: (!late.is_empty()).then_some(&admits as &dyn Fn(u32) -> bool),
    };
    let now_ms = asked
        .now_ms()
        .ok_or_else(|| field("query.now_ms", "an integer, Unix ms"))?;
    let ranking = rank_candidates(&query, candidates, model, config, now_ms, asked.seed()?);
    let mut lines = Json::with_capacity(ranking.items.len() * 112);
    for item in &ranking.items {
        lines.open('{');
        lines.key_text("id", candidates.ids.get(item.row as usize));
        lines.key_float("score", item.score);
        lines.key_text("bits", &format!("0x{:016x}", item.score.to_bits()));
        lines.key_integer("score_rank", i64::from(item.score_rank));
        lines.key_integer("position", i64::from(item.position));
        if let Scoring::Fallback { missing } = &ranking.scoring {
            lines.key_text(
                "fallback",
                &format!("formula: the model has no head {missing}"),
            );
        }
        lines.close('}');
        lines.line();
    }
    Ok(lines.finish())
}

/// A number, or the name of one that JSON cannot say.
fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

/// A whole number, also where it is written with a fraction of zero or an exponent.
fn integer(value: &Value) -> Option<i64> {
    let exact = 9_007_199_254_740_992.0; // 2^53
    value.as_i64().or_else(|| {
        let float = value.as_f64().filter(|float| float.abs() <= exact)?;
        #[allow(clippy::cast_possible_truncation)] // within 2^53
        let whole = float as i64;
        #[allow(clippy::cast_precision_loss)]
        let same = whole as f64 == float;
        same.then_some(whole)
    })
}

/// A sketch: so many bytes.
fn sketch(value: &Value) -> Option<[i8; SKETCH_DIMS]> {
    let given = value
        .as_array()
        .filter(|given| given.len() == SKETCH_DIMS)?;
    let mut sketch = [0; SKETCH_DIMS];
    for (to, from) in sketch.iter_mut().zip(given) {
        let byte = from.as_i64().and_then(|byte| i8::try_from(byte).ok())?;
        *to = Some(byte).filter(|&byte| byte != i8::MIN)?;
    }
    Some(sketch)
}

const NUMBER: &str = "a number, null, \"NaN\", \"Infinity\" or \"-Infinity\"";

fn id(value: &Value) -> Option<&str> {
    value.as_str().filter(|id| check_id(id).is_ok())
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn field(field: &str, expected: &'static str) -> RankInputError {
    RankInputError::Field {
        field: String::from(field),
        expected,
    }
}

#[cfg(test)]
mod tests;
