//! What a session changes in a page before the counters at the origin know of it.

use alloc::vec::Vec;

use edgewise_ranking::sort::{sort, sort_by};
use edgewise_ranking::{Candidates, Feature, Sources};
use edgewise_wire::api::EventType;
use edgewise_wire::bundle::Bundle;
use edgewise_wire::session::Session;

/// A session's effects on one bundle. Events that the bundle has applied have none left.
/// All hashes ascend.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Author and the interactions to add to every row of theirs.
    pub(crate) boosts: Vec<(u64, f32)>,
    pub(crate) hidden_items: Vec<u64>,
    pub(crate) hidden_authors: Vec<u64>,
    /// Authors followed.
    pub(crate) follows: Vec<u64>,
    /// Authors no longer followed.
    pub(crate) unfollows: Vec<u64>,
}

/// The columns a session changed, as they were.
pub(crate) struct Saved {
    interactions: Vec<f32>,
    present: Vec<u32>,
}

/// What features read of a session: all of it, applied by the origin or not.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Interactions by author, ascending.
    pub(crate) authors: Vec<(u64, f32)>,
    /// Short hashes of the tags of the items, ascending.
    pub(crate) tags: Vec<u32>,
}

impl Recent {
    pub(crate) fn of(session: &Session) -> Self {
        let mut effects = Effects::default();
        let mut tags = Vec::new();
        let interactions = session.entries.iter().filter(|entry| {
            !matches!(
                entry.kind,
                EventType::Hide | EventType::Unfollow | EventType::Unlike | EventType::Impression
            )
        });
        for entry in interactions {
            effects.boost(entry.author);
            tags.extend_from_slice(&entry.tags);
        }
        let mut authors = effects.boosts;
        sort_by(&mut authors, |(a, _), (b, _)| a < b);
        sort(&mut tags);
        tags.dedup();
        Self { authors, tags }
    }
}

impl Effects {
    pub(crate) fn of(session: &Session, bundle: &Bundle) -> Self {
        let mut effects = Self::default();
        for entry in &session.entries {
            // Hides and unfollows carry no event: they do no harm twice.
            if entry.event != 0 && bundle.applied_events.contains(&entry.event) {
                continue;
            }
            match entry.kind {
                EventType::Hide => {
                    effects.hidden_items.extend((entry.item != 0).then_some(entry.item));
                    effects.hidden_authors.extend((entry.author != 0).then_some(entry.author));
                }
                EventType::Follow => {
                    effects.unfollows.retain(|&author| author != entry.author);
                    effects.follows.push(entry.author);
                    effects.boost(entry.author);
                }
                EventType::Unfollow => {
                    effects.follows.retain(|&author| author != entry.author);
                    effects.unfollows.push(entry.author);
                }
                EventType::Click
                | EventType::Like
                | EventType::Comment
                | EventType::Share
                | EventType::Purchase
                // A session keeps completed views only.
                | EventType::View => effects.boost(entry.author),
                EventType::Impression | EventType::Unlike => {}
            }
        }
        let Self {
            hidden_items,
            hidden_authors,
            follows,
            unfollows,
            ..
        } = &mut effects;
        for hashes in [hidden_items, hidden_authors, follows, unfollows] {
            sort(hashes);
            hashes.dedup();
        }
        effects
    }

    /// Adds one interaction with `author`; 0 is an author nobody knew.
    fn boost(&mut self, author: u64) {
        if author == 0 {
            return;
        }
        match self.boosts.iter_mut().find(|(known, _)| *known == author) {
            Some((_, interactions)) => *interactions += 1.0,
            None => self.boosts.push((author, 1.0)),
        }
    }

    /// Adds the boosts to the rows of their authors; `None` where no row changed.
    pub(crate) fn apply(&self, candidates: &mut Candidates) -> Option<Saved> {
        let mut by_author: Vec<(u32, f32)> = Vec::new();
        for &(hash, interactions) in &self.boosts {
            let index = candidates
                .author_hashes
                .iter()
                .position(|&author| author == hash);
            by_author.extend(index.map(|index| (u32::try_from(index).unwrap_or(0), interactions)));
        }
        if by_author.is_empty() {
            return None;
        }
        let interactions = candidates
            .columns
            .get(Feature::Interactions as usize)?
            .clone();
        let saved = Saved {
            interactions,
            present: candidates.present.clone(),
        };
        for (row, author) in candidates.author.iter().enumerate() {
            let Some(&(_, more)) = by_author.iter().find(|(boosted, _)| boosted == author) else {
                continue;
            };
            // An absent value is 0; a bad one stays bad and is counted as a degradation.
            let cell = candidates.columns[Feature::Interactions as usize].get_mut(row);
            if let (Some(cell), Some(bits)) = (cell, candidates.present.get_mut(row)) {
                let bit = 1 << Feature::Interactions as u32;
                *cell = if *bits & bit == 0 { more } else { *cell + more };
                *bits |= bit;
            }
        }
        Some(saved)
    }

    /// Rows that only a follow brought, of authors no longer followed.
    pub(crate) fn unfollowed_items<'a>(
        &'a self,
        candidates: &'a Candidates,
    ) -> impl Iterator<Item = u64> + 'a {
        let rows = candidates
            .sources
            .iter()
            .zip(&candidates.author)
            .zip(&candidates.id_hashes);
        rows.filter(|_| !self.unfollows.is_empty())
            .filter(|((sources, author), _)| {
                **sources == Sources::FOLLOW
                    && candidates
                        .author_hashes
                        .get(**author as usize)
                        .is_some_and(|author| self.unfollows.binary_search(author).is_ok())
            })
            .map(|(_, &item)| item)
    }
}

impl Saved {
    /// Puts the columns back.
    pub(crate) fn restore(self, candidates: &mut Candidates) {
        candidates.columns[Feature::Interactions as usize] = self.interactions;
        candidates.present = self.present;
    }
}
