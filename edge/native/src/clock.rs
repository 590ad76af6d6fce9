//! Every reading of a clock that is not a timer's.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall time, Unix ms; 0 before 1970.
pub(crate) fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

/// Wall time, Unix seconds.
pub(crate) fn wall_s() -> u64 {
    u64::try_from(wall_ms() / 1_000).unwrap_or(0)
}
