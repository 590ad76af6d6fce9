//! Similar items: nearest by the users who engaged with both, else by tags and author.
//!
//! `score = behaviour + (1 - behaviour) * 0.5 * content`, both 0..=1: content breaks ties
//! of what is known and fills in where nothing is known yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::engagement::{Edges, Graph};
use crate::catalogue::{Catalogue, Entry};

/// Items of an answer.
pub const ITEMS_MAX: usize = 100;
/// Neighbours by behaviour kept of an item.
const NEAR_MAX: usize = 100;
/// Items that get neighbours by behaviour: those most users engaged with.
const ROWS_MAX: usize = 100_000;
/// Users of an item that are looked at.
const USERS_MAX: usize = 400;
/// Items found by one tag: the newest.
const PER_TAG_MAX: usize = 100;
/// Tags of an item that are looked up.
const TAGS_MAX: usize = 4;
/// Items found by author: the newest.
const PER_AUTHOR_MAX: usize = 50;
/// Newest items of the catalogue that tags are indexed for.
const TAGGED_MAX: usize = 200_000;
/// What content alone can reach.
const CONTENT_SHARE: f64 = 0.5;
/// Weight of tags in content; the rest is the author.
const TAG_SHARE: f64 = 0.75;

/// A neighbour of an item.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// The item.
    pub entry: Arc<Entry>,
    /// 0..=1.
    pub score: f64,
    /// Users who engaged with one engaged with the other.
    pub behaviour: bool,
    /// Tags or author are shared.
    pub content: bool,
}

/// Neighbour tables of one moment.
#[derive(Debug, Default)]
pub struct Similar {
    by_behaviour: HashMap<u64, Vec<(u64, f32)>>,
    by_tag: HashMap<String, Vec<u64>>,
}

/// The stored answer, up to the cap.
#[derive(Serialize)]
struct Stored<'a> {
    item: &'a str,
    items: Vec<StoredItem<'a>>,
}

#[derive(Serialize)]
struct StoredItem<'a> {
    id: &'a str,
    score: f64,
    reasons: Vec<&'static str>,
    tags: &'a [String],
}

impl Similar {
    /// Computes the tables.
    #[must_use]
    pub fn make(graph: &Graph, catalogue: &Catalogue) -> Self {
        let mut by_tag: HashMap<String, Vec<u64>> = HashMap::new();
        for entry in catalogue.created_since(i64::MIN, TAGGED_MAX) {
            for tag in &entry.facts.tags {
                let items = by_tag.entry(tag.clone()).or_default();
                if items.len() < PER_TAG_MAX {
                    items.push(entry.facts.hash);
                }
            }
        }
        Self {
            by_behaviour: cosines(&graph.engaged),
            by_tag,
        }
    }

    /// The items nearest to `entry` that still exist, nearest first, with their similarity.
    #[must_use]
    pub fn nearest(&self, entry: &Entry, catalogue: &Catalogue) -> Vec<(Arc<Entry>, f32)> {
        let neighbours = self.neighbours(entry, catalogue).into_iter();
        neighbours
            .map(|near| (near.entry, near.score as f32))
            .collect()
    }

    /// The items nearest to `entry` that still exist, nearest first, at most [`ITEMS_MAX`].
    #[must_use]
    pub fn neighbours(&self, entry: &Entry, catalogue: &Catalogue) -> Vec<Neighbour> {
        let own = &entry.facts;
        let behaviour = self
            .by_behaviour
            .get(&own.hash)
            .map_or(&[][..], Vec::as_slice);
        let behaviour: HashMap<u64, f32> = behaviour.iter().copied().collect();
        let tagged = own
            .tags
            .iter()
            .take(TAGS_MAX)
            .filter_map(|tag| self.by_tag.get(tag));
        let mut hashes: HashSet<u64> = behaviour.keys().copied().collect();
        hashes.extend(tagged.flatten().copied());
        let by_author =
            catalogue.by_authors(&[own.author_hash], i64::MIN, PER_AUTHOR_MAX, |_| true);
        hashes.extend(by_author.iter().map(|entry| entry.facts.hash));
        hashes.remove(&own.hash);
        let mut found: Vec<Neighbour> = catalogue
            .get_many(hashes.into_iter())
            .into_iter()
            .map(|other| {
                let near = f64::from(behaviour.get(&other.facts.hash).copied().unwrap_or(0.0));
                let content = content(entry, &other);
                Neighbour {
                    score: near + (1.0 - near) * CONTENT_SHARE * content,
                    behaviour: near > 0.0,
                    content: content > 0.0,
                    entry: other,
                }
            })
            .filter(|near| near.score > 0.0)
            .collect();
        found.sort_unstable_by(|a, b| {
            let by_score = b.score.total_cmp(&a.score);
            by_score.then_with(|| a.entry.facts.id.cmp(&b.entry.facts.id))
        });
        found.truncate(ITEMS_MAX);
        found
    }

    /// The stored answer `{item, items:[{id, score, reasons, tags}]}` as JSON.
    #[must_use]
    pub fn stored(&self, entry: &Entry, catalogue: &Catalogue) -> Vec<u8> {
        let neighbours = self.neighbours(entry, catalogue);
        let item = |near: &'_ Neighbour| {
            let reasons = [(near.behaviour, "behaviour"), (near.content, "content")];
            reasons
                .into_iter()
                .filter(|(is, _)| *is)
                .map(|(_, name)| name)
                .collect()
        };
        let items = neighbours.iter().map(|near| StoredItem {
            id: &near.entry.facts.id,
            score: near.score,
            reasons: item(near),
            tags: &near.entry.facts.tags,
        });
        let stored = Stored {
            item: &entry.facts.id,
            items: items.collect(),
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }
}

/// Likeness of tags (Jaccard) and author, 0..=1.
fn content(one: &Entry, other: &Entry) -> f64 {
    let (a, b) = (&one.facts.tags, &other.facts.tags);
    let shared = a.iter().filter(|tag| b.contains(tag)).count();
    let all = a.len() + b.len() - shared;
    let tags = if all == 0 {
        0.0
    } else {
        shared as f64 / all as f64
    };
    let author = f64::from(u8::from(one.facts.author_hash == other.facts.author_hash));
    TAG_SHARE * tags + (1.0 - TAG_SHARE) * author
}

/// Cosine of each item with the items its users also engaged with, best first. One user in
/// common is chance: two are needed.
fn cosines(edges: &Edges) -> HashMap<u64, Vec<(u64, f32)>> {
    let mut rows: Vec<u32> = (0..u32::try_from(edges.hashes.len()).unwrap_or(u32::MAX)).collect();
    rows.sort_unstable_by_key(|&item| (std::cmp::Reverse(edges.users_of(item).len()), item));
    rows.retain(|&item| edges.users_of(item).len() >= 2);
    rows.truncate(ROWS_MAX);
    let mut common = vec![0_u32; edges.hashes.len()];
    let mut touched: Vec<u32> = Vec::new();
    let mut near = HashMap::with_capacity(rows.len());
    for item in rows {
        for &user in edges.users_of(item).iter().rev().take(USERS_MAX) {
            for &other in edges.of_user(user) {
                if let Some(count) = common.get_mut(other as usize) {
                    if *count == 0 {
                        touched.push(other);
                    }
                    *count += 1;
                }
            }
        }
        let own = edges.users_of(item).len().min(USERS_MAX) as f64;
        let mut scored: Vec<(f64, u64)> = Vec::new();
        for other in touched.drain(..) {
            let count = common.get_mut(other as usize).map_or(0, std::mem::take);
            let hash = edges.hashes.get(other as usize).copied().unwrap_or(0);
            if other != item && count >= 2 {
                let cosine = f64::from(count) / (own * edges.users_of(other).len() as f64).sqrt();
                scored.push((cosine.min(1.0), hash));
            }
        }
        scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.truncate(NEAR_MAX);
        if let Some(&hash) = edges
            .hashes
            .get(item as usize)
            .filter(|_| !scored.is_empty())
        {
            near.insert(
                hash,
                scored
                    .into_iter()
                    .map(|(cos, hash)| (hash, cos as f32))
                    .collect(),
            );
        }
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{ItemState, Written};
    use edgewise_ranking::{HotSum, id_hash};
    use edgewise_wire::api::Item;
    use edgewise_wire::counters::Counters;

    fn state(id: &str, author: &str, tags: &[&str]) -> ItemState {
        let item = Item {
            id: id.to_owned(),
            author: author.to_owned(),
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            ..Item::default()
        };
        ItemState {
            hash: id_hash(id),
            id: id.to_owned(),
            item: Some(Arc::new(item)),
            first_written: Some(Written::default()),
            deleted_at_ms: None,
            counters: Counters::default(),
            hot: [HotSum::default(); 3],
            last_event_ms: 0,
        }
    }

    fn reasons(near: &Neighbour) -> (&str, bool, bool) {
        (near.entry.facts.id.as_str(), near.behaviour, near.content)
    }

    #[test]
    fn behaviour_comes_before_content_and_deleted_items_are_gone() {
        let catalogue = Catalogue::default();
        let states = [
            state("a", "x", &["cats", "fun"]),
            state("both", "y", &["cats", "fun"]),
            state("behaviour", "y", &["dogs"]),
            state("content", "z", &["cats"]),
            state("author", "x", &[]),
            state("other", "z", &["dogs"]),
        ];
        catalogue.apply(&states, 1, 1);
        let [a, both, behaviour, other] = ["a", "both", "behaviour", "other"].map(id_hash);
        let edges = (1..=4).flat_map(|user| [(user, 1, a), (user, 1, both), (user, 1, behaviour)]);
        let graph = Graph::of(
            edges.chain([(9, 1, other), (9, 1, a)]).collect(),
            Vec::new(),
        );
        let similar = Similar::make(&graph, &catalogue);
        let entry = catalogue.get(a).expect("known");
        let near = similar.neighbours(&entry, &catalogue);
        let named: Vec<_> = near.iter().map(reasons).collect();
        assert_eq!(
            named,
            [
                ("both", true, true),
                ("behaviour", true, false),
                ("content", false, true),
                ("author", false, true),
            ]
        );
        assert!(near.iter().all(|near| (0.0..=1.0).contains(&near.score)));
        let gone = ItemState {
            item: None,
            deleted_at_ms: Some(2),
            ..state("both", "y", &[])
        };
        catalogue.apply(&[gone], 2, 2);
        assert_eq!(similar.neighbours(&entry, &catalogue).len(), 3);
        let stored = similar.stored(&entry, &catalogue);
        let json: serde_json::Value = serde_json::from_slice(&stored).expect("JSON");
        assert_eq!(
            json["items"][0]["reasons"],
            serde_json::json!(["behaviour"])
        );
    }
}
