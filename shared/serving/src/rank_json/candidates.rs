//! The `candidates` of an input.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::{Candidates, Feature, Kind, Merged, Merger, NewCandidate, Sources};
use edgewise_wire::ids::check_label;
use serde_json::{Map, Value};

use super::{CANDIDATES_MAX, NUMBER, RankInputError, Result, field, id, integer, number, texts};

/// Reads the rows; their hot scores are of `as_of_ms`, their sketches of `sketch_scale`.
pub(super) fn candidates_of(
    rows: &[Value],
    as_of_ms: i64,
    sketch_scale: f32,
) -> Result<Candidates> {
    if rows.len() > CANDIDATES_MAX {
        return Err(RankInputError::TooMany { count: rows.len() });
    }
    let mut merger = Merger::new(rows.len());
    merger.describe(as_of_ms, sketch_scale);
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
            "sketch" => {
                let expected = "8 integers, -127 to 127";
                facts.sketch = super::sketch(value).ok_or_else(|| wrong(expected))?;
            }
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

fn sources(value: &Value) -> Option<Sources> {
    let all = Sources(31);
    texts(value)?
        .iter()
        .try_fold(Sources::default(), |sources, name| {
            let bit = all.names().position(|known| known == *name)?;
            Some(Sources(sources.0 | 1 << bit))
        })
}
