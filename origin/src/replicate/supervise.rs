//! Runs every source of a mapping: connects, connects again, and says loudly when it cannot.

mod error;

use std::sync::Arc;

use tokio::sync::watch;

use super::config::SourceConfig;
use super::mapping::TablePlan;
use super::metrics::SourceMetrics;
pub use super::status::{Phase, SourceStatus, StatusBoard};
use crate::clock::Clock;
use crate::ingest::Writer;
use crate::ingest::rows::TableId;
use crate::store::Store;
pub use error::{SourceError, SourceFault};

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
