//! Warming from outside a request: a host copies a bundle from the origin into its key-value
//! store, in the form in which the core will find it there.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::resource::Resource;
use crate::store::envelope;

/// A user's bundle on its way into the key-value store.
///
/// ```
/// use edgewise_edge_core::warm::WarmBundle;
///
/// let bundle = WarmBundle::of("ann");
/// assert_eq!(bundle.path(), "/internal/v1/candidates/ann");
/// assert_eq!(bundle.key(), "candidates/ann");
/// assert_eq!(bundle.stored(1_700_000_000_000, b"bytes").len(), 12 + 5);
/// ```
#[derive(Clone, Debug)]
pub struct WarmBundle(Resource);

impl WarmBundle {
    /// Of this user.
    #[must_use]
    pub fn of(user: &str) -> Self {
        Self(Resource::Bundle {
            user: user.to_string(),
        })
    }

    /// Where the origin has it: path and query.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// Key in the key-value store.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.key()
    }

    /// The value to store of the origin's bytes, fetched at wall time `now_ms` (Unix ms).
    #[must_use]
    pub fn stored(&self, now_ms: i64, bytes: &[u8]) -> Vec<u8> {
        envelope::wrap(now_ms, envelope::kind_of(&self.0, &self.key()), bytes)
    }
}
