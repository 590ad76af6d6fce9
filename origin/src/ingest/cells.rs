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
    /// Keys of the cells that are changed: a flush looks at no others.
    changed: Vec<[u8; KEY]>,
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
            changed: Vec::new(),
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
        let cell = cell(&mut self.cells, self.table, stored, key)?;
        Ok(cell.record.as_ref())
    }

    /// The record of `key` to change.
    pub(super) fn get_mut(
        &mut self,
        stored: &dyn Snapshot,
        key: [u8; KEY],
    ) -> Result<Option<&mut R>, StoreError> {
        let cell = cell(&mut self.cells, self.table, stored, key)?;
        if cell.record.is_some() {
            cell.change(key, &mut self.changed);
        }
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
        let cell = cell(&mut self.cells, self.table, stored, key)?;
        cell.change(key, &mut self.changed);
        Ok(cell.record.get_or_insert_default())
    }

    /// Sets the record of `key`.
    pub(super) fn put(&mut self, key: [u8; KEY], record: R) {
        let cell = self.cells.entry(key).or_insert(Cell::UNKNOWN);
        cell.change(key, &mut self.changed);
        cell.record = Some(record);
    }

    /// Removes the record of `key` and returns it.
    pub(super) fn remove(
        &mut self,
        stored: &dyn Snapshot,
        key: [u8; KEY],
    ) -> Result<Option<R>, StoreError> {
        let cell = cell(&mut self.cells, self.table, stored, key)?;
        if cell.record.is_some() {
            cell.change(key, &mut self.changed);
        }
        Ok(cell.record.take())
    }

    /// Forgets what was not written: somebody else writes the table.
    pub(super) fn forget(&mut self) {
        self.cells.clear();
        self.changed.clear();
    }

    /// Writes what changed, in key order (neighbours share pages).
    pub(super) fn flush(&mut self, stored: &mut dyn Transaction) -> Result<(), StoreError> {
        self.changed.sort_unstable();
        let mut bytes = Encoder::default();
        for key in self.changed.drain(..) {
            let Some(cell) = self.cells.get_mut(&key) else {
                continue;
            };
            cell.changed = false;
            match &cell.record {
                Some(record) => {
                    bytes.clear();
                    record.write(&mut bytes);
                    stored.put(self.table, &key, bytes.bytes())?;
                }
                None => stored.delete(self.table, &key)?,
            }
        }
        if self.cells.len() > self.kept_max {
            self.cells.clear();
            // What one large transaction needed is not held for good.
            self.cells.shrink_to(self.kept_max);
            self.changed.shrink_to(self.kept_max);
        }
        Ok(())
    }
}

impl<R> Cell<R> {
    const UNKNOWN: Self = Self {
        record: None,
        changed: false,
    };

    fn change<const KEY: usize>(&mut self, key: [u8; KEY], changed: &mut Vec<[u8; KEY]>) {
        if !self.changed {
            self.changed = true;
            changed.push(key);
        }
    }
}

/// What `key` has now.
fn cell<'c, const KEY: usize, R: Record>(
    cells: &'c mut HashMap<[u8; KEY], Cell<R>>,
    table: Table,
    stored: &dyn Snapshot,
    key: [u8; KEY],
) -> Result<&'c mut Cell<R>, StoreError> {
    match cells.entry(key) {
        Entry::Occupied(known) => Ok(known.into_mut()),
        Entry::Vacant(vacant) => {
            let value = stored.get(table, &key)?;
            let record = value.map(|bytes| R::decode(table, &bytes)).transpose()?;
            Ok(vacant.insert(Cell {
                record,
                changed: false,
            }))
        }
    }
}
