//! Statements of the binlog: transactions' ends, truncations, definitions, and what changes rows
//! without saying which.

use super::catalog::TableName;
use super::ddl::{self, Statement};
use super::definition::{self, Definition, Moved, Named};
use super::event::Query;
use super::gtid::GtidSet;
use super::prepared::Collected;
use super::stream::{Step, Stream, Transaction};
use super::tables::Followed;
use super::words::{Word, is_same};
use crate::replicate::supervise::SourceError;
use std::sync::Arc;

impl Stream<'_> {
    pub(super) async fn query(&mut self, query: &Query, commit: Step) -> Result<Step, SourceError> {
        let words = query.words();
        if self.transaction.as_ref().is_some_and(|t| t.is_no_alter) {
            return Ok(commit);
        }
        match ddl::classify(&words) {
            Statement::Begin => {
                self.begun();
                return Ok(Step::Done);
            }
            Statement::XaStart(_) => {
                self.begun().xa = Some(Collected::default());
                return Ok(Step::Done);
            }
            Statement::Savepoint | Statement::XaEnd => return Ok(Step::Done),
            Statement::RollbackTo => {
                self.rolled_back(query).await?;
                return Ok(Step::Done);
            }
            Statement::Commit => {}
            Statement::XaCommit(xid) => self.decided(xid, query, true).await?,
            Statement::XaRollback(xid) => self.decided(xid, query, false).await?,
            Statement::Rollback => self.rolled_back(query).await?,
            Statement::Truncate(schema, table) => {
                let schema = schema.unwrap_or_else(|| query.schema.clone());
                let Step::Commit { end, .. } = commit else {
                    return Ok(commit);
                };
                self.truncate(&schema, &table, end).await?;
            }
            Statement::Definition => self.definition(query, &words).await,
            Statement::Rows => {
                self.statement_rows(query, &words).await;
                // Inside a transaction its end follows; a definition stands alone.
                let inside = self.transaction.as_ref();
                if inside.is_some_and(|t| t.events > 0 || t.xa.is_some()) {
                    return Ok(Step::Done);
                }
            }
            Statement::Harmless => {}
        }
        if self.transaction.as_ref().is_some_and(|t| t.xa.is_some()) {
            // What prepares or commits an XA transaction is no statement.
            return Ok(Step::Done);
        }
        Ok(commit)
    }

    /// The transaction that is being read, from here on where nothing said so before.
    pub(super) fn begun(&mut self) -> &mut Transaction {
        let start = self.offset;
        self.transaction.get_or_insert_with(|| Transaction {
            start,
            ..Transaction::default()
        })
    }

    /// Rows of a transaction are undone after they were in the binlog: rows of engines without
    /// transactions. Which ones cannot be told.
    pub(super) async fn rolled_back(&mut self, query: &Query) -> Result<(), SourceError> {
        let reason = format!("`{}` undid changes that were applied", cut(&query.text));
        let transaction = self.transaction.as_ref();
        let touched = transaction.map(|t| t.touched.clone());
        for table in touched.unwrap_or_default() {
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
            self.applier.clear(*id, position, None).await?;
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

    /// Tables may have changed: where their columns stand is kept, and whose rows may now be
    /// others than their events told stops.
    pub(super) async fn definition(&mut self, query: &Query, words: &[Word]) {
        self.tables.forget_maps();
        let definition = definition::read(words);
        for index in 0..self.tables.followed.len() {
            let Some(table) = self.tables.followed.get_mut(index) else {
                continue;
            };
            let mut stops = table.stops(query, words, &definition);
            let TableName {
                schema,
                table: name,
            } = &table.name;
            let altered = definition.altered.as_ref();
            if altered.is_some_and(|(named, _)| named.is(&query.schema, schema, name)) {
                if !table.alter(&definition.edits) {
                    let entries = 0..table.entries.len();
                    stops.extend(entries.map(|entry| (entry, NOT_THOSE_COLUMNS.to_owned())));
                }
                self.keep_schema(index).await;
            }
            for (entry, what) in stops {
                let reason = format!("`{}` {what}", cut(&query.text));
                self.stop_entry(index, entry, &reason).await;
            }
        }
    }

    /// A statement changed rows without telling which.
    pub(super) async fn statement_rows(&mut self, query: &Query, words: &[Word]) {
        for index in 0..self.tables.followed.len() {
            let named = self.tables.followed.get(index);
            if named.is_some_and(|table| ddl::names(words, &table.name.table)) {
                let reason = format!(
                    "`{}` changed rows without row events (see that every session has \
                     binlog_format = ROW)",
                    cut(&query.text)
                );
                self.stop_table(index, &reason).await;
            }
        }
    }
}

impl Followed {
    /// The entries that a definition statement stops, and what it did to them, in words that
    /// follow it.
    fn stops(&self, query: &Query, words: &[Word], read: &Definition) -> Vec<(usize, String)> {
        let TableName { schema, table } = &self.name;
        let is_this = |named: &Named| named.is(&query.schema, schema, table);
        let whole = if read.is_unclear && ddl::names(words, table) {
            Some("cannot be read, so that the table may be another")
        } else if read
            .database
            .as_ref()
            .is_some_and(|name| is_same(name, schema))
        {
            Some(Moved::Dropped.words())
        } else {
            let mut moved = read.moved.iter();
            let moved = moved.find(|(named, _)| is_this(named));
            moved.map(|(_, moved)| moved.words())
        };
        let entries = self.entries.iter().enumerate();
        if let Some(what) = whole {
            return entries.map(|(index, _)| (index, what.to_owned())).collect();
        }
        let Some((_, changes)) = read.altered.as_ref().filter(|(named, _)| is_this(named)) else {
            return Vec::new();
        };
        // IGNORE (MariaDB) does without strict mode, whatever the session has.
        let is_strict = query.is_strict() && !words.iter().take(3).any(|word| word.is("IGNORE"));
        entries
            .filter_map(|(index, entry)| {
                let mut changes = changes.iter();
                let what = changes.find_map(|change| {
                    change.harms(
                        &entry.reads,
                        entry.is_by_primary_key(),
                        &self.known,
                        is_strict,
                    )
                });
                Some((index, what?))
            })
            .collect()
    }
}

/// What a statement did to a table whose columns were read when it was altered further.
const NOT_THOSE_COLUMNS: &str = "found other columns than are known, which were read after it was \
     altered further (binlog_row_metadata = FULL names them; wait until the source has caught up)";

/// Bytes of a statement that a reason quotes.
const MAX_QUOTED_BYTES: usize = 200;

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_QUOTED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
