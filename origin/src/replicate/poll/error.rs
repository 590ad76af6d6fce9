//! What can go wrong with a polled source.

use crate::replicate::mysql::MysqlError;
use crate::replicate::postgres::error::PgError;
use crate::replicate::supervise::SourceFault;

/// Anything that ends one connection of a polled source.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The URL is of a source that cannot be polled.
    #[error("source {0} cannot be polled: mode = \"poll\" needs a postgres:// or mysql:// URL")]
    Scheme(String),
    /// A table is not as polling needs it.
    #[error("table {table}: {problem}; {remedy}")]
    Table {
        /// The table.
        table: String,
        /// What is wrong.
        problem: String,
        /// What helps.
        remedy: String,
    },
    /// The MySQL server or the way to it.
    #[error(transparent)]
    Mysql(#[from] MysqlError),
    /// The PostgreSQL server or the way to it.
    #[error(transparent)]
    Postgres(#[from] PgError),
}

impl SourceFault for PollError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Scheme(_) | Self::Table { .. } => false,
            Self::Mysql(error) => error.is_retryable(),
            Self::Postgres(error) => error.is_retryable(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Postgres(error) => error.remedy(),
            Self::Scheme(_) | Self::Table { .. } | Self::Mysql(_) => String::new(),
        }
    }
}
