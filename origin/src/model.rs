//! What scores: the ranking configuration that serves, as model snapshot and pointer.

use std::sync::Arc;

use bytes::Bytes;
use edgewise_ranking::{Model, RankingConfig, feature, id_hash};
use edgewise_wire::model::ModelSnapshot;
use edgewise_wire::overlay::ModelPointer;

/// The model that serves; immutable while the process runs.
#[derive(Clone, Debug)]
pub struct ServingModel {
    /// Version, named in every answer.
    pub model: Model,
    /// Weights, caps and windows.
    pub config: Arc<RankingConfig>,
    /// The snapshot that edges load.
    pub snapshot: Bytes,
}

impl ServingModel {
    /// The formula with this configuration. The version is the same for the same
    /// configuration in every process: `formula-1` is the seed's.
    #[must_use]
    pub fn new(config: RankingConfig) -> Self {
        let version = if config == RankingConfig::default() {
            "formula-1".to_owned()
        } else {
            format!("formula-{:016x}", id_hash(&config.to_json()))
        };
        let snapshot = ModelSnapshot {
            version: version.clone(),
            schema_hash: feature::schema_hash(),
            configs: vec![config.clone()],
            heads: Vec::new(),
        };
        let snapshot = Bytes::from(snapshot.encode());
        Self {
            model: Model::formula(&version),
            config: Arc::new(config),
            snapshot,
        }
    }

    /// The pointer that the overlay carries.
    #[must_use]
    pub fn pointer(&self) -> ModelPointer {
        let stable = self.model.version.clone();
        ModelPointer {
            stable,
            ..ModelPointer::default()
        }
    }
}
