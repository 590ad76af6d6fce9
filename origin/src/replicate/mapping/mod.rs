//! From a source's rows to facts: which column is which field, which rows count.
//!
//! A [`TablePlan`] is compiled from the mapping file alone. [`TablePlan::bind`] fits it to the
//! table's columns as they are now; the [`BoundTable`] then turns rows into facts. Nothing
//! here does I/O, reads a clock or panics: what a row cannot be is a [`Violation`].

mod column;
mod error;
mod plan;

use edgewise_wire::api::Item;

use super::contract::TableQuality;
use super::value::{OwnedValue, Value};
use crate::ingest::rows::{DeadLetter, Fact, Kept, RowChange, RowKey, TableId};

pub use column::Column;
pub use error::MappingError;
pub use plan::{BoundTable, ColumnChange, TablePlan};

/// What a row means.
#[derive(Clone, Debug, PartialEq)]
pub enum Mapped {
    /// The row says this.
    Put(Fact),
    /// The row says this, but the kept fields were not sent because they did not change.
    Patch(Box<Item>, Kept),
    /// The row is filtered out or soft-deleted.
    Remove,
    /// The row breaks its contract or cannot be read.
    Refused(Violation),
}

/// Why a row was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: &'static str,
    /// The column or field.
    pub column: String,
    /// What is wrong, with the remedy: a sentence.
    pub reason: String,
}

/// The key of a change that touches no row: a row whose key cannot be read has a dead letter
/// and this.
pub const NO_ROW: RowKey = RowKey::Hash(0);

/// Maps a full row (insert, update, first copy, replay), measures it, and says what to apply:
/// the change, and the dead letter where the row is refused.
#[must_use]
pub fn deliver(
    _bound: &BoundTable,
    _table: TableId,
    _row: &[Value<'_>],
    _position: &str,
    _quality: &mut TableQuality,
    _at_ms: i64,
) -> (RowChange, Option<DeadLetter>) {
    unimplemented!("follows")
}

/// The plan-ordered row of a dead letter's `columns`, for replay.
///
/// # Errors
///
/// The letter was cut, is not what [`deliver`] wrote, or lacks a column that is read now.
pub fn row_of_letter(_bound: &BoundTable, _columns: &str) -> Result<Vec<OwnedValue>, MappingError> {
    unimplemented!("follows")
}
