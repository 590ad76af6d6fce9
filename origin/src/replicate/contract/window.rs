//! Counts of the last minutes' rows: what was long ago must not hide what is wrong now.

use super::sketch::{Distinct, Heaviest};

/// A window ends after this, wall ms ...
pub(super) const WINDOW_MS: i64 = 120_000;
/// ... but not before it has so many rows: a slow table is judged by its last rows.
pub(super) const WINDOW_ROWS_MIN: u64 = 100;
/// Minutes of an hour, each counted.
const MINUTES: usize = 60;

/// Counts of some rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) refused: u64,
    /// NULLs by plan column.
    pub(super) nulls: Vec<u64>,
    /// Rows of which the skew's key is known.
    pub(super) keyed: u64,
    pub(super) distinct: Distinct,
    pub(super) heaviest: Heaviest,
}

impl Counts {
    /// Counts a row's key for the skew.
    pub(super) fn key(&mut self, hash: u64) {
        self.keyed += 1;
        self.distinct.add(hash);
        self.heaviest.add(hash);
    }
}

/// The current window and the one before; measures are of both.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    started_ms: Option<i64>,
    pub(super) now: Counts,
    before: Counts,
}

impl Windows {
    /// The window that a row of `at_ms` is counted in.
    pub(super) fn at(&mut self, at_ms: i64) -> &mut Counts {
        let started_ms = *self.started_ms.get_or_insert(at_ms);
        if at_ms.saturating_sub(started_ms) >= WINDOW_MS && self.now.rows >= WINDOW_ROWS_MIN {
            self.started_ms = Some(at_ms);
            self.before = std::mem::take(&mut self.now);
        }
        &mut self.now
    }

    pub(super) fn rows(&self) -> u64 {
        self.now.rows + self.before.rows
    }

    pub(super) fn refused(&self) -> u64 {
        self.now.refused + self.before.refused
    }

    pub(super) fn nulls(&self, column: usize) -> u64 {
        let of = |counts: &Counts| counts.nulls.get(column).copied().unwrap_or(0);
        of(&self.now) + of(&self.before)
    }

    /// Rows of the heaviest key over the mean rows of a key; 1 where too few rows tell.
    pub(super) fn skew(&self, rows_min: u64) -> f64 {
        let keyed = self.now.keyed + self.before.keyed;
        if keyed < rows_min {
            return 1.0;
        }
        let mut distinct = self.now.distinct.clone();
        distinct.merge(&self.before.distinct);
        let mean = keyed as f64 / distinct.estimate().max(1.0);
        (self.now.heaviest.with(&self.before.heaviest) as f64 / mean).max(1.0)
    }
}

/// Rows of the last hour, by minute.
#[derive(Clone, Debug)]
pub(super) struct Hour {
    minutes: [u64; MINUTES],
    /// Unix minute of the last row.
    last: i64,
}

impl Hour {
    pub(super) fn new(at_ms: i64) -> Self {
        Self {
            minutes: [0; MINUTES],
            last: at_ms.div_euclid(60_000),
        }
    }

    pub(super) fn add(&mut self, at_ms: i64) {
        let minute = at_ms.div_euclid(60_000);
        if minute > self.last {
            // What lies between had no rows; a full turn empties all.
            let gap = minute.saturating_sub(self.last).min(MINUTES as i64);
            for step in 1..=gap {
                self.minutes[slot(self.last + step)] = 0;
            }
            // After a long gap the slots were emptied from another place on: all were.
            self.last = minute;
        }
        self.minutes[slot(self.last)] += 1;
    }

    /// Rows of the 60 minutes up to now.
    pub(super) fn rows(&self, now_ms: i64) -> u64 {
        let now = now_ms.div_euclid(60_000);
        (0..MINUTES as i64)
            .filter(|back| self.last - back > now - MINUTES as i64)
            .map(|back| self.minutes[slot(self.last - back)])
            .sum()
    }
}

fn slot(minute: i64) -> usize {
    minute.rem_euclid(MINUTES as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_forgets_by_the_minute() {
        let mut hour = Hour::new(0);
        for minute in 0..90 {
            hour.add(minute * 60_000);
            hour.add(minute * 60_000 + 59_999);
        }
        assert_eq!(hour.rows(89 * 60_000), 120);
        assert_eq!(hour.rows(99 * 60_000), 100);
        assert_eq!(hour.rows(500 * 60_000), 0);
        hour.add(1_000 * 60_000);
        assert_eq!(hour.rows(1_000 * 60_000), 1);
    }

    #[test]
    fn measures_are_of_the_last_two_windows() {
        let mut windows = Windows::default();
        for step in 0..10 {
            for _ in 0..WINDOW_ROWS_MIN {
                windows.at(step * WINDOW_MS).rows += 1;
            }
        }
        assert_eq!(windows.rows(), 2 * WINDOW_ROWS_MIN);
        // A slow table keeps its window until it has enough rows.
        windows.at(100 * WINDOW_MS).rows += 1;
        windows.at(200 * WINDOW_MS).rows += 1;
        assert_eq!(windows.rows(), WINDOW_ROWS_MIN + 2);
    }
}
