//! The overlay: one small object that makes every cached bundle current.

use alloc::string::String;
use alloc::vec::Vec;
use edgewise_ranking::{HotSum, Kind};

use crate::counters::Counters;

mod codec;

/// What changed lately, for all users of a region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overlay {
    /// Position of the event log it was made at; grows.
    pub position: u64,
    /// Wall time it was made at, Unix ms.
    pub made_at_ms: i64,
    /// Domain time as a function of wall time.
    pub clock: DomainClock,
    /// The catalogue's mean watch ratio; 0.5 where there is none.
    pub completion_prior: f32,
    /// Items created or touched in the last 15 minutes.
    pub items: Vec<OverlayItem>,
    /// XXH3-64 of items deleted in the last 25 hours, ascending.
    pub tombstones: Vec<u64>,
    /// Which model serves.
    pub model: ModelPointer,
    /// Purge epochs by XXH3-64 of the tag, ascending by tag: what was stored before is not served.
    pub purges: Vec<Purge>,
}

/// An item that is new or whose counters jumped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverlayItem {
    /// Item id.
    pub id: String,
    /// Author id.
    pub author: String,
    /// Domain time of creation, Unix ms.
    pub created_at_ms: i64,
    /// Duration, ms; 0 where it has none.
    pub duration_ms: u32,
    /// What it is.
    pub kind: Kind,
    /// Region label.
    pub region: Option<String>,
    /// Language label.
    pub language: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// First written in the last 15 minutes: may join candidates.
    pub is_new: bool,
    /// Its counters now.
    pub counters: Counters,
    /// Hot sums by `HotWindow`.
    pub hot: [HotSum; 3],
    /// Domain time of its last event, Unix ms; 0 where there is none.
    pub last_event_ms: i64,
}

/// Domain time = `base_domain_ms` + (wall - `base_wall_ms`) * `speed`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DomainClock {
    /// Domain time at the base, Unix ms.
    pub base_domain_ms: i64,
    /// Wall time at the base, Unix ms.
    pub base_wall_ms: i64,
    /// Domain milliseconds per wall millisecond.
    pub speed: f64,
}

impl Default for DomainClock {
    fn default() -> Self {
        Self {
            base_domain_ms: 0,
            base_wall_ms: 0,
            speed: 1.0,
        }
    }
}

impl DomainClock {
    /// Domain time at wall time `wall_ms`, Unix ms; a speed that is not finite is 1.
    #[must_use]
    pub fn domain_ms(&self, wall_ms: i64) -> i64 {
        let speed = if self.speed.is_finite() {
            self.speed
        } else {
            1.0
        };
        let elapsed = wall_ms.saturating_sub(self.base_wall_ms) as f64 * speed;
        self.base_domain_ms.saturating_add(elapsed as i64)
    }
}

/// Names the models that serve; a rollback is a write of this.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelPointer {
    /// Version served to everyone not in the canary.
    pub stable: String,
    /// Version served to the canary's share.
    pub canary: Option<String>,
    /// Share of users in the canary, per mille by user hash.
    pub canary_permille: u16,
}

/// What was stored under a tag before `before_ms` is gone, or is stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// XXH3-64 of the tag, 0 for everything; with [`SOFT`] where what was stored is stale and
    /// no more.
    pub tag: u64,
    /// Wall time, Unix ms.
    pub before_ms: i64,
}

/// Tells the soft purge of a tag from the hard one: the bits in which their hashes differ.
pub const SOFT: u64 = 0x736f_6674_2070_7572;

/// The tag of one stored key (as docs/purge.md lists them).
#[must_use]
pub fn key_tag(key: &str) -> String {
    alloc::format!("key:{key}")
}

/// The tag of one item, wherever its facts are.
#[must_use]
pub fn item_tag(item: &str) -> String {
    alloc::format!("item:{item}")
}

/// The tag of all that is kept for one user.
#[must_use]
pub fn user_tag(user: &str) -> String {
    alloc::format!("user:{user}")
}
