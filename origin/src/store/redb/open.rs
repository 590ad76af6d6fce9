//! Opening and making the file: what is no database of this format is refused by name.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, TableError};

use super::views::{definition, get};
use super::{CACHE_BYTES, FILE_NAME, FORMAT, RedbStore, damaged, engine, io, upgrade};
use crate::store::record::Record;
use crate::store::{Store, StoreError, Table, keys};

/// First bytes of every redb file.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";

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

    /// The format in the file; `None` in a new one.
    pub(super) fn format(&self) -> Result<Option<u64>, StoreError> {
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
