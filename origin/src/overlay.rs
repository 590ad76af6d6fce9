//! The overlay: what changed lately, rebuilt every second and when a deletion lands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use edgewise_wire::limits::TOMBSTONES_MAX;
use edgewise_wire::overlay::{ModelPointer, Overlay, OverlayItem};
use metrics::gauge;

use crate::catalogue::{Catalogue, Touched};
use crate::clock::Clock;
use crate::telemetry;

/// Items touched or first written within this are in the overlay, wall ms.
pub const REACH_MS: i64 = 15 * 60_000;
/// Deletions within this are in the overlay, wall ms: longer than any copy may serve on error.
pub const TOMBSTONE_REACH_MS: i64 = 25 * 3_600_000;
/// Most items, most recently touched first.
pub const ITEMS_MAX: usize = 2_048;
/// A read rebuilds an overlay that the catalogue has overtaken once it is this old, wall ms.
const REBUILD_AFTER_MS: i64 = 200;
/// An overlay of an idle origin is rebuilt after this, wall ms: items leave its reach.
const IDLE_REBUILD_MS: i64 = 5_000;

/// An overlay and its bytes, made together.
#[derive(Debug)]
pub struct Built {
    /// Decoded.
    pub overlay: Overlay,
    /// Encoded.
    pub bytes: Bytes,
    /// Position and time it was made at.
    pub etag: String,
    deletions: u64,
}

/// Makes overlays from the catalogue.
pub struct OverlayMaker {
    catalogue: Arc<Catalogue>,
    clock: Clock,
    model: ModelPointer,
    current: ArcSwap<Built>,
    making: Mutex<()>,
    /// Deletions committed so far: one that the current overlay lacks cannot wait.
    deletions: AtomicU64,
}

impl OverlayMaker {
    /// A maker with a first overlay of the catalogue as it is.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>, clock: Clock, model: ModelPointer) -> Self {
        let first = build(&catalogue, &clock, &model, 0);
        Self {
            catalogue,
            clock,
            model,
            current: ArcSwap::from_pointee(first),
            making: Mutex::new(()),
            deletions: AtomicU64::new(0),
        }
    }

    /// Says that a deletion was committed: the next read rebuilds.
    pub fn deletion_committed(&self) {
        self.deletions.fetch_add(1, Ordering::Release);
    }

    /// The overlay; rebuilt first where a deletion is missing, or where the catalogue moved on
    /// and the last one is older than 200 ms.
    #[must_use]
    pub fn current(&self) -> Arc<Built> {
        let current = self.current.load_full();
        if !self.is_behind(&current, REBUILD_AFTER_MS) {
            return current;
        }
        // One thread builds; the others wait a millisecond and take what it built.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        if !self.is_behind(&current, REBUILD_AFTER_MS) {
            return current;
        }
        self.make()
    }

    /// The job that runs every second: rebuilds where anything changed, else every few seconds,
    /// so that an idle origin answers 304; forgets what is out of reach.
    pub fn refresh(&self) {
        let wall_ms = self.clock.wall_ms();
        self.catalogue.forget_touched(wall_ms - REACH_MS);
        self.catalogue
            .forget_tombstones(wall_ms - TOMBSTONE_REACH_MS);
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        let age_ms = wall_ms - current.overlay.made_at_ms;
        if self.is_behind(&current, 0) || !(0..IDLE_REBUILD_MS).contains(&age_ms) {
            self.make();
        }
    }

    /// Whether the catalogue is ahead of `current` by a deletion, or by anything since
    /// `after_ms`.
    fn is_behind(&self, current: &Built, after_ms: i64) -> bool {
        let age_ms = self.clock.wall_ms() - current.overlay.made_at_ms;
        self.lacks_deletion(current)
            || (!(0..after_ms).contains(&age_ms)
                && current.overlay.position < self.catalogue.position())
    }

    fn lacks_deletion(&self, current: &Built) -> bool {
        current.deletions != self.deletions.load(Ordering::Acquire)
    }

    fn make(&self) -> Arc<Built> {
        // Read before the catalogue: a deletion that lands in between is built once more.
        let deletions = self.deletions.load(Ordering::Acquire);
        let built = Arc::new(build(&self.catalogue, &self.clock, &self.model, deletions));
        self.current.store(Arc::clone(&built));
        built
    }
}

fn build(catalogue: &Catalogue, clock: &Clock, model: &ModelPointer, deletions: u64) -> Built {
    let wall_ms = clock.wall_ms();
    // The position first: what is read after it is at least as new.
    let position = catalogue.position();
    let (touched, dropped) = catalogue.touched_since(wall_ms - REACH_MS, ITEMS_MAX);
    let overlay = Overlay {
        position,
        made_at_ms: wall_ms,
        clock: clock.domain(),
        completion_prior: catalogue.completion_prior() as f32,
        items: touched
            .iter()
            .map(|touched| item(touched, wall_ms))
            .collect(),
        tombstones: catalogue.tombstones(wall_ms - TOMBSTONE_REACH_MS, TOMBSTONES_MAX),
        model: model.clone(),
        purges: Vec::new(),
    };
    let bytes = Bytes::from(overlay.encode());
    gauge!(telemetry::OVERLAY_SIZE_BYTES).set(bytes.len() as f64);
    gauge!(telemetry::OVERLAY_ITEMS).set(overlay.items.len() as f64);
    gauge!(telemetry::OVERLAY_DROPPED_ITEMS).set(dropped as f64);
    let etag = format!("\"{position:x}-{wall_ms:x}\"");
    Built {
        overlay,
        bytes,
        etag,
        deletions,
    }
}

fn item(touched: &Touched, wall_ms: i64) -> OverlayItem {
    let entry = &touched.entry;
    OverlayItem {
        id: entry.facts.id.clone(),
        author: entry.facts.author.clone(),
        created_at_ms: entry.facts.created_at_ms,
        duration_ms: entry.facts.duration_ms,
        kind: entry.facts.kind,
        region: entry.facts.region.clone(),
        language: entry.facts.language.clone(),
        tags: entry.facts.tags.clone(),
        is_new: entry.first_written_ms >= wall_ms - REACH_MS,
        counters: entry.counters,
        hot: entry.hot,
        last_event_ms: entry.last_event_ms,
    }
}
