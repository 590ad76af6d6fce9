//! How the sources do: what connectors say and operators read.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::terminal;

/// Longest error or position that is kept, bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// What a source is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It connects and reads the catalogue.
    #[default]
    Connecting,
    /// It takes the first copy.
    Copying,
    /// It follows changes.
    Streaming,
    /// It failed and waits before it connects again.
    Waiting,
    /// It failed for good: somebody has to do something.
    Failed,
    /// It was told to stop.
    Stopped,
}

impl Phase {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Copying => "copying",
            Self::Streaming => "streaming",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// How a table does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Rows of the first copy so far.
    pub copied_rows: u64,
    /// Chunks of the first copy that are done ...
    pub chunks_done: u64,
    /// ... of so many; 0 = not known.
    pub chunks_total: u64,
    /// Why the table is not followed any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stopped: Option<String>,
    /// How its mapping changed since rows of it were counted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changed: Option<String>,
}

/// How a source does, at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// The source's name.
    pub source: String,
    /// Where it is, without secrets.
    pub url: String,
    /// What it is doing.
    pub phase: Phase,
    /// Since when, wall Unix ms.
    pub since_ms: i64,
    /// The newest durable position, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub position: Option<String>,
    /// What the server has that is not durable here, bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lag_bytes: Option<u64>,
    /// Commit time at the server until durable here, of the newest change, ms.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lag_ms: Option<i64>,
    /// The last error, while it waits or has failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<String>,
    /// By mapping entry.
    pub tables: BTreeMap<String, TableStatus>,
}

/// Where a source's connector says how it does.
#[derive(Debug)]
pub struct StatusBoard {
    clock: Clock,
    status: Mutex<SourceStatus>,
}

impl StatusBoard {
    /// A board of `source` at `url`, whose secrets are left out.
    #[must_use]
    pub fn new(source: &str, url: &str, clock: Clock) -> Self {
        let status = SourceStatus {
            source: source.to_owned(),
            url: super::redact::url(url),
            since_ms: clock.wall_ms(),
            ..SourceStatus::default()
        };
        Self {
            clock,
            status: Mutex::new(status),
        }
    }

    /// What the source does now; a phase of work forgets the last error.
    pub fn phase(&self, phase: Phase) {
        let mut status = self.lock();
        if status.phase != phase {
            status.phase = phase;
            status.since_ms = self.clock.wall_ms();
        }
        if matches!(phase, Phase::Copying | Phase::Streaming) {
            status.error = None;
            status.remedy = None;
        }
    }

    /// The newest durable position.
    pub fn position(&self, position: &str) {
        self.lock().position = Some(cut(position));
    }

    /// How far behind the server the source is, where it is known.
    pub fn lag(&self, bytes: Option<u64>, ms: Option<i64>) {
        let mut status = self.lock();
        status.lag_bytes = bytes.or(status.lag_bytes);
        status.lag_ms = ms.or(status.lag_ms);
    }

    /// How far the first copy of a table is.
    pub fn copied(&self, table: &str, rows: u64, chunks_done: u64, chunks_total: u64) {
        let mut status = self.lock();
        let table = status.tables.entry(table.to_owned()).or_default();
        (table.copied_rows, table.chunks_done, table.chunks_total) =
            (rows, chunks_done, chunks_total);
    }

    /// A table is followed.
    pub fn table_follows(&self, table: &str) {
        self.lock()
            .tables
            .entry(table.to_owned())
            .or_default()
            .stopped = None;
    }

    /// A table is not followed any more, and why.
    pub fn table_stopped(&self, table: &str, reason: &str) {
        let mut status = self.lock();
        let table = status.tables.entry(table.to_owned()).or_default();
        table.stopped = Some(cut(reason));
    }

    /// Rows of a table were counted as another mapping said.
    pub fn table_changed(&self, table: &str, how: &str) {
        let mut status = self.lock();
        let table = status.tables.entry(table.to_owned()).or_default();
        table.changed = Some(cut(how));
    }

    /// The source failed; it connects again where it `is_retryable`.
    pub fn failed(&self, error: &str, remedy: &str, is_retryable: bool) {
        self.phase(if is_retryable {
            Phase::Waiting
        } else {
            Phase::Failed
        });
        let mut status = self.lock();
        status.error = Some(cut(error));
        status.remedy = Some(cut(remedy)).filter(|remedy| !remedy.is_empty());
    }

    /// How the source does.
    #[must_use]
    pub fn read(&self) -> SourceStatus {
        self.lock().clone()
    }

    // A panic while the lock is held cannot leave the status half changed.
    fn lock(&self) -> MutexGuard<'_, SourceStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// A line for people, and one for each thing that needs them.
impl fmt::Display for SourceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}  {}", self.source, self.phase.word(), self.url)?;
        if let Some(position) = &self.position {
            write!(f, "  at {position}")?;
        }
        match (self.lag_bytes, self.lag_ms) {
            (Some(bytes), Some(ms)) => write!(f, "  behind by {bytes} bytes, {ms} ms")?,
            (Some(bytes), None) => write!(f, "  behind by {bytes} bytes")?,
            (None, Some(ms)) => write!(f, "  behind by {ms} ms")?,
            (None, None) => {}
        }
        if let Some(error) = &self.error {
            write!(f, "\n  error: {}", terminal::line(error))?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  remedy: {remedy}")?;
        }
        for (name, table) in &self.tables {
            let mut line = String::new();
            if self.phase == Phase::Copying {
                let TableStatus {
                    copied_rows,
                    chunks_done,
                    ..
                } = table;
                let total = match table.chunks_total {
                    0 => String::new(),
                    total => format!(" of {total}"),
                };
                // Writing to a string cannot fail.
                let _ = write!(line, "{copied_rows} rows, {chunks_done}{total} chunks");
            }
            if let Some(reason) = &table.stopped {
                let separator = if line.is_empty() { "" } else { "; " };
                let _ = write!(line, "{separator}stopped: {}", terminal::line(reason));
            }
            if let Some(how) = &table.changed {
                let separator = if line.is_empty() { "" } else { "; " };
                let _ = write!(line, "{separator}{how}");
            }
            if !line.is_empty() {
                write!(f, "\n  {name}: {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_status_says_what_needs_a_person_and_no_password() {
        let clock = Clock::manual(1_000);
        let board = StatusBoard::new("main", "postgres://app:s3cret@db/shop", clock.clone());
        board.phase(Phase::Copying);
        board.copied("public.posts->items", 50_000, 1, 4);
        board.table_stopped("public.likes->events", "column kind was dropped");
        expect![[r"
            main  copying  postgres://app:***@db/shop
              public.likes->events: 0 rows, 0 chunks; stopped: column kind was dropped
              public.posts->items: 50000 rows, 1 of 4 chunks"]]
        .assert_eq(&board.read().to_string());
        clock.advance(7);
        board.phase(Phase::Streaming);
        board.position("0/16B3748");
        board.lag(Some(12), None);
        board.failed(
            "the slot edgewise_main is in use",
            "stop the other one",
            false,
        );
        let status = board.read();
        assert_eq!((status.phase, status.since_ms), (Phase::Failed, 1_007));
        expect![[r"
            main  failed  postgres://app:***@db/shop  at 0/16B3748  behind by 12 bytes
              error: the slot edgewise_main is in use
              remedy: stop the other one
              public.likes->events: stopped: column kind was dropped"]]
        .assert_eq(&status.to_string());
        board.phase(Phase::Streaming);
        assert_eq!(
            board.read().error,
            None,
            "an error that is over is not shown"
        );
    }
}
