//! What operators ask of a connector besides following: the connector of a URL's scheme.

use super::check::Report;
use super::config::SourceConfig;
use super::init::CatalogTable;
use super::mapping::TablePlan;
use crate::store::Store;

/// Checks a source; changes nothing.
pub(super) async fn check(config: &SourceConfig, _plans: &[TablePlan]) -> Report {
    std::future::ready(()).await;
    let mut report = Report::default();
    let (scheme, _) = config.url.split_once("://").unwrap_or_default();
    let problem = format!("nothing checks {scheme}:// yet");
    report.error(format!("source {}", config.name), problem, "");
    report
}

/// The tables that the source's catalogue has.
///
/// # Errors
///
/// A sentence with the remedy.
pub(super) async fn describe(config: &SourceConfig) -> anyhow::Result<Vec<CatalogTable>> {
    std::future::ready(()).await;
    let (scheme, _) = config.url.split_once("://").unwrap_or_default();
    anyhow::bail!(
        "{scheme}:// has no catalogue to guess from; write the mapping file by hand (docs/mapping.md)"
    )
}

/// Drops the source's slot at a PostgreSQL server where it is ours; says what became of it.
pub(super) async fn drop_slot(_config: &SourceConfig, _store: &dyn Store) -> Option<String> {
    std::future::ready(None).await
}
