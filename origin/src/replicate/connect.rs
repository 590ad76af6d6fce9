//! What operators ask of a connector besides following: the connector of a URL's scheme.

use super::check::Report;
use super::config::{Mode, SourceConfig};
use super::init::CatalogTable;
use super::mapping::TablePlan;
use super::reconcile::sql::Dialect;
use super::{kafka, mysql, poll, postgres};
use crate::store::Store;

/// Checks a source; changes nothing.
pub(super) async fn check(config: &SourceConfig, plans: &[TablePlan]) -> Report {
    let mut report = match (Dialect::of(&config.url), config.mode) {
        (Some(Dialect::Postgres), Mode::Stream) => postgres::check(config, plans).await,
        (Some(Dialect::Mysql), Mode::Stream) => mysql::check(config, plans).await,
        (None, Mode::Stream) => kafka::check(config, plans).await,
        (_, Mode::Poll) => poll::check(config, plans).await,
    };
    for finding in &mut report.findings {
        finding.fix = finding.fix.as_ref().map(|fix| named(fix, &config.name));
    }
    report
}

/// A remedy with the name of the variable that holds the source's URL.
pub(super) fn named(remedy: &str, source: &str) -> String {
    remedy.replace(
        "SOURCE_<NAME>",
        &format!("SOURCE_{}", source.to_uppercase()),
    )
}

/// The tables that the source's catalogue has.
///
/// # Errors
///
/// A sentence with the remedy.
pub(super) async fn describe(config: &SourceConfig) -> anyhow::Result<Vec<CatalogTable>> {
    match Dialect::of(&config.url) {
        Some(Dialect::Postgres) => {
            let tables = postgres::describe(config).await?;
            let table = |table: postgres::TableDescription| CatalogTable {
                name: table.name,
                columns: table.columns,
            };
            Ok(tables.into_iter().map(table).collect())
        }
        Some(Dialect::Mysql) => {
            let tables = mysql::describe(config).await?;
            let table = |(name, columns)| CatalogTable { name, columns };
            Ok(tables.into_iter().map(table).collect())
        }
        None => anyhow::bail!(
            "a broker has no catalogue to guess from; write the mapping file by hand (docs/mapping.md)"
        ),
    }
}

/// Drops the source's slot at a PostgreSQL server where it is ours; says what became of it.
pub(super) async fn drop_slot(config: &SourceConfig, store: &dyn Store) -> Option<String> {
    match (Dialect::of(&config.url), config.mode) {
        (Some(Dialect::Postgres), Mode::Stream) => postgres::drop_slot(config, store).await,
        _ => None,
    }
}
