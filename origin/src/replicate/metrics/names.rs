//! The names of the metrics and what they say.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Changes of rows that are durable, by `source`, `table` and `operation` (put, patch, remove, clear).
pub(super) const ROWS_TOTAL: &str = "edgewise_replicate_rows_total";
/// Rows that truncations have taken back, durably, by `source`.
pub(super) const CLEARED_ROWS_TOTAL: &str = "edgewise_replicate_cleared_rows_total";
/// What the server has that is not durable here, by `source`.
pub(super) const LAG_BYTES: &str = "edgewise_replicate_lag_bytes";
/// Age of the newest change that is durable while there are others to come; 0 = up to date.
pub(super) const LAG_SECONDS: &str = "edgewise_replicate_lag_seconds";
/// Age of the oldest change that was received and is not durable; 0 = none.
pub(super) const OLDEST_UNAPPLIED_SECONDS: &str = "edgewise_replicate_oldest_unapplied_seconds";
/// Connections after the first, by `source`.
pub(super) const RECONNECTS_TOTAL: &str = "edgewise_replicate_reconnects_total";
/// Requests and batches that were tried again on the same connection, by `source`.
pub(super) const RETRIES_TOTAL: &str = "edgewise_replicate_retries_total";
/// Rows that were refused and kept, by `source`.
pub(super) const DEAD_LETTERS_TOTAL: &str = "edgewise_replicate_dead_letters_total";
/// Dead letters that are kept now, by `source`.
pub(super) const DEAD_LETTERS: &str = "edgewise_replicate_dead_letters";
/// Rows of the first copy so far, by `source` and `table`.
pub(super) const SNAPSHOT_ROWS: &str = "edgewise_replicate_snapshot_rows";
/// Chunks of the first copy that are done, by `source` and `table`.
pub(super) const SNAPSHOT_CHUNKS_DONE: &str = "edgewise_replicate_snapshot_chunks_done";
/// Chunks of the first copy, by `source` and `table`.
pub(super) const SNAPSHOT_CHUNKS_TOTAL: &str = "edgewise_replicate_snapshot_chunks_total";
/// 1 while a source is connected, by `source`.
pub(super) const CONNECTED: &str = "edgewise_replicate_connected";
/// 1 while a table is not followed any more, by `source` and `table`.
pub(super) const TABLE_STOPPED: &str = "edgewise_replicate_table_stopped";
/// Bytes of WAL until the server gives the slot up, by `source`.
pub(super) const SLOT_SAFE_WAL_BYTES: &str = "edgewise_replicate_slot_safe_wal_bytes";
/// Bytes of WAL that the slot keeps on the server, by `source`.
pub(super) const SLOT_RETAINED_BYTES: &str = "edgewise_replicate_slot_retained_bytes";
/// 1 for the slot's `status` of [`SLOT_STATUSES`], by `source`.
pub(super) const SLOT_WAL_STATUS: &str = "edgewise_replicate_slot_wal_status";
/// What is durable here and not acknowledged yet, by `source`.
pub(super) const ACKNOWLEDGED_LAG_BYTES: &str = "edgewise_replicate_acknowledged_lag_bytes";
/// Changes in a batch, by `source`.
pub(super) const BATCH_ROWS: &str = "edgewise_replicate_batch_rows";
/// Time from submitting a batch to durable, by `source`.
pub(super) const COMMIT_SECONDS: &str = "edgewise_replicate_commit_seconds";
/// Bytes of changes that were received and are not durable, by `source`.
pub(super) const QUEUE_BYTES: &str = "edgewise_replicate_queue_bytes";
/// Connections of a pool, by `source`.
pub(super) const POOL_SIZE: &str = "edgewise_replicate_pool_size";
/// Connections of a pool in use, by `source`.
pub(super) const POOL_IN_USE: &str = "edgewise_replicate_pool_in_use";
/// Takers that wait for a connection of a pool, by `source`.
pub(super) const POOL_WAITING: &str = "edgewise_replicate_pool_waiting";
/// What PostgreSQL says of a slot's WAL.
pub(super) const SLOT_STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

/// Describes every metric of this module.
pub fn describe() {
    describe_counter!(ROWS_TOTAL, "durable changes of rows by table and operation");
    describe_counter!(CLEARED_ROWS_TOTAL, "rows that truncations took back");
    describe_counter!(RECONNECTS_TOTAL, "connections after the first");
    describe_counter!(RETRIES_TOTAL, "requests and batches that were tried again");
    describe_counter!(DEAD_LETTERS_TOTAL, "rows that were refused and kept");
    super::super::contract::metrics::describe();
    describe_histogram!(BATCH_ROWS, "changes in a batch");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "from submit to durable");
    let gauges = [
        (
            LAG_SECONDS,
            "age of the newest durable change; 0 = up to date",
        ),
        (
            OLDEST_UNAPPLIED_SECONDS,
            "age of the oldest change that is not durable; 0 = none",
        ),
    ];
    for (name, text) in gauges {
        describe_gauge!(name, Unit::Seconds, text);
    }
    let gauges = [
        (LAG_BYTES, "what the server has that is not durable here"),
        (
            SLOT_SAFE_WAL_BYTES,
            "WAL until the server gives the slot up",
        ),
        (SLOT_RETAINED_BYTES, "WAL that the slot keeps on the server"),
        (ACKNOWLEDGED_LAG_BYTES, "durable here and not acknowledged"),
        (QUEUE_BYTES, "changes received and not durable"),
    ];
    for (name, text) in gauges {
        describe_gauge!(name, Unit::Bytes, text);
    }
    let gauges = [
        (DEAD_LETTERS, "refused rows that are kept now"),
        (SNAPSHOT_ROWS, "rows of the first copy so far"),
        (
            SNAPSHOT_CHUNKS_DONE,
            "chunks of the first copy that are done",
        ),
        (SNAPSHOT_CHUNKS_TOTAL, "chunks of the first copy"),
        (CONNECTED, "1 while the source is connected"),
        (TABLE_STOPPED, "1 while a table is not followed any more"),
        (SLOT_WAL_STATUS, "1 for the status of the slot's WAL"),
        (POOL_SIZE, "connections of the pool"),
        (POOL_IN_USE, "connections of the pool in use"),
        (
            POOL_WAITING,
            "takers that wait for a connection of the pool",
        ),
    ];
    for (name, text) in gauges {
        describe_gauge!(name, text);
    }
}
