//! What happens once, before a source is connected for the first time.

use std::sync::Arc;

use super::super::config::SourceConfig;
use super::super::mapping::TablePlan;
use super::SourceError;
use crate::ingest::Writer;
use crate::ingest::rows::TableId;
use crate::store::Store;

/// Compiles the source's tables and has the store number them.
pub(super) async fn prepare(
    config: &SourceConfig,
    _store: &Arc<dyn Store>,
    _writer: &Writer,
) -> Result<Vec<(TableId, TablePlan)>, SourceError> {
    let mut plans = Vec::with_capacity(config.tables.len());
    for table in &config.tables {
        plans.push(TablePlan::compile(table)?);
    }
    let ids = (1..).map(TableId);
    std::future::ready(Ok(ids.zip(plans).collect())).await
}
