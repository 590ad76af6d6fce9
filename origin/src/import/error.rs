//! Why an import stopped.

use std::path::PathBuf;

use super::report::{BadLine, ImportReport};
use crate::ingest::{SubmitError, WriteError};

/// Why an import stopped, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file that the format needs is not there.
    #[error("{} is missing: {needed}", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
        /// What the format needs.
        needed: &'static str,
    },
    /// The path is not what the format reads.
    #[error("{} is not a {expected}", path.display())]
    WrongPath {
        /// The path.
        path: PathBuf,
        /// `regular file` or `folder`.
        expected: &'static str,
    },
    /// A column that the format needs is not there.
    #[error("{} has no column {column}; it has {}", path.display(), found.join(", "))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The missing column.
        column: &'static str,
        /// The columns it has.
        found: Vec<String>,
    },
    /// A column has another type.
    #[error("the column {column} of {} is {found}, not a number", path.display())]
    WrongColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
    /// More bad lines than the limit.
    #[error(
        "{}:{}: {}; that is one more than the {max_bad} bad lines that may be skipped. Imported \
         until then: {report}",
        last.file.display(), last.line, last.reason
    )]
    TooManyBad {
        /// The line that was too much.
        last: BadLine,
        /// The limit.
        max_bad: u64,
        /// What was imported.
        report: Box<ImportReport>,
    },
    /// The file has more rows than the format takes.
    #[error("{} has more than {max} rows", path.display())]
    TooManyRows {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// A file cannot be read or written.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: std::io::Error,
    },
    /// A Parquet file is broken.
    #[error("{} is not a Parquet file that can be read", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The output of a conversion cannot be written.
    #[error("cannot write the JSON lines")]
    Output(#[source] std::io::Error),
    /// The writer takes nothing more.
    #[error("the store takes no writes")]
    Submit(#[source] SubmitError),
    /// A commit failed; the import may be started again.
    #[error("the store failed; start the import again and it goes on where it was")]
    Write(#[source] WriteError),
}

impl ImportError {
    /// Whether the same import may go on later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Submit(_))
    }
}
