//! The stream: what changes at the server, applied in the order of its commits.
//!
//! The loop waits for whatever comes first: the next message, a batch that became durable (then
//! the server is told), the applier's own work, silence that lasts too long. It never waits for
//! the store without passing acknowledgements on.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use pgwire_replication::{ReplicationClient, ReplicationEvent};
use tokio::sync::watch;
use tokio::time::Instant;

use super::checkpoints::{CATCH_UP, CatchUp, Checkpoints, STREAM, copied, stopped};
use super::client::{READ_AHEAD_MAX, Replication, Server};
use super::decode::Message;
use super::error::PgError;
use super::pool::Pool;
use super::position::{self, Lsn, PgPosition, Replay, Within};
use super::reread::read_again;
use super::tables::{At, Bound, Effect, Entry, Relations, Signature};
use crate::ingest::rows::{DeadLetter, RowChange, RowKey, RowOp, TableId};
use crate::replicate::apply::{Applier, ApplierConfig};
use crate::replicate::supervise::SourceContext;
use crate::store::read;
use crate::terminal::shell_word;

/// PostgreSQL's epoch, 2000-01-01, in Unix ms.
const EPOCH_MS: i64 = 946_684_800_000;
/// Positions of a server without changes of ours are stored no more often.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// Missed heartbeats after which a silent connection counts as lost.
const HEARTBEATS_MISSED_MAX: u32 = 6;
/// Bounds of that time.
const SILENCE_MIN: Duration = Duration::from_secs(5);
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// How long a stop waits for the last batch.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Rows that updates took away, noted at most; beyond, every patch waits for the store.
const GONE_MAX: usize = 10_000;

/// What others read of the stream.
#[derive(Default)]
pub struct Progress {
    /// The newest durable position in the log.
    pub durable: AtomicU64,
    /// The end of the server's log as the stream last told.
    pub end: AtomicU64,
    /// A table is not what was copied any more: the next life says so and stops it.
    pub is_altered: AtomicBool,
    /// What the watch found; at most one of a kind for each table.
    found: Mutex<BTreeMap<String, Found>>,
    /// The entries whose partitions the stream emptied, for the watch.
    truncated: Mutex<BTreeSet<String>>,
}

/// What the watch found in the catalogue, for the stream to act on.
pub enum Found {
    /// A table is known by this from now on.
    Known {
        /// The mapping entry.
        entry: String,
        /// What it is known by.
        signature: Signature,
    },
    /// Rows went without a word in the stream.
    Emptied {
        /// The mapping entry.
        entry: String,
        /// How.
        reason: String,
    },
}

impl Progress {
    /// The stream shall act on this when it is between transactions.
    pub fn found(&self, found: Found) {
        let (Found::Known { entry, .. } | Found::Emptied { entry, .. }) = &found;
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(entry.clone(), found);
    }

    fn take_found(&self) -> BTreeMap<String, Found> {
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *all)
    }

    /// The entries whose partitions the stream emptied since this was last asked.
    #[must_use]
    pub fn take_truncated(&self) -> BTreeSet<String> {
        let mut all = self
            .truncated
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *all)
    }

    fn truncated(&self, entry: &str) {
        let mut all = self
            .truncated
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(entry.to_owned());
    }

    /// The server's log goes this far at least.
    pub fn reaches(&self, end: Lsn) {
        self.end.fetch_max(end.0, Ordering::Relaxed);
    }

    /// Bytes of the server's log that are not durable here.
    #[must_use]
    pub fn lag_bytes(&self) -> u64 {
        let end = self.end.load(Ordering::Relaxed);
        end.saturating_sub(self.durable.load(Ordering::Relaxed))
    }
}

/// A transaction of the stream.
struct Transaction {
    final_lsn: Lsn,
    committed_ms: i64,
    ordinal: u64,
    replay: Replay,
    /// Its position for people.
    text: String,
}

/// The state of the stream.
pub struct Stream<'a> {
    context: &'a SourceContext,
    server: Arc<Server>,
    pool: Pool,
    entries: Vec<Entry>,
    checkpoints: Checkpoints,
    relations: Relations,
    applier: Applier<PgPosition>,
    /// Where the stream was resumed.
    resumed: PgPosition,
    /// Where it stands.
    position: PgPosition,
    /// Until here rows may be unknown.
    catch_up: Lsn,
    transaction: Option<Transaction>,
    /// The end of the last transaction that changed something.
    changed: Lsn,
    /// A position of an idle server that is not stored yet.
    idle: Option<Lsn>,
    idle_at: Instant,
    progress: Arc<Progress>,
    /// Rows that updates took away and whose removal may not be durable yet.
    gone: HashSet<(TableId, RowKey)>,
    /// Changes of the row at hand; kept for its memory.
    changes: Vec<(RowChange, Option<DeadLetter>)>,
}

impl<'a> Stream<'a> {
    /// A stream that goes on at `position`.
    ///
    /// # Errors
    ///
    /// A checkpoint cannot be read.
    pub fn new(
        context: &'a SourceContext,
        server: Arc<Server>,
        pool: Pool,
        entries: Vec<Entry>,
        checkpoints: Checkpoints,
        position: PgPosition,
        progress: Arc<Progress>,
    ) -> Result<Self, PgError> {
        let stored = checkpoints.bytes(STREAM).map(<[u8]>::to_vec);
        let config = ApplierConfig::new(&context.config.name, STREAM);
        let applier = Applier::new(
            context.writer.clone(),
            config,
            stored,
            context.metrics.clone(),
        );
        let catch_up = checkpoints.get::<CatchUp>(CATCH_UP)?.unwrap_or_default();
        progress.durable.store(position.lsn.0, Ordering::Relaxed);
        Ok(Self {
            context,
            server,
            pool,
            entries,
            checkpoints,
            relations: Relations::default(),
            applier,
            resumed: position.clone(),
            changed: position.lsn,
            position,
            catch_up: catch_up.until,
            transaction: None,
            idle: None,
            idle_at: Instant::now(),
            progress,
            gone: HashSet::new(),
            changes: Vec::new(),
        })
    }

    /// Follows until told to stop or an error.
    ///
    /// # Errors
    ///
    /// The connection or the store failed; nothing is lost, the next life goes on.
    pub async fn run(mut self, replication: Replication) -> Result<(), PgError> {
        let Replication {
            mut client, host, ..
        } = replication;
        let server = self.server.clone();
        let wrong = |error| PgError::from_wire(&error, &server.place(&host));
        let mut stop = self.context.stop.clone();
        let mut durable = self.applier.durable();
        let heartbeat = Duration::from_millis(self.context.config.heartbeat_ms);
        let silence = (heartbeat * HEARTBEATS_MISSED_MAX).clamp(SILENCE_MIN, SILENCE_MAX);
        let mut heard = Instant::now();
        loop {
            let idle_due = self.idle_at + IDLE_EVERY;
            tokio::select! {
                biased;
                () = is_stopped(&mut stop) => return self.finish(client, durable).await,
                Ok(()) = durable.changed() => self.acknowledge(&client, &mut durable),
                event = client.recv() => {
                    let ended = || PgError::Lost("the server ended the stream".to_owned());
                    let (mut event, mut taken) = (event, 0);
                    loop {
                        let next = event.map_err(wrong)?.ok_or_else(ended)?;
                        self.take(next, &client, &mut durable).await?;
                        taken += 1;
                        if taken == READ_AHEAD_MAX {
                            break;
                        }
                        // What is here already needs no timers.
                        let Some(next) = client.recv().now_or_never() else { break };
                        event = next;
                    }
                    heard = Instant::now();
                }
                applied = self.applier.idle() => applied?,
                () = tokio::time::sleep_until(idle_due), if self.idle.is_some() => {
                    self.store_idle().await?;
                }
                () = tokio::time::sleep_until(heard + silence) => {
                    let seconds = silence.as_secs();
                    return Err(PgError::Lost(format!("the server is silent for {seconds} s")));
                }
            }
        }
    }

    /// Handles an event; acknowledgements go on while it waits for the store.
    async fn take(
        &mut self,
        event: ReplicationEvent,
        client: &ReplicationClient,
        durable: &mut watch::Receiver<Option<PgPosition>>,
    ) -> Result<(), PgError> {
        let progress = self.progress.clone();
        let context = self.context;
        let mut handling = std::pin::pin!(self.handle(event));
        // It seldom waits.
        if let Some(handled) = handling.as_mut().now_or_never() {
            return handled;
        }
        loop {
            tokio::select! {
                biased;
                handled = &mut handling => return handled,
                Ok(()) = durable.changed() => acknowledge(context, &progress, client, durable),
            }
        }
    }

    fn acknowledge(
        &self,
        client: &ReplicationClient,
        durable: &mut watch::Receiver<Option<PgPosition>>,
    ) {
        acknowledge(self.context, &self.progress, client, durable);
    }

    async fn handle(&mut self, event: ReplicationEvent) -> Result<(), PgError> {
        match event {
            ReplicationEvent::XLogData { data, wal_end, .. } => {
                self.progress.reaches(Lsn(wal_end.as_u64()));
                self.message(&data).await
            }
            ReplicationEvent::Begin {
                final_lsn,
                commit_time_micros,
                ..
            } => {
                if self.transaction.is_some() {
                    return Err(PgError::Protocol(
                        "a transaction begins within another".into(),
                    ));
                }
                let final_lsn = Lsn(final_lsn.as_u64());
                // Changes come with their own places in the log, which are before those of
                // commits that are long durable: the server's log goes to the commit at least.
                self.progress.reaches(final_lsn);
                self.transaction = Some(Transaction {
                    final_lsn,
                    committed_ms: unix_ms(commit_time_micros),
                    ordinal: 0,
                    replay: self.resumed.replay(final_lsn),
                    text: final_lsn.to_string(),
                });
                Ok(())
            }
            ReplicationEvent::Commit { end_lsn, .. } => self.commit(Lsn(end_lsn.as_u64())).await,
            ReplicationEvent::KeepAlive {
                wal_end,
                server_time_micros,
                ..
            } => {
                self.keepalive(Lsn(wal_end.as_u64()), Some(unix_ms(server_time_micros)))
                    .await
            }
            ReplicationEvent::Message {
                transactional: false,
                lsn,
                ..
            } => self.keepalive(Lsn(lsn.as_u64()), None).await,
            ReplicationEvent::Message { .. } | ReplicationEvent::StoppedAt { .. } => Ok(()),
        }
    }

    async fn commit(&mut self, end: Lsn) -> Result<(), PgError> {
        let Some(transaction) = self.transaction.take() else {
            return Err(PgError::Protocol(
                "a transaction ends that never began".into(),
            ));
        };
        if transaction.replay == Replay::Skip {
            return Ok(());
        }
        if end < self.position.lsn {
            return Err(PgError::Protocol(format!(
                "a transaction ends at {end}, before {}",
                self.position.lsn
            )));
        }
        self.position.lsn = end;
        self.position.within = None;
        self.changed = end;
        self.idle = None;
        let at = Some(transaction.committed_ms);
        Ok(self.applier.advance(self.position.clone(), at).await?)
    }

    /// Everything that the server committed before `end` was sent.
    async fn keepalive(&mut self, end: Lsn, now_ms: Option<i64>) -> Result<(), PgError> {
        self.progress.reaches(end);
        if self.transaction.is_some() {
            return Ok(());
        }
        if self.progress.is_altered.load(Ordering::Relaxed) {
            let reason = "a table is not what was copied; connecting again to see which";
            return Err(PgError::Lost(reason.to_owned()));
        }
        for found in self.progress.take_found().into_values() {
            self.act_on(found).await;
        }
        let durable = Lsn(self.progress.durable.load(Ordering::Relaxed));
        if let Some(now_ms) = now_ms.filter(|_| durable >= self.changed) {
            self.context.metrics.applied_up_to(now_ms);
        }
        if end > self.position.lsn {
            self.idle = Some(end);
            if self.idle_at.elapsed() >= IDLE_EVERY {
                return self.store_idle().await;
            }
        }
        Ok(())
    }

    /// Stores the position of an idle server, so that its slot does not keep what nobody needs.
    async fn store_idle(&mut self) -> Result<(), PgError> {
        self.idle_at = Instant::now();
        if let Some(end) = self.idle.take()
            && self.transaction.is_none()
        {
            self.position.lsn = end;
            self.position.within = None;
            self.applier.advance(self.position.clone(), None).await?;
        }
        Ok(())
    }

    async fn message(&mut self, data: &Bytes) -> Result<(), PgError> {
        match Message::decode(data)? {
            Message::Relation(relation) => {
                let is_catching_up = self.is_catching_up();
                let stops = self
                    .relations
                    .learn(&relation, &self.entries, is_catching_up);
                for stop in stops {
                    self.stop_entry(stop.entry, &stop.reason).await;
                }
            }
            Message::Type { oid, name } => self.relations.learn_type(oid, name),
            Message::Insert { relation, new } => {
                if self.counts()? {
                    let mut changes = std::mem::take(&mut self.changes);
                    for table in self.tables_of(relation)?.iter() {
                        table.insert(new, self.at(), &mut changes)?;
                    }
                    self.push(changes).await?;
                }
            }
            Message::Delete { relation, old } => {
                if self.counts()? {
                    let mut changes = std::mem::take(&mut self.changes);
                    for table in self.tables_of(relation)?.iter() {
                        table.delete(old, self.at(), &mut changes)?;
                    }
                    self.push(changes).await?;
                }
            }
            Message::Update { relation, old, new } => {
                if self.counts()? {
                    let mut changes = std::mem::take(&mut self.changes);
                    for table in self.tables_of(relation)?.iter() {
                        match table.update(old, new, self.at(), &mut changes)? {
                            Effect::Changes => self.note_gone(&changes),
                            Effect::ReadAgain { key, values } => {
                                changes.extend(self.again(table, key, &values).await?);
                            }
                            Effect::Patched { values } => {
                                let key = changes.last().map(|(change, _)| change.key);
                                if let Some(key) = key
                                    && !self.is_remembered(table.id, key).await?
                                {
                                    changes.pop();
                                    changes.extend(self.again(table, Some(key), &values).await?);
                                }
                            }
                        }
                    }
                    self.push(changes).await?;
                }
            }
            Message::Truncate { relations } => {
                if self.counts()? {
                    self.truncate(&relations).await?;
                }
            }
            Message::Origin | Message::Logical { .. } => {}
            Message::Begin { .. } | Message::Commit { .. } => {
                return Err(PgError::Protocol("a transaction is framed twice".into()));
            }
        }
        Ok(())
    }

    /// Counts a change of the transaction; whether it is to be applied.
    fn counts(&mut self) -> Result<bool, PgError> {
        let Some(transaction) = &mut self.transaction else {
            return Err(PgError::Protocol(
                "a change outside of a transaction".into(),
            ));
        };
        transaction.ordinal += 1;
        Ok(match transaction.replay {
            Replay::Skip => false,
            Replay::After(applied) => transaction.ordinal > applied,
        })
    }

    fn tables_of(&self, relation: u32) -> Result<Arc<[Bound]>, PgError> {
        self.relations.get(relation).ok_or_else(|| {
            PgError::Protocol(format!(
                "a change of table {relation}, which was never described"
            ))
        })
    }

    fn at(&self) -> At<'_> {
        let transaction = self.transaction.as_ref();
        At {
            source: &self.context.config.name,
            position: transaction.map_or("", |transaction| &transaction.text),
            now_ms: self.context.clock.wall_ms(),
            is_catching_up: self.is_catching_up(),
        }
    }

    /// Whether a copy may have seen what comes.
    fn is_catching_up(&self) -> bool {
        let transaction = self.transaction.as_ref();
        transaction.is_some_and(|t| t.final_lsn < self.catch_up)
    }

    /// Where the stream stands after so many changes of the transaction.
    fn within(&self, ordinal: u64) -> PgPosition {
        let final_lsn = self
            .transaction
            .as_ref()
            .map(|transaction| transaction.final_lsn);
        PgPosition {
            within: final_lsn.map(|final_lsn| Within { final_lsn, ordinal }),
            ..self.position.clone()
        }
    }

    /// Pushes the changes of a row: only the last completes it.
    async fn push(
        &mut self,
        mut changes: Vec<(RowChange, Option<DeadLetter>)>,
    ) -> Result<(), PgError> {
        let ordinal = self
            .transaction
            .as_ref()
            .map_or(0, |transaction| transaction.ordinal);
        let last = changes.len().saturating_sub(1);
        for (index, (change, dead)) in changes.drain(..).enumerate() {
            let done = if index == last { ordinal } else { ordinal - 1 };
            self.applier.push(change, dead, self.within(done)).await?;
        }
        self.changes = changes;
        Ok(())
    }

    /// Notes a row that an update took away (soft deletion, filter, contract): until that is
    /// durable the store still remembers it.
    fn note_gone(&mut self, changes: &[(RowChange, Option<DeadLetter>)]) {
        if let Some((change, _)) = changes.last()
            && change.op == RowOp::Remove
            && self.gone.len() < GONE_MAX
        {
            self.gone.insert((change.table, change.key));
        }
    }

    /// Whether the store will remember the row when what comes next is applied. A row that was
    /// soft-deleted, filtered out or refused is not remembered, and cannot be patched.
    async fn is_remembered(&mut self, table: TableId, key: RowKey) -> Result<bool, PgError> {
        let store = self.context.store.clone();
        let look = || -> Result<bool, crate::store::StoreError> {
            Ok(read::row(&*store.read()?, table, key)?.is_some())
        };
        let is_full = self.gone.len() >= GONE_MAX;
        if !is_full && !self.gone.contains(&(table, key)) && look().map_err(PgError::Store)? {
            return Ok(true);
        }
        // It may be among the changes that are on their way.
        self.applier.flush().await?;
        self.gone.clear();
        look().map_err(PgError::Store)
    }

    /// A row whose unchanged columns are not known is read from the table as it is now. It may be
    /// ahead of the stream, which repeats what is between.
    async fn again(
        &mut self,
        table: &Bound,
        key: Option<RowKey>,
        values: &[String],
    ) -> Result<Option<(RowChange, Option<DeadLetter>)>, PgError> {
        let (row, end) = match read_again(&self.server, &self.pool, table, values).await {
            Ok(read) => read,
            // The right was taken away, or row-level security hides rows.
            Err(PgError::Server { code, message }) if code == "42501" => {
                let mut entries = self.entries.iter();
                if let Some(index) = entries.position(|entry| entry.id == table.id) {
                    let reason = format!("its rows may not be read any more: {message}");
                    self.stop_entry(index, &reason).await;
                }
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // A row that is not there any more stays unknown until the stream has come so far.
        self.catch_up = self.catch_up.max(end);
        let Some(row) = row else {
            return Ok(key.map(|key| (table.remove(key), None)));
        };
        Ok(Some(table.map(&table.values_read(&row), self.at())))
    }

    async fn truncate(&mut self, relations: &[u32]) -> Result<(), PgError> {
        let mut cleared: Vec<TableId> = Vec::new();
        for relation in relations {
            let tables = self.tables_of(*relation)?;
            cleared.extend(tables.iter().map(|table| table.id));
        }
        let ordinal = self
            .transaction
            .as_ref()
            .map_or(0, |transaction| transaction.ordinal);
        let last = cleared.len().saturating_sub(1);
        // It may take long, and nothing is acknowledged meanwhile.
        say_lag(self.context, &self.progress);
        for (index, table) in cleared.into_iter().enumerate() {
            let done = if index == last { ordinal } else { ordinal - 1 };
            self.note_truncated(table).await;
            let committed = self.transaction.as_ref().map(|t| t.committed_ms);
            let position = self.within(done);
            self.applier.clear(table, position, committed).await?;
        }
        Ok(())
    }

    /// Keeps what the watch knows a table by, or stops the table.
    async fn act_on(&mut self, found: Found) {
        let (Found::Known { entry: name, .. } | Found::Emptied { entry: name, .. }) = &found;
        let mut entries = self.entries.iter();
        let place = entries.position(|entry| entry.stopped.is_none() && entry.name() == name);
        let Some(index) = place else {
            return;
        };
        match found {
            Found::Emptied { reason, .. } => self.stop_entry(index, &reason).await,
            Found::Known { signature, .. } => self.know(index, signature).await,
        }
    }

    /// Stores what an entry's table is known by.
    async fn know(&mut self, index: usize, signature: Signature) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let bytes = position::encode(&signature);
        let moved = self.checkpoints.change(&copied(entry.name()), Some(bytes));
        entry.signature = Some(signature);
        self.applier.also(moved).await;
    }

    /// Where partitions were emptied with their table, that is no reason to stop it.
    async fn note_truncated(&mut self, table: TableId) {
        let place = self.entries.iter().position(|entry| entry.id == table);
        let entry = place.and_then(|index| Some((index, self.entries.get(index)?)));
        let Some((index, entry)) = entry else {
            return;
        };
        let Some(mut signature) = entry.signature.clone() else {
            return;
        };
        if signature.truncated() {
            self.progress.truncated(entry.name());
            self.know(index, signature).await;
        }
    }

    /// A table cannot be followed any more; the others can.
    async fn stop_entry(&mut self, index: usize, reason: &str) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let name = entry.name().to_owned();
        entry.stopped = Some(reason.to_owned());
        self.relations.forget(entry.id);
        let moved = self
            .checkpoints
            .change(&stopped(&name), Some(reason.as_bytes().to_vec()));
        self.applier.also(moved).await;
        say_stopped(self.context, &name, reason);
    }

    /// Told to stop: what was received becomes durable.
    async fn finish(
        mut self,
        mut client: ReplicationClient,
        mut durable: watch::Receiver<Option<PgPosition>>,
    ) -> Result<(), PgError> {
        match tokio::time::timeout(STOP_MAX, self.applier.flush()).await {
            Ok(flushed) => flushed?,
            Err(_) => tracing::warn!("the store is slow: what was not stored comes again"),
        }
        self.acknowledge(&client, &mut durable);
        let ended = tokio::time::timeout(Duration::from_secs(2), client.shutdown()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::debug!("the replication session did not end in order");
        }
        Ok(())
    }
}

/// Says loudly that a table is not followed any more.
pub fn say_stopped(context: &SourceContext, entry: &str, reason: &str) {
    context.status.table_stopped(entry, reason);
    // An entry's name has a `>`, which means something to a shell.
    let table = shell_word(entry.split("->").next().unwrap_or(entry));
    tracing::error!(
        source = %context.config.name, table = entry, reason,
        "the table is not followed any more; correct the mapping or the table, then run \
         `edgewise replicate resync --table {table} --yes`; the other tables go on"
    );
}

/// Tells the server what is durable.
fn acknowledge(
    context: &SourceContext,
    progress: &Progress,
    client: &ReplicationClient,
    durable: &mut watch::Receiver<Option<PgPosition>>,
) {
    let Some(position) = durable.borrow_and_update().clone() else {
        return;
    };
    client.update_applied_lsn(position.lsn.0.into());
    progress.durable.store(position.lsn.0, Ordering::Relaxed);
    context.status.position(&position.to_string());
    say_lag(context, progress);
}

/// Says how far behind the server the stream is.
pub fn say_lag(context: &SourceContext, progress: &Progress) {
    let lag = progress.lag_bytes();
    context.metrics.lag_bytes(lag);
    let lag_ms = context.metrics.lag_ms();
    context.status.lag(Some(lag), Some(lag_ms));
}

fn unix_ms(micros: i64) -> i64 {
    (micros / 1_000).saturating_add(EPOCH_MS)
}

/// Returns when the connector is told to stop.
pub async fn is_stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left to say it.
        std::future::pending::<()>().await;
    }
}
