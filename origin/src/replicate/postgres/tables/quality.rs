//! Measures of an entry against its contract.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::replicate::contract::TableQuality;
use crate::replicate::mapping::BoundTable;

/// Measures of an entry, shared by the tasks that copy it.
pub type Quality = Arc<Mutex<Option<TableQuality>>>;

/// The entry's measures; `bound` makes them where there are none yet.
pub fn measured<'a>(
    quality: &'a Quality,
    source: &str,
    bound: &BoundTable,
    now_ms: i64,
) -> Measures<'a> {
    // A panic while the lock is held leaves at worst one row half measured.
    let mut guard = quality.lock().unwrap_or_else(PoisonError::into_inner);
    guard.get_or_insert_with(|| TableQuality::new(source, bound, now_ms));
    Measures(guard)
}

/// Locked measures.
pub struct Measures<'a>(MutexGuard<'a, Option<TableQuality>>);

impl Measures<'_> {
    /// The measures.
    pub fn get(&mut self) -> &mut TableQuality {
        self.0.as_mut().expect("made when it was locked")
    }
}

/// Writes the measures of an entry that was bound.
pub fn publish(quality: &Quality, now_ms: i64) {
    let mut guard = quality.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(quality) = guard.as_mut() {
        quality.publish(now_ms);
    }
}
