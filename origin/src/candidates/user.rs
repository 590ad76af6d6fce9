//! What sources and removal rules need to know of a user.

use std::collections::HashMap;

use edgewise_ranking::id_hash;

use crate::store::read::UserState;

/// A user as the store knows them. Hashes are XXH3-64 of ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserFacts {
    /// Hash of the user's own id.
    pub own: u64,
    /// Followed authors, ascending.
    pub follows: Vec<u64>,
    /// Hidden authors, ascending.
    pub hidden_authors: Vec<u64>,
    /// Items hidden, or seen within the seen window, ascending.
    pub removed_items: Vec<u64>,
    /// Interactions with each author in 90 days.
    pub interactions: HashMap<u64, u32>,
    /// Items liked last, newest first.
    pub liked: Vec<u64>,
    /// Short hashes of the last applied interactions, newest first.
    pub applied_events: Vec<u32>,
}

impl UserFacts {
    /// Whether removal rules take an item with this hash and author.
    #[must_use]
    pub fn removes(&self, item: u64, author: u64) -> bool {
        author == self.own
            || self.hidden_authors.binary_search(&author).is_ok()
            || self.removed_items.binary_search(&item).is_ok()
    }

    /// The authors with most interactions, most first, ties by hash; at most `cap`.
    #[must_use]
    pub fn closest_authors(&self, cap: usize) -> Vec<(u64, u32)> {
        let mut authors: Vec<(u64, u32)> = self
            .interactions
            .iter()
            .map(|(&author, &count)| (author, count))
            .collect();
        authors.sort_unstable_by_key(|&(author, count)| (std::cmp::Reverse(count), author));
        authors.retain(|&(_, count)| count > 0);
        authors.truncate(cap);
        authors
    }
}

impl UserFacts {
    /// The facts of `user` from the store's state.
    #[must_use]
    pub fn of(user: &str, state: UserState) -> Self {
        let mut removed_items = state.hidden_items;
        removed_items.extend(state.seen.into_iter().map(|(item, _)| item));
        removed_items.sort_unstable();
        removed_items.dedup();
        Self {
            own: id_hash(user),
            follows: state.follows,
            hidden_authors: state.hidden_authors,
            removed_items,
            interactions: state.interactions.into_iter().collect(),
            liked: state
                .recent_likes
                .into_iter()
                .map(|(item, _)| item)
                .collect(),
            applied_events: state.applied_events,
        }
    }
}
