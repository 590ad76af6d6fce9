//! Data sets into the store: JSON lines, KuaiRand, MovieLens.
//!
//! A file's position is (SHA-256 of its bytes, row ordinal), committed together with what its rows
//! change. So the same file imported again counts nothing twice, and an import that was killed
//! goes on where its last commit was. Rows are read as a stream; what waits in memory is bounded
//! by the batches under way.
//!
//! | format | reads |
//! |---|---|
//! | [`Format::Jsonl`] | a file of JSON lines, see the module `jsonl` |
//! | [`Format::Kuairand`] | a folder with `impressions.parquet` and `videos.csv` |
//! | [`Format::Movielens`] | a folder with `ml-100k.inter` and `ml-100k.item`, or `u.data` and `u.item` |

mod columns;
mod error;
mod jsonl;
mod kuairand;
mod lines;
mod loader;
mod movielens;
mod report;
mod source;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};

pub use error::ImportError;
pub use report::{BadLine, EventCounts, ImportReport, Notice};

use crate::ingest::Writer;
use loader::{Loader, Target};

/// Data sets that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Items, follows and events, one JSON object a line.
    Jsonl,
    /// KuaiRand-Pure: real short-video impressions.
    Kuairand,
    /// MovieLens-100K: ratings.
    Movielens,
}

/// What to import and how.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// What the files are.
    pub format: Format,
    /// A file (JSON lines) or a folder.
    pub path: PathBuf,
    /// Bad lines that are skipped before the import stops.
    pub max_bad: u64,
    /// Takes only events at or after this time, Unix ms, and no items or follows: the recording
    /// to replay after the rest was imported.
    pub after_ms: Option<i64>,
    /// Takes only events before this time, Unix ms.
    pub until_ms: Option<i64>,
}

impl ImportOptions {
    /// All of `path`, with the limit of 100 bad lines.
    #[must_use]
    pub fn new(format: Format, path: &Path) -> Self {
        Self {
            format,
            path: path.to_owned(),
            max_bad: 100,
            after_ms: None,
            until_ms: None,
        }
    }
}

/// Imports into the store behind `writer`; `notify` hears of progress and of each bad line.
///
/// Blocks until all is durable: not for async threads.
///
/// # Errors
///
/// A missing file or column before anything is written; too many bad lines, with what was
/// imported until then; a store that fails.
pub fn run<'a>(
    options: &ImportOptions,
    writer: &'a Writer,
    notify: &'a mut dyn FnMut(&Notice<'_>),
) -> Result<ImportReport, ImportError> {
    load(options, Target::Writer(writer), notify)
}

/// Writes what [`run`] would import as JSON lines that [`Format::Jsonl`] reads.
///
/// # Errors
///
/// As [`run`], and where `out` cannot be written.
pub fn to_jsonl<'a>(
    options: &ImportOptions,
    out: &'a mut dyn Write,
    notify: &'a mut dyn FnMut(&Notice<'_>),
) -> Result<ImportReport, ImportError> {
    load(options, Target::Lines(out), notify)
}

fn load<'a>(
    options: &ImportOptions,
    target: Target<'a>,
    notify: &'a mut dyn FnMut(&Notice<'_>),
) -> Result<ImportReport, ImportError> {
    let mut loader = Loader::new(options, target, notify);
    let read = match options.format {
        Format::Jsonl => jsonl::read(&options.path, &mut loader),
        Format::Kuairand => kuairand::read(&options.path, &mut loader),
        Format::Movielens => movielens::read(&options.path, &mut loader),
    };
    loader.finish(read)
}
