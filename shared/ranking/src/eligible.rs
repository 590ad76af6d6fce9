//! Removal rules and filters: which candidates may be ranked at all.

use alloc::vec;
use alloc::vec::Vec;

use crate::candidates::{Candidates, NO_LABEL};
use crate::query::{Query, Removed};

/// Candidates that survived the removal rules.
pub(crate) struct Eligible {
    /// Their rows, ascending.
    pub(crate) rows: Vec<u32>,
    pub(crate) removed: Removed,
}

/// Applies the rules in the order of [`Removed`]'s fields.
pub(crate) fn eligible(query: &Query<'_>, candidates: &Candidates) -> Eligible {
    let authors = author_rules(query, candidates);
    let items = ItemRule::new(query.removed_items);
    let filter = Filter::new(query, candidates);
    let mut firsts = Firsts::new(candidates.len());
    let mut rows = Vec::with_capacity(candidates.len());
    let mut removed = Removed::default();
    for row in 0..candidates.len() {
        let id = candidates.id_hashes.get(row).copied().unwrap_or(0);
        let author = author_of(candidates, row) as usize;
        let rule = authors.get(author).copied().unwrap_or(AuthorRule::Keep);
        if rule == AuthorRule::Own {
            removed.own += 1;
        } else if items.removes(id) {
            removed.items += 1;
        } else if rule == AuthorRule::Hidden {
            removed.hidden_authors += 1;
        } else if query.shown.is_some_and(|was_shown| was_shown(id)) {
            removed.shown += 1;
        } else if !filter.keeps(candidates, row) {
            removed.filtered += 1;
        } else if !firsts.take(&candidates.id_hashes, row as u32, id) {
            removed.repeated += 1;
        } else {
            rows.push(row as u32);
        }
    }
    Eligible { rows, removed }
}

/// Index of the row's author, clamped to the author table's length.
#[inline]
pub(crate) fn author_of(candidates: &Candidates, row: usize) -> u32 {
    let author = candidates.author.get(row).copied().unwrap_or(u32::MAX);
    author.min(candidates.authors.len() as u32)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AuthorRule {
    Keep,
    Own,
    Hidden,
}

/// One verdict an author, so that rows need no search.
fn author_rules(query: &Query<'_>, candidates: &Candidates) -> Vec<AuthorRule> {
    let rule = |author: &u64| {
        if query.own_author == Some(*author) {
            AuthorRule::Own
        } else if query.hidden_authors.binary_search(author).is_ok() {
            AuthorRule::Hidden
        } else {
            AuthorRule::Keep
        }
    };
    candidates.author_hashes.iter().map(rule).collect()
}

/// The first row of each id, open-addressed by the ids' hashes, which are uniform.
struct Firsts {
    /// Rows, or `NO_ROW`; a power of two, at most a quarter full, so that most rows find
    /// theirs at once.
    slots: Vec<u32>,
}

const NO_ROW: u32 = u32::MAX;

impl Firsts {
    fn new(rows: usize) -> Self {
        Self {
            slots: vec![NO_ROW; (4 * rows).next_power_of_two()],
        }
    }

    /// Whether no row before has the id; `ids` are all rows' hashes.
    #[inline]
    fn take(&mut self, ids: &[u64], row: u32, id: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut at = id as usize & mask;
        loop {
            let slot = &mut self.slots[at];
            if *slot == NO_ROW {
                *slot = row;
                return true;
            }
            if ids.get(*slot as usize).copied().unwrap_or(0) == id {
                return false;
            }
            at = (at + 1) & mask;
        }
    }
}

/// 16,384 bits: with 2,000 items removed one miss in eight needs a search.
const BITMAP_WORDS: usize = 256;

/// Membership in a sorted list of hashes, behind a bitmap that answers most misses:
/// a user has seen thousands of items, and few of them are still candidates.
struct ItemRule<'a> {
    sorted: &'a [u64],
    bits: [u64; BITMAP_WORDS],
}

impl<'a> ItemRule<'a> {
    fn new(sorted: &'a [u64]) -> Self {
        let mut bits = [0; BITMAP_WORDS];
        for &hash in sorted {
            bits[Self::word(hash)] |= Self::bit(hash);
        }
        Self { sorted, bits }
    }

    #[inline]
    fn removes(&self, hash: u64) -> bool {
        self.bits[Self::word(hash)] & Self::bit(hash) != 0
            && self.sorted.binary_search(&hash).is_ok()
    }

    fn word(hash: u64) -> usize {
        (hash >> 6) as usize % BITMAP_WORDS
    }

    fn bit(hash: u64) -> u64 {
        1 << (hash % 64)
    }
}

/// What the request asked for, as label indices.
struct Filter {
    tag: Asked,
    language: Asked,
    region: Asked,
}

/// A label that was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Anything,
    /// No candidate has it.
    Unknown,
    Label(u16),
}

impl Asked {
    fn new(label: Option<&str>, candidates: &Candidates) -> Self {
        let Some(label) = label else {
            return Self::Anything;
        };
        let bytes = label.as_bytes();
        let labels = &candidates.labels;
        let index = (0..labels.len()).find(|&index| labels.bytes_of(index) == bytes);
        match index.and_then(|index| u16::try_from(index).ok()) {
            Some(index) if index != NO_LABEL => Self::Label(index),
            _ => Self::Unknown,
        }
    }

    fn keeps(self, is_label: impl Fn(u16) -> bool) -> bool {
        match self {
            Self::Anything => true,
            Self::Unknown => false,
            Self::Label(label) => is_label(label),
        }
    }
}

impl Filter {
    fn new(query: &Query<'_>, candidates: &Candidates) -> Self {
        Self {
            tag: Asked::new(query.tag, candidates),
            language: Asked::new(query.language, candidates),
            region: Asked::new(query.region, candidates),
        }
    }

    #[inline]
    fn keeps(&self, candidates: &Candidates, row: usize) -> bool {
        self.tag
            .keeps(|label| candidates.tags_of(row).contains(&label))
            && self
                .language
                .keeps(|label| candidates.language.get(row) == Some(&label))
            && self
                .region
                .keeps(|label| candidates.region.get(row) == Some(&label))
    }
}
