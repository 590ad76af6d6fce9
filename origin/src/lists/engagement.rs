//! Who engaged with what and who follows whom: the graph that similar items and suggested
//! users are computed from, read from the store every 300 s.

use std::collections::HashMap;

use crate::store::{Snapshot, StoreError, read};

/// Most engagements kept; beyond, the graph covers the users read first.
const ENGAGEMENTS_MAX: usize = 4_000_000;
/// Most follows kept.
const FOLLOWS_MAX: usize = 4_000_000;
/// Most items of a user: the newest.
const ITEMS_PER_USER: usize = 100;
/// Most authors followed by a user that count.
const FOLLOWS_PER_USER: usize = 1_000;

/// A bipartite graph in both directions, by dense indices.
#[derive(Debug, Default)]
pub struct Edges {
    /// XXH3-64 of the right side (items, authors) by index.
    pub hashes: Vec<u64>,
    /// Left (user index) to right, ascending.
    pub right_of: Vec<Vec<u32>>,
    /// Right to left (user index), ascending.
    pub left_of: Vec<Vec<u32>>,
    index: HashMap<u64, u32>,
}

impl Edges {
    /// The index of a hash of the right side.
    #[must_use]
    pub fn index_of(&self, hash: u64) -> Option<u32> {
        self.index.get(&hash).copied()
    }

    /// Right side of a user.
    #[must_use]
    pub fn of_user(&self, user: u32) -> &[u32] {
        self.right_of.get(user as usize).map_or(&[], Vec::as_slice)
    }

    /// Users of a right side.
    #[must_use]
    pub fn users_of(&self, right: u32) -> &[u32] {
        self.left_of.get(right as usize).map_or(&[], Vec::as_slice)
    }

    /// Adds the edges of a user; users come ascending.
    fn add(&mut self, user: u32, rights: impl Iterator<Item = u64>) {
        let mut indices: Vec<u32> = rights.map(|hash| self.intern(hash)).collect();
        indices.sort_unstable();
        indices.dedup();
        for &right in &indices {
            if let Some(users) = self.left_of.get_mut(right as usize) {
                users.push(user);
            }
        }
        self.right_of.resize(user as usize, Vec::new());
        self.right_of.push(indices);
    }

    fn intern(&mut self, hash: u64) -> u32 {
        let next = u32::try_from(self.hashes.len()).unwrap_or(u32::MAX);
        let index = *self.index.entry(hash).or_insert(next);
        if index == next {
            self.hashes.push(hash);
            self.left_of.push(Vec::new());
        }
        index
    }
}

/// Engagements and follows of all users at one moment.
#[derive(Debug, Default)]
pub struct Graph {
    /// User to items they clicked, liked, shared, commented on or bought.
    pub engaged: Edges,
    /// User to authors they follow.
    pub follows: Edges,
    users: HashMap<u64, u32>,
}

impl Graph {
    /// Reads the graph.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn read(snapshot: &dyn Snapshot) -> Result<Self, StoreError> {
        let mut engagements: Vec<(u64, i64, u64)> = Vec::new();
        read::engagements(snapshot, &mut |engagement| {
            if engagements.len() < ENGAGEMENTS_MAX && counts(engagement.kinds) {
                engagements.push((engagement.user, engagement.last_ms, engagement.item));
            }
        })?;
        let mut follows: Vec<(u64, u64)> = Vec::new();
        read::all_follows(snapshot, &mut |user, author, _| {
            if follows.len() < FOLLOWS_MAX {
                follows.push((user, author));
            }
        })?;
        Ok(Self::of(engagements, follows))
    }

    /// The graph of (user, time, item) engagements and (user, author) follows.
    #[must_use]
    pub fn of(mut engagements: Vec<(u64, i64, u64)>, mut follows: Vec<(u64, u64)>) -> Self {
        engagements.sort_unstable_by_key(|&(user, at, item)| (user, std::cmp::Reverse(at), item));
        follows.sort_unstable();
        let mut numbers: Vec<u64> = engagements.iter().map(|edge| edge.0).collect();
        numbers.extend(follows.iter().map(|edge| edge.0));
        numbers.sort_unstable();
        numbers.dedup();
        let users = numbers.iter().copied().zip(0..).collect();
        let mut graph = Self {
            users,
            ..Self::default()
        };
        for same in engagements.chunk_by(|a, b| a.0 == b.0) {
            let items = same.iter().take(ITEMS_PER_USER).map(|edge| edge.2);
            if let Some(user) = same.first().and_then(|edge| graph.users.get(&edge.0)) {
                graph.engaged.add(*user, items);
            }
        }
        for same in follows.chunk_by(|a, b| a.0 == b.0) {
            let authors = same.iter().take(FOLLOWS_PER_USER).map(|edge| edge.1);
            if let Some(user) = same.first().and_then(|edge| graph.users.get(&edge.0)) {
                graph.follows.add(*user, authors);
            }
        }
        graph
    }

    /// The index of a user number.
    #[must_use]
    pub fn user(&self, number: u64) -> Option<u32> {
        self.users.get(&number).copied()
    }
}

/// Whether these interactions are an engagement: any but impression, hide and unfollow.
fn counts(kinds: u16) -> bool {
    use edgewise_wire::api::EventType;
    let engaging = [
        EventType::View,
        EventType::Click,
        EventType::Like,
        EventType::Comment,
        EventType::Share,
        EventType::Follow,
        EventType::Purchase,
    ];
    engaging
        .into_iter()
        .any(|kind| kinds >> kind as u16 & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_go_both_ways() {
        let engagements = vec![(7, 1, 100), (7, 2, 200), (9, 1, 100), (7, 3, 100)];
        let graph = Graph::of(engagements, vec![(9, 5), (8, 5)]);
        let [seven, eight, nine] = [7, 8, 9].map(|number| graph.user(number).expect("known"));
        let hundred = graph.engaged.index_of(100).expect("known");
        assert_eq!(graph.engaged.users_of(hundred), [seven, nine]);
        assert_eq!(graph.engaged.of_user(seven).len(), 2);
        assert!(graph.engaged.of_user(eight).is_empty());
        let five = graph.follows.index_of(5).expect("known");
        assert_eq!(graph.follows.users_of(five), [eight, nine]);
        assert!(graph.follows.of_user(seven).is_empty());
        assert_eq!(graph.user(1), None);
    }
}
