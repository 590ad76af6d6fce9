//! What others read of the stream, and what they tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::super::position::Lsn;
use super::super::tables::Signature;
use crate::replicate::supervise::SourceContext;

/// What others read of the stream.
#[derive(Default)]
pub struct Progress {
    /// The newest durable position in the log.
    pub durable: AtomicU64,
    /// The end of the server's log as the stream last told.
    pub end: AtomicU64,
    /// A table is not what was copied any more: the next life says so and stops it.
    pub is_altered: AtomicBool,
    /// What the watch found; at most one of a kind for each table.
    found: Mutex<BTreeMap<String, Found>>,
    /// The entries whose partitions the stream emptied, for the watch.
    truncated: Mutex<BTreeSet<String>>,
}

/// What the watch found in the catalogue, for the stream to act on.
pub enum Found {
    /// A table is known by this from now on.
    Known {
        /// The mapping entry.
        entry: String,
        /// What it is known by.
        signature: Signature,
    },
    /// Rows went without a word in the stream.
    Emptied {
        /// The mapping entry.
        entry: String,
        /// How.
        reason: String,
    },
}

impl Progress {
    /// The stream shall act on this when it is between transactions.
    pub fn found(&self, found: Found) {
        let (Found::Known { entry, .. } | Found::Emptied { entry, .. }) = &found;
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(entry.clone(), found);
    }

    pub(super) fn take_found(&self) -> BTreeMap<String, Found> {
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *all)
    }

    /// The entries whose partitions the stream emptied since this was last asked.
    #[must_use]
    pub fn take_truncated(&self) -> BTreeSet<String> {
        let mut all = self
            .truncated
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *all)
    }

    pub(super) fn truncated(&self, entry: &str) {
        let mut all = self
            .truncated
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(entry.to_owned());
    }

    /// The server's log goes this far at least.
    pub fn reaches(&self, end: Lsn) {
        self.end.fetch_max(end.0, Ordering::Relaxed);
    }

    /// Bytes of the server's log that are not durable here.
    #[must_use]
    pub fn lag_bytes(&self) -> u64 {
        let end = self.end.load(Ordering::Relaxed);
        end.saturating_sub(self.durable.load(Ordering::Relaxed))
    }
}

/// Says how far behind the server the stream is.
pub fn say_lag(context: &SourceContext, progress: &Progress) {
    let lag = progress.lag_bytes();
    context.metrics.lag_bytes(lag);
    let lag_ms = context.metrics.lag_ms();
    context.status.lag(Some(lag), Some(lag_ms));
}
