//! What the core counts, as metrics.

use edgewise_edge_core::Stats;
use metrics::{Counter, counter};

use crate::telemetry::TIER_HITS_TOTAL;

/// What one worker has published so far.
pub(crate) struct Published {
    generation: u32,
    before: Stats,
    tiers: [Counter; 4],
}

impl Published {
    pub(crate) fn new() -> Self {
        Self {
            generation: 0,
            before: Stats::default(),
            tiers: ["memory", "cache", "kv", "origin"]
                .map(|tier| counter!(TIER_HITS_TOTAL, "tier" => tier)),
        }
    }

    /// Adds what was counted since; a new core counts from 0.
    pub(crate) fn publish(&mut self, generation: u32, stats: &Stats) {
        if generation != self.generation {
            self.generation = generation;
            self.before = Stats::default();
        }
        let hits = |stats: &Stats| {
            [
                stats.memory_hits,
                stats.cache_hits,
                stats.kv_hits,
                stats.origin_hits,
            ]
        };
        for ((counter, now), before) in self.tiers.iter().zip(hits(stats)).zip(hits(&self.before)) {
            counter.increment(now.saturating_sub(before));
        }
        self.before = *stats;
    }
}
