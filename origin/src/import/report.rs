//! What an import did.

use std::fmt;
use std::path::{Path, PathBuf};

use edgewise_wire::api::{Event, EventType};

/// Bad lines that a report keeps word for word; it counts all.
const BAD_KEPT: usize = 20;

/// A line or row that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The file.
    pub file: PathBuf,
    /// 1-based line; of a Parquet file the 1-based row.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.reason)
    }
}

/// What an import says while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// A line was skipped.
    Bad(&'a BadLine),
    /// How far a file is.
    Progress {
        /// The file.
        file: &'a Path,
        /// Bytes (text) or rows (Parquet) that were read.
        done: u64,
        /// All of them.
        total: u64,
    },
}

/// Number of events of each type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts([u64; EventType::ALL.len()]);

impl EventCounts {
    /// Events of one type.
    #[must_use]
    pub fn get(&self, kind: EventType) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or(0)
    }

    /// Events of all types.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn add(&mut self, events: &[Event]) {
        for event in events {
            if let Some(count) = self.0.get_mut(event.kind as usize) {
                *count += 1;
            }
        }
    }
}

/// What an import read and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Items that were upserted, those that were already so included.
    pub items: u64,
    /// Items that were deleted.
    pub deleted: u64,
    /// Follows and unfollows that are not events.
    pub follows: u64,
    /// Rows (lines) that stand for events.
    pub rows: u64,
    /// Events of those rows by type, whether they count now or counted before.
    pub events: EventCounts,
    /// Events that count since this import.
    pub accepted: u64,
    /// Events that an earlier import of the same file had counted.
    pub duplicate: u64,
    /// Rows outside the time range that was asked for.
    pub out_of_range: u64,
    /// Lines that were skipped.
    pub bad: u64,
    /// The first of them.
    pub bad_lines: Vec<BadLine>,
}

impl ImportReport {
    pub(super) fn keep_bad(&mut self, bad: &BadLine) {
        self.bad += 1;
        if self.bad_lines.len() < BAD_KEPT {
            self.bad_lines.push(bad.clone());
        }
    }
}

/// One line: `7583 items, 0 follows, 185061 rows (impression 185061, ...), ...`.
impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items, ", self.items)?;
        if self.deleted > 0 {
            write!(f, "{} deleted, ", self.deleted)?;
        }
        write!(
            f,
            "{} follows, {} rows with {} events",
            self.follows,
            self.rows,
            self.events.total()
        )?;
        let mut before = " (";
        for kind in EventType::ALL
            .into_iter()
            .filter(|kind| self.events.get(*kind) > 0)
        {
            write!(f, "{before}{} {}", kind.name(), self.events.get(kind))?;
            before = ", ";
        }
        if self.events.total() > 0 {
            f.write_str(")")?;
        }
        write!(
            f,
            ", {} counted now, {} counted before",
            self.accepted, self.duplicate
        )?;
        if self.out_of_range > 0 {
            write!(f, ", {} rows outside the time range", self.out_of_range)?;
        }
        write!(f, ", {} bad lines skipped", self.bad)
    }
}
