//! Statements of the binlog: transactions' ends, truncations, definitions, and what changes rows
//! without saying which.

use super::ddl::{self, Statement};
use super::event::Query;
use super::gtid::GtidSet;
use super::stream::{Step, Stream, Transaction};
use crate::replicate::supervise::SourceError;
use std::sync::Arc;

impl Stream<'_> {
    pub(super) async fn query(&mut self, query: &Query, commit: Step) -> Result<Step, SourceError> {
        match ddl::classify(&query.text) {
            Statement::Begin => {
                if self.transaction.is_none() {
                    self.transaction = Some(Transaction {
                        start: self.offset,
                        ..Transaction::default()
                    });
                }
                return Ok(Step::Done);
            }
            Statement::Savepoint => return Ok(Step::Done),
            Statement::RollbackTo => {
                self.rolled_back(query).await?;
                return Ok(Step::Done);
            }
            Statement::Commit => {}
            Statement::Rollback | Statement::XaRollback => self.rolled_back(query).await?,
            Statement::Truncate(schema, table) => {
                let schema = schema.unwrap_or_else(|| query.schema.clone());
                let Step::Commit { end, .. } = commit else {
                    return Ok(commit);
                };
                self.truncate(&schema, &table, end).await?;
            }
            Statement::Definition => self.definition(query).await?,
            Statement::Rows => {
                self.statement_rows(&query.text).await?;
                // Inside a transaction its end follows; a definition stands alone.
                if self.transaction.as_ref().is_some_and(|t| t.events > 0) {
                    return Ok(Step::Done);
                }
            }
            Statement::Harmless => {}
        }
        Ok(commit)
    }

    /// Rows of a transaction are undone after they were in the binlog: rows of engines without
    /// transactions, or a prepared XA transaction. Which ones cannot be told.
    pub(super) async fn rolled_back(&mut self, query: &Query) -> Result<(), SourceError> {
        let reason = format!("`{}` undid changes that were applied", cut(&query.text));
        let touched = match ddl::classify(&query.text) {
            Statement::XaRollback => (0..self.tables.followed.len()).collect(),
            _ => self
                .transaction
                .as_ref()
                .map(|t| t.touched.clone())
                .unwrap_or_default(),
        };
        for table in touched {
            self.stop_table(table, &reason).await;
        }
        Ok(())
    }

    pub(super) async fn truncate(
        &mut self,
        schema: &str,
        table: &str,
        end: u64,
    ) -> Result<(), SourceError> {
        let Some(index) = self.tables.find(schema, table) else {
            return Ok(());
        };
        let Some(followed) = self.tables.followed.get(index) else {
            return Ok(());
        };
        let entries = followed
            .entries
            .iter()
            .filter(|entry| entry.stopped.is_none());
        let entries: Vec<_> = entries.map(|entry| entry.id).collect();
        tracing::info!(source = self.context.config.name, table = %followed.name, "table truncated");
        for (left, id) in entries.iter().enumerate().rev() {
            // Only with the last of the table's entries is the statement done.
            let mut position = self.position();
            if left == 0 {
                position.offset = end;
                position.gtids = self.gtids_with_this();
            }
            self.applier.clear(*id, position).await?;
        }
        Ok(())
    }

    /// The committed transactions and the one that is being read.
    pub(super) fn gtids_with_this(&self) -> Option<Arc<GtidSet>> {
        let mut set = self.gtids.clone();
        if let (Some(set), Some((uuid, number))) =
            (&mut set, self.transaction.as_ref().and_then(|t| t.gtid))
        {
            Arc::make_mut(set).add(uuid, number);
        }
        set
    }

    /// Tables may have changed: what is named is looked up again when its next rows come.
    pub(super) async fn definition(&mut self, query: &Query) -> Result<(), SourceError> {
        self.tables.forget_maps();
        for index in 0..self.tables.followed.len() {
            let Some(table) = self.tables.followed.get_mut(index) else {
                continue;
            };
            let name = table.name.clone();
            let takes_away = ddl::takes_away(&query.text, &name.schema, &name.table);
            if !takes_away && !ddl::names(&query.text, &name.table) {
                continue;
            }
            table.is_stale = true;
            if takes_away && self.is_of(query, index) {
                let reason = format!("`{}` took the table away", cut(&query.text));
                self.stop_table(index, &reason).await;
            }
        }
        Ok(())
    }

    /// Whether a statement that names the table means that of its database.
    pub(super) fn is_of(&self, query: &Query, index: usize) -> bool {
        self.tables.followed.get(index).is_some_and(|table| {
            let schema = &table.name.schema;
            query.schema.eq_ignore_ascii_case(schema) || ddl::names(&query.text, schema)
        })
    }

    /// A statement changed rows without telling which.
    pub(super) async fn statement_rows(&mut self, text: &str) -> Result<(), SourceError> {
        for index in 0..self.tables.followed.len() {
            let named = self.tables.followed.get(index);
            if named.is_some_and(|table| ddl::names(text, &table.name.table)) {
                let reason = format!(
                    "`{}` changed rows without row events (see that every session has \
                     binlog_format = ROW)",
                    cut(text)
                );
                self.stop_table(index, &reason).await;
            }
        }
        Ok(())
    }
}

/// Bytes of a statement that a reason quotes.
const MAX_QUOTED_BYTES: usize = 200;

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_QUOTED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
