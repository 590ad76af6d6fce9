//! What happened in this isolate, counted for `/healthz` and for hosts that have metrics.

use serde::Serialize;

/// Counters since the isolate began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests started.
    pub requests: u64,
    /// Loads that memory answered.
    pub memory_hits: u64,
    /// Loads that the data centre's cache answered.
    pub cache_hits: u64,
    /// Loads that the key-value store answered.
    pub kv_hits: u64,
    /// Answers taken from the origin.
    pub origin_hits: u64,
    /// Requests to the origin.
    pub origin_fetches: u64,
    /// Requests that were not sent because too many were at the origin.
    pub origin_shed: u64,
    /// Requests to the origin that failed or were too late.
    pub origin_failures: u64,
    /// Values that could not be decoded or were of somebody else.
    pub values_refused: u64,
    /// Model snapshots refused.
    pub models_refused: u64,
    /// Numbers in candidates that took their default.
    pub degradations: u64,
    /// Requests forgotten because their host never resumed.
    pub requests_lost: u64,
    /// Explore slots that could not be sent.
    pub served_lost: u64,
}
