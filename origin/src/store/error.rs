//! What can go wrong in the store.

use std::path::PathBuf;

use super::table::Table;

/// An error of the store, with what the operator can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data directory.
    #[error(
        "{} is in use by another edgewise process: stop that process, or ask it through its admin routes",
        path.display()
    )]
    Locked {
        /// The database file.
        path: PathBuf,
    },
    /// There is no database where one is needed.
    #[error("there is no database at {}", path.display())]
    Missing {
        /// The database file.
        path: PathBuf,
    },
    /// Something is in the way of a new database.
    #[error("{} already holds data", path.display())]
    NotEmpty {
        /// The directory or file.
        path: PathBuf,
    },
    /// The database was written by another version.
    #[error("the database has format {found}, this program reads format {expected}")]
    Format {
        /// Format in the file.
        found: u32,
        /// Format of this program.
        expected: u32,
    },
    /// A record does not decode.
    #[error("a record of table {} is corrupt: {reason}", table.name())]
    Corrupt {
        /// The table.
        table: Table,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file is no database, or the engine found that parts of it are wrong.
    #[error(
        "{}: the database is damaged; restore a backup with `edgewise restore`",
        path.display()
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
    },
    /// Files and directories.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// The engine failed.
    #[error("the storage engine failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Whether the same call may succeed later in this process.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Engine(_))
    }

    pub(crate) fn engine(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Engine(Box::new(source))
    }
}
