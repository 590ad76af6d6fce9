//! Dead letters: rows that were refused, until they are delivered again, replayed or dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::changes::ALLOCATION;
use super::{DeadLetter, RowBatch, RowChange, RowKey, RowOp, StoredKey, TableId};
use crate::ingest::Outcome;
use crate::ingest::batch::Batch;
use crate::store::record::Record;
use crate::store::source::{DeadCounts, SourceRecord};
use crate::store::{Range, StoreError, Table, keys, read};

/// Dead letters that are kept; beyond, the oldest is dropped and counted.
pub const DEAD_LETTERS_MAX: u64 = 1_000_000;

impl StoredKey {
    /// The key of the row.
    #[must_use]
    pub const fn row_key(self) -> RowKey {
        match self {
            Self::Int(key) => RowKey::Int(key),
            Self::Hash(high, low) => RowKey::Hash((high as u128) << 64 | low as u128),
        }
    }
}

impl From<RowKey> for StoredKey {
    fn from(key: RowKey) -> Self {
        match key {
            RowKey::Int(key) => Self::Int(key),
            RowKey::Hash(key) => Self::Hash((key >> 64) as u64, key as u64),
        }
    }
}

impl DeadLetter {
    /// Bytes that it holds, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let texts = [
            &self.source,
            &self.table,
            &self.key,
            &self.reason,
            &self.position,
            &self.columns,
        ];
        let inside: usize = texts.iter().map(|text| text.len() + ALLOCATION).sum();
        size_of::<Self>() + inside
    }
}

impl Batch<'_> {
    /// Keeps the refused rows of a batch, but those that it delivers again after.
    pub(super) fn bury(&mut self, batch: &RowBatch) -> Result<u32, StoreError> {
        let mut last: BTreeMap<(TableId, RowKey), bool> = BTreeMap::new();
        let keyed = |letter: &DeadLetter| {
            let row = letter.row.map(StoredKey::row_key)?;
            Some((TableId(letter.table_id), row))
        };
        let refused: BTreeSet<_> = batch.dead.iter().filter_map(keyed).collect();
        if !refused.is_empty() {
            for change in batch.changes.iter() {
                if refused.contains(&(change.table, change.key)) {
                    last.insert((change.table, change.key), change.op != RowOp::Remove);
                }
            }
        }
        let mut buried = 0;
        for letter in &batch.dead {
            let is_superseded = keyed(letter).is_some_and(|row| last.get(&row) == Some(&true));
            if !is_superseded {
                self.keep_letter(letter)?;
                buried += 1;
            }
        }
        Ok(buried)
    }

    /// The writer itself cannot count a row.
    pub(super) fn refuse_row(
        &mut self,
        source_name: &str,
        source: &SourceRecord,
        change: &RowChange,
        reason: &str,
    ) -> Result<(), StoreError> {
        let key = match change.key {
            RowKey::Int(key) => format!("key={key}"),
            RowKey::Hash(key) => format!("hash={key:032x}"),
        };
        self.keep_letter(&DeadLetter {
            source: source_name.to_owned(),
            table: source.name(change.table.0).unwrap_or_default().to_owned(),
            table_id: change.table.0,
            key,
            row: Some(change.key.into()),
            reason: reason.to_owned(),
            position: String::new(),
            columns: "{}".to_owned(),
            at_ms: self.at.wall_ms,
        })
    }

    /// The row was delivered again, or is gone: its letter says nothing any more.
    pub(super) fn supersede(&mut self, table: TableId, key: RowKey) -> Result<(), StoreError> {
        if self.dead_counts()?.of(table.0) == 0 {
            return Ok(());
        }
        let letter = read::get::<u64>(&*self.stored, Table::DeadKeys, &keys::dead(table.0, key))?;
        match letter {
            Some(number) => self.drop_letter(number).map(drop),
            None => Ok(()),
        }
    }

    /// Removes letters by number.
    pub(in crate::ingest) fn drop_dead_letters(
        &mut self,
        letters: &[u64],
    ) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        for &number in letters {
            if self.drop_letter(number)? {
                outcome.accepted += 1;
            } else {
                outcome.duplicate += 1;
            }
        }
        Ok(outcome)
    }

    /// Removes up to `most` letters of a table's keys; returns how many.
    pub(super) fn drop_letters_of(
        &mut self,
        table: TableId,
        most: usize,
    ) -> Result<usize, StoreError> {
        if self.dead_counts()?.of(table.0) == 0 {
            return Ok(0);
        }
        let mut numbers = Vec::new();
        let range = Range::prefix(&table.0.to_be_bytes());
        self.stored.scan(Table::DeadKeys, &range, &mut |_, value| {
            if numbers.len() == most {
                return Ok(ControlFlow::Break(()));
            }
            numbers.push(u64::decode(Table::DeadKeys, value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        for &number in &numbers {
            self.drop_letter(number)?;
        }
        Ok(numbers.len())
    }

    fn keep_letter(&mut self, letter: &DeadLetter) -> Result<(), StoreError> {
        let table = TableId(letter.table_id);
        if let Some(row) = letter.row {
            self.supersede(table, row.row_key())?;
        }
        if self.dead_counts()?.total() >= DEAD_LETTERS_MAX {
            self.drop_oldest_letter()?;
        }
        let counts = self.dead_counts()?;
        let number = counts.next;
        counts.next += 1;
        counts.add(table.0, 1);
        self.stored
            .put(Table::DeadLetters, &keys::number(number), &letter.encode())?;
        if let Some(row) = letter.row {
            let key = keys::dead(table.0, row.row_key());
            self.stored.put(Table::DeadKeys, &key, &number.encode())?;
        }
        Ok(())
    }

    fn drop_oldest_letter(&mut self) -> Result<(), StoreError> {
        let oldest = read::dead_letters(&*self.stored, 0, 1)?;
        if let Some((number, _)) = oldest.first() {
            self.drop_letter(*number)?;
            self.dead_counts()?.dropped += 1;
        }
        Ok(())
    }

    fn drop_letter(&mut self, number: u64) -> Result<bool, StoreError> {
        let Some(letter) = read::dead_letter(&*self.stored, number)? else {
            return Ok(false);
        };
        self.stored
            .delete(Table::DeadLetters, &keys::number(number))?;
        if let Some(row) = letter.row {
            let key = keys::dead(letter.table_id, row.row_key());
            let newest = read::get::<u64>(&*self.stored, Table::DeadKeys, &key)?;
            if newest == Some(number) {
                self.stored.delete(Table::DeadKeys, &key)?;
            }
        }
        self.dead_counts()?.add(letter.table_id, -1);
        Ok(true)
    }

    /// How many letters there are, to change; written with the batch.
    fn dead_counts(&mut self) -> Result<&mut DeadCounts, StoreError> {
        if self.dead.is_none() {
            self.dead = Some(read::dead_counts(&*self.stored)?);
        }
        Ok(self.dead.get_or_insert_default())
    }
}
