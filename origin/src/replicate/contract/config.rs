//! `[source.table.contract]`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::rules::check_column;
use crate::replicate::mapping::MappingError;

/// What must hold of a table. A row that breaks a column's rule is refused; what is said of
/// the table is measured and exposed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContractConfig {
    /// `[source.table.contract.columns.<column>]`.
    pub columns: BTreeMap<String, ColumnRules>,
    /// Columns whose values should be unique; measured, never a reason to refuse.
    pub unique: Vec<String>,
    /// The table should change at least this often, s.
    pub freshness_s: u64,
    /// Largest share of NULLs of a mapped column.
    pub max_null_ratio: f64,
    /// Largest skew: rows of the heaviest key over the mean rows of a key.
    pub max_skew: f64,
    /// Column whose skew is measured; default the author of items, the user of follows and
    /// events.
    pub skew_column: Option<String>,
    /// Rows delivered in an hour.
    pub rows_per_hour: Volume,
    /// Smallest quality score, 0 to 100.
    pub min_quality: f64,
}

impl Default for ContractConfig {
    fn default() -> Self {
        Self {
            columns: BTreeMap::new(),
            unique: Vec::new(),
            freshness_s: 6 * 3_600,
            max_null_ratio: 0.3,
            max_skew: 10.0,
            skew_column: None,
            rows_per_hour: Volume::default(),
            min_quality: 70.0,
        }
    }
}

/// Rules of a column; each row must keep them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnRules {
    /// `integer`, `number`, `boolean`, `text`, `time` or `json`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Smallest number.
    pub min: Option<f64>,
    /// Largest number.
    pub max: Option<f64>,
    /// The values there are.
    pub one_of: Vec<Scalar>,
    /// Longest text, characters.
    pub max_length: Option<u32>,
    /// Largest share of NULLs, instead of the table's.
    pub max_null_ratio: Option<f64>,
}

/// A value of `one_of`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// A range of rows per hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Volume {
    /// At least.
    pub min: Option<u64>,
    /// At most.
    pub max: Option<u64>,
}

/// Most columns of `unique`: each takes memory.
pub const UNIQUE_MAX: usize = 8;

impl ContractConfig {
    /// Whether it can hold at all; `table` is named where it cannot.
    pub(crate) fn check(&self, table: &str) -> Result<(), MappingError> {
        for (column, rules) in &self.columns {
            check_column(table, column, rules)?;
        }
        let rules: [(&str, String, bool, &str); 6] = [
            (
                "unique",
                format!("a list of {}", self.unique.len()),
                self.unique.len() <= UNIQUE_MAX,
                "at most 8 columns",
            ),
            (
                "freshness_s",
                self.freshness_s.to_string(),
                (1..=31_536_000).contains(&self.freshness_s),
                "1 to 31536000 (a year)",
            ),
            (
                "max_null_ratio",
                self.max_null_ratio.to_string(),
                (0.0..=1.0).contains(&self.max_null_ratio),
                "0 to 1",
            ),
            (
                "max_skew",
                self.max_skew.to_string(),
                self.max_skew >= 1.0,
                "at least 1",
            ),
            (
                "min_quality",
                self.min_quality.to_string(),
                (0.0..=100.0).contains(&self.min_quality),
                "0 to 100",
            ),
            (
                "rows_per_hour.min",
                format!("{:?}", self.rows_per_hour.min),
                self.rows_per_hour.min.unwrap_or(0) <= self.rows_per_hour.max.unwrap_or(u64::MAX),
                "at most rows_per_hour.max",
            ),
        ];
        for (key, given, holds, allowed) in rules {
            if !holds {
                return Err(MappingError::Invalid {
                    table: table.to_owned(),
                    key: format!("contract.{key}"),
                    given,
                    allowed: allowed.to_owned(),
                });
            }
        }
        Ok(())
    }
}
