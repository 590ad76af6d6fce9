//! Merging the sources F1 to F5 into one set of candidates.

use crate::candidates::{Candidates, NO_LABEL, NewCandidate, RowIndices, Sources};
use crate::feature::Feature;
use crate::id::id_hash;
use crate::index::HashIndex;

/// What became of a merged row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It is a new candidate.
    New,
    /// An earlier source named it: that row stands and remembers this source too.
    Known,
    /// It is new, but the cap is reached.
    Full,
}

/// Builds [`Candidates`] from sources: the first source that names an item wins, every
/// source that names it is remembered, and at most `cap` items are kept.
///
/// Add the sources in order, F1 first, each best item first. Lookups are O(1).
#[derive(Clone, Debug)]
pub struct Merger {
    candidates: Candidates,
    cap: usize,
    ids: HashIndex,
    authors: HashIndex,
    labels: HashIndex,
}

impl Merger {
    /// A merger that keeps at most `cap` items.
    #[must_use]
    pub fn new(cap: usize) -> Self {
        Self::resume(Candidates::default(), cap)
    }

    /// Goes on with candidates that were merged before; keeps all of them.
    #[must_use]
    pub fn resume(candidates: Candidates, cap: usize) -> Self {
        let mut ids = HashIndex::with_capacity(candidates.len().max(cap.min(1024)));
        let mut authors = HashIndex::with_capacity(candidates.authors.len());
        let mut labels = HashIndex::with_capacity(candidates.labels.len());
        for &hash in &candidates.id_hashes {
            ids.insert(hash);
        }
        for &hash in &candidates.author_hashes {
            authors.insert(hash);
        }
        for label in candidates.labels.iter() {
            labels.insert(id_hash(label));
        }
        Self {
            candidates,
            cap,
            ids,
            authors,
            labels,
        }
    }

    /// Number of candidates so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether there is no candidate yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The row of an item that was merged.
    #[must_use]
    pub fn row_of(&self, id: &str) -> Option<usize> {
        self.find(id_hash(id), id)
    }

    /// Remembers that `sources` name `id` too; false where it is no candidate.
    pub fn mark(&mut self, id: &str, sources: Sources) -> bool {
        let row = self.row_of(id);
        let known = row.and_then(|row| self.candidates.sources.get_mut(row));
        known.map(|known| *known = known.union(sources)).is_some()
    }

    /// Adds a row, or its sources and the features the earlier row lacks (only F4 knows
    /// a similarity).
    pub fn add(&mut self, row: &NewCandidate<'_>) -> Merged {
        let hash = id_hash(row.id);
        if let Some(known) = self.find(hash, row.id) {
            self.complete(known, row);
            return Merged::Known;
        }
        if self.candidates.len() >= self.cap {
            return Merged::Full;
        }
        let indices = RowIndices {
            author: self.author(row.author),
            language: row.language.map_or(NO_LABEL, |label| self.label(label)),
            region: row.region.map_or(NO_LABEL, |label| self.label(label)),
            tags: row.tags.iter().map(|tag| self.label(tag)).collect(),
        };
        self.ids.insert(hash);
        self.candidates.push_indexed(row, hash, indices);
        Merged::New
    }

    /// Sets the domain time that the rows' hot scores are of, Unix ms, and the scale of
    /// their sketches.
    pub fn describe(&mut self, as_of_ms: i64, sketch_scale: f32) {
        self.candidates.as_of_ms = as_of_ms;
        self.candidates.sketch.scale = sketch_scale;
    }

    /// The merged candidates.
    #[must_use]
    pub fn finish(self) -> Candidates {
        self.candidates
    }

    fn find(&self, hash: u64, id: &str) -> Option<usize> {
        self.ids.find(hash, |row| {
            self.candidates.ids.bytes_of(row) == id.as_bytes()
        })
    }

    fn complete(&mut self, known: usize, row: &NewCandidate<'_>) {
        if let Some(sources) = self.candidates.sources.get_mut(known) {
            *sources = sources.union(row.sources);
        }
        for feature in Feature::ALL {
            let value = row.features[feature as usize];
            let slot = self.candidates.columns[feature as usize].get_mut(known);
            let present = self.candidates.present.get_mut(known);
            if let (Some(value), Some(slot), Some(present)) = (value, slot, present)
                && *present >> feature as u32 & 1 == 0
            {
                *slot = value;
                *present |= 1 << feature as u32;
            }
        }
    }

    fn author(&mut self, author: &str) -> usize {
        let hash = id_hash(author);
        let table = &self.candidates.authors;
        let same = |index| table.bytes_of(index) == author.as_bytes();
        self.authors.find(hash, same).unwrap_or_else(|| {
            self.candidates.author_hashes.push(hash);
            self.candidates.authors.push(author);
            self.authors.insert(hash)
        })
    }

    fn label(&mut self, label: &str) -> u16 {
        let hash = id_hash(label);
        let table = &self.candidates.labels;
        let same = |index| table.bytes_of(index) == label.as_bytes();
        let index = self.labels.find(hash, same).unwrap_or_else(|| {
            if self.candidates.labels.len() >= usize::from(NO_LABEL) {
                return usize::from(NO_LABEL);
            }
            self.candidates.labels.push(label);
            self.labels.insert(hash)
        });
        u16::try_from(index).unwrap_or(NO_LABEL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, sources: Sources) -> NewCandidate<'_> {
        NewCandidate {
            id,
            author: "a",
            sources,
            tags: &["x", "y"],
            ..NewCandidate::default()
        }
    }

    #[test]
    fn first_source_wins_and_all_are_remembered() {
        let mut merger = Merger::new(2);
        assert_eq!(merger.add(&row("1", Sources::FOLLOW)), Merged::New);
        let mut later = NewCandidate {
            author: "b",
            ..row("1", Sources::SIMILAR)
        };
        later.features[Feature::Similarity as usize] = Some(0.5);
        assert_eq!(merger.add(&later), Merged::Known);
        assert_eq!(merger.add(&row("2", Sources::TRENDING)), Merged::New);
        assert_eq!(merger.add(&row("3", Sources::TRENDING)), Merged::Full);
        assert_eq!(
            merger.add(&row("2", Sources::EXPLORE)),
            Merged::Known,
            "full or not"
        );
        assert!(merger.mark("2", Sources::AFFINITY));
        assert!(!merger.mark("3", Sources::AFFINITY));
        let merged = merger.finish();
        assert_eq!(
            merged.ids.iter().collect::<alloc::vec::Vec<_>>(),
            ["1", "2"]
        );
        assert_eq!(merged.authors.len(), 1, "the first source's row stands");
        assert_eq!(merged.sources[0], Sources(1 | 8));
        assert_eq!(merged.sources[1], Sources(2 | 4 | 16));
        assert_eq!(merged.feature(0, Feature::Similarity), Some(0.5));
    }

    #[test]
    fn merging_is_pushing_with_fast_lookups() {
        let mut pushed = Candidates::default();
        let mut merger = Merger::new(900);
        for number in 0..50 {
            let text = alloc::format!("{number}");
            let author = alloc::format!("a{}", number % 7);
            let tags = [author.as_str(), "all", "all"];
            let language = Some("en").filter(|_| number % 2 == 0);
            let id = text.as_str();
            let row = NewCandidate {
                id,
                author: &author,
                language,
                tags: &tags,
                ..row(id, Sources(1))
            };
            pushed.push(&row);
            merger.add(&row);
            let midway = merger.finish();
            merger = Merger::resume(midway, 900);
        }
        assert_eq!(merger.finish(), pushed);
    }
}
