//! Why a model file is refused.

use alloc::string::String;

use edgewise_ranking::trees::EnsembleError;

/// What is wrong with a model file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The file is larger than the limit.
    #[error("{len} bytes are more than the limit of {max}")]
    TooLarge {
        /// Bytes there are.
        len: usize,
        /// Bytes there may be.
        max: usize,
    },
    /// The file is something else.
    #[error("not a model file of LightGBM (text or JSON) or XGBoost (JSON or UBJSON)")]
    UnknownFormat,
    /// The bytes are not what the format calls for.
    #[error("{what} at byte {at}")]
    Syntax {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// The file lacks something.
    #[error("{field} is missing")]
    Missing {
        /// What it lacks.
        field: &'static str,
    },
    /// A field says what it cannot.
    #[error("{field} is {found:?}: {expected} is expected")]
    Value {
        /// The field.
        field: &'static str,
        /// What it says, cut to a readable length.
        found: String,
        /// What it may say.
        expected: &'static str,
    },
    /// The library can do this, this importer cannot.
    #[error("{what} {found:?} is not supported")]
    Unsupported {
        /// Which thing.
        what: &'static str,
        /// What the file has there, cut to a readable length.
        found: String,
    },
    /// A split reads a feature that the feature table does not have.
    #[error("the model reads the feature {name:?}, which the feature table does not have")]
    UnknownFeature {
        /// The feature's name in the file.
        name: String,
    },
    /// The trees are more than allowed, no trees, or hold numbers that are none.
    #[error(transparent)]
    Ensemble(#[from] EnsembleError),
}

/// Most characters of a file that an error repeats.
const FOUND_CHARS_MAX: usize = 80;

impl ImportError {
    pub(super) fn value(field: &'static str, found: &str, expected: &'static str) -> Self {
        let found = cut(found);
        Self::Value {
            field,
            found,
            expected,
        }
    }

    pub(super) fn unsupported(what: &'static str, found: &str) -> Self {
        let found = cut(found);
        Self::Unsupported { what, found }
    }

    pub(super) fn unknown_feature(name: &str) -> Self {
        Self::UnknownFeature { name: cut(name) }
    }

    pub(super) fn too_many(what: &'static str, count: usize, max: usize) -> Self {
        EnsembleError::TooMany { what, count, max }.into()
    }
}

fn cut(text: &str) -> String {
    text.chars().take(FOUND_CHARS_MAX).collect()
}
