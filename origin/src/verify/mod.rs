//! `edgewise verify`: recounts everything from the log and compares it with every table.

mod compare;
mod recount;
mod rows;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use edgewise_ranking::RankingConfig;
use edgewise_ranking::config::HotConfig;
use serde::Serialize;

use crate::store::log::LogRecord;
use crate::store::record::Record;
use crate::store::{Range, Snapshot, Store, StoreError, Table, keys, read};
use compare::Comparison;
pub(crate) use recount::Recount;

/// Mismatches described in a report; all are counted.
pub const MISMATCHES_MAX: usize = 20;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing is lost, nothing counted twice, every table says what the log says.
    pub ok: bool,
    /// Sequence number of the log's last record.
    pub position: u64,
    /// Records in the log.
    pub log_records: u64,
    /// Behaviour events among them.
    pub events: u64,
    /// Items whose counters were compared.
    pub items: u64,
    /// Rows of all tables that were compared.
    pub rows: u64,
    /// Differences.
    pub mismatch_count: u64,
    /// The first of them, described.
    pub mismatches: Vec<String>,
}

/// Recounts the last commit's state from the log and compares; the store may be in use.
///
/// # Errors
/// Where the store fails or a record does not decode (which is not a mismatch: the file is
/// damaged).
pub fn verify(store: &dyn Store) -> Result<Report, StoreError> {
    let snapshot = store.read()?;
    let recount = recount(&*snapshot, stored_hot_config(&*snapshot)?)?;
    Comparison::run(&*snapshot, recount)
}

/// The hot score's parameters that the stored sums were made with.
pub(crate) fn stored_hot_config(snapshot: &dyn Snapshot) -> Result<HotConfig, StoreError> {
    let stored = read::get::<HotConfig>(snapshot, Table::Meta, keys::HOT_CONFIG)?;
    Ok(stored.unwrap_or_else(|| RankingConfig::default().hot))
}

/// Replays the whole log.
pub(crate) fn recount(snapshot: &dyn Snapshot, config: HotConfig) -> Result<Recount, StoreError> {
    let mut recount = Recount::new(config);
    snapshot.scan(Table::Log, &Range::all(), &mut |key, value| {
        let seq = read::key_u64(Table::Log, key, 0)?;
        recount.apply(seq, LogRecord::decode(Table::Log, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(recount)
}
