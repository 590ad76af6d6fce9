//! JSON bodies that the origin stores and the edge limits and filters.

use alloc::string::{String, ToString as _};

use edgewise_ranking::id_hash;
use edgewise_wire::overlay::Overlay;
use serde::Deserialize;

/// A stored body that is not what it should be. Nothing of it reaches a client.
#[derive(Debug, thiserror::Error)]
#[error("stored {what} cannot be read: {detail}")]
pub struct StoredError {
    /// What was stored.
    pub what: &'static str,
    /// Why it cannot be read, for the log.
    pub detail: String,
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(
    what: &'static str,
    stored: &'a [u8],
) -> Result<T, StoredError> {
    serde_json::from_slice(stored).map_err(|error| StoredError {
        what,
        detail: error.to_string(),
    })
}

/// Whether the overlay says that the item with this id was deleted.
pub(crate) fn is_dead(overlay: Option<&Overlay>, id: &str) -> bool {
    overlay.is_some_and(|overlay| overlay.tombstones.binary_search(&id_hash(id)).is_ok())
}
