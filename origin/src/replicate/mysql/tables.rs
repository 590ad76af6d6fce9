//! The tables that are followed: their plans, their columns as events have them, and whether
//! they are stopped.

use super::catalog::{ColumnInfo, Table, TableName};
use super::column_type::ColumnType;
use super::decode::Slot;
use super::edits::{self, Edit};
use super::event::TableMap;
use super::layout;
use crate::ingest::rows::TableId;
use crate::replicate::contract::TableQuality;
use crate::replicate::mapping::{BoundTable, Column, TablePlan};
use std::collections::HashMap;
use std::sync::Arc;

/// Table maps that are remembered; a server gives a table a new number now and then.
const MAX_MAPS: usize = 4_096;

/// An entry of the mapping.
pub(crate) struct Entry {
    /// Its id in the store.
    pub(crate) id: TableId,
    /// Its plan.
    pub(crate) plan: TablePlan,
    /// What is measured of it.
    pub(crate) quality: Option<TableQuality>,
    /// Why it is not followed any more.
    pub(crate) stopped: Option<String>,
    /// As it was bound last.
    bound: Option<BoundTable>,
    /// The columns that it reads, by their names in the table.
    pub(crate) reads: Vec<String>,
}

/// A table of the source with the entries that read it.
pub(crate) struct Followed {
    /// Database and name.
    pub(crate) name: TableName,
    /// Its columns as of the stream's position.
    pub(crate) known: Vec<ColumnInfo>,
    /// The same as the checkpoint has it.
    pub(crate) stored: Option<Vec<u8>>,
    /// Statements changed it in a way that only the catalogue can tell.
    pub(crate) is_stale: bool,
    /// The last rows came with the columns' names.
    pub(crate) has_names: bool,
    /// Who reads it.
    pub(crate) entries: Vec<Entry>,
}

/// How rows of a table map are read.
pub(crate) struct Layout {
    /// The table's columns.
    pub(crate) slots: Vec<Slot>,
    /// Bound plans by entry; `None` for one that is stopped.
    pub(crate) bound: Vec<Option<BoundTable>>,
}

/// What rows of a table number mean.
#[derive(Clone)]
pub(crate) enum Known {
    /// Nobody reads them.
    Ignored,
    /// The table at this place reads them so.
    Read(usize, Arc<Layout>),
}

/// Every table.
#[derive(Default)]
pub(crate) struct Tables {
    /// In the mapping's order.
    pub(crate) followed: Vec<Followed>,
    maps: HashMap<u64, (Box<[u8]>, Known)>,
}

impl Tables {
    /// Adds an entry to its table.
    pub(crate) fn add(&mut self, name: TableName, id: TableId, plan: TablePlan) {
        let entry = Entry {
            id,
            plan,
            quality: None,
            stopped: None,
            bound: None,
            reads: Vec::new(),
        };
        match self.followed.iter_mut().find(|table| table.name == name) {
            Some(table) => table.entries.push(entry),
            None => self.followed.push(Followed {
                name,
                known: Vec::new(),
                stored: None,
                is_stale: false,
                has_names: false,
                entries: vec![entry],
            }),
        }
    }

    /// The place of a table, whatever the case of its name.
    pub(crate) fn find(&self, schema: &str, table: &str) -> Option<usize> {
        self.followed.iter().position(|followed| {
            followed.name.schema.eq_ignore_ascii_case(schema)
                && followed.name.table.eq_ignore_ascii_case(table)
        })
    }

    /// What the rows after a table map with these bytes mean, where it was seen before.
    pub(crate) fn seen(&self, table_id: u64, body: &[u8]) -> Option<&Known> {
        self.maps
            .get(&table_id)
            .filter(|(seen, _)| **seen == *body)
            .map(|(_, known)| known)
    }

    /// What the rows of a table number mean.
    pub(crate) fn rows_of(&self, table_id: u64) -> Option<&Known> {
        self.maps.get(&table_id).map(|(_, known)| known)
    }

    /// The bytes of a table number's map.
    pub(crate) fn map_of(&self, table_id: u64) -> Option<&[u8]> {
        self.maps.get(&table_id).map(|(body, _)| &**body)
    }

    /// Remembers a table map.
    pub(crate) fn remember(&mut self, table_id: u64, body: &[u8], known: Known) {
        if self.maps.len() >= MAX_MAPS {
            self.maps.clear();
        }
        self.maps.insert(table_id, (body.into(), known));
    }

    /// Forgets every table map: what they mean may have changed.
    pub(crate) fn forget_maps(&mut self) {
        self.maps.clear();
    }
}

/// What came of fitting a table map to a table.
pub(crate) enum Fitted {
    /// Its rows can be read; these entries do not fit any more, and why.
    Yes(Layout, Vec<(usize, String)>),
    /// It does not fit the columns that are known.
    No(String),
}

impl Followed {
    /// The checkpoint of its columns.
    pub(crate) fn schema_checkpoint(&self) -> String {
        let named = self.entries.first().map(|entry| entry.plan.table());
        super::schema_checkpoint(named.unwrap_or_default())
    }

    /// Takes over the columns of the catalogue.
    pub(crate) fn learn(&mut self, table: &Table) {
        self.known.clone_from(&table.columns);
        self.is_stale = false;
    }

    /// Takes over what a statement does to the columns. False where it did not find those that
    /// are known, so that rows without names cannot be read: the catalogue, which they are from,
    /// was ahead of it, and may be ahead of others that follow.
    pub(crate) fn alter(&mut self, edits: &[Edit]) -> bool {
        match edits::apply(&self.known, edits) {
            Some(columns) => {
                self.known = columns;
                true
            }
            None => {
                self.is_stale = true;
                self.has_names
            }
        }
    }

    /// Whether the catalogue has to be asked before rows are read.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_stale || self.known.iter().any(|column| column.is_stale)
    }

    /// Takes over from the catalogue what statements have changed, where it still has it.
    pub(crate) fn refresh(&mut self, table: &Table) {
        for column in self.known.iter_mut().filter(|column| column.is_stale) {
            if let Some(now) = table.columns.iter().find(|now| now.name == column.name) {
                column.clone_from(now);
            }
            column.is_stale = false;
        }
    }

    /// The entries whose columns are not as they were, so that rows may have other values than
    /// their events told, though no statement said so (`sql_log_bin = 0`).
    pub(crate) fn unlike(&self, before: &[ColumnInfo]) -> Vec<(usize, String)> {
        let is_key = |columns: &[ColumnInfo], name: &String| {
            let mut columns = columns.iter();
            columns.any(|column| column.name == *name && column.is_key)
        };
        let reason = |entry: &Entry| {
            let mut known = self.known.iter().filter(|c| entry.reads.contains(&c.name));
            let changed = known.find_map(|now| {
                let was = before.iter().find(|was| was.name == now.name)?;
                let is_kept = ColumnType::of(now).is_some_and(|now| now.keeps(was, true));
                (!is_kept).then(|| {
                    let (name, was, now) = (&now.name, &was.column_type, &now.column_type);
                    format!("column {name} was {was}, now {now}: rows may have other values")
                })
            });
            let mut reads = entry.reads.iter();
            let other_key = entry.is_by_primary_key()
                && reads.any(|name| is_key(before, name) != is_key(&self.known, name));
            changed.or_else(|| other_key.then(|| "its primary key is another one now".to_owned()))
        };
        let entries = self.entries.iter().enumerate();
        entries
            .filter_map(|(index, entry)| Some((index, reason(entry)?)))
            .collect()
    }

    /// The last entry that reads rows of this layout.
    pub(crate) fn last_followed(&self, layout: &Layout) -> usize {
        let bound = self.entries.iter().zip(&layout.bound);
        bound
            .enumerate()
            .rfind(|(_, (entry, bound))| entry.stopped.is_none() && bound.is_some())
            .map(|(index, _)| index)
            .unwrap_or_default()
    }

    /// As its checkpoint holds it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&self.known).expect("columns are plain data")
    }

    /// Fits a table map to the columns that are known.
    pub(crate) fn fit(&mut self, map: &TableMap, source: &str, now_ms: i64) -> Fitted {
        self.has_names = map.columns.iter().all(|column| column.name.is_some());
        let columns = match layout::columns(map, &self.known) {
            Ok(columns) => columns,
            Err(mismatch) => return Fitted::No(mismatch.0),
        };
        let described: Vec<Column> = columns.iter().map(ColumnInfo::to_column).collect();
        let mut wanted = vec![false; columns.len()];
        let mut refused = Vec::new();
        let mut bound = Vec::with_capacity(self.entries.len());
        for (index, entry) in self.entries.iter_mut().enumerate() {
            match entry.bind(&described, &columns, source, now_ms) {
                Ok(plan) => {
                    for column in plan.sources() {
                        if let Some(wanted) = wanted.get_mut(*column) {
                            *wanted = true;
                        }
                    }
                    bound.push(Some(plan));
                }
                Err(reason) => {
                    bound.push(None);
                    refused.extend(reason.map(|reason| (index, reason)));
                }
            }
        }
        let slots = map.columns.iter().zip(&columns).zip(&wanted);
        let slots = slots.map(|((column, info), wanted)| layout::slot(column, info, *wanted));
        match slots.collect() {
            Ok(slots) => Fitted::Yes(Layout { slots, bound }, refused),
            Err(mismatch) => Fitted::No(mismatch.0),
        }
    }
}

impl Entry {
    /// Whether its rows are told apart by the table's primary key, whatever that is.
    pub(crate) fn is_by_primary_key(&self) -> bool {
        self.plan.key_columns().is_empty()
    }

    /// Binds the plan to columns; an error without a reason is one that is stopped already.
    pub(crate) fn bind(
        &mut self,
        described: &[Column],
        columns: &[ColumnInfo],
        source: &str,
        now_ms: i64,
    ) -> Result<BoundTable, Option<String>> {
        if self.stopped.is_some() {
            return Err(None);
        }
        let changed = self
            .bound
            .as_ref()
            .map(|bound| bound.changed(described))
            .unwrap_or_default();
        if let Some(change) = changed.first() {
            let now = change.now.as_deref().unwrap_or("dropped");
            return Err(Some(format!(
                "column {} was {}, now {now}",
                change.column, change.was
            )));
        }
        let bound = self.plan.bind(described).map_err(|errors| {
            let sentences: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Some(sentences.join("; "))
        })?;
        for index in bound.sources() {
            if let Some(info) = columns.get(*index)
                && let Some(problem) = layout::unreadable(info)
            {
                return Err(Some(format!("column {} {problem}", info.name)));
            }
        }
        if self.quality.is_none() {
            self.quality = Some(TableQuality::new(source, &bound, now_ms));
        }
        let names = bound
            .sources()
            .iter()
            .filter_map(|index| columns.get(*index));
        self.reads = names.map(|info| info.name.clone()).collect();
        self.bound = Some(bound.clone());
        Ok(bound)
    }
}
