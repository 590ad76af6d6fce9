//! The overlay: what changed lately, rebuilt every second and when a deletion or purge lands.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use edgewise_wire::limits::{OVERLAY_ITEMS_MAX, TOMBSTONES_MAX};
use edgewise_wire::overlay::{ModelPointer, Overlay, OverlayItem};
use metrics::gauge;

use crate::catalogue::{Catalogue, Entry};
use crate::clock::Clock;
use crate::purge::Purges;
use crate::telemetry;

/// Items touched or first written within this are in the overlay, wall ms.
pub const REACH_MS: i64 = 15 * 60_000;
/// Deletions within this are in the overlay, wall ms: longer than any copy may serve on error.
pub const TOMBSTONE_REACH_MS: i64 = 25 * 3_600_000;
/// What an edge stores this long after a deletion may have been made before it, ms: neighbour
/// tables are made every 300 s, hot lists and bundles every 60 s.
const MADE_BEFORE_MS: i64 = 6 * 60_000;
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
    removals: u64,
}

/// Makes overlays from the catalogue.
pub struct OverlayMaker {
    catalogue: Arc<Catalogue>,
    purges: Arc<Purges>,
    clock: Clock,
    model: ModelPointer,
    current: ArcSwap<Built>,
    making: Mutex<()>,
    /// Deletions and purges committed so far: one that the current overlay lacks cannot wait.
    removals: AtomicU64,
}

impl OverlayMaker {
    /// A maker with a first overlay of the catalogue as it is.
    #[must_use]
    pub fn new(
        catalogue: Arc<Catalogue>,
        purges: Arc<Purges>,
        clock: Clock,
        model: ModelPointer,
    ) -> Self {
        let first = build(&catalogue, &purges, &clock, &model, 0);
        Self {
            catalogue,
            purges,
            clock,
            model,
            current: ArcSwap::from_pointee(first),
            making: Mutex::new(()),
            removals: AtomicU64::new(0),
        }
    }

    /// Says that a deletion or a purge was committed: the next read rebuilds.
    pub fn removal_committed(&self) {
        self.removals.fetch_add(1, Ordering::Release);
    }

    /// The overlay; rebuilt first where a deletion or purge is missing, or where the catalogue moved on
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

    /// Whether `current` lacks a deletion or purge, or anything of the catalogue since
    /// `after_ms`.
    fn is_behind(&self, current: &Built, after_ms: i64) -> bool {
        let age_ms = self.clock.wall_ms() - current.overlay.made_at_ms;
        self.lacks_removal(current)
            || (!(0..after_ms).contains(&age_ms)
                && current.overlay.position < self.catalogue.position())
    }

    fn lacks_removal(&self, current: &Built) -> bool {
        current.removals != self.removals.load(Ordering::Acquire)
    }

    fn make(&self) -> Arc<Built> {
        // Read before the catalogue: a deletion that lands in between is built once more.
        let removals = self.removals.load(Ordering::Acquire);
        let (catalogue, purges) = (&self.catalogue, &self.purges);
        let built = build(catalogue, purges, &self.clock, &self.model, removals);
        let built = Arc::new(built);
        self.current.store(Arc::clone(&built));
        built
    }
}

fn build(
    catalogue: &Catalogue,
    purges: &Purges,
    clock: &Clock,
    model: &ModelPointer,
    removals: u64,
) -> Built {
    let wall_ms = clock.wall_ms();
    // The position first: what is read after it is at least as new.
    let position = catalogue.position();
    let (touched, dropped) = catalogue.touched_since(wall_ms - REACH_MS, OVERLAY_ITEMS_MAX);
    let (tombstones, dropped_ms) =
        catalogue.tombstones(wall_ms - TOMBSTONE_REACH_MS, TOMBSTONES_MAX);
    let overlay = Overlay {
        position,
        made_at_ms: wall_ms,
        clock: clock.domain(),
        completion_prior: catalogue.completion_prior() as f32,
        items: touched.iter().map(|entry| item(entry, wall_ms)).collect(),
        tombstones,
        model: model.clone(),
        purges: purges.told(
            wall_ms,
            dropped_ms.map(|dropped_ms| everything(dropped_ms, wall_ms)),
        ),
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
        removals,
    }
}

/// The epoch that stands for the deletions up to `dropped_ms`, for which there is no room:
/// nothing stored while it could still hold one of those items is served.
fn everything(dropped_ms: i64, wall_ms: i64) -> i64 {
    // What is stored later is judged by later overlays.
    dropped_ms.saturating_add(MADE_BEFORE_MS).min(wall_ms)
}

fn item(entry: &Entry, wall_ms: i64) -> OverlayItem {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{ItemState, Written};
    use edgewise_ranking::id_hash;
    use edgewise_wire::api::Item;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn state(n: usize, written_ms: i64, deleted_at_ms: Option<i64>) -> ItemState {
        let item = Item {
            id: format!("i{n}"),
            author: "a".to_owned(),
            ..Item::default()
        };
        ItemState {
            hash: id_hash(&item.id),
            id: item.id.clone(),
            item: deleted_at_ms.is_none().then(|| Arc::new(item)),
            first_written: Some(Written {
                wall_ms: written_ms,
                domain_ms: written_ms,
            }),
            deleted_at_ms,
            counters: edgewise_wire::counters::Counters::default(),
            hot: Default::default(),
            last_event_ms: 0,
        }
    }

    fn overlay(catalogue: &Catalogue, wall_ms: i64) -> Overlay {
        let clock = Clock::manual(wall_ms);
        let purges = Purges::default();
        build(catalogue, &purges, &clock, &ModelPointer::default(), 0).overlay
    }

    #[test]
    fn new_items_come_before_changed_ones() {
        let catalogue = Catalogue::default();
        let fresh: Vec<ItemState> = (0..10)
            .map(|n| state(n, NOW_MS - 10 * 60_000, None))
            .collect();
        catalogue.apply(&fresh, 1, NOW_MS - 10 * 60_000);
        let changed: Vec<ItemState> = (10..OVERLAY_ITEMS_MAX + 10)
            .map(|n| state(n, NOW_MS - 60 * 60_000, None))
            .collect();
        catalogue.apply(&changed, 2, NOW_MS - 1_000);
        let made = overlay(&catalogue, NOW_MS);
        assert_eq!(made.items.len(), OVERLAY_ITEMS_MAX);
        assert_eq!(made.items.iter().filter(|item| item.is_new).count(), 10);
        let (_, more) = catalogue.touched_since(NOW_MS - REACH_MS, OVERLAY_ITEMS_MAX);
        assert_eq!(more, 10);
    }

    #[test]
    fn deletions_without_room_purge_what_was_stored_before() {
        let catalogue = Catalogue::default();
        let first_ms = NOW_MS - 3_600_000;
        let delete = |range: std::ops::Range<usize>, at_ms: i64| {
            let gone: Vec<ItemState> = range.map(|n| state(n, 1, Some(at_ms))).collect();
            catalogue.apply(&gone, 1, at_ms);
        };
        delete(0..1, first_ms);
        delete(1..TOMBSTONES_MAX, first_ms + 1);
        let made = overlay(&catalogue, first_ms + 1);
        assert_eq!(
            (made.tombstones.len(), made.purges.len()),
            (TOMBSTONES_MAX, 0)
        );
        delete(TOMBSTONES_MAX..TOMBSTONES_MAX + 1, first_ms + 2);
        let soon = overlay(&catalogue, first_ms + 2);
        assert!(!soon.tombstones.contains(&id_hash("i0")));
        let before = |overlay: &Overlay| {
            overlay
                .purges
                .first()
                .map(|purge| (purge.tag, purge.before_ms))
        };
        assert_eq!(before(&soon), Some((0, first_ms + 2)));
        let later = overlay(&catalogue, NOW_MS);
        assert_eq!(before(&later), Some((0, first_ms + MADE_BEFORE_MS)));
        assert_eq!(Overlay::decode(&later.encode()).expect("decodes"), later);
        let next_day = overlay(&catalogue, NOW_MS + TOMBSTONE_REACH_MS);
        assert_eq!(
            before(&next_day),
            None,
            "nothing stored then is served any more"
        );
    }
}
