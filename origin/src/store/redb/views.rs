//! The tables as a reader and as a writer see them.

use std::cell::OnceCell;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition};

use super::engine;
use crate::store::{Range, Snapshot, StoreError, Table, Transaction, Visit};

pub(super) type Bytes = &'static [u8];

pub(super) const fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

pub(super) struct ReadView {
    pub(super) path: PathBuf,
    pub(super) transaction: ReadTransaction,
    pub(super) tables: [OnceCell<ReadOnlyTable<Bytes, Bytes>>; Table::ALL.len()],
}

impl ReadView {
    fn table(&self, table: Table) -> Result<&ReadOnlyTable<Bytes, Bytes>, StoreError> {
        let cell = &self.tables[table as usize];
        if let Some(open) = cell.get() {
            return Ok(open);
        }
        let open = engine(&self.path, || {
            self.transaction.open_table(definition(table))
        })?;
        Ok(cell.get_or_init(|| open))
    }
}

impl Snapshot for ReadView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get(&self.path, self.table(table)?, key)
    }

    fn scan(&self, table: Table, range: &Range, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan(&self.path, self.table(table)?, range, visit)
    }
}

pub(super) struct WriteView<'a, 'txn> {
    pub(super) path: &'a Path,
    pub(super) tables: Vec<redb::Table<'txn, Bytes, Bytes>>,
}

impl Snapshot for WriteView<'_, '_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get(self.path, &self.tables[table as usize], key)
    }

    fn scan(&self, table: Table, range: &Range, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan(self.path, &self.tables[table as usize], range, visit)
    }
}

impl Transaction for WriteView<'_, '_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let table = &mut self.tables[table as usize];
        engine(self.path, || table.insert(key, value).map(drop))
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        let table = &mut self.tables[table as usize];
        engine(self.path, || table.remove(key).map(drop))
    }
}

pub(super) fn get(
    path: &Path,
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    engine(path, || {
        let value = table.get(key)?;
        Ok::<_, redb::StorageError>(value.map(|value| value.value().to_vec()))
    })
}

pub(super) fn scan(
    path: &Path,
    table: &impl ReadableTable<Bytes, Bytes>,
    range: &Range,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let end = match range.to.as_deref() {
        Some(to) if to <= range.from.as_slice() => return Ok(()),
        Some(to) => Bound::Excluded(to),
        None => Bound::Unbounded,
    };
    let bounds = (Bound::Included(range.from.as_slice()), end);
    let mut rows = engine(path, || table.range::<&[u8]>(bounds))?;
    loop {
        let row = engine(path, || {
            let row = if range.reverse {
                rows.next_back()
            } else {
                rows.next()
            };
            row.transpose()
        })?;
        let Some((key, value)) = row else {
            return Ok(());
        };
        let bytes = || Ok::<_, redb::Error>((key.value(), value.value()));
        let (key, value) = engine(path, bytes)?;
        if let ControlFlow::Break(()) = visit(key, value)? {
            return Ok(());
        }
    }
}
