//! Why changes could not be applied.

use crate::ingest::WriteError;

/// Why an applier takes nothing any more. Nothing is lost: whoever connects again with a new
/// applier starts from the stored checkpoint.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    /// Somebody else moved the checkpoint.
    #[error(
        "the checkpoint {checkpoint} of source {source_name} was moved by somebody else: see that only one edgewise process follows this source"
    )]
    Conflict {
        /// The source.
        source_name: String,
        /// Its checkpoint.
        checkpoint: String,
    },
    /// The store did not take a batch.
    #[error(
        "the store took no changes of source {source_name}: see that its disk has room and works, then start again"
    )]
    Store {
        /// The source.
        source_name: String,
        /// Why.
        #[source]
        cause: WriteError,
    },
}

impl ApplyError {
    /// Whether a new applier in this process may do better.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        // The writer gives up for good after a commit that failed for good.
        matches!(self, Self::Conflict { .. })
    }
}
