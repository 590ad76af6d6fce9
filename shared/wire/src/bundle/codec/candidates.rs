//! The columns of a bundle's candidates.

use alloc::vec::Vec;

use edgewise_ranking::{Candidates, Feature, Kind, NO_LABEL, Sources, Texts, id_hash};

use crate::codec::{Reader, Writer};
use crate::decode::DecodeError;
use crate::limits::{CANDIDATES_MAX, ID_BYTES_MAX, LABEL_BYTES_MAX, LABELS_MAX, TAGS_MAX};

/// The set of all features in `present`.
const ALL_FEATURES: u64 = (1 << Feature::COUNT) - 1;

pub(super) fn write(candidates: &Candidates, out: &mut Writer) {
    let authors = candidates.authors.len().min(CANDIDATES_MAX);
    let labels = candidates.labels.len().min(LABELS_MAX);
    let has_author = |row: &u32| (*row as usize) < authors;
    let rows = candidates
        .author
        .iter()
        .take_while(|row| has_author(row))
        .count();
    let rows = rows.min(candidates.len()).min(CANDIDATES_MAX);

    out.len(rows);
    out.ids(candidates.ids.iter().take(rows));
    out.len(authors);
    out.ids(candidates.authors.iter().take(authors));
    out.ints(&column(&candidates.author, rows, u64::from));
    let created_at: Vec<i64> = candidates
        .created_at_ms
        .iter()
        .copied()
        .take(rows)
        .collect();
    out.signed(&padded(created_at, rows));
    out.ints(&column(&candidates.sources, rows, |sources| {
        u64::from(sources.0)
    }));
    out.ints(&column(&candidates.kind, rows, |kind| kind as u64));

    let label_texts: Vec<&str> = candidates.labels.iter().take(labels).collect();
    out.len(labels);
    out.texts(label_texts.into_iter());
    let known = |label: u16| usize::from(label) < labels;
    // 0 is none: short, and constant where no row has one.
    let optional = |label: u16| {
        if known(label) {
            u64::from(label) + 1
        } else {
            0
        }
    };
    out.ints(&column(&candidates.language, rows, optional));
    out.ints(&column(&candidates.region, rows, optional));
    let mut counts = Vec::with_capacity(rows);
    let mut tags = Vec::with_capacity(candidates.tags.len());
    for row in 0..rows {
        let before = tags.len();
        let of_row = candidates.tags_of(row).iter().copied();
        tags.extend(
            of_row
                .filter(|&tag| known(tag))
                .take(TAGS_MAX)
                .map(u64::from),
        );
        counts.push((tags.len() - before) as u64);
    }
    out.ints(&counts);
    out.ints(&tags);

    out.ints(&column(&candidates.present, rows, u64::from));
    for values in &candidates.columns {
        out.f32s(&padded(values.iter().copied().take(rows).collect(), rows));
    }
}

pub(super) fn read(input: &mut Reader<'_>) -> Result<Candidates, DecodeError> {
    let rows = input.len("candidates", CANDIDATES_MAX)?;
    let (ids, id_hashes) = read_ids(input, "candidate ids", rows)?;
    let distinct = input.len("authors", CANDIDATES_MAX)?;
    let (authors, author_hashes) = read_ids(input, "author ids", distinct)?;
    let author = indices(input, "authors of candidates", rows, distinct)?;
    let created_at_ms = input.signed("created_at", rows)?;
    let sources = input
        .ints_as("sources", rows)?
        .into_iter()
        .map(Sources)
        .collect();
    let kind = input.ints_as::<usize>("kinds", rows)?;
    let kind: Option<Vec<Kind>> = kind
        .into_iter()
        .map(|kind| Kind::ALL.get(kind).copied())
        .collect();

    let label_count = input.len("labels", LABELS_MAX)?;
    let mut labels = Texts::default();
    input.texts("labels", label_count, LABEL_BYTES_MAX, |label| {
        labels.push(label);
    })?;
    let language = optional_labels(input, "languages", rows, label_count)?;
    let region = optional_labels(input, "regions", rows, label_count)?;
    let tag_counts = input.ints("tag counts", rows, TAGS_MAX as u64)?;
    let mut end = 0;
    let tag_ends: Vec<u32> = tag_counts
        .into_iter()
        .map(|count| {
            end += count as u32;
            end
        })
        .collect();
    let tags = indices(input, "tags", end as usize, label_count)?;

    let present = input.ints("present features", rows, ALL_FEATURES)?;
    let mut columns: [Vec<f32>; Feature::COUNT] = Default::default();
    for (column, feature) in columns.iter_mut().zip(Feature::ALL) {
        *column = input.f32s(feature.name(), rows)?;
    }
    Ok(Candidates {
        ids,
        id_hashes,
        authors,
        author_hashes,
        author,
        created_at_ms,
        sources,
        kind: kind.ok_or(DecodeError::OutOfRange("kinds"))?,
        labels,
        language,
        region,
        tag_ends,
        tags: tags.into_iter().map(|tag| tag as u16).collect(),
        columns,
        present: present.into_iter().map(|bits| bits as u32).collect(),
        ..Candidates::default()
    })
}

/// The first `rows` entries of a column; absent ones are 0, so that a column that is too
/// short cannot shift the others.
fn column<T: Copy>(values: &[T], rows: usize, integer: impl Fn(T) -> u64) -> Vec<u64> {
    padded(
        values
            .iter()
            .take(rows)
            .map(|&value| integer(value))
            .collect(),
        rows,
    )
}

fn padded<T: Clone + Default>(mut values: Vec<T>, rows: usize) -> Vec<T> {
    values.resize(rows, T::default());
    values
}

fn read_ids(
    input: &mut Reader<'_>,
    what: &'static str,
    len: usize,
) -> Result<(Texts, Vec<u64>), DecodeError> {
    let mut ids = Texts::default();
    let mut hashes = Vec::with_capacity(len);
    input.ids(what, len, ID_BYTES_MAX, |id| {
        ids.push(id);
        hashes.push(id_hash(id));
    })?;
    Ok((ids, hashes))
}

/// A column of indices into a table of `table` entries.
fn indices(
    input: &mut Reader<'_>,
    what: &'static str,
    len: usize,
    table: usize,
) -> Result<Vec<u32>, DecodeError> {
    let Some(last) = table.checked_sub(1) else {
        return if len == 0 {
            Ok(Vec::new())
        } else {
            Err(DecodeError::OutOfRange(what))
        };
    };
    let values = input.ints(what, len, last as u64)?;
    Ok(values.into_iter().map(|value| value as u32).collect())
}

fn optional_labels(
    input: &mut Reader<'_>,
    what: &'static str,
    rows: usize,
    labels: usize,
) -> Result<Vec<u16>, DecodeError> {
    let values = input.ints(what, rows, labels as u64)?;
    Ok(values
        .into_iter()
        .map(|value| value.checked_sub(1).map_or(NO_LABEL, |l| l as u16))
        .collect())
}
