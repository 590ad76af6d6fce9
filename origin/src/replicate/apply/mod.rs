//! Puts changes of rows and the positions after them into the store, batch by batch.
//!
//! [`machine`] decides; [`Applier`] hands its batches to the [`Writer`] and waits for replies.
//! What is refused or lost on the way was never acknowledged to the source, so it comes again.

pub mod backoff;
pub mod counts;
mod error;
pub mod machine;
#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod tests;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::watch;

use self::machine::{Finished, Machine, Moment};
use super::metrics::SourceMetrics;
use crate::clock::Stopwatch;
use crate::ingest::rows::{DeadLetter, Move, RowBatch, RowChange, TableId};
use crate::ingest::{Command, Outcome, Reply, SubmitError, WriteError, Writer};
pub use backoff::{Backoff, CircuitBreaker, RateLimiter};
pub use error::ApplyError;

/// Pause before a batch is offered again to a writer whose queue is full.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(5);

/// Rows of a batch at most.
pub const BATCH_ROWS_MAX: usize = 200_000;
/// Bytes of a batch at most, about: half of the writer's queue.
pub const BATCH_BYTES_MAX: usize = 32 << 20;

/// Rows after which it is asked again whether a batch is due.
const ROWS_UNASKED: u32 = 64;

/// Where a source stands.
pub trait Position: Clone + Send + Sync + 'static {
    /// As the checkpoint holds it.
    fn encode(&self) -> Vec<u8>;
}

/// What an [`Applier`] needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplierConfig {
    /// The source's name.
    pub source: String,
    /// The checkpoint that its positions move.
    pub checkpoint: String,
    /// Rows of a batch at most.
    pub batch_rows: usize,
    /// Bytes of a batch at most, about.
    pub batch_bytes: usize,
    /// How long a change waits for others while the writer is idle, ms.
    pub linger_ms: u64,
}

impl ApplierConfig {
    /// The defaults for `checkpoint` of `source`.
    #[must_use]
    pub fn new(source: &str, checkpoint: &str) -> Self {
        Self {
            source: source.to_owned(),
            checkpoint: checkpoint.to_owned(),
            batch_rows: BATCH_ROWS_MAX,
            batch_bytes: BATCH_BYTES_MAX,
            linger_ms: 5,
        }
    }
}

/// Applies one checkpoint's changes in order. Every method may be cancelled at any await; what
/// was not submitted when it is dropped is forgotten.
pub struct Applier<P: Position> {
    machine: Machine<P>,
    config: ApplierConfig,
    writer: Writer,
    metrics: Arc<SourceMetrics>,
    durable: watch::Sender<Option<P>>,
    started: Stopwatch,
    /// A batch that the machine handed out and the writer has not taken yet.
    outbox: Option<Box<Command>>,
    reply: Option<(Reply, Stopwatch)>,
    error: Option<ApplyError>,
    /// Rows since it was asked whether a batch is due.
    unasked: u32,
    /// This applier's share of the source's gauges.
    part: super::metrics::Part,
}

impl<P: Position> Applier<P> {
    /// An applier whose checkpoint is `stored` now.
    #[must_use]
    pub fn new(
        writer: Writer,
        config: ApplierConfig,
        stored: Option<Vec<u8>>,
        metrics: Arc<SourceMetrics>,
    ) -> Self {
        Self {
            machine: Machine::new(config.clone(), stored),
            config,
            writer,
            part: metrics.part(),
            metrics,
            durable: watch::Sender::new(None),
            started: Stopwatch::start(),
            outbox: None,
            reply: None,
            error: None,
            unasked: 0,
        }
    }

    /// Adds a change after which the source stands at `position`; waits while a batch is full
    /// and another in flight.
    ///
    /// # Errors
    /// Where a batch was not applied; the source is connected again then.
    pub async fn push(
        &mut self,
        change: RowChange,
        dead: Option<DeadLetter>,
        position: P,
    ) -> Result<(), ApplyError> {
        if !self.machine.has_room() {
            self.room().await?;
        }
        // A batch is timed by its first row.
        let is_first = !self.machine.has_rows();
        let now = if is_first {
            self.now()
        } else {
            Moment::default()
        };
        let pushed = self.machine.push(change, dead, position, now);
        debug_assert!(pushed, "there was room");
        if is_first {
            self.gauge();
        }
        // Whether a batch is due is asked of a clock: not for every row.
        self.unasked += 1;
        if !is_first
            && self.unasked < ROWS_UNASKED
            && self.machine.has_room()
            && self.error.is_none()
        {
            return Ok(());
        }
        self.unasked = 0;
        self.submit(false).map(drop)
    }

    /// The source stands at `position`, with nothing to apply since the last change: the end of
    /// a transaction, a keepalive. `committed_at_ms` is the transaction's commit time.
    ///
    /// # Errors
    /// As [`Applier::push`].
    pub async fn advance(
        &mut self,
        position: P,
        committed_at_ms: Option<i64>,
    ) -> Result<(), ApplyError> {
        self.room().await?;
        let advanced = self.machine.advance(position, committed_at_ms, self.now());
        debug_assert!(advanced, "there was room");
        self.submit(false).map(drop)
    }

    /// Removes every row of `table` and moves to `position`: a truncation. `committed_at_ms` is
    /// its commit time where that is known.
    ///
    /// # Errors
    /// As [`Applier::push`].
    pub async fn clear(
        &mut self,
        table: TableId,
        position: P,
        committed_at_ms: Option<i64>,
    ) -> Result<(), ApplyError> {
        self.flush().await?;
        let since_ms = committed_at_ms.unwrap_or_else(|| self.metrics.wall_ms());
        let cleared = self.machine.clear(table, position, since_ms);
        debug_assert!(cleared, "everything was flushed");
        self.gauge();
        self.flush().await
    }

    /// Moves a further checkpoint in the same transaction as what was pushed last or as what
    /// is pushed next. Moves of one checkpoint that follow each other become one.
    pub async fn also(&mut self, further: Move) {
        // The error is the next call's answer.
        if self.room().await.is_ok() {
            let added = self.machine.also(further, self.now());
            debug_assert!(added, "there was room");
        }
    }

    /// Everything that was pushed is durable when this returns.
    ///
    /// # Errors
    /// As [`Applier::push`].
    pub async fn flush(&mut self) -> Result<(), ApplyError> {
        loop {
            self.submit(true)?;
            if self.machine.is_clean() {
                return Ok(());
            }
            self.progress().await?;
        }
    }

    /// The newest durable position: what may be acknowledged. `None` until the first commit: a
    /// connector acknowledges the checkpoint that it read at once, or a silent source waits.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Option<P>> {
        self.durable.subscribe()
    }

    /// Makes progress while the source is silent: submits what has waited long enough, takes
    /// finished commits in. Returns after each step and waits where there is none: call it in
    /// `select!` beside the source's next message.
    ///
    /// # Errors
    /// As [`Applier::push`].
    pub async fn idle(&mut self) -> Result<(), ApplyError> {
        if self.submit(false)? {
            return Ok(());
        }
        if self.outbox.is_some() || self.reply.is_some() {
            return self.progress().await;
        }
        let Some(due) = self.machine.due() else {
            return pending().await;
        };
        let wait = due.saturating_sub(self.started.elapsed());
        // A source that says nothing for so long has no more rows for this batch.
        let silence = Duration::from_millis(self.config.linger_ms);
        let is_over = self.machine.has_rows() && silence < wait;
        tokio::time::sleep(if is_over { silence } else { wait }).await;
        self.submit(is_over).map(drop)
    }

    /// Waits until a change fits.
    async fn room(&mut self) -> Result<(), ApplyError> {
        self.submit(false)?;
        while !self.machine.has_room() {
            self.progress().await?;
            self.submit(false)?;
        }
        Ok(())
    }

    /// Waits for the batch on its way. Cancel-safe: the batch and its reply stay here.
    async fn progress(&mut self) -> Result<(), ApplyError> {
        if self.outbox.is_some() {
            tokio::time::sleep(OVERLOADED_PAUSE).await;
            return self.offer();
        }
        let Some((reply, since)) = &mut self.reply else {
            return self.submit(true).map(drop);
        };
        let (result, since) = (reply.await, *since);
        self.reply = None;
        self.finished(result.unwrap_or(Err(WriteError::Stopped)), since)
    }

    /// Takes in a reply that has come and submits the next batch where one is due; whether
    /// there was a reply.
    fn submit(&mut self, at_once: bool) -> Result<bool, ApplyError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let is_awaited = self.reply.is_some();
        if let Some((reply, since)) = &mut self.reply {
            let (result, since) = match reply.try_recv() {
                Err(TryRecvError::Empty) => return Ok(false),
                Ok(result) => (result, *since),
                Err(TryRecvError::Closed) => (Err(WriteError::Stopped), *since),
            };
            self.reply = None;
            self.finished(result, since)?;
        }
        if let Some(batch) = self.machine.take_batch(self.started.elapsed(), at_once) {
            self.metrics.batch_rows(batch.changes.len());
            self.outbox = Some(Box::new(Command::Rows(Box::<RowBatch>::new(batch))));
            self.offer()?;
        }
        Ok(is_awaited)
    }

    /// Offers the batch in the outbox to the writer; it stays there while the queue is full.
    fn offer(&mut self) -> Result<(), ApplyError> {
        let Some(command) = self.outbox.take() else {
            return Ok(());
        };
        match self.writer.offer(*command) {
            Ok(reply) => {
                self.reply = Some((reply, Stopwatch::start()));
                Ok(())
            }
            Err((SubmitError::Overloaded, command)) => {
                self.metrics.retried();
                self.outbox = Some(command);
                Ok(())
            }
            Err((error, _)) => self.failed(error.into()),
        }
    }

    fn finished(
        &mut self,
        result: Result<Outcome, WriteError>,
        since: Stopwatch,
    ) -> Result<(), ApplyError> {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => return self.failed(error),
        };
        if outcome.conflict {
            self.machine.finished(Finished::Conflict);
            let error = ApplyError::Conflict {
                source_name: self.config.source.clone(),
                checkpoint: self.config.checkpoint.clone(),
            };
            return self.broke(error);
        }
        if self.machine.is_clearing() {
            self.metrics.cleared(u64::from(outcome.accepted));
        }
        let how = if outcome.more {
            Finished::More
        } else {
            Finished::Durable
        };
        let durable = self.machine.finished(how);
        if let Some(durable) = durable {
            self.metrics.committed(
                &durable.counts,
                durable.committed_at_ms,
                u64::from(outcome.dead),
                since.elapsed(),
            );
            if durable.position.is_some() {
                self.durable.send_replace(durable.position);
            }
        } else if self.machine.is_broken() {
            // A writer that has more of something that is no clear breaks its contract.
            return self.failed(WriteError::Stopped);
        }
        self.gauge();
        Ok(())
    }

    fn failed(&mut self, cause: WriteError) -> Result<(), ApplyError> {
        self.machine.finished(Finished::Failed);
        let source_name = self.config.source.clone();
        self.broke(ApplyError::Store { source_name, cause })
    }

    fn broke(&mut self, error: ApplyError) -> Result<(), ApplyError> {
        self.error = Some(error.clone());
        Err(error)
    }

    fn gauge(&self) {
        self.part
            .pending(self.machine.oldest_ms(), self.machine.bytes());
    }

    fn now(&self) -> Moment {
        Moment {
            elapsed: self.started.elapsed(),
            wall_ms: self.metrics.wall_ms(),
        }
    }
}
