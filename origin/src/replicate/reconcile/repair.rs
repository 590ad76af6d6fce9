//! Reads rows at the source again and counts what they say now, beside a running stream.
//!
//! A row that is read and then applied may overwrite what the stream applied in between. So
//! every page is read again after it was applied, until it says the same twice: whatever
//! changed before the second read is in it, and whatever changes later comes by the stream
//! after what was applied here.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::source::{KeyPart, PageRow, Range, Source};
use super::{Entry, ReconcileError, Reconciled, Work, note};
use crate::ingest::Command;
use crate::ingest::rows::{DeadLetter, RowBatch, RowChange, RowKey, RowOp};
use crate::replicate::contract::TableQuality;
use crate::replicate::mapping::{self, Mapped};
use crate::replicate::value::{OwnedValue, Value};
use crate::store::read;
use crate::terminal::shell_word;

/// Rows of a page.
const PAGE_ROWS: usize = 5_000;
/// Reads of a page until it stands still.
const READS_MAX: u32 = 20;
/// Rows of a table whose keys are held while it is compared; 8 bytes and some each.
const KEYS_MAX: usize = 8_000_000;
/// Keys of one repair.
pub(super) const REPAIR_MAX: usize = 1_000;

/// A table that is repaired.
struct Table<'a> {
    work: &'a Work<'a>,
    entry: &'a Entry,
}

impl Work<'_> {
    /// Reads the rows with the keys of the command again.
    pub(super) async fn repair_keys(
        &self,
        source: &mut Source,
        entry: &Entry,
        done: &mut Reconciled,
    ) -> Result<(), ReconcileError> {
        let table = Table { work: self, entry };
        let bound = &entry.table.bound;
        let keys = &self.command.repair;
        if keys.len() > REPAIR_MAX {
            return Err(table.wrong(format!("give at most {REPAIR_MAX} keys, or --repair-all")));
        }
        for key in keys {
            let texts =
                key_values(bound.key_columns(), key).map_err(|reason| table.wrong(reason))?;
            // A row that is gone has no columns to make a key of but those that were named.
            let (is, absent) =
                Source::key(&entry.table, &texts).map_err(|reason| table.wrong(reason))?;
            let absent = bound.key(&values(&absent)).map_err(|violation| {
                table.wrong(format!("the key {key:?}: {}", violation.reason))
            })?;
            let range = Range {
                is: Some(&is),
                limit: PAGE_ROWS,
                ..Range::default()
            };
            let rows = table.settle(source, range, Some(absent)).await?;
            done.repaired += 1;
            for row in &rows {
                if let Mapped::Refused(violation) = bound.map(&values(&row.values)) {
                    done.repaired -= 1;
                    let (entry, reason) = (entry.config.entry_name(), violation.reason);
                    let text = format!(
                        "{entry}: the row {key} is refused and does not count: {reason}; correct \
                         it at the source, or the mapping"
                    );
                    note(done, text);
                }
            }
        }
        Ok(())
    }

    /// Reads every row of the table again, and removes what the source does not have.
    pub(super) async fn repair_table(
        &self,
        source: &mut Source,
        entry: &Entry,
        done: &mut Reconciled,
    ) -> Result<u64, ReconcileError> {
        let table = Table { work: self, entry };
        let first = table.scan(source).await?;
        if first.keyless > 0 {
            let (entry, rows) = (entry.config.entry_name(), first.keyless);
            let text = format!(
                "{entry}: the keys of {rows} rows cannot be read, so they do not count; correct \
                 them at the source"
            );
            note(done, text);
        }
        let mut rows = first.rows;
        let missing = table.remembered_but(first.seen).await?;
        if missing.is_empty() {
            return Ok(rows);
        }
        // Rows that were inserted behind the first scan are found by a second one.
        let second = table.scan(source).await?;
        let gone: Vec<RowKey> = missing
            .into_iter()
            .filter(|key| !second.seen.contains(&number(*key)))
            .collect();
        rows += gone.len() as u64;
        for keys in gone.chunks(PAGE_ROWS) {
            let changes = keys.iter().map(|key| table.removal(*key)).collect();
            table.submit(changes, Vec::new()).await?;
        }
        Ok(rows)
    }
}

/// What a scan found.
#[derive(Default)]
struct Scanned {
    /// Rows that can be told apart.
    rows: u64,
    /// Their keys.
    seen: HashSet<u64>,
    /// Rows whose key cannot be read.
    keyless: u64,
}

impl Table<'_> {
    fn wrong(&self, reason: String) -> ReconcileError {
        ReconcileError::Table {
            table: self.entry.config.entry_name(),
            reason,
        }
    }

    fn key_of(&self, row: &PageRow) -> Option<RowKey> {
        self.entry.table.bound.key(&values(&row.values)).ok()
    }

    /// Every row, page by page.
    async fn scan(&self, source: &mut Source) -> Result<Scanned, ReconcileError> {
        let mut scanned = Scanned::default();
        let mut ends: Vec<Vec<KeyPart>> = Vec::new();
        loop {
            let page = Range {
                after: ends.last().map(Vec::as_slice),
                limit: PAGE_ROWS,
                ..Range::default()
            };
            let found = source.page(&self.entry.table, page).await?;
            let Some(last) = found.last().map(|row| row.key.clone()) else {
                return Ok(scanned);
            };
            self.is_beyond(&ends, &last)?;
            let bounded = Range {
                up_to: Some(&last),
                // Rows may have come into the range since.
                limit: PAGE_ROWS * 2,
                ..page
            };
            for row in self.settle(source, bounded, None).await? {
                match self.key_of(&row) {
                    Some(key) => {
                        scanned.rows += 1;
                        scanned.seen.insert(number(key));
                    }
                    None => scanned.keyless += 1,
                }
            }
            if scanned.seen.len() > KEYS_MAX {
                let reason = format!(
                    "it has more than {KEYS_MAX} rows; use `edgewise replicate resync --table {}`",
                    shell_word(&self.entry.config.table)
                );
                return Err(self.wrong(reason));
            }
            ends.push(last);
        }
    }

    /// Every page ends above all before it: a source that compares keys otherwise than it orders
    /// them would be read for ever.
    fn is_beyond(&self, ends: &[Vec<KeyPart>], last: &[KeyPart]) -> Result<(), ReconcileError> {
        if is_new(ends, last) {
            return Ok(());
        }
        Err(self.wrong(format!(
            "its source compares the key ({}) otherwise than it orders it, so it cannot be read \
             page by page and nothing was removed; use `edgewise replicate resync --table {}`",
            self.entry.table.bound.key_columns().join(", "),
            shell_word(&self.entry.config.table)
        )))
    }

    /// Applies the rows of a page until it reads the same twice; returns them. `absent` is the
    /// key to remove where the page is empty.
    async fn settle(
        &self,
        source: &mut Source,
        range: Range<'_>,
        absent: Option<RowKey>,
    ) -> Result<Vec<PageRow>, ReconcileError> {
        let too_fast =
            || self.wrong("its rows change too fast to be repaired; try again".to_owned());
        let mut before: Option<Vec<PageRow>> = None;
        for _ in 0..READS_MAX {
            let now = source.page(&self.entry.table, range).await?;
            if before.as_ref() == Some(&now) {
                return Ok(now);
            }
            if now.len() >= range.limit {
                // Rows that did not fit would be taken for gone.
                return Err(too_fast());
            }
            let gone = before.iter().flatten();
            let gone = gone.filter_map(|row| self.key_of(row)).chain(absent);
            self.apply(&now, gone.collect()).await?;
            before = Some(now);
        }
        Err(too_fast())
    }

    /// Counts `rows` as they are, and takes back those of `gone` that are not among them.
    async fn apply(&self, rows: &[PageRow], gone: Vec<RowKey>) -> Result<(), ReconcileError> {
        let (id, bound) = (self.entry.id, &self.entry.table.bound);
        let wall_ms = self.work.following.clock.wall_ms();
        let mut quality = TableQuality::new(&self.work.config.name, bound, wall_ms);
        let mut changes = Vec::with_capacity(rows.len());
        let mut dead = Vec::new();
        let mut kept = HashSet::new();
        for row in rows {
            let row = values(&row.values);
            let (change, letter) =
                mapping::deliver(bound, id, &row, "reconcile", &mut quality, wall_ms);
            // Letters of rows without a key are of no row: each read would add one more.
            if change.key == mapping::NO_ROW {
                continue;
            }
            kept.insert(change.key);
            changes.push(change);
            dead.extend(letter);
        }
        let gone = gone.into_iter().filter(|key| !kept.contains(key));
        changes.extend(gone.map(|key| self.removal(key)));
        self.submit(changes, dead).await
    }

    fn removal(&self, key: RowKey) -> RowChange {
        RowChange {
            table: self.entry.id,
            key,
            op: RowOp::Remove,
        }
    }

    async fn submit(
        &self,
        changes: Vec<RowChange>,
        dead: Vec<DeadLetter>,
    ) -> Result<(), ReconcileError> {
        if changes.is_empty() {
            return Ok(());
        }
        let batch = RowBatch {
            source: self.work.config.name.clone(),
            moves: Vec::new(),
            changes: changes.into(),
            dead,
        };
        let writer = self.work.following.writer.clone();
        let writing = move || writer.write(Command::Rows(Box::new(batch)));
        let written = tokio::task::spawn_blocking(writing).await;
        written.map_err(|_| ReconcileError::CutOff)??;
        Ok(())
    }

    /// Keys that the store remembers and `seen` does not have.
    async fn remembered_but(&self, seen: HashSet<u64>) -> Result<Vec<RowKey>, ReconcileError> {
        let store = Arc::clone(&self.work.following.store);
        let id = self.entry.id;
        let looking = move || -> Result<Vec<RowKey>, ReconcileError> {
            let mut missing = Vec::new();
            read::rows(&*store.read()?, id, None, &mut |key, _| {
                if !seen.contains(&number(key)) {
                    missing.push(key);
                }
                if missing.len() < KEYS_MAX {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            Ok(missing)
        };
        let looked = tokio::task::spawn_blocking(looking).await;
        looked.map_err(|_| ReconcileError::CutOff)?
    }
}

fn values(row: &[OwnedValue]) -> Vec<Value<'_>> {
    row.iter().map(OwnedValue::as_value).collect()
}

/// Whether no page before ended with this key: a page is above the one before, so one that does
/// not advance, or that comes around, ends as another did.
fn is_new(ends: &[Vec<KeyPart>], last: &[KeyPart]) -> bool {
    ends.iter().all(|end| end != last)
}

/// A key as eight bytes: an integer as it is, a hash by half.
fn number(key: RowKey) -> u64 {
    match key {
        RowKey::Int(key) => key.cast_unsigned(),
        RowKey::Hash(key) => key as u64,
    }
}

/// The values of `key` (`id=7`, `user_id=1 post_id=2`) in the order of `columns`.
fn key_values(columns: &[String], key: &str) -> Result<Vec<String>, String> {
    let shape = || {
        let shape: Vec<String> = columns.iter().map(|column| format!("{column}=…")).collect();
        format!("the key {key:?} is not of the form '{}'", shape.join(" "))
    };
    if let [only] = columns {
        // The value may have spaces.
        let value = key.trim().strip_prefix(only.as_str());
        let value = value.and_then(|rest| rest.strip_prefix('='));
        return value.map(|value| vec![value.to_owned()]).ok_or_else(shape);
    }
    let parts: BTreeMap<&str, &str> = key
        .split_whitespace()
        .filter_map(|part| part.split_once('='))
        .collect();
    columns
        .iter()
        .map(|column| parts.get(column.as_str()).map(|value| (*value).to_owned()))
        .collect::<Option<Vec<String>>>()
        .ok_or_else(shape)
}

#[cfg(test)]
mod tests {
    use super::{KeyPart, is_new, key_values};

    #[test]
    fn pages_that_do_not_advance_are_noticed() {
        let end = |text: &str| vec![KeyPart::Text(text.into())];
        let ends = [end("a"), end("b")];
        assert!(is_new(&ends, &end("c")) && is_new(&[], &end("a")));
        assert!(!is_new(&ends, &end("b")), "it stands still");
        assert!(!is_new(&ends, &end("a")), "it comes around");
    }

    #[test]
    fn keys_are_as_dead_letters_print_them() {
        let columns = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        let one = columns(&["id"]);
        assert_eq!(key_values(&one, "id=7").unwrap(), ["7"]);
        assert_eq!(key_values(&one, "id=a b=c").unwrap(), ["a b=c"]);
        let two = columns(&["user_id", "post_id"]);
        assert_eq!(key_values(&two, "post_id=2 user_id=1").unwrap(), ["1", "2"]);
        for wrong in ["7", "id", "post_id=2"] {
            let error = key_values(&two, wrong).unwrap_err();
            assert!(error.contains("user_id=… post_id=…"), "{error}");
        }
    }
}
