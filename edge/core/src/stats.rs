//! What happened in this isolate, counted for `/healthz`.

use serde::Serialize;

/// Counters since the isolate began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Stats {
    /// Requests started.
    pub(crate) requests: u64,
    /// Loads that memory answered.
    pub(crate) memory_hits: u64,
    /// Loads that the data centre's cache answered.
    pub(crate) cache_hits: u64,
    /// Loads that the key-value store answered.
    pub(crate) kv_hits: u64,
    /// Answers taken from the origin.
    pub(crate) origin_hits: u64,
    /// Requests to the origin.
    pub(crate) origin_fetches: u64,
    /// Requests that were not sent because too many were at the origin.
    pub(crate) origin_shed: u64,
    /// Requests to the origin that failed or were too late.
    pub(crate) origin_failures: u64,
    /// Values that could not be decoded or were of somebody else.
    pub(crate) values_refused: u64,
    /// Model snapshots refused.
    pub(crate) models_refused: u64,
    /// Numbers in candidates that took their default.
    pub(crate) degradations: u64,
    /// Requests forgotten because their host never resumed.
    pub(crate) requests_lost: u64,
    /// Explore slots that could not be sent.
    pub(crate) served_lost: u64,
}
