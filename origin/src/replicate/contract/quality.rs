//! What is measured of a table.

use crate::replicate::mapping::BoundTable;

/// Measures of a table against its contract, in bounded memory.
#[derive(Clone, Debug)]
pub struct TableQuality {
    source: String,
}

impl TableQuality {
    /// Nothing measured yet; `now_ms` is wall time.
    #[must_use]
    pub fn new(source: &str, _bound: &BoundTable, _now_ms: i64) -> Self {
        Self {
            source: source.to_owned(),
        }
    }

    /// The source's name.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// A row was deleted at the source.
    pub fn deleted(&mut self, _at_ms: i64) {}

    /// Measures and breaches at wall time `now_ms`, for status.
    #[must_use]
    pub fn report(&self, _now_ms: i64) -> serde_json::Value {
        unimplemented!("follows")
    }

    /// Writes the contract's gauges and counters.
    pub fn publish(&mut self, _now_ms: i64) {}
}
