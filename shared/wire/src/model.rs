//! The model snapshot: what the model pointer names, immutable under its version.

mod heads;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
#[cfg(doc)]
use edgewise_ranking::config::BLEND_HEADS_MAX;
use edgewise_ranking::config::ConfigError;
use edgewise_ranking::feature::schema_hash;
use edgewise_ranking::{Head, RankingConfig};

use crate::codec::frame::Format;
use crate::codec::{Reader, Writer};
use crate::decode::DecodeError;
use crate::json;
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
    /// Its trees by objective, at most [`BLEND_HEADS_MAX`].
    pub heads: Vec<Head>,
}

const FORMAT: Format = Format {
    magic: "EWM1",
    version: 2,
    bytes_max: SNAPSHOT_BYTES_MAX,
    raw_bytes_max: SNAPSHOT_RAW_BYTES_MAX,
};

impl ModelSnapshot {
    /// The snapshot's bytes: magic `EWM1`, the configurations as JSON (at most the 32 first),
    /// the trees as columns. More than [`BLEND_HEADS_MAX`] heads do not decode.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let configs = self.configs.get(..CONFIGS_MAX).unwrap_or(&self.configs);
        let mut out = Writer::default();
        out.text(&self.version);
        out.len(configs.len());
        for config in configs {
            out.text(&config.to_json());
        }
        heads::write(&self.heads, &mut out);
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

    /// Reads URL-safe base64 without padding of what [`ModelSnapshot::encode`] wrote.
    ///
    /// # Errors
    ///
    /// As [`ModelSnapshot::decode`]; text that is no base64 is refused as such.
    pub fn from_base64(text: &str) -> Result<Self, DecodeError> {
        let bytes = URL_SAFE_NO_PAD.decode(text);
        Self::decode(&bytes.map_err(|_| DecodeError::OutOfRange("its base64"))?)
    }

    /// [`ModelSnapshot::encode`] as text, for [`ModelSnapshot::from_base64`].
    #[must_use]
    pub fn to_base64(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.encode())
    }

    /// Reads the frame's payload.
    pub(crate) fn from_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(payload);
        let version = input.text("version", MODEL_VERSION_BYTES_MAX)?;
        let len = input.len("configurations", CONFIGS_MAX)?;
        let mut configs = Vec::with_capacity(len);
        for _ in 0..len {
            let json = input.text("configuration", CONFIG_BYTES_MAX)?;
            let config = config_of(&json);
            configs.push(config.map_err(|error| DecodeError::Config(error.to_string()))?);
        }
        let heads = heads::read(&mut input)?;
        input.end()?;
        Ok(Self {
            version,
            schema_hash: schema_hash(),
            configs,
            heads,
        })
    }
}

/// As [`RankingConfig::from_json`], through the one parser of edge.wasm.
fn config_of(json: &str) -> Result<RankingConfig, ConfigError> {
    let value = json::value(json.as_bytes());
    RankingConfig::from_value(&value.map_err(|error| ConfigError::Json(error.to_string()))?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use edgewise_ranking::config::BLEND_HEADS_MAX;
    use edgewise_ranking::trees::Child;

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
    fn trees_that_are_none_are_refused() {
        let bad = |change: fn(&mut edgewise_ranking::trees::Ensemble)| {
            let mut ensemble = samples::ensemble();
            change(&mut ensemble);
            let mut out = Writer::default();
            out.text("v");
            out.len(0);
            out.len(1);
            out.text("click");
            heads::write_ensemble(&ensemble, &mut out);
            ModelSnapshot::from_payload(&out.finish())
                .map(|_| ())
                .unwrap_err()
                .to_string()
        };
        let cycle = bad(|ensemble| ensemble.trees[0].nodes[1].left = Child::Node(0));
        assert_eq!(cycle, "trees are refused: tree 0: the root is a child");
        let nan = bad(|ensemble| ensemble.trees[0].leaves[0] = f64::NAN);
        assert_eq!(nan, "trees are refused: tree 0: a leaf is not finite");
        let feature = bad(|ensemble| ensemble.features[1] = 999);
        assert_eq!(feature, "features is out of range");
        let base = bad(|ensemble| ensemble.base = f64::INFINITY);
        assert!(base.contains("base margin"), "{base}");
    }

    #[test]
    fn too_many_heads_are_refused_and_not_cut() {
        let head = samples::snapshot().heads.remove(0);
        let snapshot = ModelSnapshot {
            heads: alloc::vec![head; BLEND_HEADS_MAX + 1],
            ..samples::snapshot()
        };
        let refused = ModelSnapshot::decode(&snapshot.encode());
        assert!(
            matches!(refused, Err(DecodeError::TooMany { what: "heads", .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn a_text_of_base64_comes_back() {
        let snapshot = samples::snapshot();
        assert_eq!(
            ModelSnapshot::from_base64(&snapshot.to_base64()),
            Ok(snapshot)
        );
        assert!(ModelSnapshot::from_base64("not base64!").is_err());
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
