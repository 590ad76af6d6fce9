//! What a host needs to push a bundle into KV ahead of need.

use alloc::string::String;
use alloc::vec::Vec;

use crate::resource::Resource;
use crate::store::envelope;

/// A user's bundle: where the origin has it, and where and how KV keeps it.
#[derive(Clone, Debug)]
pub struct WarmBundle(Resource);

impl WarmBundle {
    /// The bundle of `user`.
    #[must_use]
    pub fn of(user: &str) -> Self {
        Self(Resource::Bundle { user: user.into() })
    }

    /// Path at the origin.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// Key in KV.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.key()
    }

    /// The origin's bytes, received at `wall_ms` (Unix ms), as KV keeps them.
    #[must_use]
    pub fn stored(&self, wall_ms: i64, bytes: &[u8]) -> Vec<u8> {
        envelope::wrap(wall_ms, self.0.kind(), bytes)
    }
}
