//! The columns of a bundle's candidates.

use alloc::vec;
use alloc::vec::Vec;

use edgewise_ranking::sketch::{SKETCH_DIMS, Sketches};
use edgewise_ranking::{Candidates, Feature, Kind, NO_LABEL, Sources, Texts};

use super::directory::{Columns, Directory, column};
use super::ints::{self, Lane, Len};
use super::part::{Parts, PartsWriter, cast};
use super::{floats, texts};
use crate::bundle::quantise::{Grid, quantised};
use crate::decode::DecodeError;
use crate::limits::{CANDIDATES_MAX, ID_BYTES_MAX, LABEL_BYTES_MAX, LABELS_MAX, TAGS_MAX};

/// `i64` to `u64` in the same order.
const SIGN: u64 = 1 << 63;

/// Rows that are written: within the limits, each with an author.
pub(super) fn rows(candidates: &Candidates) -> usize {
    let authors = candidates.authors.len().min(CANDIDATES_MAX);
    let authors = candidates
        .author
        .iter()
        .take_while(|row| (**row as usize) < authors);
    authors.count().min(candidates.len()).min(CANDIDATES_MAX)
}

pub(super) fn write(candidates: &Candidates, rows: usize, out: &mut Columns) {
    let authors = candidates.authors.len().min(CANDIDATES_MAX);
    let labels = candidates.labels.len().min(LABELS_MAX);
    out.required(column::ITEM_IDS, |out| {
        texts::write_ids(candidates.ids.iter().take(rows), out);
    });
    out.required(column::AUTHOR_IDS, |out| {
        texts::write_ids(candidates.authors.iter().take(authors), out);
    });
    if labels > 0 {
        let labels: Vec<&str> = candidates.labels.iter().take(labels).collect();
        out.optional(column::LABELS, |out| texts::write_texts(&labels, out));
    }
    let integers: [(u8, Vec<u64>); 4] = [
        (column::AUTHOR, padded(&candidates.author, rows, u64::from)),
        (
            column::CREATED_AT,
            padded(&candidates.created_at_ms, rows, |at| at as u64 ^ SIGN),
        ),
        (
            column::SOURCES,
            padded(&candidates.sources, rows, |sources| u64::from(sources.0)),
        ),
        (
            column::KIND,
            padded(&candidates.kind, rows, |kind| kind as u64),
        ),
    ];
    for (id, values) in integers {
        out.required(id, |out| ints::write(&values, out));
    }
    write_labels(candidates, rows, labels, out);
    if rows > 0 && !candidates.sketch.values.is_empty() {
        let mut sketches = candidates.sketch.values.clone();
        sketches.resize(rows, [0; SKETCH_DIMS]);
        out.optional(column::SKETCHES, |out| {
            out.part(|bytes| bytes.extend_from_slice(bytemuck::cast_slice(&sketches)));
        });
    }
    for feature in Feature::ALL {
        let values = quantised(candidates, rows, feature);
        if values.iter().any(Option::is_some) {
            out.optional(column::FEATURE + feature as u8, |out| {
                floats::write(&values, Grid::of(feature), out);
            });
        }
    }
}

/// Languages, regions and tags, as far as their labels are written.
fn write_labels(candidates: &Candidates, rows: usize, labels: usize, out: &mut Columns) {
    let known = |label: u16| usize::from(label) < labels;
    for (id, of_rows) in [
        (column::LANGUAGE, &candidates.language),
        (column::REGION, &candidates.region),
    ] {
        let values = padded(of_rows, rows, |label| {
            if known(label) {
                u64::from(label) + 1
            } else {
                0
            }
        });
        if values.iter().any(|&value| value != 0) {
            out.optional(id, |out| write_distinct(&values, out));
        }
    }
    let mut counts = Vec::with_capacity(rows);
    let mut tags = Vec::with_capacity(candidates.tags.len());
    for row in 0..rows {
        let before = tags.len();
        let of_row = candidates.tags_of(row).iter().copied();
        let of_row = of_row.filter(|&tag| known(tag)).take(TAGS_MAX);
        tags.extend(of_row.map(u64::from));
        counts.push((tags.len() - before) as u64);
    }
    if !tags.is_empty() {
        out.optional(column::TAG_COUNTS, |out| ints::write(&counts, out));
        out.optional(column::TAGS, |out| ints::write(&tags, out));
    }
}

/// Few different values, spread over a large range: those, ascending, then the index of each.
fn write_distinct(values: &[u64], out: &mut PartsWriter<'_>) {
    let mut distinct = values.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let index = |value| distinct.binary_search(value).unwrap_or(0) as u64;
    let indices: Vec<u64> = values.iter().map(index).collect();
    ints::write(&distinct, out);
    ints::write(&indices, out);
}

/// The first `rows` entries of a column; absent ones are 0, so that a column that is too
/// short cannot shift the others.
fn padded<T: Copy>(values: &[T], rows: usize, integer: impl Fn(T) -> u64) -> Vec<u64> {
    let values = values.iter().take(rows).map(|&value| integer(value));
    let mut values: Vec<u64> = values.collect();
    values.resize(rows, 0);
    values
}

pub(super) fn read(columns: &Directory<'_>, rows: usize) -> Result<Candidates, DecodeError> {
    let (ids, id_hashes) = read_ids(
        columns,
        column::ITEM_IDS,
        "candidate ids",
        Len::Exactly(rows),
    )?;
    let (authors, author_hashes) = read_ids(
        columns,
        column::AUTHOR_IDS,
        "author ids",
        Len::AtMost(CANDIDATES_MAX),
    )?;
    let author = indices(
        columns,
        column::AUTHOR,
        "authors of candidates",
        rows,
        authors.len(),
    )?;
    let created_at: Vec<u64> = integers(columns, column::CREATED_AT, "created_at", rows, u64::MAX)?;
    let sources = integers(
        columns,
        column::SOURCES,
        "sources",
        rows,
        u32::from(u8::MAX),
    )?;
    let kind = integers(
        columns,
        column::KIND,
        "kinds",
        rows,
        Kind::ALL.len() as u32 - 1,
    )?;
    let labels = read_labels(columns)?;
    let language = optional_labels(columns, column::LANGUAGE, "languages", rows, labels.len())?;
    let region = optional_labels(columns, column::REGION, "regions", rows, labels.len())?;
    let counts = integers(
        columns,
        column::TAG_COUNTS,
        "tag counts",
        rows,
        TAGS_MAX as u32,
    )?;
    let mut end = 0;
    let tag_ends: Vec<u32> = counts
        .iter()
        .map(|count: &u32| {
            end += count;
            end
        })
        .collect();
    let tags = indices(columns, column::TAGS, "tags", end as usize, labels.len())?;
    let mut present = vec![0; rows];
    let mut features: [Vec<f32>; Feature::COUNT] = Default::default();
    for (values, feature) in features.iter_mut().zip(Feature::ALL) {
        *values = match columns.get(column::FEATURE + feature as u8) {
            None => vec![0.0; rows],
            Some(mut column) => {
                let flag = 1 << feature as u32;
                let values = floats::read(feature.name(), &mut column, &mut present, flag)?;
                column.end()?;
                values
            }
        };
    }
    Ok(Candidates {
        ids,
        id_hashes,
        authors,
        author_hashes,
        author,
        created_at_ms: created_at.iter().map(|&at| (at ^ SIGN) as i64).collect(),
        sources: sources
            .iter()
            .map(|&bits: &u32| Sources(bits as u8))
            .collect(),
        kind: kind
            .iter()
            .map(|&kind: &u32| Kind::ALL.get(kind as usize).copied().unwrap_or_default())
            .collect(),
        labels,
        language,
        region,
        tag_ends,
        tags: tags.iter().map(|&tag| tag as u16).collect(),
        columns: features,
        present,
        sketch: Sketches {
            values: sketches(columns, rows)?,
            ..Sketches::default()
        },
        ..Candidates::default()
    })
}

fn read_ids(
    columns: &Directory<'_>,
    id: u8,
    what: &'static str,
    len: Len,
) -> Result<(Texts, Vec<u64>), DecodeError> {
    let mut column = columns.get(id).ok_or(DecodeError::MissingColumn(what))?;
    let ids = texts::read_ids(what, &mut column, len, ID_BYTES_MAX)?;
    column.end()?;
    Ok(ids)
}

fn read_labels(columns: &Directory<'_>) -> Result<Texts, DecodeError> {
    let mut labels = Texts::default();
    if let Some(mut column) = columns.get(column::LABELS) {
        let len = Len::AtMost(LABELS_MAX);
        for label in texts::read_texts("labels", &mut column, len, LABEL_BYTES_MAX)? {
            labels.push(label);
        }
        column.end()?;
    }
    Ok(labels)
}

/// A column of `len` integers of at most `max`; 0 where it is absent.
fn integers<T: Lane>(
    columns: &Directory<'_>,
    id: u8,
    what: &'static str,
    len: usize,
    max: T,
) -> Result<Vec<T>, DecodeError> {
    let Some(mut column) = columns.get(id) else {
        return Ok(vec![T::default(); len]);
    };
    let values = ints::read(what, &mut column, Len::Exactly(len), max)?;
    column.end()?;
    Ok(values)
}

/// A column of indices into a table of `table` entries.
fn indices(
    columns: &Directory<'_>,
    id: u8,
    what: &'static str,
    len: usize,
    table: usize,
) -> Result<Vec<u32>, DecodeError> {
    let last = table.checked_sub(1);
    let values = integers(columns, id, what, len, last.unwrap_or(0) as u32)?;
    if last.is_none() && !values.is_empty() {
        return Err(DecodeError::OutOfRange(what));
    }
    Ok(values)
}

fn optional_labels(
    columns: &Directory<'_>,
    id: u8,
    what: &'static str,
    rows: usize,
    labels: usize,
) -> Result<Vec<u16>, DecodeError> {
    let Some(mut column) = columns.get(id) else {
        return Ok(vec![NO_LABEL; rows]);
    };
    let distinct: Vec<u32> = ints::read(what, &mut column, Len::AtMost(rows), labels as u32)?;
    // 0 wraps to `NO_LABEL`.
    const { assert!(NO_LABEL == u16::MAX && LABELS_MAX < u16::MAX as usize) };
    let distinct: Vec<u16> = distinct
        .into_iter()
        .map(|label| (label as u16).wrapping_sub(1))
        .collect();
    let indices: Vec<u32> = ints::read(what, &mut column, Len::Exactly(rows), u32::MAX)?;
    column.end()?;
    if indices
        .iter()
        .any(|&index| index as usize >= distinct.len())
    {
        return Err(DecodeError::OutOfRange(what));
    }
    let label = |&index: &u32| distinct.get(index as usize).copied().unwrap_or(NO_LABEL);
    Ok(indices.iter().map(label).collect())
}

fn sketches(columns: &Directory<'_>, rows: usize) -> Result<Vec<[i8; SKETCH_DIMS]>, DecodeError> {
    const WHAT: &str = "sketches";
    let Some(mut column): Option<Parts<'_>> = columns.get(column::SKETCHES) else {
        return Ok(Vec::new());
    };
    let bytes = column.part(WHAT, rows * SKETCH_DIMS)?;
    column.end()?;
    Ok(cast::<[i8; SKETCH_DIMS]>(WHAT, bytes)?.to_vec())
}
