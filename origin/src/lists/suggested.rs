//! Suggested users: whom people like you follow, or engage with, and you do not yet follow.
//!
//! People like you share followed authors or engaged items; likeness is the cosine of both,
//! added. An author's score is the likeness-weighted share of those people.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use serde::Serialize;

use super::engagement::{Edges, Graph};
use crate::catalogue::Catalogue;
use crate::store::{Snapshot, StoreError, read};

/// Users of an answer.
pub const USERS_MAX: usize = 50;
/// Own follows, and own engaged items, that people like you are looked for by.
const OWN_MAX: usize = 200;
/// People of one author or item that are looked at.
const PEOPLE_OF_ONE: usize = 500;
/// People like you that count.
const PEOPLE_MAX: usize = 100;
/// Weight of engaging with an author's item, where following is 1.
const ENGAGED_WEIGHT: f64 = 0.3;
/// Popular authors kept for users of whom nothing is known.
const POPULAR_MAX: usize = 1_000;

/// The tables of one moment.
#[derive(Debug, Default)]
pub struct Suggested {
    graph: Arc<Graph>,
    /// Author of the engaged item with this index, by author hash; 0 where it is gone.
    author_of: Vec<u64>,
    /// Author hashes, most followed first.
    popular: Vec<(u64, f64)>,
}

/// A suggestion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// User id.
    pub user: String,
    /// 0..=1, larger is better.
    pub score: f64,
    /// How many people like you follow them or engage with what they post.
    pub common: u32,
}

impl Suggested {
    /// Computes the tables.
    #[must_use]
    pub fn make(graph: Arc<Graph>, catalogue: &Catalogue) -> Self {
        let engaged = &graph.engaged;
        let author = |&item: &u64| {
            catalogue
                .get(item)
                .map_or(0, |entry| entry.facts.author_hash)
        };
        let author_of: Vec<u64> = engaged.hashes.iter().map(author).collect();
        let mut weights: HashMap<u64, f64> = HashMap::new();
        for (index, &author) in graph.follows.hashes.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            *weights.entry(author).or_default() += graph.follows.users_of(index).len() as f64;
        }
        for (index, &author) in author_of
            .iter()
            .enumerate()
            .filter(|(_, author)| **author != 0)
        {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let users = engaged.users_of(index).len() as f64;
            *weights.entry(author).or_default() += ENGAGED_WEIGHT * users;
        }
        let most = weights.values().copied().fold(1.0, f64::max);
        let mut popular: Vec<(u64, f64)> = weights
            .into_iter()
            .map(|(author, weight)| (author, weight / most))
            .collect();
        popular.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        popular.truncate(POPULAR_MAX);
        Self {
            graph,
            author_of,
            popular,
        }
    }

    /// Suggestions for `user`, best first, at most [`USERS_MAX`]; whom the user follows or
    /// hides by now is left out.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn suggest(
        &self,
        snapshot: &dyn Snapshot,
        user: &str,
        domain_ms: i64,
    ) -> Result<Vec<Suggestion>, StoreError> {
        let own = edgewise_ranking::id_hash(user);
        let number = read::user_number(snapshot, user)?;
        let state = read::user_state(snapshot, user, domain_ms, 0)?;
        let wanted = |author: u64| {
            author != own
                && state.follows.binary_search(&author).is_err()
                && state.hidden_authors.binary_search(&author).is_err()
        };
        let index = number.and_then(|number| self.graph.user(number));
        let mut ranked = index
            .map(|index| self.collaborative(index))
            .unwrap_or_default();
        ranked.retain(|&(author, ..)| wanted(author));
        ranked.truncate(USERS_MAX);
        let mut suggestions = Vec::with_capacity(USERS_MAX);
        for (author, score, common) in ranked {
            push(&mut suggestions, snapshot, author, score, common)?;
        }
        // Popular authors fill up: below whatever is personal.
        let floor = suggestions.last().map_or(1.0, |last| last.score);
        for &(author, share) in self.popular.iter().filter(|(author, _)| wanted(*author)) {
            if suggestions.len() >= USERS_MAX {
                break;
            }
            push(&mut suggestions, snapshot, author, floor * share * 0.5, 0)?;
        }
        Ok(suggestions)
    }

    /// (author, score, people like this user who follow or engage with them), best first.
    fn collaborative(&self, user: u32) -> Vec<(u64, f64, u32)> {
        let people = self.people_like(user);
        let all: f64 = people.iter().map(|(_, likeness)| likeness).sum();
        let mut scores: HashMap<u64, (f64, u32)> = HashMap::new();
        for &(person, likeness) in &people {
            for (author, weight) in self.authors_of(person) {
                let entry = scores.entry(author).or_default();
                entry.0 += likeness * weight / all;
                entry.1 += 1;
            }
        }
        let mut ranked: Vec<(u64, f64, u32)> = scores
            .into_iter()
            .map(|(author, (score, common))| (author, score.min(1.0), common))
            .collect();
        ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked
    }

    /// The people most like `user` and how much, most first.
    fn people_like(&self, user: u32) -> Vec<(u32, f64)> {
        let mut likeness: HashMap<u32, f64> = HashMap::new();
        for edges in [&self.graph.follows, &self.graph.engaged] {
            for (person, count) in sharing(edges, user) {
                let sizes = edges.of_user(user).len() * edges.of_user(person).len();
                *likeness.entry(person).or_default() += f64::from(count) / (sizes as f64).sqrt();
            }
        }
        let mut people: Vec<(u32, f64)> = likeness.into_iter().collect();
        people.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        people.truncate(PEOPLE_MAX);
        people
    }

    /// Authors a person follows (1) or engaged with (less), each once.
    fn authors_of(&self, person: u32) -> HashMap<u64, f64> {
        let engaged = self.graph.engaged.of_user(person).iter();
        let authors = engaged.filter_map(|&item| self.author_of.get(item as usize));
        let mut weights: HashMap<u64, f64> = authors
            .filter(|author| **author != 0)
            .map(|&author| (author, ENGAGED_WEIGHT))
            .collect();
        for &author in self
            .graph
            .follows
            .of_user(person)
            .iter()
            .take(PEOPLE_OF_ONE)
        {
            let hash = self.graph.follows.hashes.get(author as usize);
            weights.extend(hash.map(|&hash| (hash, 1.0)));
        }
        weights
    }
}

/// The users that share a right side with `user`, and how many.
fn sharing(edges: &Edges, user: u32) -> HashMap<u32, u32> {
    let mut shared = HashMap::new();
    for &right in edges.of_user(user).iter().take(OWN_MAX) {
        for &person in edges.users_of(right).iter().rev().take(PEOPLE_OF_ONE) {
            if person != user {
                count(&mut shared, person);
            }
        }
    }
    shared
}

fn count<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) {
    *counts.entry(key).or_default() += 1;
}

/// Adds a suggestion where the author's id is known.
fn push(
    suggestions: &mut Vec<Suggestion>,
    snapshot: &dyn Snapshot,
    author: u64,
    score: f64,
    common: u32,
) -> Result<(), StoreError> {
    // A popular author may be among the personal ones.
    let known = suggestions
        .iter()
        .any(|have| edgewise_ranking::id_hash(&have.user) == author);
    if !known && let Some(user) = read::author_id(snapshot, author)? {
        suggestions.push(Suggestion {
            user,
            score,
            common,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_who_share_follows_suggest_what_they_follow() {
        // Users 1 and 2 follow 10 and 11; 2 follows 12 too; 3 shares nothing and follows 13.
        let follows = vec![(1, 10), (1, 11), (2, 10), (2, 11), (2, 12), (3, 13)];
        let graph = Arc::new(Graph::of(Vec::new(), follows));
        let user = graph.user(1).expect("known");
        let suggested = Suggested::make(graph, &Catalogue::default());
        let ranked = suggested.collaborative(user);
        let strangers: Vec<_> = ranked.iter().filter(|row| row.0 > 11).collect();
        assert_eq!(strangers.len(), 1);
        assert_eq!((strangers[0].0, strangers[0].2), (12, 1));
        assert_eq!(suggested.popular.first().map(|row| row.1), Some(1.0));
    }

    #[test]
    fn co_engagement_counts_where_nobody_follows() {
        let engagements = vec![(1, 1, 100), (2, 1, 100), (2, 2, 200)];
        let graph = Arc::new(Graph::of(engagements, Vec::new()));
        let user = graph.user(1).expect("known");
        let mut suggested = Suggested::make(Arc::clone(&graph), &Catalogue::default());
        suggested.author_of = graph.engaged.hashes.iter().map(|item| item + 1).collect();
        let ranked = suggested.collaborative(user);
        assert!(ranked.iter().any(|row| row.0 == 201 && row.1 > 0.0));
    }
}
