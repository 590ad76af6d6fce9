//! The key-value store: what Workers KV is to the Worker, in one file that survives restarts.
//!
//! Values can be fetched again, so a crash may lose the last seconds of them
//! ([`KV_SYNC_EVERY`]) and a file that cannot be read is put aside.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use metrics::{Counter, counter, gauge};
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, WriteTransaction,
};
use tracing::warn;

use crate::limits::{
    KV_GROUP_MAX, KV_PAGE_CACHE_BYTES, KV_PENDING_BYTES_MAX, KV_PENDING_MAX, KV_REMOVED_MAX,
    KV_SYNC_EVERY,
};
use crate::now;
use crate::telemetry::{KV_BYTES, KV_DROPPED_TOTAL};

/// Key → when it expires (Unix seconds, 8 bytes, little-endian) and the value.
const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");
/// (When it expires, key) → bytes of key and value: what goes first.
const EXPIRY: TableDefinition<'_, (u64, &str), u64> = TableDefinition::new("expiry");
/// Bytes of the expiry before a value.
const PREFIX: usize = 8;

/// A write that waits.
#[derive(Debug)]
struct Put {
    key: String,
    until_s: u64,
    body: Bytes,
}

/// The store and the thread that writes to it.
#[derive(Debug)]
pub(crate) struct Kv {
    database: Arc<Database>,
    puts: Option<SyncSender<Put>>,
    pending_bytes: Arc<AtomicUsize>,
    dropped: Counter,
    writer: Option<JoinHandle<()>>,
}

impl Kv {
    /// Opens or makes the file; it holds about `max_bytes`, of which the soonest to expire go
    /// first.
    ///
    /// # Errors
    /// Another process has it open, or the folder cannot be written to.
    pub(crate) fn open(path: &Path, max_bytes: u64) -> anyhow::Result<Self> {
        let database = Arc::new(database(path)?);
        let bytes = prepare(&database)?;
        gauge!(KV_BYTES).set(bytes as f64);
        let (puts, taken) = sync_channel(KV_PENDING_MAX);
        let pending_bytes = Arc::<AtomicUsize>::default();
        let mut writer = Writer {
            database: Arc::clone(&database),
            pending_bytes: Arc::clone(&pending_bytes),
            bytes,
            max_bytes,
            synced: Instant::now(),
            is_synced: true,
        };
        let writer = std::thread::Builder::new()
            .name("edge-kv".into())
            .spawn(move || writer.run(&taken))?;
        Ok(Self {
            database,
            puts: Some(puts),
            pending_bytes,
            dropped: counter!(KV_DROPPED_TOTAL),
            writer: Some(writer),
        })
    }

    /// The value, where there is one that lives. Reads a disk: not for an async thread.
    pub(crate) fn get(&self, key: &str) -> Option<Bytes> {
        let read = || -> Result<Option<Bytes>, redb::Error> {
            let table = self.database.begin_read()?.open_table(VALUES)?;
            let Some(stored) = table.get(key)? else {
                return Ok(None);
            };
            let live = parse(stored.value()).filter(|&(until_s, _)| until_s > now::wall_s());
            Ok(live.map(|(_, body)| Bytes::copy_from_slice(body)))
        };
        read().unwrap_or_else(|error| {
            warn!(%error, "the key-value store cannot be read");
            None
        })
    }

    /// Writes later; false where too much waits already.
    pub(crate) fn put(&self, key: String, ttl_s: u32, body: Bytes) -> bool {
        let until_s = now::wall_s().saturating_add(u64::from(ttl_s));
        let size = body.len();
        let waiting = self.pending_bytes.fetch_add(size, Ordering::Relaxed);
        let put = Put { key, until_s, body };
        let taken = waiting + size <= KV_PENDING_BYTES_MAX
            && self
                .puts
                .as_ref()
                .is_some_and(|puts| puts.try_send(put).is_ok());
        if !taken {
            self.pending_bytes.fetch_sub(size, Ordering::Relaxed);
            self.dropped.increment(1);
        }
        taken
    }
}

impl Drop for Kv {
    /// Writes what waits, durably.
    fn drop(&mut self) {
        self.puts = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn database(path: &Path) -> anyhow::Result<Database> {
    let open = || {
        Database::builder()
            .set_cache_size(KV_PAGE_CACHE_BYTES)
            .create(path)
    };
    match open() {
        Ok(database) => Ok(database),
        Err(error) if is_anothers(&error) => {
            Err(anyhow::Error::new(error).context(format!("{} cannot be opened", path.display())))
        }
        Err(error) => {
            let aside = path.with_extension("redb.unreadable");
            warn!(%error, aside = %aside.display(), "the key-value store is put aside: it cannot be read");
            std::fs::rename(path, aside)?;
            Ok(open()?)
        }
    }
}

/// Whether the file is in use or the system refuses it, so that it may be right all the same.
fn is_anothers(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::DatabaseAlreadyOpen => true,
        DatabaseError::Storage(StorageError::Io(error)) => !matches!(
            error.kind(),
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof
        ),
        _ => false,
    }
}

/// Makes the tables; returns the bytes of what is there.
fn prepare(database: &Database) -> Result<u64, redb::Error> {
    let write = database.begin_write()?;
    write.open_table(VALUES)?;
    let mut bytes = 0;
    for entry in write.open_table(EXPIRY)?.iter()? {
        bytes += entry?.1.value();
    }
    write.commit()?;
    Ok(bytes)
}

fn parse(stored: &[u8]) -> Option<(u64, &[u8])> {
    let (until_s, body) = stored.split_first_chunk::<PREFIX>()?;
    Some((u64::from_le_bytes(*until_s), body))
}

struct Writer {
    database: Arc<Database>,
    pending_bytes: Arc<AtomicUsize>,
    bytes: u64,
    max_bytes: u64,
    synced: Instant,
    is_synced: bool,
}

impl Writer {
    /// Until nobody can send any more.
    fn run(&mut self, puts: &Receiver<Put>) {
        loop {
            let mut group = Vec::new();
            match puts.recv_timeout(KV_SYNC_EVERY) {
                Ok(put) => group.push(put),
                Err(RecvTimeoutError::Timeout) if self.is_synced => continue,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            group.extend(puts.try_iter().take(KV_GROUP_MAX));
            self.write(&group, self.synced.elapsed() >= KV_SYNC_EVERY);
        }
        self.write(&[], true);
    }

    fn write(&mut self, group: &[Put], sync: bool) {
        if let Err(error) = self.commit(group, sync) {
            counter!(KV_DROPPED_TOTAL).increment(group.len() as u64);
            warn!(%error, "the key-value store cannot be written");
        }
        let size = group.iter().map(|put| put.body.len()).sum();
        self.pending_bytes.fetch_sub(size, Ordering::Relaxed);
        gauge!(KV_BYTES).set(self.bytes as f64);
    }

    fn commit(&mut self, group: &[Put], sync: bool) -> Result<(), redb::Error> {
        let mut write = self.database.begin_write()?;
        write.set_durability(if sync {
            Durability::Immediate
        } else {
            Durability::None
        })?;
        let mut bytes = self.bytes;
        for put in group {
            bytes = bytes.saturating_sub(remove(&write, &put.key)?) + insert(&write, put)?;
        }
        bytes = self.make_room(&write, bytes)?;
        write.commit()?;
        self.bytes = bytes;
        self.is_synced = sync;
        if sync {
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// Removes what has expired, and the soonest to expire where there is too much.
    fn make_room(&self, write: &WriteTransaction, mut bytes: u64) -> Result<u64, redb::Error> {
        let mut values = write.open_table(VALUES)?;
        let mut expiry = write.open_table(EXPIRY)?;
        let now_s = now::wall_s();
        for _ in 0..KV_REMOVED_MAX {
            let Some(first) = expiry.first()? else { break };
            let (until_s, key) = first.0.value();
            let (key, size) = (key.to_owned(), first.1.value());
            drop(first);
            if until_s > now_s {
                if bytes <= self.max_bytes {
                    break;
                }
                counter!(KV_DROPPED_TOTAL).increment(1);
            }
            expiry.remove((until_s, key.as_str()))?;
            values.remove(key.as_str())?;
            bytes = bytes.saturating_sub(size);
        }
        Ok(bytes)
    }
}

fn insert(write: &WriteTransaction, put: &Put) -> Result<u64, redb::Error> {
    let mut stored = Vec::with_capacity(PREFIX + put.body.len());
    stored.extend_from_slice(&put.until_s.to_le_bytes());
    stored.extend_from_slice(&put.body);
    let size = (put.key.len() + stored.len()) as u64;
    write
        .open_table(VALUES)?
        .insert(put.key.as_str(), stored.as_slice())?;
    write
        .open_table(EXPIRY)?
        .insert((put.until_s, put.key.as_str()), size)?;
    Ok(size)
}

/// Bytes that went with the key's older value.
fn remove(write: &WriteTransaction, key: &str) -> Result<u64, redb::Error> {
    let mut values = write.open_table(VALUES)?;
    let before = values.remove(key)?;
    let until_s = before
        .as_ref()
        .and_then(|stored| Some(parse(stored.value())?.0));
    let Some(until_s) = until_s else {
        return Ok(0);
    };
    let mut expiry = write.open_table(EXPIRY)?;
    let size = expiry.remove((until_s, key))?;
    Ok(size.map_or(0, |size| size.value()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn body(size: usize) -> Bytes {
        Bytes::from(vec![7; size])
    }

    /// Closes, so that all is written, and opens again.
    fn reopen(kv: Kv, path: &Path, max_bytes: u64) -> Kv {
        drop(kv);
        Kv::open(path, max_bytes).expect("opens again")
    }

    #[test]
    fn values_survive_a_restart_until_they_expire() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kv.redb");
        let kv = Kv::open(&path, 1 << 20).expect("opens");
        assert!(kv.put("a".into(), 60, Bytes::from_static(b"1")));
        assert!(kv.put("a".into(), 90, Bytes::from_static(b"2")));
        assert!(kv.put("gone".into(), 0, Bytes::from_static(b"3")));
        let kv = reopen(kv, &path, 1 << 20);
        assert_eq!(kv.get("a").as_deref(), Some(&b"2"[..]));
        assert_eq!(kv.get("gone"), None);
        assert_eq!(kv.get("other"), None);
        assert!(Kv::open(&path, 1 << 20).is_err(), "it is open already");
    }

    #[test]
    fn bytes_are_bounded_and_the_soonest_to_expire_go_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kv.redb");
        let kv = Kv::open(&path, 20_000).expect("opens");
        for index in 0..50 {
            while !kv.put(format!("{index:02}"), 60 + index, body(1_000)) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let kv = reopen(kv, &path, 20_000);
        assert_eq!(kv.get("00"), None);
        assert_eq!(kv.get("49").map(|body| body.len()), Some(1_000));
        let left = (0..50).filter(|index| kv.get(&format!("{index:02}")).is_some());
        assert_eq!(left.count(), 19, "of 1,010 bytes each");
    }

    #[test]
    fn a_file_of_something_else_is_put_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kv.redb");
        std::fs::write(&path, b"no database at all, by far").expect("a file");
        let opened = Kv::open(&path, 1 << 20);
        if let Ok(kv) = &opened {
            assert!(kv.put("a".into(), 60, body(1)));
        }
        assert!(opened.is_ok(), "{opened:?}");
        assert!(folder.path().join("kv.redb.unreadable").exists());
    }
}
