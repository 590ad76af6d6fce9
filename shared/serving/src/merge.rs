//! The overlay merged into a bundle's candidates: counters replaced, tombstoned rows
//! dropped, new items of followed authors joined.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::config::HotConfig;
use edgewise_ranking::{Candidates, Feature, HotSum, Merger, NewCandidate, Sources, id_hash};
use edgewise_wire::counters::Counters;
use edgewise_wire::overlay::OverlayItem;

/// Features that hot sums give, as of domain time `as_of_ms`. A sum whose undo left less than
/// nothing is nothing; one too far from that time to be a number is absent.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // features are f32 by contract
pub fn hot_features(
    hot: &[HotSum; 3],
    as_of_ms: i64,
    config: &HotConfig,
) -> [(Feature, Option<f32>); 3] {
    let windows = [Feature::Hot1h, Feature::Hot24h, Feature::Hot7d];
    core::array::from_fn(|window| {
        let sum = hot[window].as_of(as_of_ms, config.half_life_minutes[window]);
        let sum = if sum > 0.0 { sum as f32 } else { 0.0 };
        (windows[window], Some(sum).filter(|sum| sum.is_finite()))
    })
}

/// Features that counters give, with their values; the conversion of a bundle's columns and
/// of the overlay's jumps alike. A bundle rounds them afterwards (`Bundle::quantise`), an overlay
/// does not; edges and the origin merge the same two.
#[must_use]
#[allow(clippy::cast_precision_loss)] // features are f32 by contract
pub fn counted_features(counters: &Counters) -> [(Feature, f32); 10] {
    [
        (Feature::Likes, counters.likes as f32),
        (Feature::Comments, counters.comments as f32),
        (Feature::Shares, counters.shares as f32),
        (Feature::Impressions, counters.impressions as f32),
        (Feature::Clicks, counters.clicks as f32),
        (Feature::TimedViews, counters.timed_views as f32),
        (Feature::WatchRatioSum, counters.watch_ratio_sum as f32),
        (Feature::CompletedViews, counters.completed_views as f32),
        (Feature::Hides, counters.hides as f32),
        (Feature::Follows, counters.follows as f32),
    ]
}

/// Replaces the counters and hot scores of `row` by those of `item`.
pub(crate) fn replace_counters(
    candidates: &mut Candidates,
    row: usize,
    item: &OverlayItem,
    config: &HotConfig,
) {
    for (feature, value) in counted_features(&item.counters) {
        set(candidates, row, feature, value);
    }
    for (feature, value) in hot_features(&item.hot, candidates.as_of_ms, config) {
        if let Some(value) = value {
            set(candidates, row, feature, value);
        }
    }
}

/// Writes one feature of one row and marks it as given.
pub(crate) fn set(candidates: &mut Candidates, row: usize, feature: Feature, value: f32) {
    let column = candidates.columns.get_mut(feature as usize);
    if let Some(cell) = column.and_then(|column| column.get_mut(row)) {
        *cell = value;
    }
    if let Some(bits) = candidates.present.get_mut(row) {
        *bits |= 1 << feature as u32;
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
        as_of_ms: candidates.as_of_ms,
        ..Candidates::default()
    };
    kept.sketch.scale = candidates.sketch.scale;
    kept.sketch.values = pick(&candidates.sketch.values, &rows);
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
    config: &HotConfig,
) -> Candidates {
    let as_of_ms = candidates.as_of_ms;
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
        for (feature, value) in hot_features(&item.hot, as_of_ms, config) {
            features[feature as usize] = value;
        }
        features[Feature::Interactions as usize] = Some(interactions);
        if item.duration_ms > 0 {
            features[Feature::Duration as usize] = Some(duration_s(item.duration_ms));
        }
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
            ..NewCandidate::default()
        });
    }
    merger.finish()
}

/// A duration as a feature, seconds.
#[must_use]
#[allow(clippy::cast_precision_loss)] // features are f32 by contract
pub fn duration_s(duration_ms: u32) -> f32 {
    duration_ms as f32 / 1_000.0
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
