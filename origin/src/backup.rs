//! `edgewise backup` and `restore`: a consistent copy of the store while it is in use.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::store::redb::FILE_NAME;
use crate::store::{Range, RedbStore, Snapshot, Store, StoreError, Table, read};

/// Rows copied in one transaction ...
const CHUNK_ROWS: usize = 50_000;
/// ... which also ends at this many bytes.
const CHUNK_BYTES: usize = 16 << 20;

/// What a backup or restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The file that was written.
    pub path: PathBuf,
    /// Sequence number of the log's last record in it.
    pub position: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// Copies the last commit's state into a new file at `path`. The file appears under its name
/// only when it is whole and its checksums were checked.
///
/// # Errors
/// [`StoreError::NotEmpty`] where `path` exists; where a store fails.
pub fn backup(store: &dyn Store, path: &Path) -> Result<Copied, StoreError> {
    if path.exists() {
        return Err(StoreError::NotEmpty {
            path: path.to_owned(),
        });
    }
    let part = with_suffix(path, ".part");
    remove_file(&part)?;
    let copied = copy(&*store.read()?, &part).and_then(|rows| {
        rename(&part, path)?;
        Ok(rows)
    });
    match copied {
        Ok((position, rows)) => described(path, position, rows),
        Err(error) => {
            // What is half written is of no use; the first error is the one to tell.
            let _ = remove_file(&part);
            Err(error)
        }
    }
}

/// Checks the backup at `file` and puts a copy of it into `directory` as its database.
/// A directory that has a database is refused unless `force` is set; then the database is
/// replaced, which must not be in use.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Format`] where `file` is
/// no good; [`StoreError::NotEmpty`], [`StoreError::Locked`] where `directory` is not free.
pub fn restore(file: &Path, directory: &Path, force: bool) -> Result<Copied, StoreError> {
    let mut source = RedbStore::open_file(file)?;
    source.check_integrity()?;
    let target = directory.join(FILE_NAME);
    if is_in_use(directory)? && !force {
        return Err(StoreError::NotEmpty {
            path: directory.to_owned(),
        });
    }
    if target.exists() {
        // Fails where another process has it; the lock is free again when this is dropped.
        match RedbStore::open_existing(directory).map(drop) {
            // What is damaged is what a backup is put in the place of.
            Ok(()) | Err(StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    std::fs::create_dir_all(directory).map_err(|source| StoreError::Io {
        path: directory.to_owned(),
        source,
    })?;
    let part = with_suffix(&target, ".part");
    remove_file(&part)?;
    let (position, rows) = copy(&*source.read()?, &part)?;
    rename(&part, &target)?;
    described(&target, position, rows)
}

/// Copies every row into a new database at `path`, checks it, and returns position and rows.
fn copy(snapshot: &dyn Snapshot, path: &Path) -> Result<(u64, u64), StoreError> {
    let mut target = RedbStore::create_file(path)?;
    let mut rows = 0;
    for table in Table::ALL {
        let mut next = Some(Vec::new());
        while let Some(start) = next.take() {
            let chunk = chunk(snapshot, table, &start)?;
            rows += chunk.rows.len() as u64;
            target.write(&mut |tx| {
                chunk
                    .rows
                    .iter()
                    .try_for_each(|(key, value)| tx.put(table, key, value))
            })?;
            next = chunk.next;
        }
    }
    target.check_integrity()?;
    let position = read::position(&*target.read()?)?;
    Ok((position, rows))
}

/// Some rows of a table.
#[derive(Default)]
struct Chunk {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the next chunk starts; `None` at the table's end.
    next: Option<Vec<u8>>,
}

fn chunk(snapshot: &dyn Snapshot, table: Table, start: &[u8]) -> Result<Chunk, StoreError> {
    let mut chunk = Chunk::default();
    let mut bytes = 0;
    snapshot.scan(table, &Range::from_key(start), &mut |key, value| {
        if chunk.rows.len() == CHUNK_ROWS || bytes >= CHUNK_BYTES {
            chunk.next = Some(key.to_vec());
            return Ok(ControlFlow::Break(()));
        }
        bytes += key.len() + value.len();
        chunk.rows.push((key.to_vec(), value.to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(chunk)
}

fn is_in_use(directory: &Path) -> Result<bool, StoreError> {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StoreError::Io {
            path: directory.to_owned(),
            source,
        }),
    }
}

fn described(path: &Path, position: u64, rows: u64) -> Result<Copied, StoreError> {
    let metadata = std::fs::metadata(path).map_err(|source| StoreError::Io {
        path: path.to_owned(),
        source,
    })?;
    Ok(Copied {
        path: path.to_owned(),
        position,
        rows,
        bytes: metadata.len(),
    })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(StoreError::Io {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Renames and makes the new name durable.
fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Io {
        path: to.to_owned(),
        source,
    };
    std::fs::rename(from, to).map_err(failed)?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    std::fs::File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use edgewise_wire::api::EventType;

    use super::*;
    use crate::ingest::testing::{Rig, event};
    use crate::verify::verify;

    fn liked(likes: u32) -> Rig {
        let rig = Rig::new();
        let user = |n: u32| format!("u{n}");
        rig.events(
            (0..likes)
                .map(|n| event(&n.to_string(), EventType::Like, &user(n), "i"))
                .collect(),
        );
        rig
    }

    #[test]
    fn a_backup_restores_to_the_same_state() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("copy.redb");
        let rig = liked(10);
        let copied = backup(&*rig.store, &file).unwrap();
        assert_eq!(copied.position, 10);
        rig.events(vec![event("later", EventType::Like, "v", "i")]);

        let data = directory.path().join("data");
        let restored = restore(&file, &data, false).unwrap();
        assert_eq!((restored.position, restored.rows), (10, copied.rows));
        let store = RedbStore::open_existing(&data).unwrap();
        assert!(verify(&store).unwrap().ok);
        let item = read::item(&*store.read().unwrap(), "i").unwrap().unwrap();
        assert_eq!(item.counters.likes, 10);
        assert!(!with_suffix(&file, ".part").exists());
    }

    #[test]
    fn nothing_is_overwritten_unless_forced() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("copy.redb");
        backup(&*liked(1).store, &file).unwrap();
        assert!(matches!(
            backup(&*liked(2).store, &file),
            Err(StoreError::NotEmpty { .. })
        ));

        let data = directory.path().join("data");
        restore(&file, &data, false).unwrap();
        assert!(matches!(
            restore(&file, &data, false),
            Err(StoreError::NotEmpty { .. })
        ));
        restore(&file, &data, true).unwrap();
        let _in_use = RedbStore::open(&data).unwrap();
        assert!(matches!(
            restore(&file, &data, true),
            Err(StoreError::Locked { .. })
        ));
    }

    #[test]
    fn a_backup_takes_the_place_of_a_damaged_database() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("copy.redb");
        backup(&*liked(1).store, &file).unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join(FILE_NAME), b"").unwrap();
        restore(&file, &data, true).unwrap();
        assert!(
            verify(&RedbStore::open_existing(&data).unwrap())
                .unwrap()
                .ok
        );
    }

    #[test]
    fn a_damaged_or_missing_backup_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("copy.redb");
        let data = directory.path().join("data");
        assert!(matches!(
            restore(&file, &data, false),
            Err(StoreError::Missing { .. })
        ));
        backup(&*liked(500).store, &file).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        // Not the header, which redb repairs: pages in use.
        let middle = bytes.len() / 8;
        bytes[8_192..middle.max(40_000)].fill(0xa5);
        std::fs::write(&file, bytes).unwrap();
        assert!(restore(&file, &data, false).is_err());
        assert!(!data.exists());
    }
}
