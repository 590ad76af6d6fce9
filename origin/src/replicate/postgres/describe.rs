//! What a database holds, for a first mapping.

use super::catalog;
use super::client::Server;
use super::error::PgError;
use crate::replicate::config::SourceConfig;
use crate::replicate::mapping::Column;
use crate::replicate::supervise::SourceError;

/// A table that could be mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDescription {
    /// `schema.name`.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The primary key's columns.
    pub key: Vec<String>,
    /// About how many rows it has.
    pub rows_estimate: u64,
}

/// Every table of the database that users made; changes nothing.
///
/// # Errors
///
/// The server cannot be reached or asked.
pub async fn describe(config: &SourceConfig) -> Result<Vec<TableDescription>, SourceError> {
    let read = async {
        let server = Server::new(config)?;
        let client = server.connect().await?;
        catalog::tables(&server, &client, None).await
    };
    let tables = read
        .await
        .map_err(|error: PgError| SourceError::from(error))?;
    let describe = |table: catalog::Table| TableDescription {
        columns: table.mapping_columns(),
        key: table.primary_key,
        rows_estimate: table.rows,
        name: table.name,
    };
    Ok(tables.into_values().map(describe).collect())
}
