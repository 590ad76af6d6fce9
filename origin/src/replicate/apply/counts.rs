//! How many changes of rows, by table and operation.

use crate::ingest::rows::{RowOp, TableId};

/// Operations as the metrics name them, in the order of [`Counts`]' numbers.
pub const OPERATIONS: [&str; 4] = ["put", "patch", "remove", "clear"];

/// Changes by table and operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Vec<(TableId, [u64; OPERATIONS.len()])>);

impl Counts {
    /// Counts a change.
    pub fn add(&mut self, table: TableId, op: &RowOp) {
        let operation = match op {
            RowOp::Put(_) => 0,
            RowOp::Patch(..) => 1,
            RowOp::Remove => 2,
            RowOp::Clear => 3,
        };
        // A source has few tables, and the next change is mostly of the same one.
        let known = self.0.iter().rposition(|(known, _)| *known == table);
        let index = known.unwrap_or_else(|| {
            self.0.push((table, [0; OPERATIONS.len()]));
            self.0.len() - 1
        });
        if let Some((_, counts)) = self.0.get_mut(index) {
            counts[operation] += 1;
        }
    }

    /// Changes of all tables.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().flat_map(|(_, counts)| counts).sum()
    }

    /// By table, in the order of [`OPERATIONS`].
    pub fn tables(&self) -> impl Iterator<Item = (TableId, [u64; OPERATIONS.len()])> + '_ {
        self.0.iter().copied()
    }
}
