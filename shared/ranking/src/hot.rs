//! Hot scores by forward decay: only touched items are written.
//!
//! For a window with half-life h the score at time t is the sum over the item's
//! events of `w * exp(-ln2 * (t - t_i) / h)`. It is kept as the sum at the time of
//! the newest event, so order among untouched items never changes with time
//! (Cormode et al., "Forward Decay", ICDE 2009).

/// A decayed sum and the time it is valid at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HotSum {
    /// The sum at `at_ms`.
    pub sum: f64,
    /// Domain time, Unix ms; 0 where there was no event yet.
    pub at_ms: i64,
}

impl HotSum {
    /// Adds weight `weight` (negative to undo) of an event at `event_ms`, in any order of time.
    #[must_use]
    pub fn add(self, weight: f64, event_ms: i64, half_life_minutes: f64) -> Self {
        if self.at_ms == 0 {
            return Self { sum: weight, at_ms: event_ms };
        }
        if event_ms >= self.at_ms {
            let decayed = self.sum * decay(event_ms - self.at_ms, half_life_minutes);
            return Self { sum: decayed + weight, at_ms: event_ms };
        }
        let late = weight * decay(self.at_ms - event_ms, half_life_minutes);
        Self { sum: self.sum + late, at_ms: self.at_ms }
    }

    /// The score at `now_ms`.
    #[must_use]
    pub fn at(self, now_ms: i64, half_life_minutes: f64) -> f64 {
        self.sum * decay(now_ms - self.at_ms, half_life_minutes)
    }
}

fn decay(elapsed_ms: i64, half_life_minutes: f64) -> f64 {
    libm::exp(-core::f64::consts::LN_2 * (elapsed_ms as f64 / 60_000.0) / half_life_minutes)
}
