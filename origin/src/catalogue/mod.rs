//! The catalogue in memory: items with their counters, and the indexes that sources read.
//!
//! It is loaded from the store at start and follows every commit before the commit
//! is answered. Readers take entries out under a short lock and work outside it, so
//! that a slow reader never holds up ingest.

mod index;

use std::cmp::{Ordering, Reverse};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use edgewise_ranking::{HotSum, Kind, id_hash};
use edgewise_wire::api::Item;
use edgewise_wire::counters::Counters;

use index::Index;

use crate::ingest::ItemState;

/// What ranking and lists need of an item. Title, picture and link stay in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Item id.
    pub id: String,
    /// XXH3-64 of `id`.
    pub hash: u64,
    /// Author id.
    pub author: String,
    /// XXH3-64 of `author`.
    pub author_hash: u64,
    /// Domain time of creation, Unix ms.
    pub created_at_ms: i64,
    /// What it is.
    pub kind: Kind,
    /// Duration, ms; 0 where it has none.
    pub duration_ms: u32,
    /// Region label.
    pub region: Option<String>,
    /// Language label.
    pub language: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
}

impl From<&Item> for Facts {
    fn from(item: &Item) -> Self {
        Self {
            id: item.id.clone(),
            hash: id_hash(&item.id),
            author: item.author.clone(),
            author_hash: id_hash(&item.author),
            created_at_ms: item.created_at_ms,
            kind: item
                .kind
                .as_deref()
                .and_then(Kind::from_name)
                .unwrap_or_default(),
            duration_ms: item.duration_ms.unwrap_or(0),
            region: item.region.clone(),
            language: item.language.clone(),
            tags: item.tags.clone(),
        }
    }
}

/// An item as it is now: replaced, never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What it is.
    pub facts: Arc<Facts>,
    /// All-time counters.
    pub counters: Counters,
    /// Hot sums by `HotWindow`.
    pub hot: [HotSum; 3],
    /// Domain time of its newest event that moved hot lists, Unix ms; 0 where there is none.
    pub last_event_ms: i64,
    /// Wall time its facts were first written at, Unix ms.
    pub first_written_ms: i64,
}

/// All items that are not deleted.
#[derive(Debug, Default)]
pub struct Catalogue {
    index: RwLock<Index>,
}

impl Catalogue {
    /// Takes over what a commit changed, at wall time `wall_ms`.
    pub fn apply(&self, items: &[ItemState], position: u64, wall_ms: i64) {
        // Facts are built before the lock: readers wait for index updates only.
        let facts: Vec<Option<Arc<Facts>>> = items.iter().map(facts_of).collect();
        let mut index = self.write();
        for (state, facts) in items.iter().zip(facts) {
            index.put(state, facts, wall_ms);
        }
        index.position = index.position.max(position);
    }

    /// Adds an item at start; `touched_ms` is the wall time it was last touched at.
    pub fn load(&self, state: &ItemState, touched_ms: i64) {
        self.write().put(state, facts_of(state), touched_ms);
    }

    /// Sets the position of the event log that the loaded items are of.
    pub fn set_position(&self, position: u64) {
        self.write().position = position;
    }

    /// The item with this hash.
    #[must_use]
    pub fn get(&self, hash: u64) -> Option<Arc<Entry>> {
        self.read().get(hash).cloned()
    }

    /// The items with these hashes, in their order; unknown ones are left out.
    #[must_use]
    pub fn get_many(&self, hashes: impl Iterator<Item = u64>) -> Vec<Arc<Entry>> {
        let index = self.read();
        hashes.filter_map(|hash| index.get(hash).cloned()).collect()
    }

    /// The newest `cap` of the items that `keep` holds, of all `authors` together, created at or
    /// after `since_ms`: newest first, ties ascending by id. No author has a share of their own.
    #[must_use]
    pub fn by_authors(
        &self,
        authors: &[u64],
        since_ms: i64,
        cap: usize,
        keep: impl Fn(&Entry) -> bool,
    ) -> Vec<Arc<Entry>> {
        let mut newest = Newest {
            cap,
            since_ms,
            found: Vec::new(),
        };
        // A lock for a few authors at a time: a user may follow thousands.
        for some in authors.chunks(64) {
            let index = self.read();
            for &author in some {
                newest.extend(index.by_author(author, newest.since_ms), &keep);
            }
        }
        newest.finish()
    }

    /// Items with an event at or after `since_ms`, latest event first, at most `cap`.
    #[must_use]
    pub fn with_events_since(&self, since_ms: i64, cap: usize) -> Vec<Arc<Entry>> {
        self.read().by_event(since_ms).take(cap).cloned().collect()
    }

    /// Items created at or after `since_ms`, newest first, at most `cap`.
    #[must_use]
    pub fn created_since(&self, since_ms: i64, cap: usize) -> Vec<Arc<Entry>> {
        self.read()
            .by_created(since_ms)
            .take(cap)
            .cloned()
            .collect()
    }

    /// Items that commits touched at or after wall time `since_ms`, at most `cap`, and how many
    /// more there are. Those first written since come before the others, latest written first;
    /// the others come latest touched first.
    #[must_use]
    pub fn touched_since(&self, since_ms: i64, cap: usize) -> (Vec<Arc<Entry>>, usize) {
        let index = self.read();
        let is_new = |entry: &&Arc<Entry>| entry.first_written_ms >= since_ms;
        let mut count = 0;
        let touched = index.touched(since_ms).inspect(|_| count += 1);
        let mut found: Vec<Arc<Entry>> = touched.filter(is_new).cloned().collect();
        let room = cap.saturating_sub(found.len());
        let others = index.touched(since_ms).filter(|entry| !is_new(entry));
        let others: Vec<Arc<Entry>> = others.take(room).cloned().collect();
        drop(index);
        found.sort_by_key(|entry| Reverse(entry.first_written_ms));
        found.truncate(cap);
        found.extend(others);
        let more = count - found.len();
        (found, more)
    }

    /// Forgets which items were touched before wall time `before_ms`.
    pub fn forget_touched(&self, before_ms: i64) {
        self.write().forget_touched(before_ms);
    }

    /// XXH3-64 of the items deleted at or after wall time `since_ms`, ascending, at most `cap`:
    /// the latest; and the wall time of the latest deletion that found no room.
    #[must_use]
    pub fn tombstones(&self, since_ms: i64, cap: usize) -> (Vec<u64>, Option<i64>) {
        let index = self.read();
        let mut latest = index.tombstones(since_ms);
        let mut hashes: Vec<u64> = latest.by_ref().take(cap).map(|(_, hash)| hash).collect();
        let dropped_ms = latest.next().map(|(at_ms, _)| at_ms);
        hashes.sort_unstable();
        (hashes, dropped_ms)
    }

    /// Domain time of the newest event that moved hot lists, Unix ms.
    #[must_use]
    pub fn newest_event_ms(&self) -> Option<i64> {
        self.read().newest_event_ms()
    }

    /// Forgets deletions before wall time `before_ms`.
    pub fn forget_tombstones(&self, before_ms: i64) {
        self.write().forget_tombstones(before_ms);
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position of the event log the catalogue is at.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.read().position
    }

    /// The catalogue's mean watch ratio, prior of `completion`; 0.5 where there is no timed view.
    #[must_use]
    pub fn completion_prior(&self) -> f64 {
        self.read().completion_prior()
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        // A panic while the lock was held is a bug that a test has to find; serving goes on.
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest `cap` of what is added, without holding much more than twice as many.
struct Newest {
    cap: usize,
    /// Nothing created before is among the newest.
    since_ms: i64,
    found: Vec<Arc<Entry>>,
}

impl Newest {
    /// Adds what `keep` holds of `entries`, which come newest first.
    fn extend<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a Arc<Entry>>,
        keep: impl Fn(&Entry) -> bool,
    ) {
        let before = self.found.len();
        for entry in entries.filter(|entry| keep(entry)) {
            // Items of one moment come in any order: all of them are looked at.
            let is_older = |last: &Arc<Entry>| entry.facts.created_at_ms < last.facts.created_at_ms;
            if self.found.len() - before >= self.cap && self.found.last().is_some_and(is_older) {
                break;
            }
            self.found.push(Arc::clone(entry));
        }
        if self.found.len() > self.cap.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.found.len() > self.cap && self.cap > 0 {
            let (_, last, _) = self
                .found
                .select_nth_unstable_by(self.cap - 1, |a, b| newest_first(a, b));
            self.since_ms = self.since_ms.max(last.facts.created_at_ms);
        }
        self.found.truncate(self.cap);
    }

    fn finish(mut self) -> Vec<Arc<Entry>> {
        self.cut();
        self.found.sort_unstable_by(|a, b| newest_first(a, b));
        self.found
    }
}

/// Newest first, ties ascending by the bytes of the id.
pub(crate) fn newest_first(a: &Entry, b: &Entry) -> Ordering {
    let newest = b.facts.created_at_ms.cmp(&a.facts.created_at_ms);
    newest.then_with(|| a.facts.id.cmp(&b.facts.id))
}

fn facts_of(state: &ItemState) -> Option<Arc<Facts>> {
    state
        .item
        .as_deref()
        .map(|item| Arc::new(Facts::from(item)))
}
