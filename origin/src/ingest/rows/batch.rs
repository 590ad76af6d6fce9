//! A batch of changes with its checkpoints: all or nothing.

use edgewise_wire::api::Item;

use super::{Fact, Kept, Move, RowBatch, RowChange, RowKey, RowOp, TableId};
use crate::ingest::batch::{Batch, rejected};
use crate::ingest::{Outcome, Rejected};
use crate::store::memory::{RememberedRow, RowBlock};
use crate::store::record::Record;
use crate::store::source::{CheckpointRecord, SourceRecord};
use crate::store::{StoreError, Table, keys, read};

/// Bytes of a checkpoint's name.
pub const CHECKPOINT_NAME_BYTES_MAX: usize = 200;
/// Records of the row memory that a transaction holds beside its pages.
const MEMORY_CELLS_MAX: usize = 8_192;

const NOT_REGISTERED: &str =
    "the table is not registered with this source: it was forgotten meanwhile, start again";
const CLEAR_WITH_OTHERS: &str = "a table is cleared by a batch of its own";
const NAME_TOO_LONG: &str = "a checkpoint's name is longer than 200 bytes";

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Something is different.
    Changed,
    /// It was so before.
    Same,
    /// It cannot be counted; the row counts as removed.
    Refused(&'static str),
}

impl Batch<'_> {
    pub(in crate::ingest) fn rows(&mut self, batch: &RowBatch) -> Result<Outcome, StoreError> {
        let key = batch.source.as_bytes();
        let source = read::get::<SourceRecord>(&*self.stored, Table::Sources, key)?;
        let source = source.unwrap_or_default();
        if let Some(refused) = refuse(batch, &source) {
            return Ok(Outcome {
                conflict: true,
                rejected: vec![refused],
                ..Outcome::default()
            });
        }
        if let Some(outcome) = self.conflict(batch)? {
            return Ok(outcome);
        }
        let mut outcome = Outcome::default();
        for change in batch.changes.iter() {
            let change = &*change;
            let done = match &change.op {
                RowOp::Put(fact) => self.put_row(change.table, change.key, fact)?,
                RowOp::Patch(item, kept) => self.patch_row(change, item, *kept)?,
                RowOp::Remove => self.remove_row(change.table, change.key)?,
                RowOp::Clear => {
                    let (rows, more) = self.clear_rows(change.table)?;
                    outcome.accepted += rows;
                    outcome.more = more;
                    continue;
                }
            };
            self.supersede(change.table, change.key)?;
            match done {
                Done::Changed => outcome.accepted += 1,
                Done::Same => outcome.duplicate += 1,
                Done::Refused(reason) => {
                    self.remove_row(change.table, change.key)?;
                    self.refuse_row(&batch.source, &source, change, reason)?;
                    outcome.dead += 1;
                }
            }
            if self.tables.row_blocks.len() + self.tables.row_hashes.len() > MEMORY_CELLS_MAX {
                self.tables.row_blocks.flush(self.stored)?;
                self.tables.row_hashes.flush(self.stored)?;
                self.tables.row_blocks.forget();
                self.tables.row_hashes.forget();
            }
        }
        outcome.dead += self.bury(batch)?;
        self.flush_rows_log()?;
        if !outcome.more {
            for step in &batch.moves {
                self.move_checkpoint(&batch.source, step)?;
            }
        }
        Ok(outcome)
    }

    /// What is answered where a checkpoint is not what it must be.
    fn conflict(&self, batch: &RowBatch) -> Result<Option<Outcome>, StoreError> {
        let (mut stands, mut moved) = (true, !batch.moves.is_empty());
        for step in &batch.moves {
            let now = self.checkpoint(&batch.source, &step.checkpoint)?;
            stands &= now == step.from;
            moved &= now == step.to;
        }
        if stands {
            return Ok(None);
        }
        let mut outcome = Outcome::default();
        if moved && self.is_retry {
            // The commit that failed did happen.
            outcome.duplicate = u32::try_from(batch.changes.len()).unwrap_or(u32::MAX);
        } else {
            outcome.conflict = true;
        }
        Ok(Some(outcome))
    }

    fn move_checkpoint(&mut self, source: &str, step: &Move) -> Result<(), StoreError> {
        let key = keys::checkpoint(source, &step.checkpoint);
        match &step.to {
            Some(to) => {
                let record = CheckpointRecord(to.clone()).encode();
                self.stored.put(Table::Checkpoints, &key, &record)
            }
            None => self.stored.delete(Table::Checkpoints, &key),
        }
    }

    /// The row says this now.
    fn put_row(&mut self, table: TableId, key: RowKey, fact: &Fact) -> Result<Done, StoreError> {
        let old = self.remembered(table, key)?;
        match fact {
            Fact::Event(event) => self.put_event(table, key, event, old),
            Fact::Item(item) => self.put_item(table, key, item, old),
            Fact::User { id } => self.put_user(table, key, id, old),
            Fact::Follow {
                user,
                author,
                since_ms,
            } => self.put_follow(table, key, (user, author, *since_ms), old),
        }
    }

    fn patch_row(
        &mut self,
        change: &RowChange,
        item: &Item,
        kept: Kept,
    ) -> Result<Done, StoreError> {
        let old = self.remembered(change.table, change.key)?;
        match self.patched(item, kept, old.as_ref())? {
            Some(item) => self.put_item(change.table, change.key, &item, old),
            None => Ok(Done::Refused(super::fact::UNKNOWN_PATCHED)),
        }
    }

    /// The row is gone.
    pub(super) fn remove_row(&mut self, table: TableId, key: RowKey) -> Result<Done, StoreError> {
        let Some(old) = self.remembered(table, key)? else {
            return Ok(Done::Same);
        };
        self.undo(table, &old)?;
        self.forget_row(table, key)?;
        Ok(Done::Changed)
    }

    /// Takes back what a row says.
    pub(super) fn undo(&mut self, table: TableId, old: &RememberedRow) -> Result<(), StoreError> {
        match old {
            RememberedRow::Event(event) => {
                self.take_back(event)?;
                self.log_event(table, true, event)
            }
            RememberedRow::Item { item, .. } => self.end_item(*item),
            RememberedRow::User { user } => self.end_user(*user),
            RememberedRow::Follow {
                user,
                author,
                since_ms,
            } => self.end_follow(table, *user, *author, *since_ms),
        }
    }

    pub(super) fn remembered(
        &mut self,
        table: TableId,
        key: RowKey,
    ) -> Result<Option<RememberedRow>, StoreError> {
        match key {
            RowKey::Int(key) => {
                let block = keys::row_block(table.0, key);
                match self.tables.row_blocks.get(&*self.stored, block)? {
                    Some(block) => block.get(keys::row_slot(key)),
                    None => Ok(None),
                }
            }
            RowKey::Hash(key) => {
                let key = keys::row_hash(table.0, key);
                Ok(self.tables.row_hashes.get(&*self.stored, key)?.cloned())
            }
        }
    }

    pub(super) fn remember(
        &mut self,
        table: TableId,
        key: RowKey,
        row: RememberedRow,
    ) -> Result<(), StoreError> {
        match key {
            RowKey::Int(key) => {
                self.scratch.clear();
                row.put(&mut self.scratch);
                let block = keys::row_block(table.0, key);
                let block: &mut RowBlock = self.tables.row_blocks.entry(&*self.stored, block)?;
                block.set(keys::row_slot(key), self.scratch.bytes());
            }
            RowKey::Hash(key) => self
                .tables
                .row_hashes
                .put(keys::row_hash(table.0, key), row),
        }
        Ok(())
    }

    pub(super) fn forget_row(&mut self, table: TableId, key: RowKey) -> Result<(), StoreError> {
        match key {
            RowKey::Int(key) => {
                let at = keys::row_block(table.0, key);
                let cells = &mut self.tables.row_blocks;
                if let Some(block) = cells.get_mut(&*self.stored, at)? {
                    block.set(keys::row_slot(key), &[]);
                    if block.is_empty() {
                        cells.remove(&*self.stored, at)?;
                    }
                }
            }
            RowKey::Hash(key) => {
                let key = keys::row_hash(table.0, key);
                self.tables.row_hashes.remove(&*self.stored, key)?;
            }
        }
        Ok(())
    }
}

/// What no store state can make right.
fn refuse(batch: &RowBatch, source: &SourceRecord) -> Option<Rejected> {
    let mut known = None;
    for (index, (table, is_clear)) in batch.changes.tables().enumerate() {
        if is_clear && batch.changes.len() > 1 {
            return Some(rejected(index, CLEAR_WITH_OTHERS));
        }
        if known != Some(table) {
            if source.name(table.0).is_none() {
                return Some(rejected(index, NOT_REGISTERED));
            }
            known = Some(table);
        }
    }
    let mut names = batch.moves.iter().map(|step| step.checkpoint.len());
    names
        .any(|len| len > CHECKPOINT_NAME_BYTES_MAX)
        .then(|| rejected(0, NAME_TOO_LONG))
}
