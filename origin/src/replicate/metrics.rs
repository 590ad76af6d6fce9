//! The metrics of change data capture: names, descriptions, and the handles of a source.
//!
//! Handles are made once a source; what runs for every batch looks no label up.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use super::apply::counts::{Counts, OPERATIONS};
use crate::clock::Clock;
use crate::ingest::rows::TableId;

/// Changes of rows that are durable, by `source`, `table` and `operation` (put, patch, remove, clear).
pub const ROWS_TOTAL: &str = "edgewise_replicate_rows_total";
/// Rows that truncations have taken back, durably, by `source`.
pub const CLEARED_ROWS_TOTAL: &str = "edgewise_replicate_cleared_rows_total";
/// What the server has that is not durable here, by `source`.
pub const LAG_BYTES: &str = "edgewise_replicate_lag_bytes";
/// Age of the newest change that is durable while there are others to come; 0 = up to date.
pub const LAG_SECONDS: &str = "edgewise_replicate_lag_seconds";
/// Age of the oldest change that was received and is not durable; 0 = none.
pub const OLDEST_UNAPPLIED_SECONDS: &str = "edgewise_replicate_oldest_unapplied_seconds";
/// Connections after the first, by `source`.
pub const RECONNECTS_TOTAL: &str = "edgewise_replicate_reconnects_total";
/// Requests and batches that were tried again on the same connection, by `source`.
pub const RETRIES_TOTAL: &str = "edgewise_replicate_retries_total";
/// Rows that were refused and kept, by `source`.
pub const DEAD_LETTERS_TOTAL: &str = "edgewise_replicate_dead_letters_total";
/// Dead letters that are kept now, by `source`.
pub const DEAD_LETTERS: &str = "edgewise_replicate_dead_letters";
/// Rows of the first copy so far, by `source` and `table`.
pub const SNAPSHOT_ROWS: &str = "edgewise_replicate_snapshot_rows";
/// Chunks of the first copy that are done, by `source` and `table`.
pub const SNAPSHOT_CHUNKS_DONE: &str = "edgewise_replicate_snapshot_chunks_done";
/// Chunks of the first copy, by `source` and `table`.
pub const SNAPSHOT_CHUNKS_TOTAL: &str = "edgewise_replicate_snapshot_chunks_total";
/// 1 while a source is connected, by `source`.
pub const CONNECTED: &str = "edgewise_replicate_connected";
/// 1 while a table is not followed any more, by `source` and `table`.
pub const TABLE_STOPPED: &str = "edgewise_replicate_table_stopped";
/// Bytes of WAL until the server gives the slot up, by `source`.
pub const SLOT_SAFE_WAL_BYTES: &str = "edgewise_replicate_slot_safe_wal_bytes";
/// Bytes of WAL that the slot keeps on the server, by `source`.
pub const SLOT_RETAINED_BYTES: &str = "edgewise_replicate_slot_retained_bytes";
/// 1 for the slot's `status` of [`SLOT_STATUSES`], by `source`.
pub const SLOT_WAL_STATUS: &str = "edgewise_replicate_slot_wal_status";
/// What is durable here and not acknowledged yet, by `source`.
pub const ACKNOWLEDGED_LAG_BYTES: &str = "edgewise_replicate_acknowledged_lag_bytes";
/// Changes in a batch, by `source`.
pub const BATCH_ROWS: &str = "edgewise_replicate_batch_rows";
/// Time from submitting a batch to durable, by `source`.
pub const COMMIT_SECONDS: &str = "edgewise_replicate_commit_seconds";
/// Bytes of changes that were received and are not durable, by `source`.
pub const QUEUE_BYTES: &str = "edgewise_replicate_queue_bytes";
/// Connections of a pool, by `source`.
pub const POOL_SIZE: &str = "edgewise_replicate_pool_size";
/// Connections of a pool in use, by `source`.
pub const POOL_IN_USE: &str = "edgewise_replicate_pool_in_use";
/// Takers that wait for a connection of a pool, by `source`.
pub const POOL_WAITING: &str = "edgewise_replicate_pool_waiting";
/// What PostgreSQL says of a slot's WAL.
pub const SLOT_STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

/// No moment.
const NONE_MS: i64 = i64::MAX;

/// Describes every metric of this module.
pub fn describe() {
    describe_counter!(ROWS_TOTAL, "durable changes of rows by table and operation");
    describe_counter!(CLEARED_ROWS_TOTAL, "rows that truncations took back");
    describe_counter!(RECONNECTS_TOTAL, "connections after the first");
    describe_counter!(RETRIES_TOTAL, "requests and batches that were tried again");
    describe_counter!(DEAD_LETTERS_TOTAL, "rows that were refused and kept");
    super::contract::metrics::describe();
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

/// The handles of a source.
pub struct SourceMetrics {
    source: String,
    clock: Clock,
    tables: Vec<TableMetrics>,
    lag_bytes: Gauge,
    lag_seconds: Gauge,
    oldest_unapplied: Gauge,
    reconnects: Counter,
    retries: Counter,
    cleared_rows: Counter,
    dead_letters_total: Counter,
    dead_letters: Gauge,
    connected: Gauge,
    safe_wal: Gauge,
    retained: Gauge,
    acknowledged_lag: Gauge,
    batch_rows: Histogram,
    commit_seconds: Histogram,
    queue_bytes: Gauge,
    pool: [Gauge; 3],
    /// Batches that became durable: what supervision takes for progress.
    batches: AtomicU64,
    is_connected: AtomicBool,
    is_behind: AtomicBool,
    /// The newest commit time at the source that is durable, and when it became so.
    applied_ms: AtomicI64,
    durable_ms: AtomicI64,
    parts: Mutex<Parts>,
}

/// What each applier of the source has in hand.
#[derive(Default)]
struct Parts {
    open: Vec<Arc<PartState>>,
    /// The oldest change that a lost connection took with it; it comes again.
    left_ms: Option<i64>,
}

struct PartState {
    oldest_ms: AtomicI64,
    bytes: AtomicU64,
}

/// The handles of a table.
pub struct TableMetrics {
    id: TableId,
    name: String,
    rows: [Counter; OPERATIONS.len()],
    snapshot_rows: Gauge,
    chunks_done: Gauge,
    chunks_total: Gauge,
    stopped: Gauge,
}

/// An applier's share of a source's gauges; dropping it takes the share away.
pub struct Part {
    metrics: Arc<SourceMetrics>,
    state: Arc<PartState>,
}

impl SourceMetrics {
    /// The handles of `source`, whose mapped tables have these names.
    #[must_use]
    pub fn new(source: &str, tables: &[(TableId, String)], clock: Clock) -> Arc<Self> {
        let label = || source.to_owned();
        let of = |name: &'static str| gauge!(name, "source" => label());
        let started_ms = clock.wall_ms();
        Arc::new(Self {
            tables: tables
                .iter()
                .map(|(id, table)| TableMetrics::new(source, *id, table))
                .collect(),
            lag_bytes: of(LAG_BYTES),
            lag_seconds: of(LAG_SECONDS),
            oldest_unapplied: of(OLDEST_UNAPPLIED_SECONDS),
            reconnects: counter!(RECONNECTS_TOTAL, "source" => label()),
            retries: counter!(RETRIES_TOTAL, "source" => label()),
            cleared_rows: counter!(CLEARED_ROWS_TOTAL, "source" => label()),
            dead_letters_total: counter!(DEAD_LETTERS_TOTAL, "source" => label()),
            dead_letters: of(DEAD_LETTERS),
            connected: of(CONNECTED),
            safe_wal: of(SLOT_SAFE_WAL_BYTES),
            retained: of(SLOT_RETAINED_BYTES),
            acknowledged_lag: of(ACKNOWLEDGED_LAG_BYTES),
            batch_rows: histogram!(BATCH_ROWS, "source" => label()),
            commit_seconds: histogram!(COMMIT_SECONDS, "source" => label()),
            queue_bytes: of(QUEUE_BYTES),
            pool: [POOL_SIZE, POOL_IN_USE, POOL_WAITING].map(of),
            batches: AtomicU64::new(0),
            is_connected: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            applied_ms: AtomicI64::new(started_ms),
            durable_ms: AtomicI64::new(started_ms),
            parts: Mutex::default(),
            source: source.to_owned(),
            clock,
        })
    }

    /// The source's name.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Wall time, Unix ms.
    #[must_use]
    pub fn wall_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// The handles of a table.
    #[must_use]
    pub fn table(&self, id: TableId) -> Option<&TableMetrics> {
        self.tables.iter().find(|table| table.id == id)
    }

    /// Connected, or not any more.
    pub fn connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
        self.connected.set(if is_connected { 1.0 } else { 0.0 });
        self.refresh();
    }

    /// It connects once more.
    pub fn reconnected(&self) {
        self.reconnects.increment(1);
    }

    /// Something is tried again on the same connection.
    pub fn retried(&self) {
        self.retries.increment(1);
    }

    /// What the server has that is not durable here.
    pub fn lag_bytes(&self, bytes: u64) {
        self.is_behind.store(bytes > 0, Ordering::Relaxed);
        self.lag_bytes.set(bytes as f64);
    }

    /// What is durable here and not acknowledged.
    pub fn acknowledged_lag_bytes(&self, bytes: u64) {
        self.acknowledged_lag.set(bytes as f64);
    }

    /// The source was read up to what it had at `ms`, and all of that is durable.
    pub fn applied_up_to(&self, ms: i64) {
        self.applied_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// Which tables are not followed any more.
    pub fn tables_stopped(&self, is_stopped: impl Fn(&str) -> bool) {
        for table in &self.tables {
            let is = if is_stopped(&table.name) { 1.0 } else { 0.0 };
            table.stopped.set(is);
        }
    }

    /// Bytes of WAL that the slot keeps, and until the server gives it up (`None` = never).
    pub fn slot(&self, retained_bytes: u64, safe_bytes: Option<i64>, wal_status: &str) {
        self.retained.set(retained_bytes as f64);
        self.safe_wal
            .set(safe_bytes.map_or(f64::INFINITY, |bytes| bytes as f64));
        for status in SLOT_STATUSES {
            let is = if status == wal_status { 1.0 } else { 0.0 };
            gauge!(SLOT_WAL_STATUS, "source" => self.source.clone(), "status" => status).set(is);
        }
    }

    /// Connections of the pool, those in use, and takers that wait.
    pub fn pool(&self, size: usize, in_use: usize, waiting: usize) {
        for (gauge, value) in self.pool.iter().zip([size, in_use, waiting]) {
            gauge.set(value as f64);
        }
    }

    /// Dead letters that are kept now, by table.
    pub fn dead_letters(&self, kept: impl Fn(TableId) -> u64) {
        let kept: u64 = self.tables.iter().map(|table| kept(table.id)).sum();
        self.dead_letters.set(kept as f64);
    }

    /// A truncation took rows back; it may have more to take.
    pub fn cleared(&self, rows: u64) {
        self.cleared_rows.increment(rows);
    }

    /// A batch was submitted.
    pub fn batch_rows(&self, rows: usize) {
        self.batch_rows.record(rows as f64);
    }

    /// A batch is durable.
    pub fn committed(
        &self,
        counts: &Counts,
        committed_at_ms: Option<i64>,
        dead: u64,
        took: Duration,
    ) {
        for (id, counts) in counts.tables() {
            let Some(table) = self.table(id) else {
                continue;
            };
            for (counter, count) in table.rows.iter().zip(counts) {
                if count > 0 {
                    counter.increment(count);
                }
            }
        }
        if dead > 0 {
            self.dead_letters_total.increment(dead);
            self.dead_letters.increment(dead as f64);
        }
        self.commit_seconds.record(took.as_secs_f64());
        if let Some(at) = committed_at_ms {
            self.applied_up_to(at);
        }
        self.durable_ms
            .store(self.clock.wall_ms(), Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.parts().left_ms = None;
    }

    /// Batches that became durable since the start.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// A share for an applier.
    pub fn part(self: &Arc<Self>) -> Part {
        let state = Arc::new(PartState {
            oldest_ms: AtomicI64::new(NONE_MS),
            bytes: AtomicU64::new(0),
        });
        self.parts().open.push(Arc::clone(&state));
        Part {
            metrics: Arc::clone(self),
            state,
        }
    }

    /// Age of the oldest change that was received and is not durable, ms.
    #[must_use]
    pub fn oldest_unapplied_ms(&self) -> Option<i64> {
        let parts = self.parts();
        let oldest = parts
            .open
            .iter()
            .map(|part| part.oldest_ms.load(Ordering::Relaxed))
            .filter(|ms| *ms != NONE_MS)
            .chain(parts.left_ms)
            .min()?;
        Some((self.clock.wall_ms() - oldest).max(0))
    }

    /// How far what is durable is behind the source, ms; 0 while it is connected and nothing
    /// is known to be outstanding.
    #[must_use]
    pub fn lag_ms(&self) -> i64 {
        let is_outstanding = !self.is_connected.load(Ordering::Relaxed)
            || self.is_behind.load(Ordering::Relaxed)
            || self.oldest_unapplied_ms().is_some();
        if is_outstanding {
            (self.clock.wall_ms() - self.applied_ms.load(Ordering::Relaxed)).max(0)
        } else {
            0
        }
    }

    /// Time from the newest change's commit at the source until it was durable here, ms.
    #[must_use]
    pub fn took_ms(&self) -> i64 {
        let applied = self.applied_ms.load(Ordering::Relaxed);
        (self.durable_ms.load(Ordering::Relaxed) - applied).max(0)
    }

    /// Sets the gauges that change as time passes; supervision calls it every second.
    pub fn refresh(&self) {
        let oldest_ms = self.oldest_unapplied_ms().unwrap_or(0);
        self.oldest_unapplied.set(oldest_ms as f64 / 1_000.0);
        self.lag_seconds.set(self.lag_ms() as f64 / 1_000.0);
        let bytes: u64 = {
            let parts = self.parts();
            let bytes = parts.open.iter().map(|part| &part.bytes);
            bytes.map(|bytes| bytes.load(Ordering::Relaxed)).sum()
        };
        self.queue_bytes.set(bytes as f64);
    }

    // A panic while the lock is held cannot leave the list half changed.
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TableMetrics {
    fn new(source: &str, id: TableId, table: &str) -> Self {
        let labels = || (source.to_owned(), table.to_owned());
        let of = |name: &'static str| {
            let (source, table) = labels();
            gauge!(name, "source" => source, "table" => table)
        };
        Self {
            id,
            name: table.to_owned(),
            rows: OPERATIONS.map(|operation| {
                let (source, table) = labels();
                counter!(ROWS_TOTAL, "source" => source, "table" => table, "operation" => operation)
            }),
            snapshot_rows: of(SNAPSHOT_ROWS),
            chunks_done: of(SNAPSHOT_CHUNKS_DONE),
            chunks_total: of(SNAPSHOT_CHUNKS_TOTAL),
            stopped: of(TABLE_STOPPED),
        }
    }

    /// The table's name, the mapping entry's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far the first copy is.
    pub fn copied(&self, rows: u64, chunks_done: u64, chunks_total: u64) {
        self.snapshot_rows.set(rows as f64);
        self.chunks_done.set(chunks_done as f64);
        self.chunks_total.set(chunks_total as f64);
    }
}

impl Part {
    /// The oldest change in hand and the bytes of all.
    pub fn pending(&self, oldest_ms: Option<i64>, bytes: usize) {
        let oldest_ms = oldest_ms.unwrap_or(NONE_MS);
        self.state.oldest_ms.store(oldest_ms, Ordering::Relaxed);
        self.state.bytes.store(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut parts = self.metrics.parts();
        parts.open.retain(|open| !Arc::ptr_eq(open, &self.state));
        let oldest_ms = self.state.oldest_ms.load(Ordering::Relaxed);
        if oldest_ms != NONE_MS {
            parts.left_ms = Some(parts.left_ms.map_or(oldest_ms, |left| left.min(oldest_ms)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unapplied_change_ages_through_a_lost_connection_until_a_commit() {
        let clock = Clock::manual(10_000);
        let metrics = SourceMetrics::new("main", &[(TableId(1), "a".to_owned())], clock.clone());
        assert_eq!(metrics.oldest_unapplied_ms(), None);
        let (old, new) = (metrics.part(), metrics.part());
        old.pending(Some(9_000), 10);
        new.pending(Some(9_500), 20);
        assert_eq!(metrics.oldest_unapplied_ms(), Some(1_000));
        drop(old);
        clock.advance(500);
        assert_eq!(metrics.oldest_unapplied_ms(), Some(1_500));
        new.pending(None, 0);
        metrics.committed(&Counts::default(), Some(9_900), 0, Duration::ZERO);
        assert_eq!(metrics.oldest_unapplied_ms(), None);
        assert_eq!((metrics.batches(), metrics.took_ms()), (1, 500));
    }

    #[test]
    fn lag_is_zero_only_while_connected_with_nothing_outstanding() {
        let clock = Clock::manual(10_000);
        let metrics = SourceMetrics::new("main", &[], clock.clone());
        clock.advance(2_000);
        assert_eq!(metrics.lag_ms(), 2_000);
        metrics.connected(true);
        assert_eq!(metrics.lag_ms(), 0);
        metrics.lag_bytes(7);
        assert_eq!(metrics.lag_ms(), 2_000);
        metrics.applied_up_to(11_500);
        assert_eq!(metrics.lag_ms(), 500);
        metrics.lag_bytes(0);
        assert_eq!(metrics.lag_ms(), 0);
    }
}
