//! The engine: redb. Every commit is flushed, and saves what a quick repair after a crash needs.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};

use redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    TableDefinition, TableError, WriteTransaction,
};

mod upgrade;

use super::error::StoreError;
use super::guard::guarded;
use super::record::Record;
use super::table::Table;
use super::{Range, Snapshot, Store, Transaction, Visit, Work, keys};

/// The file in the data directory.
pub const FILE_NAME: &str = "edgewise.redb";

/// Format of the tables and records; counted up with every incompatible change.
pub const FORMAT: u64 = 4;

/// Memory for pages that were read or written, bytes; less with [`RedbStore::open_with`].
pub const CACHE_BYTES: usize = 256 << 20;

/// First bytes of every redb file.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";

type Bytes = &'static [u8];

const fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

/// A store in one redb file, or in memory.
#[derive(Debug)]
pub struct RedbStore {
    /// Taken when the store is dropped, as closing a damaged file may panic.
    database: Option<Database>,
    path: PathBuf,
}

impl RedbStore {
    /// Opens the database in `directory`, and makes both where they are missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it; [`StoreError::Format`] where
    /// another version wrote it; [`StoreError::Damaged`] where the file is no database.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_with(directory, CACHE_BYTES)
    }

    /// Like [`RedbStore::open`], with at most `cache_bytes` of pages in memory.
    ///
    /// # Errors
    /// See [`RedbStore::open`].
    pub fn open_with(directory: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(|source| StoreError::Io {
            path: directory.to_owned(),
            source,
        })?;
        let path = directory.join(FILE_NAME);
        if !path.exists() {
            Self::create_whole(&path)?;
        }
        Self::open_file_with(&path, cache_bytes)
    }

    /// Makes a new database under another name first: killed at any moment, this leaves no
    /// database or a whole one, never a file that looks damaged.
    fn create_whole(path: &Path) -> Result<(), StoreError> {
        let io = |source| io(path, source);
        let new = path.with_extension(format!("new-{}", std::process::id()));
        if new.exists() {
            std::fs::remove_file(&new).map_err(io)?;
        }
        drop(Self::create_file(&new)?);
        // Not a rename: that would replace what another process made meanwhile.
        let linked = std::fs::hard_link(&new, path);
        std::fs::remove_file(&new).map_err(io)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(io(error)),
            _ => Ok(()),
        }
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
        Self::open_file_with(path, CACHE_BYTES)
    }

    fn open_file_with(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::Missing {
                path: path.to_owned(),
            });
        }
        check_magic(path)?;
        let database = opened(path, || builder(cache_bytes).open(path))?;
        Self::prepare(database, path.to_owned())
    }

    /// Makes a new database file, readable by its owner only: it names people.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`] where the file is there.
    pub fn create_file(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            return Err(StoreError::NotEmpty {
                path: path.to_owned(),
            });
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|source| io(path, source))?;
        let made = opened(path, || builder(CACHE_BYTES).create_file(file))
            .and_then(|database| Self::prepare(database, path.to_owned()));
        if made.is_err() {
            // A file that is no database would be in the way of the next start.
            let _ = std::fs::remove_file(path);
        }
        made
    }

    /// A store that is gone when it is dropped, for tests.
    ///
    /// # Errors
    /// Where the engine fails.
    pub fn in_memory() -> Result<Self, StoreError> {
        let backend = redb::backends::InMemoryBackend::new();
        let database = builder(CACHE_BYTES)
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
        let Self { database, path } = self;
        let database = database.as_mut().expect(OPEN);
        if engine(path, || database.check_integrity())? {
            Ok(())
        } else {
            Err(damaged(path))
        }
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect(OPEN)
    }

    fn prepare(database: Database, path: PathBuf) -> Result<Self, StoreError> {
        let database = Some(database);
        let store = Self { database, path };
        let found = store.format()?;
        match found {
            Some(FORMAT) => {}
            Some(found) if upgrade::is_known(found) => {
                tracing::info!(
                    path = %store.path.display(),
                    "the database is brought from format {found} to format {FORMAT}"
                );
                // Opening every table makes the new ones.
                store.transact(&mut |transaction, view| {
                    upgrade::upgrade(transaction, view, found)
                })?;
            }
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

impl RedbStore {
    /// [`Store::write`] with the engine's transaction.
    fn transact(
        &self,
        work: &mut dyn FnMut(&WriteTransaction, &mut WriteView<'_, '_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let path = &*self.path;
        let mut transaction = engine(path, || self.database().begin_write())?;
        engine(path, || transaction.set_durability(Durability::Immediate))?;
        transaction.set_quick_repair(true);
        let tables = Vec::with_capacity(Table::ALL.len());
        let mut view = WriteView { path, tables };
        let opened = Table::ALL.into_iter().try_for_each(|table| {
            let open = engine(path, || transaction.open_table(definition(table)))?;
            view.tables.push(open);
            Ok(())
        });
        let worked = opened.and_then(|()| work(&transaction, &mut view));
        let closed = engine(path, || {
            drop(view);
            Ok::<(), redb::Error>(())
        });
        match worked.and(closed) {
            Ok(()) => engine(path, || transaction.commit()),
            Err(error) => {
                guarded(|| drop(transaction));
                Err(error)
            }
        }
    }

    /// The format in the file; `None` in a new one.
    fn format(&self) -> Result<Option<u64>, StoreError> {
        let path = &self.path;
        let read = engine(path, || self.database().begin_read())?;
        let opened = engine(path, || match read.open_table(definition(Table::Meta)) {
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            opened => opened.map(Some),
        })?;
        let Some(meta) = opened else {
            return Ok(None);
        };
        let value = get(path, &meta, keys::FORMAT)?;
        value
            .map(|value| u64::decode(Table::Meta, &value))
            .transpose()
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        let database = self.database.take();
        guarded(|| drop(database));
    }
}

/// Why the database is there.
const OPEN: &str = "it is taken only when the store is dropped";

fn builder(cache_bytes: usize) -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    builder
}

/// Refuses a file that is no database: the engine would make an empty one of some.
fn check_magic(path: &Path) -> Result<(), StoreError> {
    let mut file = File::open(path).map_err(|source| io(path, source))?;
    let mut magic = [0; MAGIC.len()];
    match file.read_exact(&mut magic) {
        Ok(()) if magic == MAGIC => Ok(()),
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(io(path, error)),
        // Another process may be making it at this moment.
        _ => match file.try_lock_shared() {
            Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked {
                path: path.to_owned(),
            }),
            _ => Err(damaged(path)),
        },
    }
}

/// Runs what opens `path`.
fn opened(
    path: &Path,
    open: impl FnOnce() -> Result<Database, redb::DatabaseError>,
) -> Result<Database, StoreError> {
    engine(path, open).map_err(|error| match error {
        StoreError::Engine(cause) => match cause.downcast::<redb::Error>().map(|cause| *cause) {
            Ok(redb::Error::DatabaseAlreadyOpen) => StoreError::Locked {
                path: path.to_owned(),
            },
            Ok(redb::Error::Io(source)) => io(path, source),
            Ok(other) => StoreError::engine(other),
            Err(other) => StoreError::Engine(other),
        },
        other => other,
    })
}

/// Runs a call into the engine on the file at `path`; damage it finds or panics on is named so.
fn engine<T, E: Into<redb::Error>>(
    path: &Path,
    call: impl FnOnce() -> Result<T, E>,
) -> Result<T, StoreError> {
    match guarded(call) {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(match error.into() {
            redb::Error::Corrupted(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_) => damaged(path),
            // Less of the file is there than it says.
            redb::Error::Io(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::InvalidData
                ) =>
            {
                damaged(path)
            }
            other => StoreError::engine(other),
        }),
        None => Err(damaged(path)),
    }
}

fn damaged(path: &Path) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
    }
}

fn io(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        source,
    }
}

impl Store for RedbStore {
    fn read(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let transaction = engine(&self.path, || self.database().begin_read())?;
        Ok(Box::new(ReadView {
            path: self.path.clone(),
            transaction,
            tables: Default::default(),
        }))
    }

    fn write(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.transact(&mut |_, view| work(view))
    }
}

struct ReadView {
    path: PathBuf,
    transaction: ReadTransaction,
    tables: [OnceCell<ReadOnlyTable<Bytes, Bytes>>; Table::ALL.len()],
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

struct WriteView<'a, 'txn> {
    path: &'a Path,
    tables: Vec<redb::Table<'txn, Bytes, Bytes>>,
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

fn get(
    path: &Path,
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    engine(path, || {
        let value = table.get(key)?;
        Ok::<_, redb::StorageError>(value.map(|value| value.value().to_vec()))
    })
}

fn scan(
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

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_database() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path()).unwrap();
        let mode = store.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_database_is_never_taken_for_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        for bytes in [&b""[..], b"redb", &[0; 8_192]] {
            std::fs::write(&path, bytes).unwrap();
            let error = RedbStore::open(directory.path()).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            let remedy = "the database is damaged; restore a backup with `edgewise restore`";
            assert!(error.to_string().contains(remedy));
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }

    /// Opens, reads and checks everything.
    fn used(path: &Path) -> Result<(), StoreError> {
        let mut store = RedbStore::open_file(path)?;
        for table in Table::ALL {
            let rows = &mut |_: &[u8], _: &[u8]| Ok(ControlFlow::Continue(()));
            store.read()?.scan(table, &Range::all(), rows)?;
        }
        store.write(&mut |tx| tx.put(Table::Authors, b"more", b"1"))?;
        store.check_integrity()
    }

    #[test]
    fn damage_is_named_and_never_panics() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let store = RedbStore::open(directory.path()).unwrap();
        let rows = |tx: &mut dyn Transaction| {
            (0..5_000_u32).try_for_each(|n| tx.put(Table::Authors, &n.to_be_bytes(), &[7; 100]))
        };
        store.write(&mut |tx| rows(tx)).unwrap();
        drop(store);
        let whole = std::fs::read(&path).unwrap();
        used(&path).unwrap();
        let mut refused = 0;
        let mut check = |bytes: &[u8], what: &str| {
            std::fs::write(&path, bytes).unwrap();
            match used(&path) {
                Ok(()) => {}
                Err(StoreError::Damaged { .. }) => refused += 1,
                Err(other) => panic!("{what}: {other:?}"),
            }
        };
        for part in 0..16 {
            let end = whole.len() * part / 16;
            check(&whole[..end], &format!("cut at {end}"));
        }
        for from in (4_096..whole.len()).step_by(whole.len() / 24) {
            let mut bytes = whole.clone();
            let to = bytes.len().min(from + 40_000);
            bytes[from..to].fill(0xa5);
            check(&bytes, &format!("overwritten from {from}"));
        }
        assert!(refused > 16, "{refused}");
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
