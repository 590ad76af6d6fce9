//! The rows that a transaction changes, on their way to the applier.

use std::sync::Arc;

use bytes::Bytes;

use super::super::decode::Message;
use super::super::error::PgError;
use super::super::position::{PgPosition, Replay, Within};
use super::super::reread::read_again;
use super::super::tables::{At, Bound, Effect};
use super::{Stream, say_lag};
use crate::ingest::rows::{DeadLetter, RowChange, RowKey, RowOp, TableId};
use crate::store::read;

/// Rows that updates took away, noted at most; beyond, every patch waits for the store.
const GONE_MAX: usize = 10_000;

impl Stream<'_> {
    pub(super) async fn message(&mut self, data: &Bytes) -> Result<(), PgError> {
        match Message::decode(data)? {
            Message::Relation(relation) => {
                let is_catching_up = self.is_catching_up();
                let stops = self
                    .relations
                    .learn(&relation, &self.entries, is_catching_up);
                for stop in stops {
                    self.stop_entry(stop.entry, &stop.reason).await;
                }
            }
            Message::Type { oid, name } => self.relations.learn_type(oid, name),
            Message::Insert { relation, new } => {
                if self.counts()? {
                    let mut changes = std::mem::take(&mut self.changes);
                    for table in self.tables_of(relation)?.iter() {
                        table.insert(new, self.at(), &mut changes)?;
                    }
                    self.push(changes).await?;
                }
            }
            Message::Delete { relation, old } => {
                if self.counts()? {
                    let mut changes = std::mem::take(&mut self.changes);
                    for table in self.tables_of(relation)?.iter() {
                        table.delete(old, self.at(), &mut changes)?;
                    }
                    self.push(changes).await?;
                }
            }
            Message::Update { relation, old, new } => {
                if self.counts()? {
                    let mut changes = std::mem::take(&mut self.changes);
                    for table in self.tables_of(relation)?.iter() {
                        match table.update(old, new, self.at(), &mut changes)? {
                            Effect::Changes => self.note_gone(&changes),
                            Effect::ReadAgain { key, values } => {
                                changes.extend(self.again(table, key, &values).await?);
                            }
                            Effect::Patched { values } => {
                                let key = changes.last().map(|(change, _)| change.key);
                                if let Some(key) = key
                                    && !self.is_remembered(table.id, key).await?
                                {
                                    changes.pop();
                                    changes.extend(self.again(table, Some(key), &values).await?);
                                }
                            }
                        }
                    }
                    self.push(changes).await?;
                }
            }
            Message::Truncate { relations } => {
                if self.counts()? {
                    self.truncate(&relations).await?;
                }
            }
            Message::Origin | Message::Logical { .. } => {}
            Message::Begin { .. } | Message::Commit { .. } => {
                return Err(PgError::Protocol("a transaction is framed twice".into()));
            }
        }
        Ok(())
    }

    /// Counts a change of the transaction; whether it is to be applied.
    fn counts(&mut self) -> Result<bool, PgError> {
        let Some(transaction) = &mut self.transaction else {
            return Err(PgError::Protocol(
                "a change outside of a transaction".into(),
            ));
        };
        transaction.ordinal += 1;
        Ok(match transaction.replay {
            Replay::Skip => false,
            Replay::After(applied) => transaction.ordinal > applied,
        })
    }

    fn tables_of(&self, relation: u32) -> Result<Arc<[Bound]>, PgError> {
        self.relations.get(relation).ok_or_else(|| {
            PgError::Protocol(format!(
                "a change of table {relation}, which was never described"
            ))
        })
    }

    fn at(&self) -> At<'_> {
        let transaction = self.transaction.as_ref();
        At {
            source: &self.context.config.name,
            position: transaction.map_or("", |transaction| &transaction.text),
            now_ms: self.context.clock.wall_ms(),
            is_catching_up: self.is_catching_up(),
        }
    }

    /// Whether a copy may have seen what comes.
    fn is_catching_up(&self) -> bool {
        let transaction = self.transaction.as_ref();
        transaction.is_some_and(|t| t.final_lsn < self.catch_up)
    }

    /// Where the stream stands after so many changes of the transaction.
    fn within(&self, ordinal: u64) -> PgPosition {
        let final_lsn = self
            .transaction
            .as_ref()
            .map(|transaction| transaction.final_lsn);
        PgPosition {
            within: final_lsn.map(|final_lsn| Within { final_lsn, ordinal }),
            ..self.position.clone()
        }
    }

    /// Pushes the changes of a row: only the last completes it.
    async fn push(
        &mut self,
        mut changes: Vec<(RowChange, Option<DeadLetter>)>,
    ) -> Result<(), PgError> {
        let ordinal = self
            .transaction
            .as_ref()
            .map_or(0, |transaction| transaction.ordinal);
        let last = changes.len().saturating_sub(1);
        for (index, (change, dead)) in changes.drain(..).enumerate() {
            let done = if index == last { ordinal } else { ordinal - 1 };
            self.applier.push(change, dead, self.within(done)).await?;
        }
        self.changes = changes;
        Ok(())
    }

    /// Notes a row that an update took away (soft deletion, filter, contract): until that is
    /// durable the store still remembers it.
    fn note_gone(&mut self, changes: &[(RowChange, Option<DeadLetter>)]) {
        if let Some((change, _)) = changes.last()
            && change.op == RowOp::Remove
            && self.gone.len() < GONE_MAX
        {
            self.gone.insert((change.table, change.key));
        }
    }

    /// Whether the store will remember the row when what comes next is applied. A row that was
    /// soft-deleted, filtered out or refused is not remembered, and cannot be patched.
    async fn is_remembered(&mut self, table: TableId, key: RowKey) -> Result<bool, PgError> {
        let store = self.context.store.clone();
        let look = || -> Result<bool, crate::store::StoreError> {
            Ok(read::row(&*store.read()?, table, key)?.is_some())
        };
        let is_full = self.gone.len() >= GONE_MAX;
        if !is_full && !self.gone.contains(&(table, key)) && look().map_err(PgError::Store)? {
            return Ok(true);
        }
        // It may be among the changes that are on their way.
        self.applier.flush().await?;
        self.gone.clear();
        look().map_err(PgError::Store)
    }

    /// A row whose unchanged columns are not known is read from the table as it is now. It may be
    /// ahead of the stream, which repeats what is between.
    async fn again(
        &mut self,
        table: &Bound,
        key: Option<RowKey>,
        values: &[String],
    ) -> Result<Option<(RowChange, Option<DeadLetter>)>, PgError> {
        let (row, end) = match read_again(&self.server, &self.pool, table, values).await {
            Ok(read) => read,
            // The right was taken away, or row-level security hides rows.
            Err(PgError::Server { code, message }) if code == "42501" => {
                let mut entries = self.entries.iter();
                if let Some(index) = entries.position(|entry| entry.id == table.id) {
                    let reason = format!("its rows may not be read any more: {message}");
                    self.stop_entry(index, &reason).await;
                }
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // A row that is not there any more stays unknown until the stream has come so far.
        self.catch_up = self.catch_up.max(end);
        let Some(row) = row else {
            return Ok(key.map(|key| (table.remove(key), None)));
        };
        Ok(Some(table.map(&table.values_read(&row), self.at())))
    }

    async fn truncate(&mut self, relations: &[u32]) -> Result<(), PgError> {
        let mut cleared: Vec<TableId> = Vec::new();
        for relation in relations {
            let tables = self.tables_of(*relation)?;
            cleared.extend(tables.iter().map(|table| table.id));
        }
        let ordinal = self
            .transaction
            .as_ref()
            .map_or(0, |transaction| transaction.ordinal);
        let last = cleared.len().saturating_sub(1);
        // It may take long, and nothing is acknowledged meanwhile.
        say_lag(self.context, &self.progress);
        for (index, table) in cleared.into_iter().enumerate() {
            let done = if index == last { ordinal } else { ordinal - 1 };
            self.note_truncated(table).await;
            let committed = self.transaction.as_ref().map(|t| t.committed_ms);
            let position = self.within(done);
            self.applier.clear(table, position, committed).await?;
        }
        Ok(())
    }
}
