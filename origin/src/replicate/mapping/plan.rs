//! Plans, and plans bound to a table.

use super::{Column, Mapped, MappingError, Violation};
use crate::ingest::rows::RowKey;
use crate::replicate::config::{TableConfig, Target};
use crate::replicate::value::Value;

/// A mapped table, compiled from its configuration.
#[derive(Clone, Debug)]
pub struct TablePlan {}

impl TablePlan {
    /// Compiles an entry.
    ///
    /// # Errors
    ///
    /// Names the first field or expression that is wrong.
    pub fn compile(_table: &TableConfig) -> Result<Self, MappingError> {
        unimplemented!("follows")
    }

    /// The entry's name (`public.posts->items`).
    #[must_use]
    pub fn name(&self) -> &str {
        unimplemented!("follows")
    }

    /// The source's table (`public.posts`) or topic.
    #[must_use]
    pub fn table(&self) -> &str {
        unimplemented!("follows")
    }

    /// What its rows are.
    #[must_use]
    pub fn target(&self) -> Target {
        unimplemented!("follows")
    }

    /// The columns it names, the key's of the configuration included.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        unimplemented!("follows")
    }

    /// The configured key; empty where it is taken from the catalogue.
    #[must_use]
    pub fn key_columns(&self) -> &[String] {
        unimplemented!("follows")
    }

    /// The watermark column (`mode = "poll"`).
    #[must_use]
    pub fn watermark(&self) -> Option<&str> {
        unimplemented!("follows")
    }

    /// Fits the plan to the table as it is now.
    ///
    /// # Errors
    ///
    /// Every column that is missing, ambiguous or of a type that cannot be read.
    pub fn bind(&self, _columns: &[Column]) -> Result<BoundTable, Vec<MappingError>> {
        unimplemented!("follows")
    }
}

/// A mapped column that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnChange {
    /// The column.
    pub column: String,
    /// Its type before.
    pub was: String,
    /// Its type now; `None` = it is gone.
    pub now: Option<String>,
}

/// A plan bound to a table's columns; cheap to clone.
#[derive(Clone, Debug)]
pub struct BoundTable {}

impl BoundTable {
    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &TablePlan {
        unimplemented!("follows")
    }

    /// Names of the columns it reads, in plan order.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        unimplemented!("follows")
    }

    /// Names of the key's columns.
    #[must_use]
    pub fn key_columns(&self) -> &[String] {
        unimplemented!("follows")
    }

    /// For each column it reads its index in what [`TablePlan::bind`] was given: values are
    /// delivered in this order.
    #[must_use]
    pub fn sources(&self) -> &[usize] {
        unimplemented!("follows")
    }

    /// The key of a plan-ordered row; only key columns are looked at.
    ///
    /// # Errors
    ///
    /// A key column is NULL, was not sent or cannot be read.
    pub fn key(&self, _row: &[Value<'_>]) -> Result<RowKey, Violation> {
        unimplemented!("follows")
    }

    /// The key for people: `id=7`.
    #[must_use]
    pub fn key_text(&self, _row: &[Value<'_>]) -> String {
        unimplemented!("follows")
    }

    /// Maps a plan-ordered row and checks its contract.
    #[must_use]
    pub fn map(&self, _row: &[Value<'_>]) -> Mapped {
        unimplemented!("follows")
    }

    /// The mapped columns that the table, as it is now, no longer has as they were.
    #[must_use]
    pub fn changed(&self, _now: &[Column]) -> Vec<ColumnChange> {
        unimplemented!("follows")
    }
}
