//! Sources themselves: their tables are registered, cleared and forgotten.

use std::ops::ControlFlow;

use super::{ForgetPart, SourceCommand, TableId};
use crate::ingest::Outcome;
use crate::ingest::batch::Batch;
use crate::store::log::LogEntry;
use crate::store::memory::RememberedRow;
use crate::store::record::Record;
use crate::store::source::SourceRecord;
use crate::store::{Range, StoreError, Table, keys, read};

/// Rows that a command takes back at most; more are left for the next.
pub const CLEARED_ROWS_MAX: usize = 20_000;

impl Batch<'_> {
    pub(in crate::ingest) fn source(
        &mut self,
        command: &SourceCommand,
    ) -> Result<Outcome, StoreError> {
        match command {
            SourceCommand::Register { source, tables } => self.register(source, tables),
            SourceCommand::Forget { source, part } => self.forget(source, part),
        }
    }

    fn register(&mut self, source: &str, tables: &[String]) -> Result<Outcome, StoreError> {
        let known = read::get::<SourceRecord>(&*self.stored, Table::Sources, source.as_bytes())?;
        let mut record = known.unwrap_or_default();
        let next = read::get::<u64>(&*self.stored, Table::Meta, keys::NEXT_TABLE)?;
        let mut next = u32::try_from(next.unwrap_or(1)).unwrap_or(u32::MAX);
        let mut outcome = Outcome::default();
        for name in tables {
            if record.tables.iter().any(|(_, known)| known == name) {
                outcome.duplicate += 1;
                continue;
            }
            record.tables.push((next, name.clone()));
            next = next.saturating_add(1);
            outcome.accepted += 1;
        }
        self.put_source(source, &record)?;
        self.stored
            .put(Table::Meta, keys::NEXT_TABLE, &u64::from(next).encode())?;
        Ok(outcome)
    }

    fn forget(&mut self, source: &str, part: &ForgetPart) -> Result<Outcome, StoreError> {
        let known = read::get::<SourceRecord>(&*self.stored, Table::Sources, source.as_bytes())?;
        let record = known.unwrap_or_default();
        let mut outcome = Outcome::default();
        match part {
            ForgetPart::Checkpoints(prefix) => {
                outcome.accepted = self.forget_checkpoints(source, prefix)?;
            }
            ForgetPart::Rows(table) if record.name(table.0).is_some() => {
                (outcome.accepted, outcome.more) = self.clear_rows(*table)?;
            }
            ForgetPart::Memory(table) if record.name(table.0).is_some() => {
                (outcome.accepted, outcome.more) = self.forget_memory(*table)?;
                if !outcome.more {
                    self.forget_table(source, record, *table)?;
                }
            }
            ForgetPart::Rows(_) | ForgetPart::Memory(_) => {}
            ForgetPart::Source | ForgetPart::Bookkeeping => {
                for (table, _) in &record.tables {
                    let table = TableId(*table);
                    let (rows, more) = match part {
                        ForgetPart::Source => self.clear_rows(table)?,
                        _ => self.forget_memory(table)?,
                    };
                    outcome.accepted += rows;
                    if more {
                        outcome.more = true;
                        return Ok(outcome);
                    }
                }
                outcome.accepted += self.forget_checkpoints(source, "")?;
                self.stored.delete(Table::Sources, source.as_bytes())?;
            }
        }
        Ok(outcome)
    }

    fn forget_table(
        &mut self,
        source: &str,
        mut record: SourceRecord,
        table: TableId,
    ) -> Result<(), StoreError> {
        record.tables.retain(|(number, _)| *number != table.0);
        self.put_source(source, &record)
    }

    fn put_source(&mut self, source: &str, record: &SourceRecord) -> Result<(), StoreError> {
        self.stored
            .put(Table::Sources, source.as_bytes(), &record.encode())
    }

    fn forget_checkpoints(&mut self, source: &str, prefix: &str) -> Result<u32, StoreError> {
        let mut found = Vec::new();
        let range = Range::prefix(&keys::checkpoint(source, prefix));
        self.stored
            .scan(Table::Checkpoints, &range, &mut |key, _| {
                found.push(key.to_vec());
                Ok(ControlFlow::Continue(()))
            })?;
        for key in &found {
            self.stored.delete(Table::Checkpoints, key)?;
        }
        Ok(u32::try_from(found.len()).unwrap_or(u32::MAX))
    }

    /// Takes back what a table's rows counted; returns how many, and whether there are more.
    pub(super) fn clear_rows(&mut self, table: TableId) -> Result<(u32, bool), StoreError> {
        let (rows, more) = self.some_rows(table)?;
        for (key, row) in &rows {
            self.undo(table, row)?;
            self.forget_row(table, *key)?;
        }
        self.flush_rows_log()?;
        self.after_rows(table, rows.len(), more)
    }

    /// Drops what is remembered of a table's rows; what they counted stays.
    fn forget_memory(&mut self, table: TableId) -> Result<(u32, bool), StoreError> {
        let (rows, more) = self.some_rows(table)?;
        let (mut logged, mut sum) = (0, 0_u64);
        for (key, row) in &rows {
            if matches!(row, RememberedRow::Event(_) | RememberedRow::Follow { .. }) {
                logged += 1;
                sum = sum.wrapping_add(row.fingerprint());
            }
            self.forget_row(table, *key)?;
        }
        if logged > 0 {
            self.append(LogEntry::ForgetRows {
                table: table.0,
                rows: logged,
                sum,
            })?;
        }
        self.after_rows(table, rows.len(), more)
    }

    /// Once a table has no rows its dead letters go.
    fn after_rows(
        &mut self,
        table: TableId,
        rows: usize,
        more: bool,
    ) -> Result<(u32, bool), StoreError> {
        let count = u32::try_from(rows).unwrap_or(u32::MAX);
        if more {
            return Ok((count, true));
        }
        let letters = self.drop_letters_of(table, CLEARED_ROWS_MAX)?;
        Ok((count, letters == CLEARED_ROWS_MAX))
    }

    /// A table's first rows, and whether there are more.
    fn some_rows(
        &mut self,
        table: TableId,
    ) -> Result<(Vec<(super::RowKey, RememberedRow)>, bool), StoreError> {
        self.tables.row_blocks.flush(self.stored)?;
        self.tables.row_hashes.flush(self.stored)?;
        let mut found = Vec::new();
        let mut more = false;
        read::rows(&*self.stored, table, None, &mut |key, row| {
            if found.len() == CLEARED_ROWS_MAX {
                more = true;
                return ControlFlow::Break(());
            }
            found.push((key, row));
            ControlFlow::Continue(())
        })?;
        Ok((found, more))
    }
}
