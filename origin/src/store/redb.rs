//! The engine: redb. Every commit is flushed, and saves what a quick repair after a crash needs.

use std::cell::OnceCell;
use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, TableDefinition, TableError,
};

use super::error::StoreError;
use super::record::Record;
use super::table::Table;
use super::{Range, Snapshot, Store, Transaction, Visit, Work, keys};

/// The file in the data directory.
pub const FILE_NAME: &str = "edgewise.redb";

/// Format of the tables and records; counted up with every incompatible change.
pub const FORMAT: u64 = 1;

/// Memory for pages that were read or written, bytes.
const CACHE_BYTES: usize = 256 << 20;

type Bytes = &'static [u8];

const fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

/// A store in one redb file, or in memory.
#[derive(Debug)]
pub struct RedbStore {
    database: Database,
    path: PathBuf,
}

impl RedbStore {
    /// Opens the database in `directory`, and makes both where they are missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it; [`StoreError::Format`] where
    /// another version wrote it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(|source| StoreError::Io {
            path: directory.to_owned(),
            source,
        })?;
        let path = directory.join(FILE_NAME);
        let database = opened(&path, || builder().create(&path))?;
        Self::prepare(database, path)
    }

    /// Opens the database in `directory`, which must be there.
    ///
    /// # Errors
    /// See [`RedbStore::open`]; [`StoreError::Missing`] where there is none.
    pub fn open_existing(directory: &Path) -> Result<Self, StoreError> {
        Self::open_file(&directory.join(FILE_NAME))
    }

    /// Opens a database file by its own name: a backup.
    ///
    /// # Errors
    /// See [`RedbStore::open_existing`].
    pub fn open_file(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::Missing {
                path: path.to_owned(),
            });
        }
        let database = opened(path, || builder().open(path))?;
        Self::prepare(database, path.to_owned())
    }

    /// Makes a new database file.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`] where the file is there.
    pub fn create_file(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            return Err(StoreError::NotEmpty {
                path: path.to_owned(),
            });
        }
        let database = opened(path, || builder().create(path))?;
        Self::prepare(database, path.to_owned())
    }

    /// A store that is gone when it is dropped, for tests.
    ///
    /// # Errors
    /// Where the engine fails.
    pub fn in_memory() -> Result<Self, StoreError> {
        let backend = redb::backends::InMemoryBackend::new();
        let database = builder()
            .create_with_backend(backend)
            .map_err(StoreError::engine)?;
        Self::prepare(database, PathBuf::new())
    }

    /// The database file; empty in memory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks every page's checksum.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where one is wrong.
    pub fn check_integrity(&mut self) -> Result<(), StoreError> {
        let database = &mut self.database;
        match catch_unwind(AssertUnwindSafe(|| database.check_integrity())) {
            Ok(Ok(true)) => Ok(()),
            Ok(Err(error)) => Err(StoreError::engine(error)),
            Ok(Ok(false)) | Err(_) => Err(StoreError::Damaged {
                path: self.path.clone(),
            }),
        }
    }

    fn prepare(database: Database, path: PathBuf) -> Result<Self, StoreError> {
        let store = Self { database, path };
        let found = {
            let read = store.database.begin_read().map_err(StoreError::engine)?;
            match read.open_table(definition(Table::Meta)) {
                Ok(meta) => meta
                    .get(keys::FORMAT)
                    .map_err(StoreError::engine)?
                    .map(|value| u64::decode(Table::Meta, value.value()))
                    .transpose()?,
                Err(TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(StoreError::engine(error)),
            }
        };
        match found {
            Some(FORMAT) => {}
            Some(found) => {
                let found = u32::try_from(found).unwrap_or(u32::MAX);
                return Err(StoreError::Format {
                    found,
                    expected: FORMAT as u32,
                });
            }
            // Opening every table in a transaction makes them.
            None => store.write(&mut |tx| tx.put(Table::Meta, keys::FORMAT, &FORMAT.encode()))?,
        }
        Ok(store)
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Runs what opens `path`. The engine panics on some kinds of damage, which is an error here.
fn opened(
    path: &Path,
    open: impl FnOnce() -> Result<Database, DatabaseError>,
) -> Result<Database, StoreError> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => opened.map_err(|error| open_error(error, path)),
        Err(_) => Err(StoreError::Damaged {
            path: path.to_owned(),
        }),
    }
}

fn open_error(error: DatabaseError, path: &Path) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Locked {
            path: path.to_owned(),
        },
        DatabaseError::Storage(redb::StorageError::Io(source)) => StoreError::Io {
            path: path.to_owned(),
            source,
        },
        other => StoreError::engine(other),
    }
}

impl Store for RedbStore {
    fn read(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let transaction = self.database.begin_read().map_err(StoreError::engine)?;
        Ok(Box::new(ReadView {
            transaction,
            tables: Default::default(),
        }))
    }

    fn write(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let mut transaction = self.database.begin_write().map_err(StoreError::engine)?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(StoreError::engine)?;
        transaction.set_quick_repair(true);
        {
            let mut tables = Vec::with_capacity(Table::ALL.len());
            for table in Table::ALL {
                tables.push(
                    transaction
                        .open_table(definition(table))
                        .map_err(StoreError::engine)?,
                );
            }
            work(&mut WriteView { tables })?;
        }
        transaction.commit().map_err(StoreError::engine)
    }
}

struct ReadView {
    transaction: ReadTransaction,
    tables: [OnceCell<ReadOnlyTable<Bytes, Bytes>>; Table::ALL.len()],
}

impl ReadView {
    fn table(&self, table: Table) -> Result<&ReadOnlyTable<Bytes, Bytes>, StoreError> {
        let cell = &self.tables[table as usize];
        if let Some(open) = cell.get() {
            return Ok(open);
        }
        let open = self
            .transaction
            .open_table(definition(table))
            .map_err(StoreError::engine)?;
        Ok(cell.get_or_init(|| open))
    }
}

impl Snapshot for ReadView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get(self.table(table)?, key)
    }

    fn scan(&self, table: Table, range: &Range, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan(self.table(table)?, range, visit)
    }
}

struct WriteView<'txn> {
    tables: Vec<redb::Table<'txn, Bytes, Bytes>>,
}

impl Snapshot for WriteView<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get(&self.tables[table as usize], key)
    }

    fn scan(&self, table: Table, range: &Range, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        scan(&self.tables[table as usize], range, visit)
    }
}

impl Transaction for WriteView<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.tables[table as usize]
            .insert(key, value)
            .map_err(StoreError::engine)?;
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.tables[table as usize]
            .remove(key)
            .map_err(StoreError::engine)?;
        Ok(())
    }
}

fn get(
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let value = table.get(key).map_err(StoreError::engine)?;
    Ok(value.map(|value| value.value().to_vec()))
}

fn scan(
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
    let mut rows = table.range::<&[u8]>(bounds).map_err(StoreError::engine)?;
    while let Some(row) = if range.reverse {
        rows.next_back()
    } else {
        rows.next()
    } {
        let (key, value) = row.map_err(StoreError::engine)?;
        if let ControlFlow::Break(()) = visit(key.value(), value.value())? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_has_the_data() {
        let directory = tempfile::tempdir().unwrap();
        let _first = RedbStore::open(directory.path()).unwrap();
        let error = RedbStore::open(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }));
        assert!(
            error
                .to_string()
                .contains("is in use by another edgewise process")
        );
    }

    #[test]
    fn failed_work_changes_nothing() {
        let store = RedbStore::in_memory().unwrap();
        let failed = store.write(&mut |tx| {
            tx.put(Table::Meta, b"x", b"1")?;
            Err(StoreError::Corrupt {
                table: Table::Meta,
                reason: "for the test",
            })
        });
        assert!(failed.is_err());
        assert_eq!(store.read().unwrap().get(Table::Meta, b"x").unwrap(), None);
    }

    #[test]
    fn scans_run_both_ways_within_their_bounds() {
        let store = RedbStore::in_memory().unwrap();
        store
            .write(&mut |tx| {
                for key in [b"a1", b"a2", b"b1"] {
                    tx.put(Table::Authors, key, b"")?;
                }
                Ok(())
            })
            .unwrap();
        let read = store.read().unwrap();
        let keys = |range: Range| {
            let mut keys = Vec::new();
            read.scan(Table::Authors, &range, &mut |key, _| {
                keys.push(String::from_utf8(key.to_vec()).unwrap());
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
            keys
        };
        assert_eq!(keys(Range::prefix(b"a")), ["a1", "a2"]);
        assert_eq!(keys(Range::all().reversed()), ["b1", "a2", "a1"]);
        assert_eq!(keys(Range::between(b"a2", b"b1")), ["a2"]);
        assert!(keys(Range::between(b"b", b"a")).is_empty());
    }
}
