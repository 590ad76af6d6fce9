//! Purges as the overlay carries them: epochs by tag, of operators and of items that changed.
//!
//! An edge drops (or takes as stale) what it stored under a tag before the tag's epoch, so a
//! purge of any number of stored objects is one small entry that reaches every edge with the
//! next overlay.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use edgewise_ranking::id_hash;
use edgewise_wire::limits::PURGES_MAX;
use edgewise_wire::overlay::{Purge, SOFT, item_tag, key_tag, user_tag};

use crate::store::purge::PurgeRecord;
use crate::store::record::Record;
use crate::store::{Range, Snapshot, Store, StoreError, Table, Transaction, keys};

/// An epoch is told for this long, wall ms: longer than anything is stored.
pub const REACH_MS: i64 = 25 * 3_600_000;
/// Of purges that were asked for this many are told to who asks; older ones are forgotten.
pub const AUDIT_MAX: usize = 1_000;
/// Items that changed are purged for as long as an edge takes their facts for fresh, wall ms,
/// and a while.
const CHANGED_REACH_MS: i64 = 6 * 60_000;
/// Most items that changed and are told; of more the newest.
const CHANGED_MAX: usize = 512;
/// Clocks of edges may be this far ahead of the origin's, ms.
const SKEW_MS: i64 = 1_000;

/// Epochs by tag hash, bounded: where there are too many the oldest become one for everything.
#[derive(Debug, Default)]
pub struct Purges(Mutex<Epochs>);

#[derive(Debug, Default)]
struct Epochs {
    /// Whether it is soft and the hash of a tag, to the wall time, Unix ms.
    by_tag: BTreeMap<(bool, u64), i64>,
    /// Hashes of items' tags that changed, oldest first.
    changed: VecDeque<(i64, u64)>,
}

impl Purges {
    /// The epochs of what the store remembers.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let purges = Self::default();
        let each = &mut |record: PurgeRecord| {
            purges.asked(&record);
            ControlFlow::Continue(())
        };
        visit(&*store.read()?, each)?;
        Ok(purges)
    }

    /// Takes what an operator asked for.
    pub fn asked(&self, record: &PurgeRecord) {
        let keys = record.keys.iter().map(|key| id_hash(&key_tag(key)));
        let tags = record.tags.iter().map(|tag| id_hash(tag)).chain(keys);
        let everything = record.everything.then_some(0);
        let mut epochs = self.lock();
        for tag in tags.chain(everything) {
            epochs.put((record.soft, tag), record.at_ms + SKEW_MS);
        }
    }

    /// All that is stored for a user whose data was deleted is gone.
    pub fn user_deleted(&self, user: &str, wall_ms: i64) {
        let tag = id_hash(&user_tag(user));
        self.lock().put((false, tag), wall_ms + SKEW_MS);
    }

    /// The facts of an item that edges may know were written anew.
    pub fn item_changed(&self, item: &str, wall_ms: i64) {
        let changed = &mut self.lock().changed;
        if changed.len() >= CHANGED_MAX {
            changed.pop_front();
        }
        changed.push_back((wall_ms + SKEW_MS, id_hash(&item_tag(item)) ^ SOFT));
    }

    /// What the overlay tells at `wall_ms`, ascending by tag, each tag once. `everything_ms` is
    /// an epoch of everything that others ask for.
    pub fn told(&self, wall_ms: i64, everything_ms: Option<i64>) -> Vec<Purge> {
        let mut epochs = self.lock();
        let since_ms = wall_ms - REACH_MS;
        epochs.by_tag.retain(|_, before_ms| *before_ms >= since_ms);
        let changed_ms = wall_ms - CHANGED_REACH_MS;
        while epochs
            .changed
            .front()
            .is_some_and(|(at_ms, _)| *at_ms < changed_ms)
        {
            epochs.changed.pop_front();
        }
        let asked = epochs.by_tag.iter();
        let mut told: BTreeMap<u64, i64> = asked
            .map(|(&(soft, tag), &before_ms)| (if soft { tag ^ SOFT } else { tag }, before_ms))
            .collect();
        let changed = epochs.changed.iter().map(|&(at_ms, tag)| (tag, at_ms));
        for (tag, before_ms) in changed.chain(everything_ms.map(|before_ms| (0, before_ms))) {
            let known = told.entry(tag).or_insert(before_ms);
            *known = before_ms.max(*known);
        }
        let told = told.into_iter();
        told.map(|(tag, before_ms)| Purge { tag, before_ms })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Epochs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Epochs {
    /// Most epochs that were asked for: beside them there is room for items that changed and for
    /// everything.
    const MAX: usize = PURGES_MAX - CHANGED_MAX - 2;

    fn put(&mut self, tag: (bool, u64), before_ms: i64) {
        self.raise(tag, before_ms);
        while self.by_tag.len() > Self::MAX {
            let some = self.by_tag.iter().filter(|((_, tag), _)| *tag != 0);
            let oldest = some.min_by_key(|(_, before_ms)| **before_ms);
            let Some((&(soft, tag), &before_ms)) = oldest else {
                return;
            };
            self.by_tag.remove(&(soft, tag));
            self.raise((soft, 0), before_ms);
        }
    }

    fn raise(&mut self, tag: (bool, u64), before_ms: i64) {
        let known = self.by_tag.entry(tag).or_insert(before_ms);
        *known = before_ms.max(*known);
    }
}

/// The purges that the store remembers, latest first.
///
/// # Errors
///
/// The store cannot be read.
pub fn latest(snapshot: &dyn Snapshot) -> Result<Vec<PurgeRecord>, StoreError> {
    let mut found = Vec::new();
    visit(snapshot, &mut |record| {
        found.push(record);
        if found.len() < AUDIT_MAX {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(found)
}

/// Visits every purge that the store remembers, latest first.
fn visit(
    snapshot: &dyn Snapshot,
    each: &mut dyn FnMut(PurgeRecord) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    snapshot.scan(Table::Purges, &Range::all().reversed(), &mut |_, value| {
        Ok(each(PurgeRecord::decode(Table::Purges, value)?))
    })
}

/// Remembers a purge, and forgets those that are neither told nor shown any more.
///
/// # Errors
///
/// The store fails.
pub fn remember(stored: &mut dyn Transaction, record: &PurgeRecord) -> Result<(), StoreError> {
    let mut number = u64::try_from(record.at_ms).unwrap_or(0);
    while stored.get(Table::Purges, &keys::number(number))?.is_some() {
        number += 1;
    }
    stored.put(Table::Purges, &keys::number(number), &record.encode())?;
    let mut older = Vec::new();
    let mut seen = 0;
    let told_ms = u64::try_from(record.at_ms.saturating_sub(REACH_MS)).unwrap_or(0);
    let told = keys::number(told_ms);
    stored.scan(Table::Purges, &Range::all().reversed(), &mut |key, _| {
        seen += 1;
        if seen > AUDIT_MAX && key < told.as_slice() {
            older.push(key.to_vec());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for key in older {
        stored.delete(Table::Purges, &key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RedbStore;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn record(tags: &[&str], at_ms: i64) -> PurgeRecord {
        PurgeRecord {
            at_ms,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..PurgeRecord::default()
        }
    }

    #[test]
    fn epochs_are_told_by_tag_the_newest_of_each() {
        let purges = Purges::default();
        purges.asked(&record(&["a", "b"], NOW_MS - 10));
        purges.asked(&PurgeRecord {
            soft: true,
            keys: vec!["k".to_owned()],
            ..record(&["a"], NOW_MS - 5)
        });
        purges.asked(&record(&["b"], NOW_MS));
        purges.item_changed("i", NOW_MS);
        let told = purges.told(NOW_MS, Some(7));
        let mut expected = [
            (0, 7),
            (id_hash("a"), NOW_MS - 10 + SKEW_MS),
            (id_hash("a") ^ SOFT, NOW_MS - 5 + SKEW_MS),
            (id_hash("key:k") ^ SOFT, NOW_MS - 5 + SKEW_MS),
            (id_hash("b"), NOW_MS + SKEW_MS),
            (id_hash("item:i") ^ SOFT, NOW_MS + SKEW_MS),
        ];
        expected.sort_unstable();
        let told: Vec<_> = told
            .iter()
            .map(|purge| (purge.tag, purge.before_ms))
            .collect();
        assert_eq!(told, expected);
        let later = purges.told(NOW_MS + CHANGED_REACH_MS + SKEW_MS + 1, None);
        assert_eq!(later.len(), 4, "the change is old news");
        assert_eq!(purges.told(NOW_MS + REACH_MS + SKEW_MS + 1, None), []);
    }

    #[test]
    fn too_many_become_a_purge_of_everything() {
        let purges = Purges::default();
        for n in 0..Epochs::MAX as i64 + 3 {
            purges.asked(&record(&[&format!("t{n}")], NOW_MS + n));
            purges.item_changed(&n.to_string(), NOW_MS + n);
        }
        let told = purges.told(NOW_MS + 600, None);
        assert!(told.len() <= PURGES_MAX, "{}", told.len());
        let everything = told.iter().find(|purge| purge.tag == 0);
        // Three that found no room, and the place of everything itself.
        assert_eq!(
            everything.map(|purge| purge.before_ms),
            Some(NOW_MS + 3 + SKEW_MS)
        );
    }

    #[test]
    fn a_store_remembers_purges_and_who_asked() {
        let store = RedbStore::in_memory().expect("a store");
        let all = PurgeRecord {
            soft: true,
            everything: true,
            keys: vec!["candidates/ann".to_owned()],
            by: "curl/8".to_owned(),
            reason: "a test".to_owned(),
            ..record(&["list:hot"], NOW_MS)
        };
        let write = |record: &PurgeRecord| {
            store
                .write(&mut |stored| remember(stored, record))
                .expect("written");
        };
        write(&all);
        write(&record(&["x"], NOW_MS));
        let found = latest(&*store.read().expect("a snapshot")).expect("read");
        assert_eq!(found, [record(&["x"], NOW_MS), all]);
        let loaded = Purges::load(&store).expect("loaded");
        assert_eq!(loaded.told(NOW_MS, None).len(), 4);
        for n in 1..=AUDIT_MAX as i64 {
            write(&record(&["y"], NOW_MS + REACH_MS + n));
        }
        let found = latest(&*store.read().expect("a snapshot")).expect("read");
        assert_eq!(found.len(), AUDIT_MAX);
        let mut kept = 0;
        let snapshot = store.read().expect("a snapshot");
        let all = Range::all();
        let count = snapshot.scan(Table::Purges, &all, &mut |_, _| {
            kept += 1;
            Ok(ControlFlow::Continue(()))
        });
        count.expect("scanned");
        assert_eq!(kept, AUDIT_MAX);
    }
}
