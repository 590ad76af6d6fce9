//! Parcels of events between `202` and the origin: on disk before they are acknowledged.
//!
//! One thread writes; what arrives while it waits for the disk is one transaction, so one
//! fsync serves all of it. A parcel leaves once the origin took it: at least once, and the
//! origin counts each event id once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::Context;
use bytes::Bytes;
use metrics::{Counter, counter, gauge};
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::{Notify, oneshot};
use tracing::error;

use crate::limits::{SPOOL_GROUP_MAX, SPOOL_PAGE_CACHE_BYTES, SPOOL_PENDING_MAX};
use crate::now;
use crate::telemetry::{PARCELS_TOTAL, SPOOL_AGE_SECONDS, SPOOL_BYTES, SPOOL_PARCELS};

/// Number → when it was accepted (Unix ms, 8 bytes, little-endian) and the parcel.
const PARCELS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("parcels");
/// Bytes before a parcel.
const PREFIX: usize = 8;

/// A parcel that was not kept: send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the spool takes no more")]
pub(crate) struct NotSpooled;

/// A parcel on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parcel {
    /// Its number: ascending, never used again while it is kept.
    pub(crate) number: u64,
    /// JSON as `edge/core` writes it.
    pub(crate) body: Bytes,
}

enum Command {
    Append {
        body: Bytes,
        kept: oneshot::Sender<Result<(), NotSpooled>>,
    },
    Remove {
        numbers: Vec<u64>,
        removed: oneshot::Sender<()>,
    },
}

/// What is in the spool.
#[derive(Debug, Default)]
struct Depth {
    parcels: AtomicU64,
    bytes: AtomicU64,
    /// When the oldest parcel was accepted, Unix ms; 0 where there is none.
    oldest_ms: AtomicI64,
}

/// The spool and the thread that writes to it.
#[derive(Debug)]
pub(crate) struct Spool {
    database: Arc<Database>,
    commands: Option<SyncSender<Command>>,
    depth: Arc<Depth>,
    /// Told where parcels came.
    arrived: Arc<Notify>,
    refused: Counter,
    writer: Option<JoinHandle<()>>,
}

impl Spool {
    /// Opens or makes the file, or keeps parcels in memory where there is none; at most
    /// `max_bytes` of them.
    ///
    /// # Errors
    /// The file is another process's or cannot be read: it may hold events, so it is not put
    /// aside.
    pub(crate) fn open(path: Option<&Path>, max_bytes: u64) -> anyhow::Result<Self> {
        let mut builder = Database::builder();
        builder.set_cache_size(SPOOL_PAGE_CACHE_BYTES);
        let database = match path {
            Some(path) => builder
                .create(path)
                .with_context(|| format!("the spool {} cannot be opened", path.display()))?,
            None => builder.create_with_backend(InMemoryBackend::new())?,
        };
        let database = Arc::new(database);
        let depth = Arc::<Depth>::default();
        let next = prepare(&database, &depth)?;
        let arrived = Arc::<Notify>::default();
        arrived.notify_one();
        let (commands, taken) = sync_channel(SPOOL_PENDING_MAX);
        let mut writer = Writer {
            database: Arc::clone(&database),
            depth: Arc::clone(&depth),
            arrived: Arc::clone(&arrived),
            next,
            max_bytes,
        };
        let writer = std::thread::Builder::new()
            .name("edge-spool".into())
            .spawn(move || writer.run(&taken))?;
        Ok(Self {
            database,
            commands: Some(commands),
            depth,
            arrived,
            refused: counter!(PARCELS_TOTAL, "outcome" => "refused"),
            writer: Some(writer),
        })
    }

    /// Keeps a parcel; it is on disk when this returns.
    ///
    /// # Errors
    /// The spool is full, too much waits for the disk, or the disk fails.
    pub(crate) async fn append(&self, body: Bytes) -> Result<(), NotSpooled> {
        let (kept, result) = oneshot::channel();
        let result = match self.try_send(Command::Append { body, kept }) {
            true => result.await.unwrap_or(Err(NotSpooled)),
            false => Err(NotSpooled),
        };
        if result.is_err() {
            self.refused.increment(1);
        }
        result
    }

    /// Forgets parcels; they are gone from the disk when this returns, or stay.
    pub(crate) async fn remove(&self, numbers: Vec<u64>) {
        let (removed, done) = oneshot::channel();
        if self.try_send(Command::Remove { numbers, removed }) {
            let _ = done.await;
        }
    }

    fn try_send(&self, command: Command) -> bool {
        let commands = self.commands.as_ref();
        commands.is_some_and(|commands| commands.try_send(command).is_ok())
    }

    /// The oldest parcels, at most `max` of `max_bytes` together (but always one). Reads a
    /// disk: not for an async thread.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn oldest(&self, max: usize, max_bytes: usize) -> Result<Vec<Parcel>, redb::Error> {
        let table = self.database.begin_read()?.open_table(PARCELS)?;
        let mut parcels = Vec::new();
        let mut bytes = 0;
        for entry in table.iter()?.take(max) {
            let (number, stored) = entry?;
            let body = stored.value().get(PREFIX..).unwrap_or_default();
            bytes += body.len();
            if bytes > max_bytes && !parcels.is_empty() {
                break;
            }
            parcels.push(Parcel {
                number: number.value(),
                body: Bytes::copy_from_slice(body),
            });
        }
        Ok(parcels)
    }

    /// Returns once parcels may be there that were not there before.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.depth.parcels.load(Ordering::Relaxed) == 0
    }

    /// Brings the gauges up to date.
    pub(crate) fn publish(&self) {
        let oldest_ms = self.depth.oldest_ms.load(Ordering::Relaxed);
        let age_ms = match oldest_ms {
            0 => 0,
            oldest_ms => now::wall_ms().saturating_sub(oldest_ms).max(0),
        };
        gauge!(SPOOL_PARCELS).set(self.depth.parcels.load(Ordering::Relaxed) as f64);
        gauge!(SPOOL_BYTES).set(self.depth.bytes.load(Ordering::Relaxed) as f64);
        gauge!(SPOOL_AGE_SECONDS).set(age_ms as f64 / 1_000.0);
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Makes the table and counts what is there; returns the next number.
fn prepare(database: &Database, depth: &Depth) -> Result<u64, redb::Error> {
    let write = database.begin_write()?;
    let mut next = 0;
    {
        let table = write.open_table(PARCELS)?;
        for entry in table.iter()? {
            let (number, stored) = entry?;
            next = number.value() + 1;
            depth.parcels.fetch_add(1, Ordering::Relaxed);
            depth
                .bytes
                .fetch_add(stored.value().len() as u64, Ordering::Relaxed);
        }
        depth.oldest_ms.store(oldest_ms(&table)?, Ordering::Relaxed);
    }
    write.commit()?;
    Ok(next)
}

fn oldest_ms(table: &impl ReadableTable<u64, &'static [u8]>) -> Result<i64, redb::Error> {
    let first = table.first()?;
    let at = first.and_then(|(_, stored)| stored.value().first_chunk::<PREFIX>().copied());
    Ok(at.map_or(0, i64::from_le_bytes))
}

struct Writer {
    database: Arc<Database>,
    depth: Arc<Depth>,
    arrived: Arc<Notify>,
    next: u64,
    max_bytes: u64,
}

impl Writer {
    /// Until nobody can send any more.
    fn run(&mut self, commands: &Receiver<Command>) {
        let spooled = counter!(PARCELS_TOTAL, "outcome" => "spooled");
        while let Ok(first) = commands.recv() {
            let mut group = vec![first];
            group.extend(commands.try_iter().take(SPOOL_GROUP_MAX));
            match self.commit(&group) {
                Ok(kept) => {
                    let is_kept = |(command, kept): &(&Command, &bool)| {
                        **kept && matches!(command, Command::Append { .. })
                    };
                    let count = group.iter().zip(&kept).filter(is_kept).count();
                    spooled.increment(count as u64);
                    answer(group, &kept);
                    self.arrived.notify_one();
                }
                Err(error) => {
                    error!(%error, "the spool cannot be written: events are refused; see that its disk has room and works");
                    let kept = vec![false; group.len()];
                    answer(group, &kept);
                }
            }
        }
    }

    /// One transaction; says of each command whether it was done.
    fn commit(&mut self, group: &[Command]) -> Result<Vec<bool>, redb::Error> {
        let write = self.database.begin_write()?;
        let (mut parcels, mut bytes) = (
            self.depth.parcels.load(Ordering::Relaxed),
            self.depth.bytes.load(Ordering::Relaxed),
        );
        let mut next = self.next;
        let mut done = Vec::with_capacity(group.len());
        let oldest;
        {
            let mut table = write.open_table(PARCELS)?;
            let now = now::wall_ms().to_le_bytes();
            for command in group {
                match command {
                    Command::Append { body, .. } => {
                        let size = (PREFIX + body.len()) as u64;
                        let fits = bytes + size <= self.max_bytes;
                        if fits {
                            let stored = [&now[..], body].concat();
                            table.insert(next, stored.as_slice())?;
                            next += 1;
                            parcels += 1;
                            bytes += size;
                        }
                        done.push(fits);
                    }
                    Command::Remove { numbers, .. } => {
                        for &number in numbers {
                            if let Some(stored) = table.remove(number)? {
                                parcels = parcels.saturating_sub(1);
                                bytes = bytes.saturating_sub(stored.value().len() as u64);
                            }
                        }
                        done.push(true);
                    }
                }
            }
            oldest = oldest_ms(&table)?;
        }
        write.commit()?;
        self.next = next;
        self.depth.parcels.store(parcels, Ordering::Relaxed);
        self.depth.bytes.store(bytes, Ordering::Relaxed);
        self.depth.oldest_ms.store(oldest, Ordering::Relaxed);
        Ok(done)
    }
}

/// Tells those who wait; some may have left.
fn answer(group: Vec<Command>, done: &[bool]) {
    for (command, &done) in group.into_iter().zip(done) {
        match command {
            Command::Append { kept, .. } => {
                let _ = kept.send(if done { Ok(()) } else { Err(NotSpooled) });
            }
            Command::Remove { removed, .. } => {
                let _ = removed.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(spool: &Spool) -> Vec<Bytes> {
        let parcels = spool.oldest(100, 1 << 20).expect("readable");
        parcels.into_iter().map(|parcel| parcel.body).collect()
    }

    #[tokio::test]
    async fn parcels_stay_in_order_over_restarts_until_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("spool.redb");
        let spool = Spool::open(Some(&path), 1 << 20).expect("opens");
        for body in ["a", "b", "c"] {
            assert_eq!(spool.append(body.into()).await, Ok(()));
        }
        drop(spool);
        let spool = Spool::open(Some(&path), 1 << 20).expect("opens again");
        assert_eq!(bodies(&spool), ["a", "b", "c"]);
        assert_eq!(spool.oldest(2, 1 << 20).expect("readable").len(), 2);
        assert_eq!(spool.oldest(9, 2).expect("readable").len(), 2);
        let first = spool.oldest(1, 0).expect("readable");
        assert_eq!(first.len(), 1, "one, however large");
        spool.remove(vec![first[0].number, 999]).await;
        assert_eq!(spool.append("d".into()).await, Ok(()));
        assert_eq!(bodies(&spool), ["b", "c", "d"]);
        let all = spool.oldest(9, 1 << 20).expect("readable");
        spool
            .remove(all.iter().map(|parcel| parcel.number).collect())
            .await;
        assert!(spool.is_empty());
    }

    #[tokio::test]
    async fn a_full_spool_refuses_and_takes_again() {
        let spool = Spool::open(None, 100).expect("opens");
        let body = Bytes::from(vec![b'x'; 40]);
        assert_eq!(spool.append(body.clone()).await, Ok(()));
        assert_eq!(spool.append(body.clone()).await, Ok(()));
        assert_eq!(spool.append(body.clone()).await, Err(NotSpooled));
        spool.remove(vec![0]).await;
        assert_eq!(spool.append(body).await, Ok(()));
    }
}
