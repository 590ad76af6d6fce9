//! Schema contracts: what an operator promises about a table's rows, checked row by row and
//! measured over the table.
//!
//! A row that breaks a column's rule is refused ([`mapping`](super::mapping)): a dead letter,
//! never counted. What is said of the whole table is measured by [`TableQuality`].

mod config;
pub mod metrics;
mod quality;
mod rules;
mod sketch;
#[cfg(test)]
mod tests;
mod window;

pub use config::{ColumnRules, ContractConfig, Scalar, UNIQUE_MAX, Volume};
pub use quality::TableQuality;
pub(crate) use rules::Rules;
