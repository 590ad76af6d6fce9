//! A topic's messages as changes of rows, for every mapping entry that reads it. Pure.

use super::envelope::{self, Cell, Change, Op, Row, Schemas};
use super::error::KafkaFault;
use super::event;
use super::position::At;
use crate::ingest::rows::{DeadLetter, RowChange, RowKey, RowOp, StoredKey, TableId};
use crate::replicate::config::{Format, POSITION_COLUMN, Target};
use crate::replicate::contract::TableQuality;
use crate::replicate::mapping::{self, BoundTable, Column, NO_ROW, TablePlan};
use crate::replicate::unsent;
use crate::replicate::value::Value;

/// Bytes of a message at most; a larger one is a dead letter.
pub(super) const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Bytes of a refused message that its dead letter keeps; a longer one cannot be replayed.
const LETTER_BYTES_MAX: usize = 16 << 10;

/// What helps where a message leaves out a value that did not change.
const WHOLE_ROWS: &str = "let the messages carry every mapped column of a row: Debezium has them \
    where its database sends whole rows (MySQL and MariaDB: binlog_row_image = FULL, PostgreSQL: \
    REPLICA IDENTITY FULL)";

/// Why a message without a key is refused before any had one.
const NO_KEY: &str = "the message has no key that names the row's key columns, and none before it \
                      had; let the connector write it (message.key.columns), or name the key in \
                      the mapping: key = [\"id\"]; then `edgewise replicate resync`";

/// A message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Incoming<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    /// Unix ms; 0 where it has none.
    pub(super) timestamp_ms: i64,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// Changes in order; of each message all or nothing is acknowledged.
pub(super) type Changes = Vec<(RowChange, Option<DeadLetter>)>;

/// What a message says beside its changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// When the source committed it, Unix ms.
    pub(super) source_ms: Option<i64>,
    /// Every row is gone.
    pub(super) is_truncated: bool,
}

/// The moment a message is read at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall_ms: i64,
    pub(super) domain_ms: i64,
}

struct Entry {
    table: TableId,
    plan: TablePlan,
    bound: Option<Bound>,
}

struct Bound {
    bound: BoundTable,
    quality: TableQuality,
    /// For each value of a plan-ordered row its place in the topic's columns.
    sources: Vec<usize>,
    /// Which of those are key columns.
    keys: Vec<bool>,
}

/// A topic and the entries that read it.
pub(super) struct Topic {
    source: String,
    pub(super) name: String,
    format: Format,
    entries: Vec<Entry>,
    /// Columns that any entry reads.
    columns: Vec<String>,
    /// The columns that rows are remembered by from before; empty where none are.
    known_key: Vec<String>,
    /// The columns that the messages' keys name; `None` until a message has such a key.
    key: Option<Vec<String>>,
    schemas: Schemas,
    key_schemas: Schemas,
}

impl Topic {
    pub(super) fn new(
        source: &str,
        name: &str,
        format: Format,
        entries: Vec<(TableId, TablePlan)>,
    ) -> Self {
        let entries = entries.into_iter().map(|(table, plan)| Entry {
            table,
            plan,
            bound: None,
        });
        Self {
            source: source.to_owned(),
            name: name.to_owned(),
            format,
            entries: entries.collect(),
            columns: Vec::new(),
            known_key: Vec::new(),
            key: None,
            schemas: Schemas::default(),
            key_schemas: Schemas::default(),
        }
    }

    /// The tables that read it, ascending.
    pub(super) fn tables(&self) -> Vec<u32> {
        let mut tables: Vec<_> = self.entries.iter().map(|entry| entry.table.0).collect();
        tables.sort_unstable();
        tables
    }

    /// Whether any of them is of items.
    pub(super) fn has_items(&self) -> bool {
        let mut plans = self.entries.iter().map(|entry| &entry.plan);
        plans.any(|plan| plan.target() == Target::Items)
    }

    /// Their ids.
    pub(super) fn ids(&self) -> impl Iterator<Item = TableId> + '_ {
        self.entries.iter().map(|entry| entry.table)
    }

    /// Rows are remembered by these columns: they are the key of a message that names none.
    pub(super) fn know_key(&mut self, columns: &[String]) {
        self.known_key = columns.to_vec();
    }

    /// The columns that rows are remembered by and the messages name; empty where the mapping
    /// names them for every entry. `None` before the first message that has a key.
    pub(super) fn key(&self) -> Option<&[String]> {
        self.key.as_deref()
    }

    /// Measures of every table.
    pub(super) fn qualities(&mut self) -> impl Iterator<Item = &mut TableQuality> + '_ {
        let bounds = self
            .entries
            .iter_mut()
            .filter_map(|entry| entry.bound.as_mut());
        bounds.map(|bound| &mut bound.quality)
    }

    /// Fits the entries to the topic by the first message whose key names the key's columns;
    /// false where nothing does yet.
    fn bind(&mut self, message: &Incoming<'_>, now: Now) -> Result<bool, KafkaFault> {
        let is_log = self.format == Format::Edgewise;
        let is_named = self
            .entries
            .iter()
            .all(|entry| !entry.plan.key_columns().is_empty());
        let mut names = Vec::new();
        if !is_log && !is_named {
            names = envelope::key_names(message.key);
            if names.is_empty() {
                names.clone_from(&self.known_key);
            }
            if names.is_empty() {
                return Ok(false);
            }
        }
        for entry in &self.entries {
            let plan = entry.plan.columns().iter().chain(entry.plan.key_columns());
            for name in plan.chain(&names) {
                if !self.columns.contains(name) {
                    self.columns.push(name.clone());
                }
            }
        }
        let columns: Vec<Column> = self
            .columns
            .iter()
            .map(|name| Column {
                name: name.clone(),
                type_name: String::new(),
                is_key: names.contains(name),
                nullable: None,
            })
            .collect();
        for entry in &mut self.entries {
            let bound = entry
                .plan
                .bind(&columns)
                .map_err(|errors| KafkaFault::Unbound {
                    topic: self.name.clone(),
                    reasons: errors
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join("; "),
                })?;
            let keys = bound
                .columns()
                .iter()
                .map(|name| bound.key_columns().contains(name));
            entry.bound = Some(Bound {
                sources: bound.sources().to_vec(),
                keys: keys.collect(),
                quality: TableQuality::new(&self.source, &bound, now.wall_ms),
                bound,
            });
        }
        self.key = Some(names);
        Ok(true)
    }

    /// Adds a message's changes to `out`.
    ///
    /// # Errors
    /// Where the topic as a whole cannot be followed; a bad message is a dead letter.
    pub(super) fn read(
        &mut self,
        message: &Incoming<'_>,
        now: Now,
        out: &mut Changes,
    ) -> Result<Said, KafkaFault> {
        if self.key.is_none() && !self.bind(message, now)? {
            // A tombstone without a key says nothing.
            if message.value.is_some() {
                self.refuse(message, NO_KEY, now, out);
            }
            return Ok(Said::default());
        }
        let bytes = message.value.map_or(0, <[u8]>::len);
        if bytes > MESSAGE_BYTES_MAX {
            let reason = format!("the message has {bytes} bytes, more than {MESSAGE_BYTES_MAX}");
            self.refuse(message, &reason, now, out);
            return Ok(Said::default());
        }
        if self.format == Format::Edgewise {
            self.event(message, now, out);
            return Ok(Said {
                source_ms: Some(message.timestamp_ms).filter(|ms| *ms > 0),
                is_truncated: false,
            });
        }
        let change = match self.format {
            Format::Flat => envelope::flat(message.value, &self.columns, &mut self.schemas),
            _ => envelope::debezium(message.value, &self.columns, &mut self.schemas),
        };
        let change = match change {
            Ok(change) => change,
            Err(error) => {
                self.refuse(message, &error.to_string(), now, out);
                return Ok(Said::default());
            }
        };
        let said = Said {
            source_ms: change.source_ms,
            is_truncated: change.op == Op::Truncate,
        };
        self.rows(message, &change, now, out);
        Ok(said)
    }

    fn rows(&mut self, message: &Incoming<'_>, change: &Change<'_>, now: Now, out: &mut Changes) {
        let position = At(&self.name, message.partition, message.offset);
        match &change.op {
            Op::Put { row, before } => {
                for entry in &mut self.entries {
                    let Some(bound) = &mut entry.bound else {
                        continue;
                    };
                    let values = bound.values(row);
                    if let Some(key) = bound.left(&values, before.as_ref()) {
                        out.push((removal(entry.table, key), None));
                    }
                    let at_ms = change.source_ms.unwrap_or(now.wall_ms);
                    let mut put = mapping::deliver(
                        &bound.bound,
                        entry.table,
                        &values,
                        &position,
                        &mut bound.quality,
                        at_ms.min(now.wall_ms),
                    );
                    unsent::advise(&mut put, WHOLE_ROWS);
                    out.push(put);
                }
            }
            Op::Delete { before } => {
                let key = envelope::key(message.key, &self.columns, &mut self.key_schemas);
                let mut is_known = true;
                for entry in &mut self.entries {
                    let Some(bound) = &mut entry.bound else {
                        continue;
                    };
                    let found = bound
                        .key_of(key.as_ref())
                        .or_else(|| bound.key_of(before.as_ref()));
                    match found {
                        Some(key) => {
                            bound.quality.deleted(now.wall_ms);
                            out.push((removal(entry.table, key), None));
                        }
                        None => is_known = false,
                    }
                }
                // A tombstone without a key says nothing.
                if !is_known && message.value.is_some() {
                    let reason = "the row was deleted, but the message does not have its key; let \
                                  the connector write it (message.key.columns)";
                    self.refuse(message, reason, now, out);
                }
            }
            Op::Truncate | Op::Nothing => {}
        }
    }

    fn event(&mut self, message: &Incoming<'_>, now: Now, out: &mut Changes) {
        let by_place = event::key(message.partition, message.offset);
        for entry in &self.entries {
            let is_by_id = entry.plan.key_columns() != [POSITION_COLUMN];
            match event::read(message, now.domain_ms, is_by_id) {
                Ok((fact, by_id)) => {
                    let key = if is_by_id { by_id } else { by_place };
                    let change = RowChange {
                        table: entry.table,
                        key: key.unwrap_or(NO_ROW),
                        op: RowOp::Put(fact),
                    };
                    out.push((change, None));
                }
                Err(reason) => {
                    let key = by_place.filter(|_| !is_by_id);
                    out.push(letter(
                        &self.source,
                        &self.name,
                        entry,
                        message,
                        &reason,
                        key,
                        now,
                    ));
                }
            }
        }
    }

    /// The message becomes a dead letter of every entry; its row, where it is known, counts no
    /// longer.
    pub(super) fn refuse(
        &mut self,
        message: &Incoming<'_>,
        reason: &str,
        now: Now,
        out: &mut Changes,
    ) {
        let row = envelope::key(message.key, &self.columns, &mut self.key_schemas);
        for entry in &self.entries {
            let key = entry
                .bound
                .as_ref()
                .and_then(|bound| bound.key_of(row.as_ref()));
            out.push(letter(
                &self.source,
                &self.name,
                entry,
                message,
                reason,
                key,
                now,
            ));
        }
    }
}

impl Bound {
    /// The plan-ordered row; what the message does not have is NULL.
    fn values<'r>(&self, row: &'r Row<'_>) -> Vec<Value<'r>> {
        let value = |&at: &usize| {
            row.get(at)
                .and_then(Option::as_ref)
                .map_or(Value::Null, Cell::as_value)
        };
        self.sources.iter().map(value).collect()
    }

    /// The key of a row where it has every column of it.
    fn key_of(&self, row: Option<&Row<'_>>) -> Option<RowKey> {
        let values = self.values(row?);
        let of_key = self.keys.iter().zip(&values).filter(|(is_key, _)| **is_key);
        let mut of_key = of_key.map(|(_, value)| *value);
        if of_key.any(|value| matches!(value, Value::Null | Value::Unchanged)) {
            return None;
        }
        self.bound.key(&values).ok()
    }

    /// The key that a row left where it has another one now.
    fn left(&self, values: &[Value<'_>], before: Option<&Row<'_>>) -> Option<RowKey> {
        let was = self.key_of(Some(before?))?;
        let now = self.bound.key(values).ok()?;
        (was != now).then_some(was)
    }
}

fn removal(table: TableId, key: RowKey) -> RowChange {
    RowChange {
        table,
        key,
        op: RowOp::Remove,
    }
}

fn letter(
    source: &str,
    topic: &str,
    entry: &Entry,
    message: &Incoming<'_>,
    reason: &str,
    key: Option<RowKey>,
    now: Now,
) -> (RowChange, Option<DeadLetter>) {
    let position = At(topic, message.partition, message.offset).to_string();
    let value = String::from_utf8_lossy(message.value.unwrap_or_default());
    let mut end = value.len().min(LETTER_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let letter = DeadLetter {
        source: source.to_owned(),
        table: entry.plan.name().to_owned(),
        table_id: entry.table.0,
        key: String::from_utf8_lossy(message.key.unwrap_or_default())
            .chars()
            .take(128)
            .collect(),
        row: key.map(|key| match key {
            RowKey::Int(key) => StoredKey::Int(key),
            RowKey::Hash(key) => StoredKey::Hash((key >> 64) as u64, key as u64),
        }),
        reason: reason.to_owned(),
        position,
        columns: value.get(..end).unwrap_or_default().to_owned(),
        at_ms: now.wall_ms,
    };
    (removal(entry.table, key.unwrap_or(NO_ROW)), Some(letter))
}

#[cfg(test)]
mod tests;
