//! Reads rows at the source again and counts what they say now, beside a running stream.
//!
//! A row that is read and then applied may overwrite what the stream applied in between. So
//! every page is read again after it was applied, until it says the same twice: whatever
//! changed before the second read is in it, and whatever changes later comes by the stream
//! after what was applied here.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::source::{Row, Sql};
use super::sql::Page;
use super::{ReconcileError, Reconciled, Work, note};
use crate::ingest::Command;
use crate::ingest::rows::{DeadLetter, RowBatch, RowChange, RowKey, RowOp, TableId};
use crate::replicate::config::TableConfig;
use crate::replicate::contract::TableQuality;
use crate::replicate::mapping::{self, BoundTable, Mapped};
use crate::replicate::value::Value;
use crate::store::read;

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
    id: TableId,
    config: &'a TableConfig,
    bound: BoundTable,
}

impl Work<'_> {
    /// Reads the rows with the keys of the command again.
    pub(super) async fn repair_keys(
        &self,
        sql: &mut Sql,
        id: TableId,
        config: &TableConfig,
        bound: &BoundTable,
        done: &mut Reconciled,
    ) -> Result<(), ReconcileError> {
        let table = self.table(id, config, bound);
        let keys = &self.command.repair;
        if keys.len() > REPAIR_MAX {
            return Err(table.wrong(format!("give at most {REPAIR_MAX} keys, or --repair-all")));
        }
        for key in keys {
            let texts =
                key_values(table.bound.key_columns(), key).map_err(|reason| table.wrong(reason))?;
            let page = Page {
                is: Some(&texts),
                ..table.page()
            };
            // A row that is gone has no columns to make a key of but those that were named.
            let absent = table.key_row(&texts);
            let rows = table.settle(sql, &page, Some(absent)).await?;
            done.repaired += 1;
            for row in &rows {
                if let Mapped::Refused(violation) = bound.map(&values(row)) {
                    done.repaired -= 1;
                    let (entry, reason) = (config.entry_name(), violation.reason);
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
        sql: &mut Sql,
        id: TableId,
        config: &TableConfig,
        bound: &BoundTable,
    ) -> Result<u64, ReconcileError> {
        let table = self.table(id, config, bound);
        let (mut rows, seen) = table.scan(sql).await?;
        let missing = table.remembered_but(&seen).await?;
        if missing.is_empty() {
            return Ok(rows);
        }
        // Rows that were inserted behind the first scan are found by a second one.
        let (_, seen) = table.scan(sql).await?;
        let gone: Vec<RowKey> = missing
            .into_iter()
            .filter(|key| !seen.contains(&number(*key)))
            .collect();
        rows += gone.len() as u64;
        for keys in gone.chunks(PAGE_ROWS) {
            let changes = keys.iter().map(|key| table.removal(*key)).collect();
            table.submit(changes, Vec::new()).await?;
        }
        Ok(rows)
    }

    fn table<'a>(&'a self, id: TableId, config: &'a TableConfig, bound: &BoundTable) -> Table<'a> {
        Table {
            work: self,
            id,
            config,
            bound: bound.clone(),
        }
    }
}

impl Table<'_> {
    fn wrong(&self, reason: String) -> ReconcileError {
        ReconcileError::Table {
            table: self.config.entry_name(),
            reason,
        }
    }

    fn page(&self) -> Page<'_> {
        Page {
            columns: self.bound.columns(),
            key: self.bound.key_columns(),
            limit: PAGE_ROWS,
            ..Page::default()
        }
    }

    /// A row of nothing but its key.
    fn key_row(&self, values: &[String]) -> Row {
        let value = |column: &String| {
            let place = self
                .bound
                .key_columns()
                .iter()
                .position(|key| key == column);
            place.and_then(|place| values.get(place)).cloned()
        };
        self.bound.columns().iter().map(value).collect()
    }

    fn key_of(&self, row: &Row) -> Option<RowKey> {
        self.bound.key(&values(row)).ok()
    }

    /// The texts of a row's key.
    fn key_texts(&self, row: &Row) -> Vec<String> {
        let columns = self.bound.columns();
        let text = |key: &String| {
            let place = columns.iter().position(|column| column == key);
            let value = place.and_then(|place| row.get(place)).cloned().flatten();
            value.unwrap_or_default()
        };
        self.bound.key_columns().iter().map(text).collect()
    }

    /// Every row, page by page; returns how many, and their keys.
    async fn scan(&self, sql: &mut Sql) -> Result<(u64, HashSet<u64>), ReconcileError> {
        let mut seen = HashSet::new();
        let mut rows = 0;
        let mut after: Option<Vec<String>> = None;
        loop {
            let page = Page {
                after: after.as_deref(),
                ..self.page()
            };
            let found = sql.all(&page.sql(&self.config.table)).await?;
            let Some(last) = found.last() else {
                return Ok((rows, seen));
            };
            let last = self.key_texts(last);
            let bounded = Page {
                up_to: Some(&last),
                // Rows may have come into the range since.
                limit: PAGE_ROWS * 2,
                ..page
            };
            rows += found.len() as u64;
            for row in self.settle(sql, &bounded, None).await? {
                seen.extend(self.key_of(&row).map(number));
            }
            if seen.len() > KEYS_MAX {
                let reason = format!(
                    "it has more than {KEYS_MAX} rows; use `edgewise replicate resync --table {}`",
                    self.config.table
                );
                return Err(self.wrong(reason));
            }
            after = Some(last);
        }
    }

    /// Applies the rows of a page until it reads the same twice; returns them. `absent` is the
    /// row to remove where the page is empty.
    async fn settle(
        &self,
        sql: &mut Sql,
        page: &Page<'_>,
        absent: Option<Row>,
    ) -> Result<Vec<Row>, ReconcileError> {
        let statement = page.sql(&self.config.table);
        let mut before: Option<Vec<Row>> = None;
        for _ in 0..READS_MAX {
            let now = sql.all(&statement).await?;
            if before.as_ref() == Some(&now) {
                return Ok(now);
            }
            let mut gone: Vec<Row> = before.unwrap_or_default();
            gone.extend(absent.clone());
            self.apply(&now, &gone).await?;
            before = Some(now);
        }
        Err(self.wrong("its rows change too fast to be repaired; try again".to_owned()))
    }

    /// Counts `rows` as they are, and takes back those of `before` that are not among them.
    async fn apply(&self, rows: &[Row], before: &[Row]) -> Result<(), ReconcileError> {
        let wall_ms = self.work.following.clock.wall_ms();
        let mut quality = TableQuality::new(&self.work.config.name, &self.bound, wall_ms);
        let mut changes = Vec::with_capacity(rows.len());
        let mut dead = Vec::new();
        let mut kept = HashSet::new();
        for row in rows {
            let row = values(row);
            let (change, letter) = mapping::deliver(
                &self.bound,
                self.id,
                &row,
                "reconcile",
                &mut quality,
                wall_ms,
            );
            kept.insert(change.key);
            changes.push(change);
            dead.extend(letter);
        }
        let gone = before.iter().filter_map(|row| self.key_of(row));
        let gone = gone.filter(|key| !kept.contains(key));
        changes.extend(gone.map(|key| self.removal(key)));
        self.submit(changes, dead).await
    }

    fn removal(&self, key: RowKey) -> RowChange {
        RowChange {
            table: self.id,
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
    async fn remembered_but(&self, seen: &HashSet<u64>) -> Result<Vec<RowKey>, ReconcileError> {
        let store = Arc::clone(&self.work.following.store);
        let id = self.id;
        let seen = seen.clone();
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

fn values(row: &Row) -> Vec<Value<'_>> {
    row.iter()
        .map(|text| text.as_deref().map_or(Value::Null, Value::Text))
        .collect()
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
    use super::key_values;

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
