//! Candidates: from what the store knows of a user and the catalogue of items to a bundle.
//!
//! A bundle carries facts, not scores: it is ranked with the time of the request, here
//! or at an edge, so it may be minutes old.

mod cache;
mod pools;
mod sources;
mod user;

use std::sync::Arc;

use arc_swap::ArcSwap;
use edgewise_ranking::merge::Merger;
use edgewise_ranking::{Feature, NewCandidate, RankingConfig, Sources};
use edgewise_serving::{counted_features, duration_s, hot_features};
use edgewise_wire::bundle::Bundle;
use edgewise_wire::limits::{FOLLOWS_MAX, HIDDEN_AUTHORS_MAX, REMOVED_ITEMS_MAX};

pub use cache::{Bundles, Cached};
use pools::SharedPools;
use sources::{Context, Named};
pub use user::UserFacts;

use crate::catalogue::{Catalogue, Entry};
use crate::clock::Clock;
use crate::lists::similar::Similar;
use crate::overlay;
use crate::vectors::Vectors;

/// Items first written within the overlay's reach and this may come back by an overlay, wall ms.
const YOUNG_MARGIN_MS: i64 = 60_000;

/// Whose candidates: everyone's, or those of a region or language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// Everyone.
    #[default]
    All,
    /// Items of a region.
    Region(String),
    /// Items of a language.
    Language(String),
}

impl Segment {
    /// The segment of what a request says of itself: language first, as it says more.
    #[must_use]
    pub fn of(language: Option<&str>, region: Option<&str>) -> Self {
        match (language, region) {
            (Some(language), _) => Self::Language(language.to_owned()),
            (None, Some(region)) => Self::Region(region.to_owned()),
            (None, None) => Self::All,
        }
    }

    /// The segment named `all`, `region=XX` or `language=xx`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.split_once('=') {
            None => (name == "all").then_some(Self::All),
            Some((_, label)) if edgewise_wire::ids::check_label(label).is_err() => None,
            Some(("region", label)) => Some(Self::Region(label.to_owned())),
            Some(("language", label)) => Some(Self::Language(label.to_owned())),
            Some(_) => None,
        }
    }

    fn holds(&self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Region(region) => entry.facts.region.as_ref() == Some(region),
            Self::Language(language) => entry.facts.language.as_ref() == Some(language),
        }
    }
}

/// Builds bundles.
pub struct Builder {
    catalogue: Arc<Catalogue>,
    clock: Clock,
    config: Arc<RankingConfig>,
    similar: Arc<ArcSwap<Similar>>,
    vectors: Arc<Vectors>,
    pools: SharedPools,
}

impl Builder {
    /// A builder on the catalogue as it will be when a bundle is asked for.
    #[must_use]
    pub fn new(
        catalogue: Arc<Catalogue>,
        clock: Clock,
        config: Arc<RankingConfig>,
        similar: Arc<ArcSwap<Similar>>,
        vectors: Arc<Vectors>,
    ) -> Self {
        Self {
            catalogue,
            clock,
            config,
            similar,
            vectors,
            pools: SharedPools::default(),
        }
    }

    /// The bundle of a user of whom the store knows `facts`, read at `position`.
    #[must_use]
    pub fn user(&self, user: &str, facts: &UserFacts, position: u64) -> Bundle {
        let domain_ms = self.clock.domain_ms();
        let wall_ms = self.clock.wall_ms();
        let shared = self
            .pools
            .get(&self.catalogue, &self.config, wall_ms, domain_ms);
        let context = Context {
            catalogue: &self.catalogue,
            shared: &shared,
            config: &self.config,
            user: facts,
            vectors: &self.vectors,
            prior: self.catalogue.completion_prior(),
            domain_ms,
            // Another draw every hour: what did not catch on makes room.
            seed: facts.own.wrapping_add(u64::from(hour_of(domain_ms))),
        };
        let similar = self.similar.load_full();
        let nearest = |entry: &Entry| similar.nearest(entry, &self.catalogue);
        let named = [
            (Sources::FOLLOW, context.follow()),
            (Sources::TRENDING, context.trending(|_| true)),
            (Sources::AFFINITY, context.affinity()),
            (Sources::SIMILAR, context.similar(nearest)),
            (Sources::EXPLORE, context.explore(|_| true)),
        ];
        let mut bundle = self.bundle(&named, &context, position, wall_ms);
        bundle.user = Some(user.to_owned());
        bundle.follows = short_hashes(&facts.follows);
        bundle.hidden_authors = facts.hidden_authors.clone();
        bundle.hidden_authors.truncate(HIDDEN_AUTHORS_MAX);
        bundle.removed_items = self.young(&facts.removed_items, wall_ms);
        bundle.applied_events.clone_from(&facts.applied_events);
        bundle.user_vector = self.vectors.user_sketch(facts.own);
        bundle
    }

    /// The pool of a segment: trending and new items, of nobody in particular.
    #[must_use]
    pub fn segment(&self, segment: &Segment) -> Bundle {
        let domain_ms = self.clock.domain_ms();
        let wall_ms = self.clock.wall_ms();
        let position = self.catalogue.position();
        let shared = self
            .pools
            .get(&self.catalogue, &self.config, wall_ms, domain_ms);
        let nobody = UserFacts::default();
        let context = Context {
            catalogue: &self.catalogue,
            shared: &shared,
            config: &self.config,
            user: &nobody,
            vectors: &self.vectors,
            prior: self.catalogue.completion_prior(),
            domain_ms,
            seed: u64::from(hour_of(domain_ms)),
        };
        let named = [
            (
                Sources::TRENDING,
                context.trending(|entry| segment.holds(entry)),
            ),
            (
                Sources::EXPLORE,
                context.explore(|entry| segment.holds(entry)),
            ),
        ];
        self.bundle(&named, &context, position, wall_ms)
    }

    fn bundle(
        &self,
        named: &[(Sources, Vec<Named>)],
        context: &Context<'_>,
        position: u64,
        wall_ms: i64,
    ) -> Bundle {
        let mut merger = Merger::new(self.config.sources.merged_cap as usize);
        merger.describe(context.domain_ms, self.vectors.sketch_scale());
        let mut tags = Vec::new();
        for (source, items) in named {
            for (rank, item) in items.iter().enumerate() {
                let entry = &item.entry;
                tags.clear();
                tags.extend(entry.facts.tags.iter().map(String::as_str));
                merger.add(&NewCandidate {
                    id: &entry.facts.id,
                    author: &entry.facts.author,
                    created_at_ms: entry.facts.created_at_ms,
                    sources: *source,
                    kind: entry.facts.kind,
                    language: entry.facts.language.as_deref(),
                    region: entry.facts.region.as_deref(),
                    tags: &tags,
                    features: features(context, item, rank),
                    sketch: self.vectors.item_sketch(entry.facts.hash),
                });
            }
        }
        let mut bundle = Bundle {
            made_at_ms: wall_ms,
            position,
            completion_prior: self.catalogue.completion_prior() as f32,
            candidates: merger.finish(),
            ..Bundle::default()
        };
        // What the origin answers itself has the bits of what an edge answers.
        bundle.quantise();
        bundle
    }

    /// Of the removed items those that an overlay may hold as new, ascending.
    fn young(&self, removed: &[u64], wall_ms: i64) -> Vec<u64> {
        let since_ms = wall_ms - overlay::REACH_MS - YOUNG_MARGIN_MS;
        let known = self.catalogue.get_many(removed.iter().copied());
        let young = known
            .iter()
            .filter(|entry| entry.first_written_ms >= since_ms);
        let mut hashes: Vec<u64> = young.map(|entry| entry.facts.hash).collect();
        hashes.sort_unstable();
        hashes.truncate(REMOVED_ITEMS_MAX);
        hashes
    }
}

/// The features of an item that a source named as its `rank`th, from 0.
fn features(context: &Context<'_>, item: &Named, rank: usize) -> [Option<f32>; Feature::COUNT] {
    let entry = &item.entry;
    let mut features = scored_features(entry, context.user);
    let hot = hot_features(&entry.hot, context.domain_ms, &context.config.hot);
    for (feature, value) in hot {
        features[feature as usize] = value;
    }
    let [region, language] = context.shared.popularity(entry, context.config);
    features[Feature::RegionPopularity as usize] = Some(region);
    features[Feature::LanguagePopularity as usize] = Some(language);
    if entry.facts.duration_ms > 0 {
        features[Feature::Duration as usize] = Some(duration_s(entry.facts.duration_ms));
    }
    features[Feature::SourcePosition as usize] = Some((rank + 1) as f32);
    features[Feature::DeepDot as usize] = context.vectors.dot(context.user.own, entry.facts.hash);
    features[Feature::Similarity as usize] = item.similarity;
    features
}

/// The features that the formula reads.
fn scored_features(entry: &Entry, user: &UserFacts) -> [Option<f32>; Feature::COUNT] {
    let mut features = [None; Feature::COUNT];
    for (feature, value) in counted_features(&entry.counters) {
        features[feature as usize] = Some(value);
    }
    let interactions = user
        .interactions
        .get(&entry.facts.author_hash)
        .copied()
        .unwrap_or(0);
    features[Feature::Interactions as usize] = Some(interactions as f32);
    features
}

/// The followed authors as the bundle carries them, ascending.
fn short_hashes(authors: &[u64]) -> Vec<u32> {
    let mut hashes: Vec<u32> = authors.iter().map(|author| (author >> 32) as u32).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.truncate(FOLLOWS_MAX);
    hashes
}

/// Hours since 1970.
fn hour_of(domain_ms: i64) -> u32 {
    u32::try_from(domain_ms / 3_600_000).unwrap_or(0)
}
