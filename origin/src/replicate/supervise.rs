//! Runs every source of a mapping: connects, connects again, and says loudly when it cannot.
//!
//! Each source is a task of its own on threads of its own: one that fails stops alone, and
//! serving never waits for any. A connector lives from one connection to the next; what it
//! had not made durable when it ended comes again from the source.

mod error;
mod prepare;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::source::Source;
use super::config::{Mapping, Mode, SourceConfig};
use super::mapping::TablePlan;
use super::metrics::SourceMetrics;
pub use super::status::{Phase, SourceStatus, StatusBoard};
use crate::clock::Clock;
use crate::ingest::Writer;
use crate::ingest::rows::TableId;
use crate::store::Store;
use crate::telemetry;
pub use error::{SourceError, SourceFault};

/// Threads that run the connectors of a [`Replication`].
const THREADS: usize = 2;
/// Shortest pause before a source is connected again.
pub const RECONNECT_MIN: Duration = Duration::from_millis(100);
/// Longest pause before a source is connected again.
pub const RECONNECT_MAX: Duration = Duration::from_secs(30);
/// A connector that was told to stop has this long to make durable what it has read.
pub const STOP_GRACE: Duration = Duration::from_secs(8);

/// What a connector gets for one life: connect, take the first copy, follow, until it is told
/// to stop or fails.
#[derive(Clone)]
pub struct SourceContext {
    /// The source, its secrets filled in.
    pub config: SourceConfig,
    /// Its mapped tables with the ids that the store gave them.
    pub tables: Vec<(TableId, TablePlan)>,
    /// For checkpoints.
    pub store: Arc<dyn Store>,
    /// For appliers.
    pub writer: Writer,
    /// Wall and domain time.
    pub clock: Clock,
    /// The source's metrics.
    pub metrics: Arc<SourceMetrics>,
    /// Turns true when the connector has to flush and return.
    pub stop: watch::Receiver<bool>,
    /// Where it says how it does.
    pub status: Arc<StatusBoard>,
}

/// Why nothing could be started.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no threads to follow sources with: raise its limit on threads")]
pub struct StartError(#[source] std::io::Error);

/// Runs a connector's life.
type Connect =
    Arc<dyn Fn(SourceContext) -> BoxFuture<'static, Result<(), SourceError>> + Send + Sync>;

/// The sources that are followed. Dropping it cuts them off, which loses nothing.
pub struct Replication {
    stop: watch::Sender<bool>,
    sources: Vec<(Arc<StatusBoard>, JoinHandle<()>)>,
    runtime: Option<Runtime>,
}

impl Replication {
    /// Follows every source of `mapping` in the background, on threads `edgewise-replicate`.
    /// A source that cannot be followed says so in its status and the log.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(
        mapping: Mapping,
        store: Arc<dyn Store>,
        writer: Writer,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let connect: Connect = Arc::new(|context| Box::pin(connect(context)));
        Self::start_with(mapping, store, writer, clock, &connect)
    }

    fn start_with(
        mapping: Mapping,
        store: Arc<dyn Store>,
        writer: Writer,
        clock: Clock,
        connect: &Connect,
    ) -> Result<Self, StartError> {
        // Handles that are made before there is a recorder stay deaf.
        telemetry::metrics_handle();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("edgewise-replicate")
            .enable_all()
            .build()
            .map_err(StartError)?;
        let (stop, stopped) = watch::channel(false);
        let start = |config: SourceConfig| {
            let status = StatusBoard::new(&config.name, &config.url, clock.clone());
            let status = Arc::new(status);
            let source = Source {
                config,
                store: Arc::clone(&store),
                writer: writer.clone(),
                clock: clock.clone(),
                stop: stopped.clone(),
                status: Arc::clone(&status),
                connect: Arc::clone(connect),
            };
            (status, runtime.spawn(source.run()))
        };
        let sources = mapping.sources.into_iter().map(start).collect();
        Ok(Self {
            stop,
            sources,
            runtime: Some(runtime),
        })
    }

    /// How the sources do.
    #[must_use]
    pub fn status(&self) -> Vec<SourceStatus> {
        self.sources.iter().map(|(board, _)| board.read()).collect()
    }

    /// Whether no source is followed any more: all failed for good or stopped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.sources.iter().all(|(_, task)| task.is_finished())
    }

    /// Makes durable what was read and stops; what takes longer than [`STOP_GRACE`] is cut off
    /// and comes again.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for (board, task) in self.sources.drain(..) {
            if let Err(error) = task.await {
                let source = board.read().source;
                tracing::error!(source, %error, "the task of a source ended early");
            }
        }
    }
}

impl Drop for Replication {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed where this may be dropped; nothing durable is at stake.
            runtime.shutdown_background();
        }
    }
}

/// The connector of the URL's scheme.
async fn connect(context: SourceContext) -> Result<(), SourceError> {
    let name = context.config.name.clone();
    let scheme = context.config.url.split("://").next().unwrap_or_default();
    match (scheme, context.config.mode) {
        ("mysql" | "mariadb", Mode::Stream) => super::mysql::run(context).await,
        ("mysql" | "mariadb" | "postgres" | "postgresql", Mode::Poll) => {
            super::poll::run(context).await
        }
        ("postgres" | "postgresql", Mode::Stream) => super::postgres::run(context).await,
        ("kafka", _) => super::kafka::run(context).await,
        (scheme, Mode::Stream | Mode::Poll) => {
            std::future::ready(Err(SourceError::fatal(
                format!("source {name}: nothing follows {scheme}://"),
                "use postgres://, mysql://, mariadb:// or kafka:// as the source's url",
            )))
            .await
        }
    }
}
