//! A table's records that transactions work on: in each one a record is read once and written
//! once, and what the last ones worked on is still at hand for the next.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::store::record::Record;
use crate::store::{Encoder, Snapshot, StoreError, Table, Transaction};

/// Records of `table` by key, over what the transaction began with.
#[derive(Debug)]
pub(super) struct Cells<const KEY: usize, R> {
    table: Table,
    /// Records kept over a flush; beyond, all are forgotten.
    kept_max: usize,
    cells: HashMap<[u8; KEY], Cell<R>>,
}

#[derive(Debug)]
struct Cell<R> {
    record: Option<R>,
    changed: bool,
}

impl<const KEY: usize, R: Record> Cells<KEY, R> {
    pub(super) fn new(table: Table, kept_max: usize) -> Self {
        Self {
            table,
            kept_max,
            cells: HashMap::new(),
        }
    }

    /// Records in memory.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The record of `key`.
    pub(super) fn get(
        &mut self,
        stored: &dyn Snapshot,
        key: [u8; KEY],
    ) -> Result<Option<&R>, StoreError> {
        Ok(self.cell(stored, key)?.record.as_ref())
    }

    /// The record of `key` to change.
    pub(super) fn get_mut(
        &mut self,
        stored: &dyn Snapshot,
        key: [u8; KEY],
    ) -> Result<Option<&mut R>, StoreError> {
        let cell = self.cell(stored, key)?;
        cell.changed |= cell.record.is_some();
        Ok(cell.record.as_mut())
    }

    /// The record of `key` to change, made where it is absent.
    pub(super) fn entry(
        &mut self,
        stored: &dyn Snapshot,
        key: [u8; KEY],
    ) -> Result<&mut R, StoreError>
    where
        R: Default,
    {
        let cell = self.cell(stored, key)?;
        cell.changed = true;
        Ok(cell.record.get_or_insert_default())
    }

    /// Sets the record of `key`.
    pub(super) fn put(&mut self, key: [u8; KEY], record: R) {
        self.cells.insert(
            key,
            Cell {
                record: Some(record),
                changed: true,
            },
        );
    }

    /// Removes the record of `key` and returns it.
    pub(super) fn remove(
        &mut self,
        stored: &dyn Snapshot,
        key: [u8; KEY],
    ) -> Result<Option<R>, StoreError> {
        let cell = self.cell(stored, key)?;
        cell.changed |= cell.record.is_some();
        Ok(cell.record.take())
    }

    /// Forgets what was not written: somebody else writes the table.
    pub(super) fn forget(&mut self) {
        self.cells.clear();
    }

    /// Writes what changed, in key order (neighbours share pages).
    pub(super) fn flush(&mut self, stored: &mut dyn Transaction) -> Result<(), StoreError> {
        let cells = self.cells.iter();
        let mut changed: Vec<_> = cells.filter(|(_, cell)| cell.changed).collect();
        changed.sort_unstable_by_key(|(key, _)| *key);
        let mut bytes = Encoder::default();
        for (key, cell) in changed {
            match &cell.record {
                Some(record) => {
                    bytes.clear();
                    record.write(&mut bytes);
                    stored.put(self.table, key, bytes.bytes())?;
                }
                None => stored.delete(self.table, key)?,
            }
        }
        if self.cells.len() > self.kept_max {
            self.cells.clear();
            // What one large transaction needed is not held for good.
            self.cells.shrink_to(self.kept_max);
        } else {
            for cell in self.cells.values_mut() {
                cell.changed = false;
            }
        }
        Ok(())
    }

    fn cell(&mut self, stored: &dyn Snapshot, key: [u8; KEY]) -> Result<&mut Cell<R>, StoreError> {
        match self.cells.entry(key) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(vacant) => {
                let value = stored.get(self.table, &key)?;
                let record = value
                    .map(|bytes| R::decode(self.table, &bytes))
                    .transpose()?;
                Ok(vacant.insert(Cell {
                    record,
                    changed: false,
                }))
            }
        }
    }
}
