//! What was served: the record that off-policy evaluation needs.

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// One explore slot as it was served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServedSlot {
    /// The page: 32 hexadecimal digits.
    pub request_id: String,
    /// Item id.
    pub item: String,
    /// 1-based position in the feed.
    pub position: u32,
    /// Probability with which it was drawn, (0, 1].
    pub propensity: f64,
    /// Domain time, Unix ms.
    pub at_ms: i64,
}
