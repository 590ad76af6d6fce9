//! Logs and metrics: set up once, every metric named and described here.

use std::io::IsTerminal;
use std::sync::OnceLock;

use anyhow::Context;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Answers by `status` (class, such as `2xx`) and `rung`.
pub(crate) const REQUESTS_TOTAL: &str = "edgewise_edge_requests_total";
/// Connections open now.
pub(crate) const CONNECTIONS: &str = "edgewise_edge_connections";
/// What was refused because too much of it was under way, by `what`: connection, body.
pub(crate) const SHED_TOTAL: &str = "edgewise_edge_shed_total";
/// Panics of the core that were survived.
pub(crate) const PANICS_TOTAL: &str = "edgewise_edge_panics_total";
/// Loads that a tier answered by `tier`: memory, cache, kv, origin.
pub(crate) const TIER_HITS_TOTAL: &str = "edgewise_edge_tier_hits_total";
/// Values the process's cache gave up for room.
pub(crate) const CACHE_EVICTED_TOTAL: &str = "edgewise_edge_cache_evicted_total";
/// Bytes of the process's cache.
pub(crate) const CACHE_BYTES: &str = "edgewise_edge_cache_bytes";
/// Values of the key-value store.
pub(crate) const KV_BYTES: &str = "edgewise_edge_kv_bytes";
/// Values the key-value store gave up for room or did not take.
pub(crate) const KV_DROPPED_TOTAL: &str = "edgewise_edge_kv_dropped_total";
/// Requests to the origin by `outcome`: 2xx, 3xx, 4xx, 5xx, failed, late.
pub(crate) const ORIGIN_REQUESTS_TOTAL: &str = "edgewise_edge_origin_requests_total";
/// Time of a request to the origin.
pub(crate) const ORIGIN_SECONDS: &str = "edgewise_edge_origin_seconds";
/// Requests to the origin that were spared because the same one was under way.
pub(crate) const COALESCED_TOTAL: &str = "edgewise_edge_coalesced_total";
/// Parcels of events that wait for the origin.
pub(crate) const SPOOL_PARCELS: &str = "edgewise_edge_spool_parcels";
/// Bytes of them.
pub(crate) const SPOOL_BYTES: &str = "edgewise_edge_spool_bytes";
/// How long the oldest of them waits.
pub(crate) const SPOOL_AGE_SECONDS: &str = "edgewise_edge_spool_age_seconds";
/// Parcels by `outcome`: spooled, refused (no room), delivered, dead, dropped.
pub(crate) const PARCELS_TOTAL: &str = "edgewise_edge_parcels_total";
/// Bundles that were warmed.
pub(crate) const WARMED_TOTAL: &str = "edgewise_edge_warmed_total";

/// Seconds; the design's slowest level is 800 ms.
const SECONDS_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Sends logs to standard error.
///
/// # Errors
/// `level` is not a filter.
pub(crate) fn init_logs(level: &str, json: bool) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level).with_context(|| {
        format!("--log-level `{level}` is not a filter; use error, warn, info, debug or trace")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second call in one process (tests) keeps the first subscriber.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init()
    };
    Ok(())
}

/// The process's Prometheus recorder, installed by the first call.
pub(crate) fn metrics_handle() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
            .expect("the buckets are not empty")
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics stays empty");
        }
        describe();
        handle
    })
}

fn describe() {
    describe_counter!(REQUESTS_TOTAL, "answers by status class and rung");
    describe_gauge!(CONNECTIONS, "connections open now");
    describe_counter!(SHED_TOTAL, "connections and bodies refused at a limit");
    describe_counter!(PANICS_TOTAL, "panics of the core that were survived");
    describe_counter!(TIER_HITS_TOTAL, "loads by the tier that answered");
    describe_counter!(CACHE_EVICTED_TOTAL, "values evicted from the cache");
    describe_gauge!(CACHE_BYTES, Unit::Bytes, "keys and values in the cache");
    describe_gauge!(KV_BYTES, Unit::Bytes, "keys and values in the KV store");
    describe_counter!(KV_DROPPED_TOTAL, "values the KV store evicted or refused");
    describe_counter!(ORIGIN_REQUESTS_TOTAL, "origin requests by outcome");
    describe_histogram!(ORIGIN_SECONDS, Unit::Seconds, "time of an origin request");
    describe_counter!(COALESCED_TOTAL, "origin requests spared by joining another");
    describe_gauge!(SPOOL_PARCELS, "parcels of events that wait for the origin");
    describe_gauge!(SPOOL_BYTES, Unit::Bytes, "bytes of parcels that wait");
    describe_gauge!(
        SPOOL_AGE_SECONDS,
        Unit::Seconds,
        "wait of the oldest parcel"
    );
    describe_counter!(PARCELS_TOTAL, "parcels of events by outcome");
    describe_counter!(WARMED_TOTAL, "bundles copied ahead of need");
}
