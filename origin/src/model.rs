//! What scores: the ranking configuration that serves, as model snapshot and pointer.

use std::sync::Arc;

use bytes::Bytes;
use edgewise_ranking::config::{FORMULA, VECTORS};
use edgewise_ranking::{Head, Model, RankingConfig, feature, id_hash};
use edgewise_wire::decode::DecodeError;
use edgewise_wire::model::ModelSnapshot;
use edgewise_wire::overlay::ModelPointer;
use xxhash_rust::xxh3::xxh3_64;

use crate::vectors::Vectors;

/// The model that serves; immutable while the process runs.
#[derive(Clone, Debug)]
pub struct ServingModel {
    /// Version, named in every answer.
    pub model: Model,
    /// Weights, caps and windows.
    pub config: Arc<RankingConfig>,
    /// The snapshot that edges load.
    pub snapshot: Bytes,
    /// Vectors of users and items; bundles carry what ranking needs of them.
    pub vectors: Arc<Vectors>,
}

impl ServingModel {
    /// This configuration with these trees. The version is the same for the same
    /// configuration and trees in every process: `formula-1` is the seed's.
    ///
    /// # Errors
    ///
    /// The snapshot is more than edges take.
    pub fn new(config: RankingConfig, heads: Vec<Head>) -> Result<Self, DecodeError> {
        let version = if !heads.is_empty() {
            // Of what the trees are, not of where their files lie.
            let unnamed = ModelSnapshot {
                version: String::new(),
                schema_hash: feature::schema_hash(),
                configs: vec![config.clone()],
                heads: heads.clone(),
            };
            format!("trees-{:016x}", xxh3_64(&unnamed.encode()))
        } else if config == RankingConfig::default() {
            "formula-1".to_owned()
        } else {
            format!("formula-{:016x}", id_hash(&config.to_json()))
        };
        let snapshot = ModelSnapshot {
            version: version.clone(),
            schema_hash: feature::schema_hash(),
            configs: vec![config.clone()],
            heads: heads.clone(),
        };
        let snapshot = Bytes::from(snapshot.encode());
        ModelSnapshot::decode(&snapshot)?;
        Ok(Self {
            model: Model { version, heads },
            config: Arc::new(config),
            snapshot,
            vectors: Arc::default(),
        })
    }

    /// The same with these vectors.
    #[must_use]
    pub fn with_vectors(self, vectors: Vectors) -> Self {
        let vectors = Arc::new(vectors);
        Self { vectors, ..self }
    }

    /// Heads that the configuration's blend names and the model lacks.
    pub fn missing_heads(&self) -> impl Iterator<Item = &str> {
        let blend = self.config.blend.iter().map(|head| head.name.as_str());
        blend.filter(|&name| {
            ![FORMULA, VECTORS].contains(&name)
                && !self.model.heads.iter().any(|head| head.name == name)
        })
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
