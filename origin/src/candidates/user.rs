//! What sources and removal rules need to know of a user.

use std::cmp::Reverse;
use std::collections::HashMap;

use edgewise_ranking::id_hash;

use crate::store::StoreError;
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
    /// The authors of most interactions, most first.
    pub closest_authors: Vec<(u64, u32)>,
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
}

impl UserFacts {
    /// The facts of `user` from the store's state, with the `closest` authors of most
    /// interactions; `name` gives an author's id.
    ///
    /// # Errors
    ///
    /// Where `name` fails.
    pub fn of(
        user: &str,
        state: UserState,
        closest: usize,
        name: impl Fn(u64) -> Result<Option<String>, StoreError>,
    ) -> Result<Self, StoreError> {
        let closest_authors = closest_of(&state.interactions, closest, name)?;
        let mut removed_items = state.hidden_items;
        removed_items.extend(state.seen.into_iter().map(|(item, _)| item));
        removed_items.sort_unstable();
        removed_items.dedup();
        Ok(Self {
            own: id_hash(user),
            follows: state.follows,
            hidden_authors: state.hidden_authors,
            removed_items,
            interactions: state.interactions.into_iter().collect(),
            closest_authors,
            liked: state
                .recent_likes
                .into_iter()
                .map(|(item, _)| item)
                .collect(),
            applied_events: state.applied_events,
        })
    }
}

/// The `cap` authors with most interactions, most first, ties ascending by the bytes of their
/// ids. Only ids that decide who is among them are read.
fn closest_of(
    interactions: &[(u64, u32)],
    cap: usize,
    name: impl Fn(u64) -> Result<Option<String>, StoreError>,
) -> Result<Vec<(u64, u32)>, StoreError> {
    let mut authors: Vec<(u64, u32)> = interactions.to_vec();
    authors.retain(|&(_, count)| count > 0);
    authors.sort_unstable_by_key(|&(_, count)| Reverse(count));
    if let Some(&(_, last)) = authors.get(cap) {
        let above = authors.partition_point(|&(_, count)| count > last);
        let tied = authors.split_off(above);
        let mut named = Vec::new();
        for (author, count) in tied.into_iter().take_while(|&(_, count)| count == last) {
            // An author without a stored id is behind those with one.
            let id = name(author)?;
            named.push((id.is_none(), id, author, count));
        }
        named.sort_unstable();
        let tied = named
            .into_iter()
            .map(|(_, _, author, count)| (author, count));
        authors.extend(tied);
    }
    authors.truncate(cap);
    Ok(authors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_at_the_cut_go_by_id_and_not_by_hash() {
        let ids = ["e", "d", "c", "b", "a", "z"];
        let mut interactions: Vec<(u64, u32)> = ids
            .iter()
            .map(|id| (id_hash(id), if *id == "z" { 9 } else { 2 }))
            .collect();
        interactions.sort_unstable();
        let name = |hash| {
            let id = ids.iter().find(|id| id_hash(id) == hash);
            Ok(id.map(ToString::to_string))
        };
        let closest = closest_of(&interactions, 4, name).expect("names are known");
        let expected = ["z", "a", "b", "c"].map(id_hash);
        let closest: Vec<u64> = closest.into_iter().map(|(author, _)| author).collect();
        assert_eq!(closest, expected);
    }
}
