//! Puts an ensemble together, within the limits from the first tree on.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use edgewise_ranking::trees::{
    CATEGORY_WORDS_MAX, Ensemble, FEATURES_MAX, LEAVES_MAX, LEAVES_TOTAL_MAX, Library, TREES_MAX,
    Test, Tree,
};

use super::{Format, ImportError, Imported, Names};

/// An ensemble in the making.
pub(super) struct Builder {
    pub(super) ensemble: Ensemble,
    /// From a feature's index in the file to its index in the ensemble.
    features: BTreeMap<u32, u16>,
    leaves: usize,
}

impl Builder {
    pub(super) fn new(library: Library) -> Self {
        Self {
            ensemble: Ensemble {
                library,
                ..Ensemble::default()
            },
            features: BTreeMap::new(),
            leaves: 0,
        }
    }

    /// The ensemble's index of the file's feature `index`.
    pub(super) fn feature(&mut self, index: i64) -> Result<u16, ImportError> {
        let index = u32::try_from(index).map_err(|_| {
            ImportError::value("a split's feature", &alloc::format!("{index}"), "an index")
        })?;
        let next = self.features.len();
        if let Some(&known) = self.features.get(&index) {
            return Ok(known);
        }
        match u16::try_from(next) {
            Ok(new) if next < FEATURES_MAX => {
                self.features.insert(index, new);
                Ok(new)
            }
            _ => Err(ImportError::too_many("features", next + 1, FEATURES_MAX)),
        }
    }

    /// A test for a set of categories, given as bits, 32 a word.
    pub(super) fn one_of(&mut self, words: &[u32], nan_left: bool) -> Result<Test, ImportError> {
        let used = words
            .iter()
            .rposition(|&word| word != 0)
            .map_or(0, |last| last + 1);
        let first = self.ensemble.categories.len();
        let all = first + used;
        let many = |count, max| ImportError::too_many("words of categories", count, max);
        let set = u16::try_from(used).map_err(|_| many(used, usize::from(u16::MAX)))?;
        if all > CATEGORY_WORDS_MAX {
            return Err(many(all, CATEGORY_WORDS_MAX));
        }
        let words = words.get(..used).unwrap_or_default();
        self.ensemble.categories.extend_from_slice(words);
        Ok(Test::OneOf {
            first: u32::try_from(first).expect("the limit is below 2^32"),
            words: set,
            nan_left,
        })
    }

    /// Adds the next tree.
    pub(super) fn push(&mut self, tree: Tree) -> Result<(), ImportError> {
        let trees = self.ensemble.trees.len() + 1;
        if trees > TREES_MAX {
            return Err(ImportError::too_many("trees", trees, TREES_MAX));
        }
        leaves_allowed(tree.leaves.len())?;
        self.leaves += tree.leaves.len();
        if self.leaves > LEAVES_TOTAL_MAX {
            return Err(ImportError::too_many(
                "leaves of all trees",
                self.leaves,
                LEAVES_TOTAL_MAX,
            ));
        }
        self.ensemble.trees.push(tree);
        Ok(())
    }

    /// Ties features to the feature table by the names that `named` gives for indices of the
    /// file, in rising order, and checks all.
    pub(super) fn finish(
        mut self,
        format: Format,
        objective: String,
        names: Names<'_>,
        mut named: impl FnMut(u32) -> Result<String, ImportError>,
    ) -> Result<Imported, ImportError> {
        let mut features = vec![String::new(); self.features.len()];
        self.ensemble.features = vec![0; self.features.len()];
        for (&index, &at) in &self.features {
            let name = named(index)?;
            let known = names(&name).ok_or_else(|| ImportError::unknown_feature(&name))?;
            if let (Some(feature), Some(slot)) = (
                self.ensemble.features.get_mut(usize::from(at)),
                features.get_mut(usize::from(at)),
            ) {
                *feature = known;
                *slot = name;
            }
        }
        if self.ensemble.trees.is_empty() {
            return Err(ImportError::Missing { field: "a tree" });
        }
        self.ensemble.check()?;
        Ok(Imported {
            ensemble: self.ensemble,
            format,
            objective,
            features,
        })
    }
}

/// Refuses trees of too many leaves before they are built.
pub(super) fn leaves_allowed(leaves: usize) -> Result<(), ImportError> {
    if leaves > LEAVES_MAX {
        return Err(ImportError::too_many(
            "leaves of a tree",
            leaves,
            LEAVES_MAX,
        ));
    }
    Ok(())
}

/// Sets bit `category` of `words`, which grow to hold it.
pub(super) fn set_category(words: &mut Vec<u32>, category: u32) -> Result<(), ImportError> {
    let word = (category / 32) as usize;
    // A node names its words with 16 bits.
    let max = usize::from(u16::MAX);
    if word >= max {
        return Err(ImportError::too_many("words of categories", word + 1, max));
    }
    if words.len() <= word {
        words.resize(word + 1, 0);
    }
    if let Some(bits) = words.get_mut(word) {
        *bits |= 1 << (category % 32);
    }
    Ok(())
}

/// The largest `f32` that is at most `value`.
pub(super) fn round_down(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) > value {
        nearest.next_down()
    } else {
        nearest
    }
}
