//! How many requests of this isolate are at the origin: a slow origin is not asked by ever more.

use alloc::vec::Vec;

use crate::limits::{ORIGIN_REFRESHES_MAX, ORIGIN_REQUESTS_MAX};

/// Requests at the origin, by the wall time (Unix ms) at which each is given up, so that those
/// whose host died leave too.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    until_ms: Vec<i64>,
}

impl Crowd {
    /// Lets a request to the origin that is given up at `until_ms`; false where there are too
    /// many. Refreshes leave room for requests that answers wait for.
    pub(crate) fn enter(&mut self, wall_ms: i64, until_ms: i64, is_refresh: bool) -> bool {
        self.until_ms.retain(|&until_ms| until_ms > wall_ms);
        let most = if is_refresh {
            ORIGIN_REFRESHES_MAX
        } else {
            ORIGIN_REQUESTS_MAX
        };
        let has_room = self.until_ms.len() < most;
        if has_room {
            self.until_ms.push(until_ms);
        }
        has_room
    }

    /// The request that would have been given up at `until_ms` is over.
    pub(crate) fn leave(&mut self, until_ms: i64) {
        let place = self.until_ms.iter().position(|&known| known == until_ms);
        if let Some(place) = place {
            self.until_ms.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_leave_room_and_the_lost_leave() {
        let mut crowd = Crowd::default();
        for _ in 0..ORIGIN_REFRESHES_MAX {
            assert!(crowd.enter(0, 100, true));
        }
        assert!(!crowd.enter(0, 100, true));
        for _ in ORIGIN_REFRESHES_MAX..ORIGIN_REQUESTS_MAX {
            assert!(crowd.enter(0, 200, false));
        }
        assert!(!crowd.enter(99, 200, false), "full");
        crowd.leave(200);
        assert!(crowd.enter(99, 300, false));
        assert!(!crowd.enter(99, 300, false));
        assert!(crowd.enter(100, 300, true), "nobody reported on the first");
    }
}
