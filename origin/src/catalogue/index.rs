//! The catalogue's slots and their indexes, kept together by [`Index::put`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Entry, Facts};
use crate::ingest::ItemState;

#[derive(Debug)]
struct Slot {
    entry: Arc<Entry>,
    touched_ms: i64,
}

/// Entries by slot number; slot numbers in ordered sets are the indexes.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Position of the event log.
    pub(super) position: u64,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    by_hash: HashMap<u64, u32>,
    by_author: HashMap<u64, BTreeSet<(i64, u32)>>,
    by_created: BTreeSet<(i64, u32)>,
    by_event: BTreeSet<(i64, u32)>,
    by_touch: BTreeSet<(i64, u32)>,
    /// Deletions: item hash to wall time, and the reverse.
    deleted: HashMap<u64, i64>,
    by_deletion: BTreeSet<(i64, u64)>,
    timed_views: u64,
    watch_ratio_sum: f64,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.by_hash.len()
    }

    pub(super) fn get(&self, hash: u64) -> Option<&Arc<Entry>> {
        self.entry(*self.by_hash.get(&hash)?)
    }

    pub(super) fn by_author(
        &self,
        author: u64,
        since_ms: i64,
    ) -> impl Iterator<Item = &Arc<Entry>> {
        let items = self.by_author.get(&author);
        items
            .into_iter()
            .flat_map(move |items| self.newest_first(items, since_ms))
    }

    pub(super) fn by_event(&self, since_ms: i64) -> impl Iterator<Item = &Arc<Entry>> {
        self.newest_first(&self.by_event, since_ms)
    }

    pub(super) fn by_created(&self, since_ms: i64) -> impl Iterator<Item = &Arc<Entry>> {
        self.newest_first(&self.by_created, since_ms)
    }

    pub(super) fn touched(&self, since_ms: i64) -> impl Iterator<Item = &Arc<Entry>> {
        self.newest_first(&self.by_touch, since_ms)
    }

    pub(super) fn newest_event_ms(&self) -> Option<i64> {
        self.by_event.last().map(|&(event_ms, _)| event_ms)
    }

    pub(super) fn forget_touched(&mut self, before_ms: i64) {
        self.by_touch = self.by_touch.split_off(&(before_ms, 0));
    }

    pub(super) fn completion_prior(&self) -> f64 {
        if self.timed_views == 0 {
            return 0.5;
        }
        (self.watch_ratio_sum / self.timed_views as f64).clamp(0.0, 1.0)
    }

    /// Deletions, latest first: wall time and item hash.
    pub(super) fn tombstones(&self, since_ms: i64) -> impl Iterator<Item = (i64, u64)> {
        self.by_deletion.range((since_ms, 0)..).rev().copied()
    }

    pub(super) fn forget_tombstones(&mut self, before_ms: i64) {
        let kept = self.by_deletion.split_off(&(before_ms, 0));
        for (_, hash) in std::mem::replace(&mut self.by_deletion, kept) {
            self.deleted.remove(&hash);
        }
    }

    /// Writes an item's state; `facts` are given where the commit wrote them. An item that
    /// was never upserted is left out: the store counts it, and its upsert brings it all.
    pub(super) fn put(&mut self, state: &ItemState, facts: Option<Arc<Facts>>, wall_ms: i64) {
        let before = self.take(state.hash);
        self.set_deleted(state);
        let known = before
            .as_ref()
            .map(|(slot, _)| Arc::clone(&slot.entry.facts));
        let facts = facts.or(known).filter(|_| state.deleted_at_ms.is_none());
        let number = before.map(|(_, number)| number);
        let Some(facts) = facts else {
            if let Some(number) = number {
                self.by_hash.remove(&state.hash);
                self.free.push(number);
            }
            return;
        };
        let number = number.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 items fit in memory")
        });
        self.by_hash.insert(state.hash, number);
        let created = (facts.created_at_ms, number);
        self.by_author
            .entry(facts.author_hash)
            .or_default()
            .insert(created);
        self.by_created.insert(created);
        if state.last_event_ms > 0 {
            self.by_event.insert((state.last_event_ms, number));
        }
        self.by_touch.insert((wall_ms, number));
        self.timed_views += u64::from(state.counters.timed_views);
        self.watch_ratio_sum += state.counters.watch_ratio_sum;
        let entry = Arc::new(Entry {
            facts,
            counters: state.counters,
            hot: state.hot,
            last_event_ms: state.last_event_ms,
            first_written_ms: state.first_written.map_or(0, |written| written.wall_ms),
        });
        if let Some(slot) = self.slots.get_mut(number as usize) {
            *slot = Some(Slot {
                entry,
                touched_ms: wall_ms,
            });
        }
    }

    fn set_deleted(&mut self, state: &ItemState) {
        if let Some(before) = self.deleted.remove(&state.hash) {
            self.by_deletion.remove(&(before, state.hash));
        }
        if let Some(at_ms) = state.deleted_at_ms {
            self.deleted.insert(state.hash, at_ms);
            self.by_deletion.insert((at_ms, state.hash));
        }
    }

    /// Takes an item out of its slot and of every index but `by_hash`.
    fn take(&mut self, hash: u64) -> Option<(Slot, u32)> {
        let number = *self.by_hash.get(&hash)?;
        let slot = self.slots.get_mut(number as usize)?.take()?;
        let entry = &slot.entry;
        let created = (entry.facts.created_at_ms, number);
        self.by_created.remove(&created);
        if let Some(items) = self.by_author.get_mut(&entry.facts.author_hash) {
            items.remove(&created);
            if items.is_empty() {
                self.by_author.remove(&entry.facts.author_hash);
            }
        }
        self.by_event.remove(&(entry.last_event_ms, number));
        self.by_touch.remove(&(slot.touched_ms, number));
        self.timed_views -= u64::from(entry.counters.timed_views).min(self.timed_views);
        self.watch_ratio_sum -= entry.counters.watch_ratio_sum;
        Some((slot, number))
    }

    fn newest_first(
        &self,
        set: &BTreeSet<(i64, u32)>,
        since_ms: i64,
    ) -> impl Iterator<Item = &Arc<Entry>> {
        set.range((since_ms, 0)..)
            .rev()
            .filter_map(|&(_, slot)| self.entry(slot))
    }

    fn entry(&self, slot: u32) -> Option<&Arc<Entry>> {
        self.slots
            .get(slot as usize)?
            .as_ref()
            .map(|slot| &slot.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::ingest::Written;
    use edgewise_ranking::{HotSum, id_hash};
    use edgewise_wire::api::Item;
    use edgewise_wire::counters::Counters;
    use proptest::prelude::*;

    fn state(id: u8, author: u8, created_at_ms: i64, last_event_ms: i64, views: u32) -> ItemState {
        let item = Item {
            id: format!("i{id}"),
            author: format!("a{author}"),
            created_at_ms,
            ..Item::default()
        };
        ItemState {
            hash: id_hash(&item.id),
            id: item.id.clone(),
            item: Some(Arc::new(item)),
            first_written: Some(Written {
                wall_ms: 1_000,
                domain_ms: 1_000,
            }),
            deleted_at_ms: None,
            counters: Counters {
                timed_views: views,
                watch_ratio_sum: f64::from(views) / 4.0,
                ..Counters::default()
            },
            hot: [HotSum::default(); 3],
            last_event_ms,
        }
    }

    fn deleted(id: u8, at_ms: i64) -> ItemState {
        ItemState {
            item: None,
            deleted_at_ms: Some(at_ms),
            ..state(id, 0, 0, 0, 0)
        }
    }

    fn ids(entries: &[Arc<Entry>]) -> Vec<&str> {
        entries
            .iter()
            .map(|entry| entry.facts.id.as_str())
            .collect()
    }

    #[test]
    fn indexes_are_newest_first_and_windowed() {
        let catalogue = Catalogue::default();
        let states = [
            state(1, 1, 100, 0, 0),
            state(2, 1, 300, 5, 0),
            state(3, 2, 200, 9, 0),
        ];
        catalogue.apply(&states, 7, 1_000);
        assert_eq!(catalogue.position(), 7);
        let by_a1 = |since_ms| catalogue.by_authors(&[id_hash("a1")], since_ms, 9, |_| true);
        assert_eq!(ids(&by_a1(0)), ["i2", "i1"]);
        assert_eq!(ids(&by_a1(101)), ["i2"]);
        assert_eq!(ids(&catalogue.created_since(200, 9)), ["i2", "i3"]);
        assert_eq!(ids(&catalogue.with_events_since(1, 9)), ["i3", "i2"]);
    }

    #[test]
    fn an_event_keeps_the_facts_and_a_deletion_leaves_a_tombstone() {
        let catalogue = Catalogue::default();
        catalogue.apply(&[state(1, 1, 100, 0, 0)], 1, 1_000);
        let event = ItemState {
            item: None,
            ..state(1, 1, 100, 500, 4)
        };
        catalogue.apply(&[event], 2, 2_000);
        let entry = catalogue.get(id_hash("i1")).expect("known");
        assert_eq!(
            (entry.facts.author.as_str(), entry.counters.timed_views),
            ("a1", 4)
        );
        assert!((catalogue.completion_prior() - 0.25).abs() < 1e-12);
        let (touched, more) = catalogue.touched_since(1_500, 9);
        assert_eq!(
            (touched.len(), more, touched[0].first_written_ms),
            (1, 0, 1_000)
        );
        catalogue.apply(&[deleted(1, 3_000)], 3, 3_000);
        assert!(catalogue.is_empty() && catalogue.touched_since(0, 9).0.is_empty());
        assert!((catalogue.completion_prior() - 0.5).abs() < 1e-12);
        assert_eq!(
            catalogue.tombstones(3_000, 9),
            (vec![entry.facts.hash], None)
        );
        catalogue.apply(&[state(1, 1, 100, 0, 0)], 4, 4_000);
        assert!(
            catalogue.tombstones(0, 9).0.is_empty(),
            "written again: alive"
        );
        catalogue.apply(&[deleted(1, 5_000)], 5, 5_000);
        catalogue.forget_tombstones(5_001);
        assert!(catalogue.tombstones(0, 9).0.is_empty());
    }

    #[test]
    fn events_of_unknown_items_do_not_list_them() {
        let catalogue = Catalogue::default();
        catalogue.apply(
            &[ItemState {
                item: None,
                ..state(1, 1, 1, 5, 1)
            }],
            1,
            1,
        );
        assert!(catalogue.is_empty() && catalogue.with_events_since(0, 9).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn indexes_agree_with_a_plain_list(
            steps in prop::collection::vec(
                (0_u8..12, 0_u8..3, 1_i64..50, 0_i64..50, any::<bool>()), 0..60)
        ) {
            let catalogue = Catalogue::default();
            let mut plain = std::collections::BTreeMap::new();
            for (step, &(id, author, created, event, delete)) in (1..).zip(&steps) {
                if delete {
                    plain.remove(&id);
                    catalogue.apply(&[deleted(id, step)], 1, step);
                } else {
                    plain.insert(id, (created, event));
                    catalogue.apply(&[state(id, author, created, event, 1)], 1, step);
                }
            }
            prop_assert_eq!(catalogue.len(), plain.len());
            let created = plain.values().filter(|row| row.0 >= 20).count();
            prop_assert_eq!(catalogue.created_since(20, 99).len(), created);
            let events = plain.values().filter(|row| row.1 >= 20).count();
            prop_assert_eq!(catalogue.with_events_since(20, 99).len(), events);
            let authors: Vec<u64> = (0..3).map(|author| id_hash(&format!("a{author}"))).collect();
            prop_assert_eq!(catalogue.by_authors(&authors, 0, 99, |_| true).len(), plain.len());
            let mut newest: Vec<_> = plain.iter().map(|(id, row)| (-row.0, format!("i{id}"))).collect();
            newest.sort();
            newest.truncate(3);
            let newest: Vec<&str> = newest.iter().map(|(_, id)| id.as_str()).collect();
            let found = catalogue.by_authors(&authors, 0, 3, |_| true);
            prop_assert_eq!(ids(&found), newest);
            prop_assert_eq!(catalogue.touched_since(0, 99).0.len(), plain.len());
        }
    }
}
