//! The overlay merged into a bundle's candidates: counters replaced, tombstoned rows
//! dropped, new items of followed authors joined.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::{Candidates, Feature, Merger, NewCandidate, Sources, id_hash};
use edgewise_wire::counters::Counters;
use edgewise_wire::overlay::OverlayItem;

/// Features that counters give, with their values; the conversion of a bundle's columns and
/// of the overlay's jumps alike, so that a replaced counter has the bits of a rebuilt one.
#[must_use]
#[allow(clippy::cast_precision_loss)] // features are f32 by contract
pub fn counted_features(counters: &Counters) -> [(Feature, f32); 7] {
    [
        (Feature::Likes, counters.likes as f32),
        (Feature::Comments, counters.comments as f32),
        (Feature::Shares, counters.shares as f32),
        (Feature::Impressions, counters.impressions as f32),
        (Feature::Clicks, counters.clicks as f32),
        (Feature::TimedViews, counters.timed_views as f32),
        (Feature::WatchRatioSum, counters.watch_ratio_sum as f32),
    ]
}

/// Replaces the counters of `row`.
pub(crate) fn replace_counters(candidates: &mut Candidates, row: usize, counters: &Counters) {
    for (feature, value) in counted_features(counters) {
        set(candidates, row, feature, value);
    }
}

/// Writes one feature of one row and marks it as given.
pub(crate) fn set(candidates: &mut Candidates, row: usize, feature: Feature, value: f32) {
    let column = candidates.columns.get_mut(feature as usize);
    if let Some(cell) = column.and_then(|column| column.get_mut(row)) {
        *cell = value;
    }
    if let Some(bits) = candidates.present.get_mut(row) {
        *bits |= 1 << feature as u16;
    }
}

/// Copies of the rows that `keep` names (one entry a row). Authors and labels stay as they
/// are: rows point into them by index.
pub(crate) fn retain(candidates: &Candidates, keep: &[bool]) -> Candidates {
    let rows: Vec<usize> = keep
        .iter()
        .enumerate()
        .filter(|(_, kept)| **kept)
        .map(|(row, _)| row)
        .collect();
    let mut kept = Candidates {
        authors: candidates.authors.clone(),
        author_hashes: candidates.author_hashes.clone(),
        labels: candidates.labels.clone(),
        id_hashes: pick(&candidates.id_hashes, &rows),
        author: pick(&candidates.author, &rows),
        created_at_ms: pick(&candidates.created_at_ms, &rows),
        sources: pick(&candidates.sources, &rows),
        kind: pick(&candidates.kind, &rows),
        language: pick(&candidates.language, &rows),
        region: pick(&candidates.region, &rows),
        present: pick(&candidates.present, &rows),
        ..Candidates::default()
    };
    for (to, from) in kept.columns.iter_mut().zip(&candidates.columns) {
        *to = pick(from, &rows);
    }
    for &row in &rows {
        kept.ids.push(candidates.ids.get(row));
        kept.tags.extend_from_slice(candidates.tags_of(row));
        kept.tag_ends
            .push(u32::try_from(kept.tags.len()).unwrap_or(u32::MAX));
    }
    kept
}

fn pick<T: Copy>(column: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter()
        .filter_map(|&row| column.get(row).copied())
        .collect()
}

/// Appends new items as rows of source F1. The user's interactions with an author are those
/// of the author's other rows, 0 where there is none.
pub(crate) fn join<'a>(
    candidates: Candidates,
    items: impl ExactSizeIterator<Item = &'a OverlayItem>,
) -> Candidates {
    let cap = candidates.len() + items.len();
    let joining: Vec<(&OverlayItem, f32)> = items
        .map(|item| (item, interactions(&candidates, &item.author)))
        .collect();
    let mut merger = Merger::resume(candidates, cap);
    for (item, interactions) in joining {
        let mut features = [None; Feature::COUNT];
        for (feature, value) in counted_features(&item.counters) {
            features[feature as usize] = Some(value);
        }
        features[Feature::Interactions as usize] = Some(interactions);
        let tags: Vec<&str> = item.tags.iter().map(String::as_str).collect();
        merger.add(&NewCandidate {
            id: &item.id,
            author: &item.author,
            created_at_ms: item.created_at_ms,
            sources: Sources::FOLLOW,
            kind: item.kind,
            language: item.language.as_deref(),
            region: item.region.as_deref(),
            tags: &tags,
            features,
        });
    }
    merger.finish()
}

fn interactions(candidates: &Candidates, author: &str) -> f32 {
    let hash = id_hash(author);
    let index = candidates
        .author_hashes
        .iter()
        .position(|&known| known == hash);
    let row = index.and_then(|index| {
        candidates
            .author
            .iter()
            .position(|&author| author as usize == index)
    });
    row.and_then(|row| candidates.feature(row, Feature::Interactions))
        .unwrap_or(0.0)
}
