//! Bundles in memory: built on demand, kept while they are fresh, dropped when their user acts.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use edgewise_cache::Lifetime;
use edgewise_serving::Prepared;
use edgewise_wire::bundle::Bundle;
use metrics::{counter, histogram};

use super::{Builder, Segment, UserFacts};
use crate::clock::{Clock, Stopwatch};
use crate::store::{Store, StoreError, keys, read};
use crate::telemetry;

/// Most users' bundles kept: the warmed ones and those asked for last.
const USERS_MAX: usize = 512;
/// Most segments' pools kept.
const SEGMENTS_MAX: usize = 256;
/// A pool is shared by many requests at once: copies that rank in parallel.
const SEGMENT_COPIES: usize = 4;
/// A segment's pool is built anew after this, wall ms: it costs little and many share it.
const SEGMENT_LIFE_MS: i64 = 5_000;

/// A bundle, encoded for edges and prepared for this origin's own answers.
#[derive(Debug)]
pub struct Cached {
    /// Encoded.
    pub bytes: Bytes,
    /// Position and time it was made at.
    pub etag: String,
    /// Wall time it was made at, Unix ms.
    pub made_at_ms: i64,
    prepared: Vec<Mutex<Prepared>>,
}

impl Cached {
    fn new(bundle: Bundle, copies: usize) -> Self {
        let bytes = Bytes::from(bundle.encode());
        histogram!(telemetry::BUNDLE_CANDIDATES).record(bundle.candidates.len() as f64);
        histogram!(telemetry::BUNDLE_SIZE_BYTES).record(bytes.len() as f64);
        let etag = format!("\"{:x}-{:x}\"", bundle.position, bundle.made_at_ms);
        let made_at_ms = bundle.made_at_ms;
        let first = Prepared::new(bundle);
        let mut prepared: Vec<_> = (1..copies).map(|_| Mutex::new(first.clone())).collect();
        prepared.push(Mutex::new(first));
        Self {
            bytes,
            etag,
            made_at_ms,
            prepared,
        }
    }

    /// The prepared candidates, for one answer at a time.
    ///
    /// # Panics
    ///
    /// Never: there is at least one copy.
    pub fn prepared(&self) -> MutexGuard<'_, Prepared> {
        let free = self.prepared.iter().find_map(|copy| copy.try_lock().ok());
        free.unwrap_or_else(|| {
            let first = self
                .prepared
                .first()
                .expect("a bundle has at least one copy");
            first.lock().unwrap_or_else(PoisonError::into_inner)
        })
    }
}

/// Bundles by user and by segment. Reads of the store happen on the caller's thread.
pub struct Bundles {
    builder: Builder,
    store: Arc<dyn Store>,
    clock: Clock,
    users: Kept<String>,
    segments: Kept<Segment>,
}

impl Bundles {
    /// No bundle yet.
    #[must_use]
    pub fn new(builder: Builder, store: Arc<dyn Store>, clock: Clock) -> Self {
        let (users, segments) = (Kept::new(USERS_MAX), Kept::new(SEGMENTS_MAX));
        Self {
            builder,
            store,
            clock,
            users,
            segments,
        }
    }

    /// The user's bundle, at most 60 s old and made after the user's last event. A user the store
    /// never heard of gets what is trending and new.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn user(&self, user: &str) -> Result<Arc<Cached>, StoreError> {
        let life_ms = i64::from(Lifetime::FEED.fresh_s) * 1_000;
        if let Some(cached) = self.users.get(user, self.clock.wall_ms(), life_ms) {
            counter!(telemetry::BUNDLE_CACHE_TOTAL, "result" => "hit").increment(1);
            return Ok(cached);
        }
        counter!(telemetry::BUNDLE_CACHE_TOTAL, "result" => "miss").increment(1);
        self.build(user)
    }

    /// Builds the user's bundle now, whatever is kept.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn build(&self, user: &str) -> Result<Arc<Cached>, StoreError> {
        let stopwatch = Stopwatch::start();
        let epoch = self.users.epoch();
        let snapshot = self.store.read()?;
        let sources = &self.builder.config.sources;
        let seen_ms = i64::from(sources.seen_window_days) * keys::DAY_MS;
        let state = read::user_state(&*snapshot, user, self.clock.domain_ms(), seen_ms)?;
        let position = read::position(&*snapshot)?;
        let closest = sources.affinity_authors as usize;
        let facts = UserFacts::of(user, state, closest, |author| {
            read::author_id(&*snapshot, author)
        })?;
        drop(snapshot);
        let cached = Arc::new(Cached::new(self.builder.user(user, &facts, position), 1));
        self.users.put(user.to_owned(), Arc::clone(&cached), epoch);
        let elapsed = stopwatch.elapsed().as_secs_f64();
        histogram!(telemetry::BUNDLE_BUILD_SECONDS, "kind" => "user").record(elapsed);
        Ok(cached)
    }

    /// The segment's pool, a few seconds old at most.
    #[must_use]
    pub fn segment(&self, segment: &Segment) -> Arc<Cached> {
        if let Some(cached) = self
            .segments
            .get(segment, self.clock.wall_ms(), SEGMENT_LIFE_MS)
        {
            return cached;
        }
        let stopwatch = Stopwatch::start();
        let epoch = self.segments.epoch();
        let cached = Arc::new(Cached::new(self.builder.segment(segment), SEGMENT_COPIES));
        self.segments
            .put(segment.clone(), Arc::clone(&cached), epoch);
        let elapsed = stopwatch.elapsed().as_secs_f64();
        histogram!(telemetry::BUNDLE_BUILD_SECONDS, "kind" => "pool").record(elapsed);
        cached
    }

    /// Drops the bundles of users whose state a commit changed.
    pub fn forget<'a>(&self, users: impl Iterator<Item = &'a String>) {
        self.users.forget(users);
    }

    /// Drops every bundle: a purge is rare, and a bundle is built in milliseconds.
    pub fn forget_all(&self) {
        self.users.forget_all();
        self.segments.forget_all();
    }
}

/// A bounded map; the oldest bundle makes room.
struct Kept<K> {
    cap: usize,
    state: Mutex<KeptState<K>>,
}

struct KeptState<K> {
    by_key: HashMap<K, Arc<Cached>>,
    /// Counted up by every `forget` and `forget_all`: a bundle whose build began before is not kept.
    epoch: u64,
    forgotten: HashMap<K, u64>,
    /// When everything was forgotten last.
    all_forgotten: u64,
}

/// Users forgotten lately are remembered up to this many, then every build in flight is dropped.
const FORGOTTEN_MAX: usize = 4_096;

impl<K: Hash + Eq + Clone> Kept<K> {
    fn new(cap: usize) -> Self {
        let state = KeptState {
            by_key: HashMap::new(),
            epoch: 0,
            forgotten: HashMap::new(),
            all_forgotten: 0,
        };
        Self {
            cap,
            state: Mutex::new(state),
        }
    }

    fn get<Q>(&self, key: &Q, wall_ms: i64, life_ms: i64) -> Option<Arc<Cached>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let state = self.lock();
        let cached = state.by_key.get(key)?;
        (0..life_ms)
            .contains(&(wall_ms - cached.made_at_ms))
            .then(|| Arc::clone(cached))
    }

    fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Keeps `cached` where its key was not forgotten since `epoch`.
    fn put(&self, key: K, cached: Arc<Cached>, epoch: u64) {
        let mut state = self.lock();
        let is_forgotten = state.forgotten.get(&key).is_some_and(|&at| at > epoch);
        if is_forgotten || state.all_forgotten > epoch {
            return;
        }
        if state.by_key.len() >= self.cap && !state.by_key.contains_key(&key) {
            let oldest = state.by_key.iter().min_by_key(|(_, kept)| kept.made_at_ms);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                state.by_key.remove(&oldest);
            }
        }
        state.by_key.insert(key, cached);
    }

    fn forget<'a>(&self, keys: impl Iterator<Item = &'a K>)
    where
        K: 'a,
    {
        let mut state = self.lock();
        state.epoch += 1;
        let epoch = state.epoch;
        for key in keys {
            state.by_key.remove(key);
            state.forgotten.insert(key.clone(), epoch);
        }
        if state.forgotten.len() > FORGOTTEN_MAX {
            // Builds take milliseconds: what was forgotten long ago matters to none of them.
            state.forgotten.retain(|_, at| *at + 64 > epoch);
        }
    }

    fn forget_all(&self) {
        let mut state = self.lock();
        state.epoch += 1;
        state.all_forgotten = state.epoch;
        state.by_key.clear();
    }

    fn lock(&self) -> MutexGuard<'_, KeptState<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
