//! Ranking configurations by model version; what the overlay's pointer names is served once
//! it was loaded, until then what was served before.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_ranking::{Model, RankingConfig, id_hash};
use edgewise_wire::decode::DecodeError;
use edgewise_wire::model::ModelSnapshot;
use edgewise_wire::overlay::ModelPointer;

use crate::limits::MODELS_MAX;

/// Version of the seed configuration, the same at the origin.
const SEED_VERSION: &str = "formula-1";

/// A model and the configuration it is served with.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) model: Model,
    pub(crate) config: RankingConfig,
    /// The snapshot as fetched, for packs; empty for the seed.
    pub(crate) encoded: Vec<u8>,
}

impl Served {
    /// The formula with its default configuration, the same at the origin.
    pub(crate) fn seed() -> Self {
        Self {
            model: Model::formula(SEED_VERSION),
            config: RankingConfig::default(),
            encoded: Vec::new(),
        }
    }

    /// The model of a snapshot with its default arm; `None` where it has no configuration.
    ///
    /// # Errors
    /// The bytes are no snapshot for this build's features.
    pub(crate) fn decode(snapshot: &[u8]) -> Result<Option<Self>, DecodeError> {
        let found = ModelSnapshot::decode(snapshot)?;
        let (version, heads) = (found.version, found.heads);
        let config = found.configs.into_iter().next();
        Ok(config.map(|config| Self {
            model: Model { version, heads },
            config,
            encoded: snapshot.to_vec(),
        }))
    }
}

/// Models this isolate knows.
#[derive(Debug)]
pub(crate) struct Models {
    seed: Served,
    known: Vec<Served>,
    stable: String,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            seed: Served::seed(),
            known: Vec::new(),
            stable: String::new(),
        }
    }
}

impl Models {
    /// Whether `version` need not be fetched.
    pub(crate) fn has(&self, version: &str) -> bool {
        version.is_empty() || self.find(version).is_some()
    }

    fn find(&self, version: &str) -> Option<&Served> {
        if version == self.seed.model.version {
            return Some(&self.seed);
        }
        self.known
            .iter()
            .find(|served| served.model.version == version)
    }

    /// Versions the pointer names that are not here.
    pub(crate) fn missing<'p>(&self, pointer: &'p ModelPointer) -> Option<&'p str> {
        let canary = pointer
            .canary
            .as_deref()
            .filter(|_| pointer.canary_permille > 0);
        [Some(pointer.stable.as_str()), canary]
            .into_iter()
            .flatten()
            .find(|version| !self.has(version))
    }

    /// Serves what the pointer names from now on, as far as it is here.
    pub(crate) fn follow(&mut self, pointer: &ModelPointer) {
        if self.stable != pointer.stable && self.has(&pointer.stable) {
            self.stable = pointer.stable.to_string();
        }
    }

    /// Keeps a loaded model; the oldest goes.
    pub(crate) fn insert(&mut self, model: Served) {
        let version = &model.model.version;
        self.known.retain(|served| served.model.version != *version);
        if self.known.len() >= MODELS_MAX {
            let stable = &self.stable;
            let oldest = self
                .known
                .iter()
                .position(|served| served.model.version != *stable);
            self.known.remove(oldest.unwrap_or(0));
        }
        self.known.push(model);
    }

    /// The model of this user: the canary's for its share of users, else the stable one.
    pub(crate) fn serving(&self, pointer: Option<&ModelPointer>, user: Option<&str>) -> &Served {
        let in_canary = |pointer: &&ModelPointer| {
            user.is_some_and(|user| id_hash(user) % 1_000 < u64::from(pointer.canary_permille))
        };
        let canary = pointer
            .filter(in_canary)
            .and_then(|pointer| pointer.canary.as_deref());
        canary
            .and_then(|version| self.find(version))
            .or_else(|| self.find(&self.stable))
            .unwrap_or(&self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(version: &str) -> Served {
        Served {
            model: Model::formula(version),
            ..Served::seed()
        }
    }

    fn pointer(stable: &str) -> ModelPointer {
        ModelPointer {
            stable: stable.into(),
            ..ModelPointer::default()
        }
    }

    #[test]
    fn the_old_model_serves_until_the_new_one_is_here() {
        let mut models = Models::default();
        let seed = models.serving(None, None).model.version.clone();
        models.follow(&pointer("m2"));
        assert_eq!(models.missing(&pointer("m2")), Some("m2"));
        assert_eq!(models.serving(None, None).model.version, seed);
        models.insert(served("m2"));
        models.follow(&pointer("m2"));
        assert_eq!(models.serving(None, None).model.version, "m2");
        assert_eq!(models.missing(&pointer("m2")), None);
        models.follow(&pointer(&seed));
        assert_eq!(
            models.serving(None, None).model.version,
            seed,
            "a rollback is a pointer"
        );
    }

    #[test]
    fn the_canary_takes_its_share() {
        let mut models = Models::default();
        models.insert(served("c"));
        let pointer = ModelPointer {
            canary: Some("c".into()),
            canary_permille: 100,
            ..ModelPointer::default()
        };
        let users = (0..10_000).map(|index| alloc::format!("u{index}"));
        let in_canary = users
            .filter(|user| models.serving(Some(&pointer), Some(user)).model.version == "c")
            .count();
        assert!((800..1_200).contains(&in_canary), "{in_canary}");
    }

    #[test]
    fn models_are_bounded() {
        let mut models = Models::default();
        for index in 0..20 {
            models.insert(served(&alloc::format!("{index}")));
        }
        assert_eq!(models.known.len(), MODELS_MAX);
    }
}
