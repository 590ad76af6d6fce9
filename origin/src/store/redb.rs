//! The engine: redb. Every commit is flushed, and saves what a quick repair after a crash needs.

mod open;
#[cfg(test)]
mod tests;
mod upgrade;
mod views;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableDatabase, WriteTransaction};

use self::views::{ReadView, WriteView, definition};
use super::error::StoreError;
use super::guard::guarded;
use super::table::Table;
use super::{Snapshot, Store, Work};

/// The file in the data directory.
pub const FILE_NAME: &str = "edgewise.redb";

/// Format of the tables and records; counted up with every incompatible change.
pub const FORMAT: u64 = 4;

/// Memory for pages that were read or written, bytes; less with [`RedbStore::open_with`].
pub const CACHE_BYTES: usize = 256 << 20;

/// A store in one redb file, or in memory.
#[derive(Debug)]
pub struct RedbStore {
    /// Taken when the store is dropped, as closing a damaged file may panic.
    database: Option<Database>,
    path: PathBuf,
}

impl RedbStore {
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
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        let database = self.database.take();
        guarded(|| drop(database));
    }
}

/// Why the database is there.
const OPEN: &str = "it is taken only when the store is dropped";

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
