//! The overlay merged into a bundle's candidates: counters replaced, tombstoned rows
//! dropped, new items of followed authors joined.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::{Candidates, Feature, NO_LABEL, NewCandidate, Sources, id_hash};
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
    let rows: Vec<usize> =
        keep.iter().enumerate().filter(|(_, kept)| **kept).map(|(row, _)| row).collect();
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
        kept.tag_ends.push(u32::try_from(kept.tags.len()).unwrap_or(u32::MAX));
    }
    kept
}

fn pick<T: Copy>(column: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|&row| column.get(row).copied()).collect()
}

/// Appends rows to candidates with an index of their authors and labels, which
/// [`Candidates::push`] would scan for every row.
pub(crate) struct Appender<'a> {
    candidates: &'a mut Candidates,
    authors: BTreeMap<u64, u32>,
    labels: BTreeMap<u64, u16>,
}

impl<'a> Appender<'a> {
    pub(crate) fn new(candidates: &'a mut Candidates) -> Self {
        let authors = (0..).zip(&candidates.author_hashes).map(|(at, &hash)| (hash, at)).collect();
        let labels = (0..NO_LABEL).zip(candidates.labels.iter().map(id_hash));
        let labels = labels.map(|(at, hash)| (hash, at)).collect();
        Self { candidates, authors, labels }
    }

    /// Appends an overlay item as a row of source F1. The user's interactions with its
    /// author are those of the author's other rows, 0 where there is none.
    pub(crate) fn join(&mut self, item: &OverlayItem) {
        let mut features = [None; Feature::COUNT];
        for (feature, value) in counted_features(&item.counters) {
            features[feature as usize] = Some(value);
        }
        let known = self.authors.get(&id_hash(&item.author)).copied();
        let known = self.candidates.author.iter().position(|&author| Some(author) == known);
        let interactions = known.and_then(|row| {
            self.candidates.feature(row, Feature::Interactions)
        });
        features[Feature::Interactions as usize] = Some(interactions.unwrap_or(0.0));
        let tags: Vec<&str> = item.tags.iter().map(String::as_str).collect();
        self.push(&NewCandidate {
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

    /// Appends a row, as [`Candidates::push`] does.
    pub(crate) fn push(&mut self, row: &NewCandidate<'_>) {
        let author = self.author(row.author);
        let language = row.language.map_or(NO_LABEL, |label| self.label(label));
        let region = row.region.map_or(NO_LABEL, |label| self.label(label));
        let mut tags: Vec<u16> = row.tags.iter().map(|tag| self.label(tag)).collect();
        tags.retain(|&tag| tag != NO_LABEL);
        tags.sort_unstable();
        tags.dedup();
        let to = &mut *self.candidates;
        to.ids.push(row.id);
        to.id_hashes.push(id_hash(row.id));
        to.author.push(author);
        to.created_at_ms.push(row.created_at_ms);
        to.sources.push(row.sources);
        to.kind.push(row.kind);
        to.language.push(language);
        to.region.push(region);
        to.tags.extend_from_slice(&tags);
        to.tag_ends.push(u32::try_from(to.tags.len()).unwrap_or(u32::MAX));
        let mut present = 0;
        for (feature, (column, value)) in to.columns.iter_mut().zip(row.features).enumerate() {
            present |= u16::from(value.is_some()) << feature;
            column.push(value.unwrap_or(0.0));
        }
        to.present.push(present);
    }

    fn author(&mut self, author: &str) -> u32 {
        let hash = id_hash(author);
        if let Some(&index) = self.authors.get(&hash) {
            return index;
        }
        self.candidates.author_hashes.push(hash);
        let index = u32::try_from(self.candidates.authors.push(author)).unwrap_or(u32::MAX);
        self.authors.insert(hash, index);
        index
    }

    fn label(&mut self, label: &str) -> u16 {
        let hash = id_hash(label);
        if let Some(&index) = self.labels.get(&hash) {
            return index;
        }
        if self.candidates.labels.len() >= usize::from(NO_LABEL) {
            return NO_LABEL;
        }
        let index = u16::try_from(self.candidates.labels.push(label)).unwrap_or(NO_LABEL);
        self.labels.insert(hash, index);
        index
    }
}
