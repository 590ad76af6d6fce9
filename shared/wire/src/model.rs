//! The model snapshot: what the model pointer names, immutable under its version.

use alloc::string::String;
use alloc::vec::Vec;
use edgewise_ranking::RankingConfig;

/// A versioned set of ranking configurations for one feature table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelSnapshot {
    /// Its immutable version.
    pub version: String,
    /// Hash of the feature table it was made for.
    pub schema_hash: u64,
    /// Its configurations; the first is the default arm.
    pub configs: Vec<RankingConfig>,
}

impl ModelSnapshot {
    /// Bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Reads.
    ///
    /// # Errors
    ///
    /// Why.
    pub fn decode(_bytes: &[u8]) -> Result<Self, crate::DecodeError> {
        Err(crate::DecodeError::Checksum)
    }
}
