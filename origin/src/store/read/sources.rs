//! What connectors and operators read: checkpoints, the row memory, dead letters.

use std::ops::ControlFlow;

use super::{get, key_u64};
use crate::ingest::rows::{DeadLetter, RowKey, TableId};
use crate::store::error::StoreError;
use crate::store::memory::{RememberedRow, RowBlock};
use crate::store::record::Record;
use crate::store::source::{CheckpointRecord, DeadCounts, SourceRecord};
use crate::store::table::Table;
use crate::store::{Range, Snapshot, keys};

/// The bytes of a source's checkpoint.
///
/// # Errors
/// See [`position`](super::position); so for every reader here.
pub fn checkpoint(
    snapshot: &dyn Snapshot,
    source: &str,
    name: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let key = keys::checkpoint(source, name);
    let stored = get::<CheckpointRecord>(snapshot, Table::Checkpoints, &key)?;
    Ok(stored.map(|stored| stored.0))
}

/// Every checkpoint of a source by name, ascending.
///
/// # Errors
/// See [`checkpoint`].
pub fn checkpoints(
    snapshot: &dyn Snapshot,
    source: &str,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let prefix = keys::checkpoint(source, "");
    let mut found = Vec::new();
    snapshot.scan(
        Table::Checkpoints,
        &Range::prefix(&prefix),
        &mut |key, value| {
            let name = key.get(prefix.len()..).unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            found.push((name, CheckpointRecord::decode(Table::Checkpoints, value)?.0));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(found)
}

/// The names of the sources that were ever registered, ascending.
///
/// # Errors
/// See [`checkpoint`].
pub fn sources(snapshot: &dyn Snapshot) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    snapshot.scan(Table::Sources, &Range::all(), &mut |key, _| {
        names.push(String::from_utf8_lossy(key).into_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

/// The mapped tables of a source, in the order they were registered.
///
/// # Errors
/// See [`checkpoint`].
pub fn tables(snapshot: &dyn Snapshot, source: &str) -> Result<Vec<(TableId, String)>, StoreError> {
    let record = get::<SourceRecord>(snapshot, Table::Sources, source.as_bytes())?;
    let tables = record.unwrap_or_default().tables.into_iter();
    Ok(tables.map(|(table, name)| (TableId(table), name)).collect())
}

/// What is remembered of a row.
///
/// # Errors
/// See [`checkpoint`].
pub fn row(
    snapshot: &dyn Snapshot,
    table: TableId,
    key: RowKey,
) -> Result<Option<RememberedRow>, StoreError> {
    match key {
        RowKey::Int(key) => {
            let block = get::<RowBlock>(snapshot, Table::Rows, &keys::row_block(table.0, key))?;
            block.map_or(Ok(None), |block| block.get(keys::row_slot(key)))
        }
        RowKey::Hash(key) => get(snapshot, Table::Rows, &keys::row_hash(table.0, key)),
    }
}

/// Visits what is remembered of a table's rows from `from` on, ascending by key (integers
/// before hashes), until `visit` breaks.
///
/// # Errors
/// See [`checkpoint`].
pub fn rows(
    snapshot: &dyn Snapshot,
    table: TableId,
    from: Option<RowKey>,
    visit: &mut dyn FnMut(RowKey, RememberedRow) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut range = Range::prefix(&table.0.to_be_bytes());
    match from {
        Some(RowKey::Int(key)) => range.from = keys::row_block(table.0, key).to_vec(),
        Some(RowKey::Hash(key)) => range.from = keys::row_hash(table.0, key).to_vec(),
        None => {}
    }
    snapshot.scan(
        Table::Rows,
        &range,
        &mut |key, value| match keys::read_row(key) {
            Some(RowKey::Int(first)) => {
                let block = RowBlock::decode(Table::Rows, value)?;
                for slot in block.slots() {
                    let key = RowKey::Int(first | slot as i64);
                    let Some(row) = block.get(slot)?.filter(|_| from <= Some(key)) else {
                        continue;
                    };
                    if visit(key, row).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            Some(key) => Ok(visit(key, RememberedRow::decode(Table::Rows, value)?)),
            None => Err(StoreError::Corrupt {
                table: Table::Rows,
                reason: "unknown kind of key",
            }),
        },
    )
}

/// Dead letters from number `from` on, at most `limit`, oldest first.
///
/// # Errors
/// See [`checkpoint`].
pub fn dead_letters(
    snapshot: &dyn Snapshot,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
    let mut letters = Vec::new();
    let range = Range::from_key(&keys::number(from));
    snapshot.scan(Table::DeadLetters, &range, &mut |key, value| {
        if letters.len() >= limit {
            return Ok(ControlFlow::Break(()));
        }
        let number = key_u64(Table::DeadLetters, key, 0)?;
        letters.push((number, DeadLetter::decode(Table::DeadLetters, value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(letters)
}

/// A dead letter by its number.
///
/// # Errors
/// See [`checkpoint`].
pub fn dead_letter(snapshot: &dyn Snapshot, number: u64) -> Result<Option<DeadLetter>, StoreError> {
    get(snapshot, Table::DeadLetters, &keys::number(number))
}

/// How many dead letters there are.
///
/// # Errors
/// See [`checkpoint`].
pub fn dead_letter_count(snapshot: &dyn Snapshot) -> Result<u64, StoreError> {
    dead_counts(snapshot).map(|counts| counts.total())
}

/// How many dead letters there are by table, and how many were dropped.
///
/// # Errors
/// See [`checkpoint`].
pub fn dead_counts(snapshot: &dyn Snapshot) -> Result<DeadCounts, StoreError> {
    let counts = get::<DeadCounts>(snapshot, Table::Meta, keys::DEAD_LETTERS)?;
    Ok(counts.unwrap_or_default())
}
