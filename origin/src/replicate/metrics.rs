//! The metrics of change data capture: names, descriptions, and the handles of a source.
//!
//! Handles are made once a source; what runs for every batch looks no label up.

mod names;
#[cfg(test)]
mod tests;

pub use names::describe;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use self::names::{
    ACKNOWLEDGED_LAG_BYTES, BATCH_ROWS, CLEARED_ROWS_TOTAL, COMMIT_SECONDS, CONNECTED,
    DEAD_LETTERS, DEAD_LETTERS_TOTAL, LAG_BYTES, LAG_SECONDS, OLDEST_UNAPPLIED_SECONDS,
    POOL_IN_USE, POOL_SIZE, POOL_WAITING, QUEUE_BYTES, RECONNECTS_TOTAL, RETRIES_TOTAL, ROWS_TOTAL,
    SLOT_RETAINED_BYTES, SLOT_SAFE_WAL_BYTES, SLOT_STATUSES, SLOT_WAL_STATUS, SNAPSHOT_CHUNKS_DONE,
    SNAPSHOT_CHUNKS_TOTAL, SNAPSHOT_ROWS, TABLE_STOPPED,
};
use super::apply::counts::{Counts, OPERATIONS};
use crate::clock::Clock;
use crate::ingest::rows::TableId;

/// No moment.
const NONE_MS: i64 = i64::MAX;

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
