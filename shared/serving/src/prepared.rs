//! A bundle made ready to answer many pages: indexed once, merged once per overlay.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::sort::sort_first;
use edgewise_ranking::{Candidates, RankingConfig, Sources, id_hash};
use edgewise_wire::bundle::Bundle;
use edgewise_wire::overlay::{Overlay, OverlayItem};

use crate::events::ItemFacts;
use crate::merge::{join, replace_counters, retain};

/// A decoded bundle with the index of its rows and the view merged with the last overlay.
///
/// The merged view is a pure function of bundle and overlay: which overlays came before
/// leaves no trace in it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The bundle's facts; its candidates are moved to `base`.
    pub(crate) facts: Bundle,
    base: Candidates,
    /// (item hash, row) ascending.
    index: Vec<(u64, u32)>,
    merged: Option<Merged>,
}

#[derive(Clone, Debug)]
struct Merged {
    key: MergeKey,
    /// `None` where the overlay changes nothing: `base` serves.
    candidates: Option<Candidates>,
}

/// What a merged view depends on beside the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MergeKey {
    position: u64,
    made_at_ms: i64,
    follow_windows_hours: [u32; 3],
    follow_enough: u32,
    /// Bits of the half-lives, minutes.
    half_lives: [u64; 3],
}

impl Prepared {
    /// Indexes a bundle. Of rows with the same id only the first stays.
    #[must_use]
    pub fn new(mut bundle: Bundle) -> Self {
        let mut base = core::mem::take(&mut bundle.candidates);
        let mut index = index_of(&base);
        if index
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.0 == b.0))
        {
            let mut keep = alloc::vec![false; base.len()];
            index.dedup_by_key(|entry| entry.0);
            for &(_, row) in &index {
                if let Some(kept) = keep.get_mut(row as usize) {
                    *kept = true;
                }
            }
            base = retain(&base, &keep);
            index = index_of(&base);
        }
        Self {
            facts: bundle,
            base,
            index,
            merged: None,
        }
    }

    /// The user the bundle is of; `None` for a segment's pool.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.facts.user.as_deref()
    }

    /// Wall time the bundle was made at, Unix ms.
    #[must_use]
    pub fn made_at_ms(&self) -> i64 {
        self.facts.made_at_ms
    }

    /// Position of the event log the bundle was made at.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.facts.position
    }

    /// The candidates as of `overlay`: counters replaced, deleted items gone, new items of
    /// followed authors joined. Merged once per overlay and windows, then kept.
    ///
    /// Of an overlay that is older than the bundle only the tombstones are taken.
    pub fn current(&mut self, overlay: Option<&Overlay>, config: &RankingConfig) -> &Candidates {
        self.parts(overlay, config).1
    }

    /// The bundle's facts and, as two borrows, the current candidates.
    pub(crate) fn parts(
        &mut self,
        overlay: Option<&Overlay>,
        config: &RankingConfig,
    ) -> (&Bundle, &mut Candidates) {
        let Some(overlay) = overlay else {
            return (&self.facts, &mut self.base);
        };
        let key = MergeKey {
            position: overlay.position,
            made_at_ms: overlay.made_at_ms,
            follow_windows_hours: config.sources.follow_windows_hours,
            follow_enough: config.sources.follow_enough,
            half_lives: config.hot.half_life_minutes.map(f64::to_bits),
        };
        if self.merged.as_ref().is_none_or(|merged| merged.key != key) {
            let candidates = self.merge(overlay, config);
            self.merged = Some(Merged { key, candidates });
        }
        let merged = self
            .merged
            .as_mut()
            .and_then(|merged| merged.candidates.as_mut());
        (&self.facts, merged.unwrap_or(&mut self.base))
    }

    /// New overlay items of `authors` (hashes, ascending) that are not among `current` yet,
    /// joined to a copy of it; `None` where there is none. For authors followed in the session.
    pub(crate) fn widened(
        &mut self,
        overlay: &Overlay,
        config: &RankingConfig,
        authors: &[u64],
    ) -> Option<Candidates> {
        if authors.is_empty() || overlay.position < self.facts.position {
            return None;
        }
        self.parts(Some(overlay), config);
        let current = self
            .merged
            .as_ref()
            .and_then(|merged| merged.candidates.as_ref());
        let current = current.unwrap_or(&self.base);
        let oldest = self.follow_horizon_ms(overlay, config);
        let followed = |_: &OverlayItem, hash: u64| authors.binary_search(&hash).is_ok();
        let mut joining = self.joining(overlay, oldest, followed);
        joining.retain(|join| !current.id_hashes.contains(&join.item_hash));
        if joining.is_empty() {
            return None;
        }
        Some(join(
            current.clone(),
            joining.iter().map(|join| join.item),
            &config.hot,
        ))
    }

    /// Author and tags of the item with this id, from the bundle or the overlay; what
    /// [`crate::events::session_after`] asks for.
    #[must_use]
    pub fn item_facts<'a>(
        &'a self,
        id: &str,
        overlay: Option<&'a Overlay>,
    ) -> Option<ItemFacts<'a>> {
        if let Some(row) = self.row_of(id_hash(id)) {
            let author = self.base.author.get(row).copied().unwrap_or(u32::MAX);
            let tags = self.base.tags_of(row).iter();
            return Some(ItemFacts {
                author: self.base.authors.get(author as usize),
                tags: tags
                    .map(|&tag| self.base.labels.get(usize::from(tag)))
                    .collect(),
            });
        }
        let item = overlay?.items.iter().find(|item| item.id == id)?;
        let tags = item.tags.iter().map(String::as_str).collect();
        Some(ItemFacts {
            author: &item.author,
            tags,
        })
    }

    fn row_of(&self, item_hash: u64) -> Option<usize> {
        let at = self
            .index
            .binary_search_by_key(&item_hash, |entry| entry.0)
            .ok()?;
        self.index.get(at).map(|&(_, row)| row as usize)
    }

    /// `None` where nothing changes.
    fn merge(&self, overlay: &Overlay, config: &RankingConfig) -> Option<Candidates> {
        let mut merged = None;
        if overlay.position >= self.facts.position {
            for item in &overlay.items {
                if let Some(row) = self.row_of(id_hash(&item.id)) {
                    let candidates = merged.get_or_insert_with(|| self.base.clone());
                    replace_counters(candidates, row, item, &config.hot);
                }
            }
            let oldest = self.follow_horizon_ms(overlay, config);
            let follows = &self.facts.follows;
            let joining = self.joining(overlay, oldest, |_, author_hash| {
                follows.binary_search(&((author_hash >> 32) as u32)).is_ok()
            });
            if !joining.is_empty() {
                let whole = merged.unwrap_or_else(|| self.base.clone());
                merged = Some(join(
                    whole,
                    joining.iter().map(|join| join.item),
                    &config.hot,
                ));
            }
        }
        let mut dead = overlay
            .tombstones
            .iter()
            .filter_map(|&hash| self.row_of(hash))
            .peekable();
        if dead.peek().is_none() {
            return merged;
        }
        let whole = merged.as_ref().unwrap_or(&self.base);
        let mut keep = alloc::vec![true; whole.len()];
        for row in dead {
            if let Some(kept) = keep.get_mut(row) {
                *kept = false;
            }
        }
        Some(retain(whole, &keep))
    }

    /// Overlay items that may join: new, of an author that `followed` accepts, not own, not
    /// hidden or seen, alive, created at or after `oldest_ms`, not among the base rows.
    fn joining<'o>(
        &self,
        overlay: &'o Overlay,
        oldest_ms: i64,
        followed: impl Fn(&OverlayItem, u64) -> bool,
    ) -> Vec<Joining<'o>> {
        let own = self.facts.user.as_deref().map(id_hash);
        let mut seen: Vec<u64> = Vec::new();
        let mut joining = Vec::new();
        for item in overlay.items.iter().filter(|item| item.is_new) {
            if item.created_at_ms < oldest_ms {
                continue;
            }
            let author_hash = id_hash(&item.author);
            if !followed(item, author_hash)
                || own == Some(author_hash)
                || self
                    .facts
                    .hidden_authors
                    .binary_search(&author_hash)
                    .is_ok()
            {
                continue;
            }
            let item_hash = id_hash(&item.id);
            if self.facts.removed_items.binary_search(&item_hash).is_ok()
                || overlay.tombstones.binary_search(&item_hash).is_ok()
                || self.row_of(item_hash).is_some()
            {
                continue;
            }
            let Err(place) = seen.binary_search(&item_hash) else {
                continue;
            };
            seen.insert(place, item_hash);
            joining.push(Joining { item, item_hash });
        }
        joining
    }

    /// Items created before this domain time are outside F1's window. The window is the
    /// widest one where the bundle's followed items were too few, as when it was built.
    fn follow_horizon_ms(&self, overlay: &Overlay, config: &RankingConfig) -> i64 {
        let rows = self.base.sources.iter();
        let followed = rows
            .filter(|sources| sources.contains(Sources::FOLLOW))
            .count();
        let [narrow, _, wide] = config.sources.follow_windows_hours;
        let hours = if followed < config.sources.follow_enough as usize {
            wide
        } else {
            narrow
        };
        let now_ms = overlay.clock.domain_ms(overlay.made_at_ms);
        now_ms.saturating_sub(i64::from(hours) * 3_600_000)
    }
}

struct Joining<'o> {
    item: &'o OverlayItem,
    item_hash: u64,
}

fn index_of(candidates: &Candidates) -> Vec<(u64, u32)> {
    let mut index: Vec<(u64, u32)> = candidates.id_hashes.iter().copied().zip(0..).collect();
    let len = index.len();
    sort_first(&mut index, len, |a, b| a < b);
    index
}

#[cfg(test)]
mod tests;
