//! The overlay this isolate knows, and what follows from it: domain time and purges.

use alloc::vec::Vec;

use edgewise_wire::overlay::{Overlay, SOFT};

/// A result that is this much older than the current one is an origin that was set back, not
/// an answer that was overtaken on its way.
const OVERTAKEN_MAX_MS: i64 = 60_000;

/// The current overlay.
#[derive(Debug, Default)]
pub(crate) struct OverlayState {
    /// The overlay, once there was one.
    pub(crate) current: Option<Overlay>,
    /// The same as fetched, for packs.
    pub(crate) encoded: Vec<u8>,
    /// Wall time it was last known to be the newest, Unix ms.
    pub(crate) stored_at_ms: i64,
    /// Wall time of the last write to KV, Unix ms.
    pub(crate) kv_put_at_ms: Option<i64>,
    /// Wall time at which pools and hot lists are to be fetched ahead.
    pub(crate) prefetch_at_ms: i64,
}

impl OverlayState {
    /// Takes an overlay that was current at `stored_at_ms`. One that was overtaken on its way
    /// (made before the current one) is refused: it would bring deleted items back.
    pub(crate) fn accept(&mut self, overlay: Overlay, stored_at_ms: i64) -> bool {
        if let Some(current) = &self.current {
            let behind_ms = current.made_at_ms.saturating_sub(overlay.made_at_ms);
            let overtaken = behind_ms > 0
                && behind_ms < OVERTAKEN_MAX_MS
                && overlay.position <= current.position;
            if overtaken || stored_at_ms < self.stored_at_ms {
                return false;
            }
        }
        self.stored_at_ms = stored_at_ms;
        self.current = Some(overlay);
        true
    }

    /// Age at `wall_ms`, or `None` before the first.
    pub(crate) fn age_ms(&self, wall_ms: i64) -> Option<i64> {
        self.current
            .as_ref()
            .map(|_| wall_ms.saturating_sub(self.stored_at_ms).max(0))
    }

    /// Domain time; wall time while nothing else is known.
    pub(crate) fn domain_ms(&self, wall_ms: i64) -> i64 {
        self.current
            .as_ref()
            .map_or(wall_ms, |overlay| overlay.clock.domain_ms(wall_ms))
    }

    /// What the purges of `tags` (and of everything) say. The tags are asked for only where
    /// there is a purge at all.
    pub(crate) fn purged<const N: usize>(&self, tags: impl FnOnce() -> [u64; N]) -> Purged {
        let purges = self.current.as_ref().map_or(&[][..], |now| &now.purges);
        if purges.is_empty() {
            return Purged::NOTHING;
        }
        let before_ms = |tag: u64| {
            let start = purges.partition_point(|purge| purge.tag < tag);
            let of_tag = purges.iter().skip(start);
            let of_tag = of_tag.take_while(|purge| purge.tag == tag);
            of_tag.map(|purge| purge.before_ms).max()
        };
        let mut purged = Purged::NOTHING;
        for tag in tags().into_iter().chain([0]) {
            let (hard, soft) = (before_ms(tag), before_ms(tag ^ SOFT));
            purged.gone_before_ms = purged.gone_before_ms.max(hard.unwrap_or(i64::MIN));
            purged.stale_before_ms = purged.stale_before_ms.max(soft.unwrap_or(i64::MIN));
        }
        purged
    }
}

/// What purges do to what was stored before two moments, wall time, Unix ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purged {
    /// What was stored before is not served.
    pub(crate) gone_before_ms: i64,
    /// What was stored before is stale.
    pub(crate) stale_before_ms: i64,
}

impl Purged {
    const NOTHING: Self = Self {
        gone_before_ms: i64::MIN,
        stale_before_ms: i64::MIN,
    };

    /// The newest purge of either kind.
    pub(crate) fn newest_ms(self) -> i64 {
        self.gone_before_ms.max(self.stale_before_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use edgewise_wire::overlay::{DomainClock, Purge};

    fn overlay(position: u64, made_at_ms: i64) -> Overlay {
        Overlay {
            position,
            made_at_ms,
            ..Overlay::default()
        }
    }

    #[test]
    fn an_overtaken_overlay_is_refused() {
        let mut state = OverlayState::default();
        assert!(state.accept(overlay(5, 10_000), 10_050));
        assert!(!state.accept(overlay(4, 9_000), 10_060), "slow answer");
        assert!(
            !state.accept(overlay(6, 10_500), 10_040),
            "older copy of a tier"
        );
        assert!(state.accept(overlay(5, 11_000), 11_050));
        assert!(state.accept(overlay(6, 99_000), 99_000));
        assert!(state.accept(overlay(1, 0), 100_000), "an origin set back");
        assert_eq!(state.age_ms(101_000), Some(1_000));
    }

    #[test]
    fn purges_by_tag_and_for_everything() {
        let mut state = OverlayState::default();
        assert_eq!(state.purged(|| [7]), Purged::NOTHING);
        let purge = |tag, before_ms| Purge { tag, before_ms };
        let mut purges = vec![purge(0, 100), purge(7, 300), purge(7, 500), purge(9, 50)];
        purges.push(purge(9 ^ SOFT, 800));
        purges.sort_unstable_by_key(|purge| purge.tag);
        state.accept(
            Overlay {
                purges,
                ..Overlay::default()
            },
            0,
        );
        let gone_ms = |tags| state.purged(|| tags).gone_before_ms;
        assert_eq!((gone_ms([7, 0]), gone_ms([8, 9])), (500, 100));
        let stale_ms = |tag| state.purged(|| [tag]).stale_before_ms;
        assert_eq!((stale_ms(7), stale_ms(9)), (i64::MIN, 800));
    }

    #[test]
    fn domain_time_is_the_overlays() {
        let mut state = OverlayState::default();
        assert_eq!(state.domain_ms(1_234), 1_234);
        let clock = DomainClock {
            base_domain_ms: 50,
            base_wall_ms: 1_000,
            speed: 10.0,
        };
        state.accept(
            Overlay {
                clock,
                ..Overlay::default()
            },
            0,
        );
        assert_eq!(state.domain_ms(1_100), 1_050);
    }
}
