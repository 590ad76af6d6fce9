//! JSON bodies that the origin stores and the edge limits and filters.

use alloc::string::{String, ToString as _};

use edgewise_ranking::id_hash;
use edgewise_wire::overlay::Overlay;

/// A stored body that is not what it should be. Nothing of it reaches a client.
#[derive(Debug, thiserror::Error)]
#[error("stored {what} cannot be read: {detail}")]
pub struct StoredError {
    /// What was stored.
    pub what: &'static str,
    /// Why it cannot be read, for the log.
    pub detail: String,
}

impl StoredError {
    pub(crate) fn of(what: &'static str) -> impl Fn(serde_json::Error) -> Self {
        move |error| Self {
            what,
            detail: error.to_string(),
        }
    }

    /// `name` is absent, or is not what it should be.
    pub(crate) fn field(what: &'static str, name: &'static str) -> Self {
        Self {
            what,
            detail: alloc::format!("no usable field {name}"),
        }
    }
}

/// Whether the overlay says that the item with this id was deleted.
pub(crate) fn is_dead(overlay: Option<&Overlay>, id: &str) -> bool {
    overlay.is_some_and(|overlay| overlay.tombstones.binary_search(&id_hash(id)).is_ok())
}
