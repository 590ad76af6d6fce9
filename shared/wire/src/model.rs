//! The model snapshot: what the model pointer names, immutable under its version.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_ranking::RankingConfig;
use edgewise_ranking::feature::schema_hash;

use crate::codec::frame::Format;
use crate::codec::{Reader, Writer};
use crate::decode::DecodeError;
use crate::limits::{
    CONFIG_BYTES_MAX, CONFIGS_MAX, MODEL_VERSION_BYTES_MAX, SNAPSHOT_BYTES_MAX,
    SNAPSHOT_RAW_BYTES_MAX,
};

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

const FORMAT: Format = Format {
    magic: "EWM1",
    version: 1,
    bytes_max: SNAPSHOT_BYTES_MAX,
    raw_bytes_max: SNAPSHOT_RAW_BYTES_MAX,
};

impl ModelSnapshot {
    /// The snapshot's bytes: magic `EWM1`, the configurations as JSON; at most the 32 first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let configs = self.configs.get(..CONFIGS_MAX).unwrap_or(&self.configs);
        let mut out = Writer::default();
        out.text(&self.version);
        out.len(configs.len());
        for config in configs {
            out.text(&config.to_json());
        }
        FORMAT.seal(self.schema_hash, &out.finish())
    }

    /// Reads what [`ModelSnapshot::encode`] wrote for this build's feature table.
    ///
    /// # Errors
    ///
    /// Anything else is refused by name; no bytes panic or reserve more than the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_payload(FORMAT.open(schema_hash(), bytes)?.bytes())
    }

    /// Reads the frame's payload.
    pub(crate) fn from_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(payload);
        let version = input.text("version", MODEL_VERSION_BYTES_MAX)?;
        let len = input.len("configurations", CONFIGS_MAX)?;
        let mut configs = Vec::with_capacity(len);
        for _ in 0..len {
            let json = input.text("configuration", CONFIG_BYTES_MAX)?;
            let config = RankingConfig::from_json(&json);
            configs.push(config.map_err(|error| DecodeError::Config(error.to_string()))?);
        }
        input.end()?;
        Ok(Self {
            version,
            schema_hash: schema_hash(),
            configs,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    #[test]
    fn a_snapshot_comes_back_and_a_changed_one_is_refused() {
        let snapshot = samples::snapshot();
        let bytes = snapshot.encode();
        assert_eq!(ModelSnapshot::decode(&bytes), Ok(snapshot));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(ModelSnapshot::decode(&flipped).is_err(), "byte {at}");
            assert!(ModelSnapshot::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_snapshot_for_another_feature_table_is_refused() {
        let other = ModelSnapshot {
            schema_hash: 1,
            ..samples::snapshot()
        };
        let error = DecodeError::SchemaMismatch {
            found: 1,
            expected: schema_hash(),
        };
        assert_eq!(ModelSnapshot::decode(&other.encode()), Err(error));
    }

    #[test]
    fn a_configuration_that_is_not_one_is_refused_by_its_reason() {
        let mut out = Writer::default();
        out.text("v");
        out.len(1);
        out.text("{\"name\": 5}");
        let refused = ModelSnapshot::from_payload(&out.finish());
        assert!(
            matches!(refused, Err(DecodeError::Config(_))),
            "{refused:?}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (ModelSnapshot::decode(&bytes), ModelSnapshot::from_payload(&bytes));
        }
    }
}
