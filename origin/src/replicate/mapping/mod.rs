//! From a source's rows to facts: which column is which field, which rows count.
//!
//! A [`TablePlan`] is compiled from the mapping file alone. [`TablePlan::bind`] fits it to the
//! table's columns as they are now; the [`BoundTable`] then turns rows into facts. Nothing
//! here does I/O, reads a clock or panics: what a row cannot be is a [`Violation`].

mod bind;
pub(crate) mod column;
mod deliver;
mod error;
pub(crate) mod expression;
mod field;
mod key;
#[cfg(test)]
mod laws;
mod letter;
mod map;
mod plan;
pub(crate) mod read;
#[cfg(test)]
mod tests;

use edgewise_wire::api::Item;

use crate::ingest::rows::{Fact, Kept};

pub use bind::{BoundTable, ColumnChange};
pub use column::Column;
pub use deliver::{NO_ROW, deliver, refuse};
pub use error::MappingError;
pub(crate) use field::Slot;
pub use letter::{LETTER_BYTES_MAX, row_of_letter};
pub use map::Notes;
pub use plan::{COLUMNS_MAX, NAME_BYTES_MAX, TablePlan};

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
    /// Which rule: `type`, `not_null`, `range`, `one_of`, `max_length`, `unchanged`, `utf8`,
    /// `id`, `time`, `limit`, `key`, `expression` or `shape`.
    pub rule: &'static str,
    /// The column, or the field where an expression makes it.
    pub column: String,
    /// What is wrong, with the remedy: a sentence.
    pub reason: String,
}
