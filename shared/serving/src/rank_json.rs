//! `edgewise rank` and `edge_rank`: JSON in, JSON lines out, so that anyone can check a
//! formula to the bit.
//!
//! Input: `{query, candidates, config?, prior?}`.
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
//! - `config`: a ranking configuration; `prior`: the catalogue's mean watch ratio, 0.5.
//!
//! Output: a line `{"id","score","bits","score_rank","position"}` an item; `score` reads back
//! to the same bits and is null where it is not finite, `bits` is `0x` and 16 hex digits.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use edgewise_ranking::{
    Candidates, Feature, Kind, Merged, Merger, Model, NewCandidate, Profile, Query, RankingConfig,
    Selection, Sources, id_hash, rank as rank_candidates,
};
use edgewise_wire::ids::{check_id, check_label};
use serde_json::{Map, Value};

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
    let input: Value = serde_json::from_slice(input)?;
    let input = input
        .as_object()
        .ok_or_else(|| field("the input", "an object"))?;
    let candidates = match input.get("candidates").and_then(Value::as_array) {
        Some(rows) => candidates_of(rows)?,
        None => return Err(field("candidates", "an array of objects")),
    };
    let config = match input.get("config") {
        None | Some(Value::Null) => RankingConfig::default(),
        Some(config) => RankingConfig::from_json(&config.to_string())
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
    ranked(&query, &candidates, &config, prior)
}

fn ranked(
    asked: &Asked<'_>,
    candidates: &Candidates,
    config: &RankingConfig,
    prior: f64,
) -> Result<String> {
    let removed_items = asked.hashes("exclude")?;
    let hidden_authors = asked.hashes("hidden_authors")?;
    let shown = asked.hashes("shown")?;
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
    };
    let now_ms = asked.0.get("now_ms").and_then(integer);
    let now_ms = now_ms.ok_or_else(|| field("query.now_ms", "an integer, Unix ms"))?;
    let model = Model {
        version: String::from("rank"),
    };
    let ranking = rank_candidates(&query, candidates, &model, config, now_ms, asked.seed()?);
    let mut lines = Json::with_capacity(ranking.items.len() * 112);
    for item in &ranking.items {
        lines.open('{');
        lines.key_text("id", candidates.ids.get(item.row as usize));
        lines.key_float("score", item.score);
        lines.key_text("bits", &format!("0x{:016x}", item.score.to_bits()));
        lines.key_integer("score_rank", i64::from(item.score_rank));
        lines.key_integer("position", i64::from(item.position));
        lines.close('}');
        lines.line();
    }
    Ok(lines.finish())
}

/// The `query` object. A field that is null counts as absent.
struct Asked<'a>(&'a Map<String, Value>);

impl<'a> Asked<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value
            .as_str()
            .map(Some)
            .ok_or_else(|| field(&format!("query.{name}"), "a string"))
    }

    fn ids(&self, name: &str) -> Result<Vec<&'a str>> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        texts(value).ok_or_else(|| field(&format!("query.{name}"), "an array of ids"))
    }

    /// Hashes of ids, ascending.
    fn hashes(&self, name: &str) -> Result<Vec<u64>> {
        let mut hashes: Vec<u64> = self.ids(name)?.iter().map(|id| id_hash(id)).collect();
        hashes.sort_unstable();
        Ok(hashes)
    }

    fn integer(
        &self,
        name: &str,
        range: core::ops::RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<Option<u64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let value = value.as_u64().filter(|value| range.contains(value));
        value
            .map(Some)
            .ok_or_else(|| field(&format!("query.{name}"), expected))
    }

    fn seed(&self) -> Result<u64> {
        let expected = "an integer, 0 to 18446744073709551615, or \"0x\" and hex digits";
        match self.get("seed") {
            None => Ok(self.text("request_id")?.map_or(0, id_hash)),
            Some(Value::String(text)) => text
                .strip_prefix("0x")
                .map_or_else(
                    || text.parse().ok(),
                    |hex| u64::from_str_radix(hex, 16).ok(),
                )
                .ok_or_else(|| field("query.seed", expected)),
            Some(value) => value.as_u64().ok_or_else(|| field("query.seed", expected)),
        }
    }
}

fn candidates_of(rows: &[Value]) -> Result<Candidates> {
    if rows.len() > CANDIDATES_MAX {
        return Err(RankInputError::TooMany { count: rows.len() });
    }
    let mut merger = Merger::new(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let row = row
            .as_object()
            .ok_or_else(|| field(&format!("candidates[{index}]"), "an object"))?;
        let row = candidate(index, row)?;
        if merger.add(&NewCandidate {
            tags: &row.tags,
            ..row.facts
        }) != Merged::New
        {
            return Err(RankInputError::Duplicate {
                id: String::from(row.facts.id),
            });
        }
    }
    Ok(merger.finish())
}

/// A candidate whose tags are kept beside it.
struct Row<'a> {
    facts: NewCandidate<'a>,
    tags: Vec<&'a str>,
}

fn candidate(index: usize, row: &Map<String, Value>) -> Result<Row<'_>> {
    let mut facts = NewCandidate::default();
    let mut tags = Vec::new();
    let mut created_at_ms = None;
    for (name, value) in row {
        let wrong = |expected| field(&format!("candidates[{index}].{name}"), expected);
        let label = || match value {
            Value::Null => Ok(None),
            _ => value
                .as_str()
                .filter(|text| check_label(text).is_ok())
                .map(Some)
                .ok_or_else(|| wrong("a string of 1 to 64 bytes, or null")),
        };
        match name.as_str() {
            "id" => facts.id = id(value).ok_or_else(|| wrong(ID))?,
            "author" => facts.author = id(value).ok_or_else(|| wrong(ID))?,
            "created_at_ms" => {
                created_at_ms = Some(integer(value).ok_or_else(|| wrong("an integer, Unix ms"))?);
            }
            "sources" => facts.sources = sources(value).ok_or_else(|| wrong(SOURCES))?,
            "kind" => {
                let kind = value.as_str().and_then(Kind::from_name);
                facts.kind = kind.ok_or_else(|| wrong("post, video, image or dataset"))?;
            }
            "language" => facts.language = label()?,
            "region" => facts.region = label()?,
            "tags" => tags = texts(value).ok_or_else(|| wrong("an array of strings"))?,
            "features" => {
                let features = value.as_object().ok_or_else(|| wrong("an object"))?;
                for (name, value) in features {
                    set_feature(index, &mut facts, name, value)?;
                }
            }
            _ => set_feature(index, &mut facts, name, value)?,
        }
    }
    let required = [
        ("id", facts.id.is_empty()),
        ("author", facts.author.is_empty()),
    ];
    for (name, absent) in required {
        if absent {
            return Err(field(&format!("candidates[{index}].{name}"), ID));
        }
    }
    facts.created_at_ms = created_at_ms.ok_or_else(|| {
        field(
            &format!("candidates[{index}].created_at_ms"),
            "an integer, Unix ms",
        )
    })?;
    Ok(Row { facts, tags })
}

const ID: &str = "an id: a string of 1 to 64 bytes without control characters";
const NUMBER: &str = "a number, null, \"NaN\", \"Infinity\" or \"-Infinity\"";
const SOURCES: &str = "an array of follow, trending, affinity, similar, explore";

fn set_feature(
    index: usize,
    facts: &mut NewCandidate<'_>,
    name: &str,
    value: &Value,
) -> Result<()> {
    let unknown = || RankInputError::UnknownField {
        index,
        name: String::from(name),
    };
    let feature = Feature::from_name(name).ok_or_else(unknown)?;
    if value.is_null() {
        return Ok(());
    }
    let value = number(value);
    let value = value.ok_or_else(|| field(&format!("candidates[{index}].{name}"), NUMBER))?;
    if let Some(cell) = facts.features.get_mut(feature as usize) {
        // Features are f32 by contract; what is too large becomes infinite and degrades.
        #[allow(clippy::cast_possible_truncation)]
        {
            *cell = Some(value as f32);
        }
    }
    Ok(())
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

fn id(value: &Value) -> Option<&str> {
    value.as_str().filter(|id| check_id(id).is_ok())
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn sources(value: &Value) -> Option<Sources> {
    let all = Sources(31);
    texts(value)?
        .iter()
        .try_fold(Sources::default(), |sources, name| {
            let bit = all.names().position(|known| known == *name)?;
            Some(Sources(sources.0 | 1 << bit))
        })
}

fn field(field: &str, expected: &'static str) -> RankInputError {
    RankInputError::Field {
        field: String::from(field),
        expected,
    }
}

#[cfg(test)]
mod tests;
