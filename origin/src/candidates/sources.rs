//! Sources F1 to F5: which items may be of interest to a user, each in its own order.

use std::collections::HashMap;
use std::sync::Arc;

use edgewise_ranking::{Candidates, NewCandidate, Profile, RankingConfig, Sources, score};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::pools::{Shared, keep_best};
use super::scored_features;
use super::user::UserFacts;
use crate::catalogue::{Catalogue, Entry, newest_first};
use crate::vectors::Vectors;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// F1: most items scored for a user: the newest of all followed authors together.
const FOLLOW_SCAN_MAX: usize = 50_000;
/// Likes that F4 starts from, newest first.
const LIKED_MAX: usize = 10;

/// An item that a source named.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) entry: Arc<Entry>,
    /// F4's similarity.
    pub(crate) similarity: Option<f32>,
}

impl From<Arc<Entry>> for Named {
    fn from(entry: Arc<Entry>) -> Self {
        Self {
            entry,
            similarity: None,
        }
    }
}

/// What sources read.
pub(crate) struct Context<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) shared: &'a Shared,
    pub(crate) config: &'a RankingConfig,
    pub(crate) user: &'a UserFacts,
    pub(crate) vectors: &'a Vectors,
    pub(crate) prior: f64,
    pub(crate) domain_ms: i64,
    /// Seeds F5's draw.
    pub(crate) seed: u64,
}

impl Context<'_> {
    fn keeps(&self, entry: &Entry) -> bool {
        !self.user.removes(entry.facts.hash, entry.facts.author_hash)
    }

    /// F1: items by followed authors, by combined score; the window widens while there are few.
    pub(crate) fn follow(&self) -> Vec<Named> {
        let sources = &self.config.sources;
        if self.user.follows.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<Arc<Entry>> = Vec::new();
        for hours in sources.follow_windows_hours {
            let since_ms = self.domain_ms - i64::from(hours) * HOUR_MS;
            let follows = &self.user.follows;
            found = self
                .catalogue
                .by_authors(follows, since_ms, FOLLOW_SCAN_MAX, |entry| {
                    self.keeps(entry)
                });
            if found.len() >= sources.follow_enough as usize {
                break;
            }
        }
        self.by_score(found, sources.follow_cap as usize)
    }

    /// F2: items with engagement in the window, by hot score.
    pub(crate) fn trending(&self, keep: impl Fn(&Entry) -> bool) -> Vec<Named> {
        let cap = self.config.sources.trending_cap as usize;
        let kept = self
            .shared
            .trending
            .iter()
            .filter(|entry| self.keeps(entry) && keep(entry));
        kept.take(cap).cloned().map(Named::from).collect()
    }

    /// F3: items by the authors the user interacts with most, by affinity, then freshness,
    /// ties ascending by id.
    pub(crate) fn affinity(&self) -> Vec<Named> {
        let sources = &self.config.sources;
        let cap = sources.affinity_cap as usize;
        let since_ms = self.domain_ms - i64::from(sources.affinity_window_days) * DAY_MS;
        let mut found: Vec<(u32, Arc<Entry>)> = Vec::new();
        for &(author, count) in &self.user.closest_authors {
            let items = self
                .catalogue
                .by_authors(&[author], since_ms, cap, |entry| self.keeps(entry));
            found.extend(items.into_iter().map(|entry| (count, entry)));
        }
        found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| newest_first(&a.1, &b.1)));
        found.truncate(cap);
        let found = found.into_iter();
        found.map(|(_, entry)| Named::from(entry)).collect()
    }

    /// F4: nearest items to what the user liked last, by similarity.
    pub(crate) fn similar(&self, nearest: impl Fn(&Entry) -> Vec<(Arc<Entry>, f32)>) -> Vec<Named> {
        let sources = &self.config.sources;
        let since_ms = self.domain_ms - i64::from(sources.similar_window_days) * DAY_MS;
        let liked = self.user.liked.iter().take(LIKED_MAX).copied();
        let mut best: HashMap<u64, (f64, Arc<Entry>)> = HashMap::new();
        for entry in self.catalogue.get_many(liked) {
            for (near, similarity) in nearest(&entry) {
                if near.facts.created_at_ms < since_ms || !self.keeps(&near) {
                    continue;
                }
                let similarity = f64::from(similarity);
                let known = best
                    .entry(near.facts.hash)
                    .or_insert_with(|| (similarity, near));
                known.0 = known.0.max(similarity);
            }
        }
        let mut found: Vec<(f64, Arc<Entry>)> = best.into_values().collect();
        keep_best(&mut found, sources.similar_cap as usize);
        let named = found.into_iter();
        named
            .map(|(near, entry)| Named {
                entry,
                similarity: Some(near as f32),
            })
            .collect()
    }

    /// F5: new items with few impressions, drawn by XXH3-64(seed, id).
    pub(crate) fn explore(&self, keep: impl Fn(&Entry) -> bool) -> Vec<Named> {
        let cap = self.config.sources.explore_cap as usize;
        let kept = self
            .shared
            .explore
            .iter()
            .filter(|entry| self.keeps(entry) && keep(entry));
        let mut drawn: Vec<(u64, &Arc<Entry>)> = kept
            .map(|entry| {
                (
                    xxh3_64_with_seed(entry.facts.id.as_bytes(), self.seed),
                    entry,
                )
            })
            .collect();
        if drawn.len() > cap && cap > 0 {
            drawn.select_nth_unstable_by_key(cap - 1, |&(draw, _)| draw);
        }
        drawn.truncate(cap);
        drawn.sort_unstable_by_key(|&(draw, _)| draw);
        drawn
            .into_iter()
            .map(|(_, entry)| Named::from(Arc::clone(entry)))
            .collect()
    }

    /// The best `cap` by the `feed` profile's score at this moment.
    fn by_score(&self, entries: Vec<Arc<Entry>>, cap: usize) -> Vec<Named> {
        // One author and no labels: only what the score reads.
        let mut rows = Candidates::default();
        for entry in &entries {
            rows.push(&NewCandidate {
                id: &entry.facts.id,
                author: "",
                created_at_ms: entry.facts.created_at_ms,
                sources: Sources::FOLLOW,
                kind: entry.facts.kind,
                features: scored_features(entry, self.user),
                ..NewCandidate::default()
            });
        }
        let mut scored: Vec<(f64, Arc<Entry>)> = Vec::with_capacity(entries.len());
        for (row, entry) in entries.into_iter().enumerate() {
            let scored_row = score(
                Profile::Feed,
                &rows,
                row,
                self.config,
                self.prior,
                self.domain_ms,
            );
            scored.push((scored_row.score, entry));
        }
        keep_best(&mut scored, cap);
        scored
            .into_iter()
            .map(|(_, entry)| Named::from(entry))
            .collect()
    }
}
