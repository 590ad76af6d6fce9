//! Schema contracts: what an operator promises about a table's rows, checked row by row and
//! measured over the table.

mod config;
mod quality;

pub use config::{ColumnRules, ContractConfig, Scalar, Volume};
pub use quality::TableQuality;
