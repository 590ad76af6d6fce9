//! The stream: what changes at the server, applied in the order of its commits.
//!
//! The loop waits for whatever comes first: the next message, a batch that became durable (then
//! the server is told), the applier's own work, silence that lasts too long. It never waits for
//! the store without passing acknowledgements on.

mod entries;
mod progress;
mod rows;
mod transactions;

pub use entries::say_stopped;
pub use progress::{Found, Progress, say_lag};

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use pgwire_replication::{ReplicationClient, ReplicationEvent};
use tokio::sync::watch;
use tokio::time::Instant;

use super::checkpoints::{CATCH_UP, CatchUp, Checkpoints, STREAM};
use super::client::{READ_AHEAD_MAX, Replication, Server};
use super::error::PgError;
use super::pool::Pool;
use super::position::{Lsn, PgPosition, Replay};
use super::tables::{Entry, Relations};
use crate::ingest::rows::{DeadLetter, RowChange, RowKey, TableId};
use crate::replicate::apply::{Applier, ApplierConfig};
use crate::replicate::supervise::SourceContext;

/// Positions of a server without changes of ours are stored no more often.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// Missed heartbeats after which a silent connection counts as lost.
const HEARTBEATS_MISSED_MAX: u32 = 6;
/// Bounds of that time.
const SILENCE_MIN: Duration = Duration::from_secs(5);
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// How long a stop waits for the last batch.
const STOP_MAX: Duration = Duration::from_secs(10);

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

/// Returns when the connector is told to stop.
pub async fn is_stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left to say it.
        std::future::pending::<()>().await;
    }
}
