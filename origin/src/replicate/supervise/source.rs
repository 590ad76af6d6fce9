//! One source from start to stop: its lives, the pauses between them, and what is said.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use super::super::apply::Backoff;
use super::super::config::SourceConfig;
use super::super::connect::named;
use super::super::metrics::SourceMetrics;
use super::super::status::{Phase, StatusBoard};
use super::prepare::prepare;
use super::{Connect, RECONNECT_MAX, RECONNECT_MIN, STOP_GRACE, SourceContext, SourceError};
use crate::clock::Clock;
use crate::ingest::rows::RowBatch;
use crate::ingest::{Command, SubmitError, Writer};
use crate::store::{Store, read};

/// Gauges that change as time passes are set this often.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Pause before a full write queue is tried again.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Source {
    pub(super) config: SourceConfig,
    pub(super) store: Arc<dyn Store>,
    pub(super) writer: Writer,
    pub(super) clock: Clock,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) status: Arc<StatusBoard>,
    pub(super) connect: Connect,
}

impl Source {
    /// Follows until it is told to stop or fails for good.
    pub(super) async fn run(self) {
        let tables = match prepare(&self.config, &self.store, &self.writer, &self.status).await {
            Ok(tables) => tables,
            Err(error) => return self.gave_up(&error),
        };
        let names: Vec<_> = tables
            .iter()
            .map(|(id, plan)| (*id, plan.name().to_owned()))
            .collect();
        let metrics = SourceMetrics::new(&self.config.name, &names, self.clock.clone());
        for (_, name) in &names {
            self.status.table_follows(name);
        }
        let context = SourceContext {
            config: self.config.clone(),
            tables,
            store: Arc::clone(&self.store),
            writer: self.writer.clone(),
            clock: self.clock.clone(),
            metrics: Arc::clone(&metrics),
            stop: self.stop.clone(),
            status: Arc::clone(&self.status),
        };
        self.lives(&context).await;
        metrics.connected(false);
    }

    async fn lives(&self, context: &SourceContext) {
        let mut backoff = Backoff::new(RECONNECT_MIN, RECONNECT_MAX);
        loop {
            let before = context.metrics.batches();
            self.status.phase(Phase::Connecting);
            let result = self.life(context).await;
            context.metrics.connected(false);
            if *self.stop.borrow() {
                return self.stopped(result);
            }
            let error = result.err().unwrap_or_else(|| {
                let name = &self.config.name;
                SourceError::retryable(format!("source {name} closed the connection"), "")
            });
            if !self.writer.is_running() {
                return self.gave_up(&SourceError::fatal(
                    error.to_string(),
                    "the store takes no more writes: see that its disk has room, then start again",
                ));
            }
            if !error.is_retryable() {
                return self.gave_up(&error);
            }
            if context.metrics.batches() > before {
                backoff.reset();
            }
            let pause = backoff.next();
            self.failed(&error, pause);
            if self.pause(pause, &context.metrics).await {
                return self.stopped(Ok(()));
            }
            context.metrics.reconnected();
            self.settle().await;
        }
    }

    /// A connection from begin to end, on a task of its own so that gauges are set and a stop
    /// is heard whatever it does.
    async fn life(&self, context: &SourceContext) -> Result<(), SourceError> {
        // Dropping the set cuts the connector off.
        let mut life = JoinSet::new();
        life.spawn((self.connect)(context.clone()));
        let mut refresh = interval(REFRESH_EVERY);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = self.stop.clone();
        let ended = loop {
            tokio::select! {
                ended = life.join_next() => break ended,
                () = told(&mut stop) => {
                    break timeout_at(Instant::now() + STOP_GRACE, life.join_next())
                        .await
                        .unwrap_or(None);
                }
                _ = refresh.tick() => self.refresh(&context.metrics),
            }
        };
        match ended {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(SourceError::retryable(
                format!(
                    "the connector of source {} failed: {error}",
                    self.config.name
                ),
                "this is a defect of edgewise: please report it with the lines before this one",
            )),
            None => Err(SourceError::retryable(
                format!("source {} did not stop in {STOP_GRACE:?}", self.config.name),
                "what was not applied comes again at the next start",
            )),
        }
    }

    /// Waits; true where it has to stop.
    async fn pause(&self, pause: Duration, metrics: &SourceMetrics) -> bool {
        let mut stop = self.stop.clone();
        let end = sleep(pause);
        tokio::pin!(end);
        let mut refresh = interval(REFRESH_EVERY);
        loop {
            tokio::select! {
                () = &mut end => return false,
                () = told(&mut stop) => return true,
                _ = refresh.tick() => self.refresh(metrics),
            }
        }
    }

    /// Waits until the writer is done with what the last connection submitted: the next one
    /// reads checkpoints that nothing moves any more.
    async fn settle(&self) {
        let mut stop = self.stop.clone();
        while self.writer.is_running() && !*stop.borrow_and_update() {
            let empty = RowBatch {
                source: self.config.name.clone(),
                ..RowBatch::default()
            };
            match self.writer.submit(Command::Rows(Box::new(empty))) {
                Ok(reply) => {
                    // Whatever the answer is, everything before it was answered.
                    let _ = reply.await;
                    return;
                }
                Err(SubmitError::Overloaded) => sleep(OVERLOADED_PAUSE).await,
                Err(SubmitError::Stopped | SubmitError::TooLarge) => return,
            }
        }
    }

    fn refresh(&self, metrics: &SourceMetrics) {
        metrics.refresh();
        let tables = self.status.read().tables;
        metrics.tables_stopped(|name| tables.get(name).is_some_and(|t| t.stopped.is_some()));
        // One small record; the store says itself where it cannot be read.
        let dead = self.store.read().and_then(|s| read::dead_counts(&*s));
        if let Ok(dead) = dead {
            metrics.dead_letters(|table| dead.of(table.0));
        }
        if metrics.batches() > 0 {
            self.status.lag(None, Some(metrics.took_ms()));
        }
    }

    fn failed(&self, error: &SourceError, pause: Duration) {
        let remedy = named(error.remedy(), &self.config.name);
        self.status.failed(&error.to_string(), &remedy, true);
        tracing::warn!(
            source = self.config.name,
            %error,
            remedy,
            pause_ms = pause.as_millis() as u64,
            "a source failed and is connected again"
        );
    }

    fn gave_up(&self, error: &SourceError) {
        let remedy = named(error.remedy(), &self.config.name);
        self.status.failed(&error.to_string(), &remedy, false);
        tracing::error!(
            source = self.config.name,
            %error,
            remedy,
            "a source is not followed any more until somebody acts; everything else goes on"
        );
    }

    fn stopped(&self, result: Result<(), SourceError>) {
        if let Err(error) = result {
            tracing::warn!(
                source = self.config.name,
                %error,
                "a source failed while it stopped; what was not applied comes again"
            );
        }
        self.status.phase(Phase::Stopped);
        tracing::info!(source = self.config.name, "a source stopped");
    }
}

/// Returns once it has to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Where the sender is gone nobody is left to follow for.
    let _ = stop.wait_for(|stop| *stop).await;
}
