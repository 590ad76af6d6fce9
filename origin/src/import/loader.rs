//! Between the formats and the store: batches, bad lines, the time range, the report.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};

use edgewise_wire::api::{Event, Item};
use edgewise_wire::items;
use serde::Serialize;
use tokio::sync::oneshot;

use super::report::{BadLine, ImportReport, Notice};
use super::{ImportError, ImportOptions};
use crate::ingest::{Command, ImportRow, Outcome, SourceHash, WriteError, Writer};

/// Rows, items or follows of one command.
const BATCH_MAX: usize = 10_000;
/// Bytes of items of one command, about.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Commands that wait for their commit; more would only take memory.
const UNDER_WAY_MAX: usize = 4;
/// Rows between two notices of progress.
const NOTICE_EVERY: u64 = 5_000;

/// Where an import goes.
pub(super) enum Target<'a> {
    /// Into the store.
    Writer(&'a Writer),
    /// Into a file of JSON lines.
    Lines(&'a mut dyn Write),
}

/// What takes what a format reads.
pub(super) struct Loader<'a> {
    target: Target<'a>,
    notify: &'a mut dyn FnMut(&Notice<'_>),
    max_bad: u64,
    after_ms: Option<i64>,
    until_ms: Option<i64>,
    report: ImportReport,
    file: PathBuf,
    source: SourceHash,
    /// Lines of what is pending, an entry for an entry of `pending`.
    lines: Vec<u64>,
    pending: Pending,
    pending_bytes: usize,
    under_way: VecDeque<UnderWay>,
    calls: u64,
}

/// What is not submitted yet: one kind at a time, so that a file's order holds.
enum Pending {
    Nothing,
    Items(Vec<Item>),
    Follows {
        add: bool,
        pairs: Vec<(String, String)>,
    },
    Rows(Vec<ImportRow>),
}

/// A submitted command: who rejected what is told by index.
struct UnderWay {
    reply: oneshot::Receiver<Result<Outcome, WriteError>>,
    file: PathBuf,
    /// By index of the command's list, for an import of the event counted over all rows.
    lines: Vec<u64>,
    is_events: bool,
}

/// A JSON line of a conversion.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum OutLine<'a> {
    Item(&'a Item),
    DeleteItem { id: &'a str },
    Follow { user: &'a str, author: &'a str },
    Unfollow { user: &'a str, author: &'a str },
    Event(&'a Event),
}

impl<'a> Loader<'a> {
    pub(super) fn new(
        options: &ImportOptions,
        target: Target<'a>,
        notify: &'a mut dyn FnMut(&Notice<'_>),
    ) -> Self {
        Self {
            target,
            notify,
            max_bad: options.max_bad,
            after_ms: options.after_ms,
            until_ms: options.until_ms,
            report: ImportReport::default(),
            file: PathBuf::new(),
            source: SourceHash([0; 32]),
            lines: Vec::new(),
            pending: Pending::Nothing,
            pending_bytes: 0,
            under_way: VecDeque::new(),
            calls: 0,
        }
    }

    /// What comes from now on is of this file.
    pub(super) fn begin(&mut self, file: &Path, source: SourceHash) -> Result<(), ImportError> {
        self.flush()?;
        file.clone_into(&mut self.file);
        self.source = source;
        self.calls = 0;
        Ok(())
    }

    /// Says how far the file is, now and then.
    pub(super) fn progress(&mut self, done: u64, total: u64) {
        self.calls += 1;
        if self.calls.is_multiple_of(NOTICE_EVERY) || done == total {
            (self.notify)(&Notice::Progress {
                file: &self.file,
                done,
                total,
            });
        }
    }

    /// Skips a line, unless it is one too many.
    pub(super) fn bad(&mut self, line: u64, reason: String) -> Result<(), ImportError> {
        let file = self.file.clone();
        self.bad_of(file, line, reason)
    }

    /// An item; a wrong one is a bad line.
    pub(super) fn item(&mut self, line: u64, item: Item) -> Result<(), ImportError> {
        if let Err(error) = items::check(&item) {
            return self.bad(line, error.to_string());
        }
        if self.after_ms.is_some() {
            return Ok(());
        }
        if !matches!(self.pending, Pending::Items(_)) {
            self.flush()?;
            self.pending = Pending::Items(Vec::new());
        }
        let text = item.thumbnail.as_deref().map_or(0, str::len) + item.title.len();
        self.pending_bytes += 300 + text;
        if let Pending::Items(items) = &mut self.pending {
            items.push(item);
        }
        self.pushed(line)
    }

    /// An item's deletion.
    pub(super) fn delete(&mut self, id: String) -> Result<(), ImportError> {
        if self.after_ms.is_some() {
            return Ok(());
        }
        self.flush()?;
        self.report.deleted += 1;
        match &mut self.target {
            Target::Writer(writer) => {
                let reply = writer.submit_waiting(Command::DeleteItem(id));
                let reply = reply.map_err(ImportError::Submit)?;
                let (file, lines) = (self.file.clone(), Vec::new());
                self.wait_for_room(UnderWay {
                    reply,
                    file,
                    lines,
                    is_events: false,
                })
            }
            Target::Lines(out) => write_line(*out, &OutLine::DeleteItem { id: &id }),
        }
    }

    /// A follow that begins or ends, not as an event.
    pub(super) fn follow(
        &mut self,
        line: u64,
        begins: bool,
        pair: (String, String),
    ) -> Result<(), ImportError> {
        if self.after_ms.is_some() {
            return Ok(());
        }
        if !matches!(self.pending, Pending::Follows { add, .. } if add == begins) {
            self.flush()?;
            self.pending = Pending::Follows {
                add: begins,
                pairs: Vec::new(),
            };
        }
        if let Pending::Follows { pairs, .. } = &mut self.pending {
            pairs.push(pair);
        }
        self.pushed(line)
    }

    /// A row that stands for events; ordinals ascend within a file.
    pub(super) fn row(&mut self, line: u64, row: ImportRow) -> Result<(), ImportError> {
        let outside = |ts_ms: i64| {
            self.after_ms.is_some_and(|after_ms| ts_ms < after_ms)
                || self.until_ms.is_some_and(|until_ms| ts_ms >= until_ms)
        };
        if row
            .events
            .iter()
            .filter_map(|event| event.ts_ms)
            .any(outside)
        {
            self.report.out_of_range += 1;
            return Ok(());
        }
        if !matches!(self.pending, Pending::Rows(_)) {
            self.flush()?;
            self.pending = Pending::Rows(Vec::new());
        }
        self.report.rows += 1;
        self.report.events.add(&row.events);
        if let Pending::Rows(rows) = &mut self.pending {
            rows.push(row);
        }
        self.pushed(line)
    }

    /// Makes all durable, also after a failure, and reports.
    pub(super) fn finish(
        mut self,
        read: Result<(), ImportError>,
    ) -> Result<ImportReport, ImportError> {
        let flushed = self.flush().and_then(|()| self.drain());
        match read.and(flushed) {
            Ok(()) => Ok(self.report),
            Err(ImportError::TooManyBad { last, max_bad, .. }) => {
                // What was read before the line that was too much counts, and the report says so.
                self.drain_quietly();
                Err(ImportError::TooManyBad {
                    last,
                    max_bad,
                    report: Box::new(self.report),
                })
            }
            Err(error) => Err(error),
        }
    }

    fn pushed(&mut self, line: u64) -> Result<(), ImportError> {
        self.lines.push(line);
        if self.lines.len() >= BATCH_MAX || self.pending_bytes >= BATCH_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ImportError> {
        let pending = std::mem::replace(&mut self.pending, Pending::Nothing);
        let lines = std::mem::take(&mut self.lines);
        self.pending_bytes = 0;
        match &pending {
            Pending::Nothing => return Ok(()),
            Pending::Items(items) => self.report.items += items.len() as u64,
            Pending::Follows { pairs, .. } => self.report.follows += pairs.len() as u64,
            Pending::Rows(_) => {}
        }
        match &mut self.target {
            Target::Lines(out) => write_pending(*out, &pending),
            Target::Writer(writer) => {
                let is_events = matches!(pending, Pending::Rows(_));
                let lines = lines_by_index(&pending, lines);
                let command = command(pending, self.source);
                let reply = writer
                    .submit_waiting(command)
                    .map_err(ImportError::Submit)?;
                let file = self.file.clone();
                self.wait_for_room(UnderWay {
                    reply,
                    file,
                    lines,
                    is_events,
                })
            }
        }
    }

    fn wait_for_room(&mut self, next: UnderWay) -> Result<(), ImportError> {
        self.under_way.push_back(next);
        while self.under_way.len() > UNDER_WAY_MAX {
            self.collect_first()?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), ImportError> {
        while !self.under_way.is_empty() {
            self.collect_first()?;
        }
        Ok(())
    }

    /// As [`Loader::drain`], where the import fails already: further bad lines change nothing.
    fn drain_quietly(&mut self) {
        while !self.under_way.is_empty() {
            if matches!(self.collect_first(), Err(ImportError::Write(_))) {
                return;
            }
        }
    }

    fn collect_first(&mut self) -> Result<(), ImportError> {
        let Some(UnderWay {
            reply,
            file,
            lines,
            is_events,
        }) = self.under_way.pop_front()
        else {
            return Ok(());
        };
        let stopped = WriteError::Stopped;
        let outcome: Outcome = reply
            .blocking_recv()
            .unwrap_or(Err(stopped))
            .map_err(ImportError::Write)?;
        if is_events {
            self.report.accepted += u64::from(outcome.accepted);
            self.report.duplicate += u64::from(outcome.duplicate);
        }
        let mut result = Ok(());
        for rejected in outcome.rejected {
            let line = lines.get(rejected.index as usize).copied().unwrap_or(0);
            result = result.and(self.bad_of(file.clone(), line, rejected.reason.to_owned()));
        }
        result
    }

    fn bad_of(&mut self, file: PathBuf, line: u64, reason: String) -> Result<(), ImportError> {
        let bad = BadLine { file, line, reason };
        (self.notify)(&Notice::Bad(&bad));
        self.report.keep_bad(&bad);
        if self.report.bad <= self.max_bad {
            return Ok(());
        }
        let report = Box::default();
        Err(ImportError::TooManyBad {
            last: bad,
            max_bad: self.max_bad,
            report,
        })
    }
}

fn command(pending: Pending, source: SourceHash) -> Command {
    match pending {
        Pending::Nothing => Command::UpsertItems(Vec::new()),
        Pending::Items(items) => Command::UpsertItems(items),
        Pending::Follows { add, pairs } => Command::Follows { add, pairs },
        Pending::Rows(rows) => Command::Import { source, rows },
    }
}

/// An outcome names items and pairs by their index, events by their index over all rows.
fn lines_by_index(pending: &Pending, lines: Vec<u64>) -> Vec<u64> {
    let Pending::Rows(rows) = pending else {
        return lines;
    };
    let of_row = |(line, row): (u64, &ImportRow)| std::iter::repeat_n(line, row.events.len());
    lines.into_iter().zip(rows).flat_map(of_row).collect()
}

fn write_pending(out: &mut dyn Write, pending: &Pending) -> Result<(), ImportError> {
    match pending {
        Pending::Nothing => Ok(()),
        Pending::Items(items) => items
            .iter()
            .try_for_each(|i| write_line(out, &OutLine::Item(i))),
        Pending::Follows { add, pairs } => pairs.iter().try_for_each(|(user, author)| {
            let line = match add {
                true => OutLine::Follow { user, author },
                false => OutLine::Unfollow { user, author },
            };
            write_line(out, &line)
        }),
        Pending::Rows(rows) => rows
            .iter()
            .flat_map(|row| &row.events)
            .try_for_each(|event| write_line(out, &OutLine::Event(event))),
    }
}

fn write_line(out: &mut dyn Write, line: &OutLine<'_>) -> Result<(), ImportError> {
    serde_json::to_writer(&mut *out, line).map_err(|error| ImportError::Output(error.into()))?;
    out.write_all(b"\n").map_err(ImportError::Output)
}
