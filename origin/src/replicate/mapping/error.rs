//! What can be wrong with a mapping.

/// Why a mapping does not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// A dead letter cannot be read back.
    #[error("the dead letter of {table} cannot be replayed: {reason}")]
    Letter {
        /// The mapped table.
        table: String,
        /// Why.
        reason: String,
    },
}
