//! What operators ask of a connector besides following: the connector of a URL's scheme.

use super::check::Report;
use super::config::{Mode, SourceConfig};
use super::init::CatalogTable;
use super::mapping::TablePlan;
<<<<<<< HEAD
use super::postgres;
=======
use super::reconcile::{ReconcileError, Sql};
>>>>>>> b134ad8 (Reconcile counts with the source and repair rows; test the admin routes of following)
use crate::store::Store;

/// Checks a source; changes nothing.
pub(super) async fn check(config: &SourceConfig, plans: &[TablePlan]) -> Report {
    let (scheme, _) = config.url.split_once("://").unwrap_or_default();
    if is_postgres(scheme) {
        return postgres::check(config, plans).await;
    }
    let mut report = Report::default();
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
    let (scheme, _) = config.url.split_once("://").unwrap_or_default();
    if is_postgres(scheme) {
        let tables = postgres::describe(config).await?;
        let table = |table: postgres::TableDescription| CatalogTable {
            name: table.name,
            columns: table.columns,
        };
        return Ok(tables.into_iter().map(table).collect());
    }
    anyhow::bail!(
        "{scheme}:// has no catalogue to guess from; write the mapping file by hand (docs/mapping.md)"
    )
}

/// Drops the source's slot at a PostgreSQL server where it is ours; says what became of it.
pub(super) async fn drop_slot(config: &SourceConfig, store: &dyn Store) -> Option<String> {
    let (scheme, _) = config.url.split_once("://")?;
    if is_postgres(scheme) && config.mode == Mode::Stream {
        return postgres::drop_slot(config, store).await;
    }
    None
}

fn is_postgres(scheme: &str) -> bool {
    matches!(scheme, "postgres" | "postgresql")
}

/// A session that asks the source in SQL.
///
/// # Errors
///
/// The source cannot be reached, or is none that keeps rows.
pub(super) async fn sql(config: &SourceConfig) -> Result<Sql, ReconcileError> {
    std::future::ready(()).await;
    let (scheme, _) = config.url.split_once("://").unwrap_or_default();
    Err(ReconcileError::Connect {
        source_name: config.name.clone(),
        reason: format!("{scheme}:// keeps no rows to compare with"),
    })
}
