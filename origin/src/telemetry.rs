//! Logs and metrics: set up once, every metric named and described here.

use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use anyhow::Context;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::clock::Stopwatch;
use crate::config::{LogConfig, LogFormat};

/// Answers by `route`, `method` and `status`.
pub const HTTP_REQUESTS_TOTAL: &str = "edgewise_http_requests_total";
/// Time to answer by `route`.
pub const HTTP_REQUEST_SECONDS: &str = "edgewise_http_request_seconds";
/// Connections open now.
pub const HTTP_CONNECTIONS: &str = "edgewise_http_connections";
/// Requests that the client rate limit refused.
pub const HTTP_RATE_LIMITED_TOTAL: &str = "edgewise_http_rate_limited_total";
/// Connections closed because their client address had too many.
pub const HTTP_CONNECTIONS_REFUSED_TOTAL: &str = "edgewise_http_connections_refused_total";
/// Events by `outcome`: accepted, duplicate, rejected.
pub const EVENTS_TOTAL: &str = "edgewise_events_total";
/// Commands that found the writer's queue full.
pub const INGEST_OVERLOADED_TOTAL: &str = "edgewise_ingest_overloaded_total";
/// Time from submit to durable.
pub const INGEST_COMMIT_SECONDS: &str = "edgewise_ingest_commit_seconds";
/// Position of the event log in memory.
pub const LOG_POSITION: &str = "edgewise_log_position";
/// Items in the catalogue.
pub const CATALOGUE_ITEMS: &str = "edgewise_catalogue_items";
/// Time to build a bundle by `kind`: user, pool.
pub const BUNDLE_BUILD_SECONDS: &str = "edgewise_bundle_build_seconds";
/// Candidates in a built bundle.
pub const BUNDLE_CANDIDATES: &str = "edgewise_bundle_candidates";
/// Encoded bundles.
pub const BUNDLE_SIZE_BYTES: &str = "edgewise_bundle_size_bytes";
/// Bundles asked for by `result`: hit, miss.
pub const BUNDLE_CACHE_TOTAL: &str = "edgewise_bundle_cache_total";
/// Time a background job takes by `job`.
pub const JOB_SECONDS: &str = "edgewise_job_seconds";
/// Background jobs that failed by `job`.
pub const JOB_FAILURES_TOTAL: &str = "edgewise_job_failures_total";
/// When a background job last succeeded by `job`, Unix seconds.
pub const JOB_LAST_SUCCESS_SECONDS: &str = "edgewise_job_last_success_timestamp_seconds";
/// Hot lists published.
pub const HOT_LISTS: &str = "edgewise_hot_lists";
/// Age of the hot lists when metrics are read.
pub const HOT_LISTS_AGE_SECONDS: &str = "edgewise_hot_lists_age_seconds";
/// Encoded overlay.
pub const OVERLAY_SIZE_BYTES: &str = "edgewise_overlay_size_bytes";
/// Items in the overlay.
pub const OVERLAY_ITEMS: &str = "edgewise_overlay_items";
/// Items that had no room in the overlay.
pub const OVERLAY_DROPPED_ITEMS: &str = "edgewise_overlay_dropped_items";
/// Feeds by `rung`.
pub const FEEDS_TOTAL: &str = "edgewise_feeds_total";
/// Explore slots that were served but not logged, to bound the log's growth.
pub const SERVED_DROPPED_TOTAL: &str = "edgewise_served_dropped_total";
/// Numbers that took their default in answered feeds.
pub const DEGRADATIONS_TOTAL: &str = "edgewise_degradations_total";

/// Seconds; a hit is well below 1 ms, the design's slowest level is 800 ms.
const SECONDS_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 2.5, 10.0,
];

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Sends logs to standard error, so that standard output stays a command's own.
///
/// # Errors
///
/// `level` is not a filter.
pub fn init_logs(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.level).with_context(|| {
        format!(
            "log.level `{}` is not a filter; use error, warn, info, debug or trace",
            config.level
        )
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second call in one process (tests) keeps the first subscriber.
    let _ = match config.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
    };
    Ok(())
}

/// The process's Prometheus recorder, installed by the first call.
///
/// # Panics
///
/// Never: the buckets are not empty and nothing else installs a recorder.
pub fn metrics_handle() -> &'static PrometheusHandle {
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

/// Runs `work` as background job `job`: its time, its failures and its last success are metrics.
pub(crate) fn job<E: std::fmt::Display>(
    job: &'static str,
    wall_ms: i64,
    work: impl FnOnce() -> Result<(), E>,
) {
    let stopwatch = Stopwatch::start();
    // A panic must not end the job's thread: the next run may do better.
    let result = catch_unwind(AssertUnwindSafe(work));
    histogram!(JOB_SECONDS, "job" => job).record(stopwatch.elapsed().as_secs_f64());
    let result = result
        .map_err(|_| "it panicked".to_owned())
        .and_then(|done| done.map_err(|error| error.to_string()));
    match result {
        Ok(()) => gauge!(JOB_LAST_SUCCESS_SECONDS, "job" => job).set(wall_ms as f64 / 1_000.0),
        Err(error) => {
            metrics::counter!(JOB_FAILURES_TOTAL, "job" => job).increment(1);
            tracing::warn!(job, %error, "background job failed; the last result stays in use");
        }
    }
}

fn describe() {
    crate::replicate::metrics::describe();
    describe_counter!(HTTP_REQUESTS_TOTAL, "answers by route, method and status");
    describe_histogram!(
        HTTP_REQUEST_SECONDS,
        Unit::Seconds,
        "time to answer by route"
    );
    describe_gauge!(HTTP_CONNECTIONS, "connections open now");
    describe_counter!(
        HTTP_RATE_LIMITED_TOTAL,
        "requests the client rate limit refused"
    );
    describe_counter!(
        HTTP_CONNECTIONS_REFUSED_TOTAL,
        "connections closed because their client address had too many"
    );
    describe_counter!(EVENTS_TOTAL, "events by outcome");
    describe_counter!(
        INGEST_OVERLOADED_TOTAL,
        "commands that found the writer's queue full"
    );
    describe_histogram!(
        INGEST_COMMIT_SECONDS,
        Unit::Seconds,
        "time from submit to durable"
    );
    describe_gauge!(LOG_POSITION, "position of the event log in memory");
    describe_gauge!(CATALOGUE_ITEMS, "items in the catalogue");
    describe_histogram!(
        BUNDLE_BUILD_SECONDS,
        Unit::Seconds,
        "time to build a bundle by kind"
    );
    describe_histogram!(BUNDLE_CANDIDATES, "candidates in a built bundle");
    describe_histogram!(BUNDLE_SIZE_BYTES, Unit::Bytes, "encoded bundles");
    describe_counter!(BUNDLE_CACHE_TOTAL, "bundles asked for by result");
    describe_histogram!(JOB_SECONDS, Unit::Seconds, "time a background job takes");
    describe_counter!(JOB_FAILURES_TOTAL, "background jobs that failed");
    describe_gauge!(
        JOB_LAST_SUCCESS_SECONDS,
        Unit::Seconds,
        "when a job last succeeded"
    );
    describe_gauge!(HOT_LISTS, "hot lists published");
    describe_gauge!(HOT_LISTS_AGE_SECONDS, Unit::Seconds, "age of the hot lists");
    describe_gauge!(OVERLAY_SIZE_BYTES, Unit::Bytes, "encoded overlay");
    describe_gauge!(OVERLAY_ITEMS, "items in the overlay");
    describe_gauge!(
        OVERLAY_DROPPED_ITEMS,
        "items that had no room in the overlay"
    );
    describe_counter!(FEEDS_TOTAL, "feeds by rung");
    describe_counter!(
        SERVED_DROPPED_TOTAL,
        "explore slots served but not logged, to bound the log's growth"
    );
    describe_counter!(
        DEGRADATIONS_TOTAL,
        "numbers that took their default in answered feeds"
    );
}
