//! MySQL and MariaDB by their row binlog: the same exactness as PostgreSQL's slots give.
//!
//! One life of the connector: connect and check the server, find the position (or take a
//! consistent one where there is none), copy what was not copied, then follow the binlog from
//! the position on. A row that is copied and also in the binlog converges through the row
//! memory, so the copy needs no long transaction at the source.

pub(crate) mod catalog;
mod check;
mod checksum;
pub(crate) mod client;
mod column_type;
mod ddl;
mod decode;
mod definition;
mod dump;
mod edits;
mod error;
mod event;
mod files;
mod fuzz;
mod gtid;
mod json;
mod lag;
mod layout;
mod maps;
pub(crate) mod page;
mod position;
mod prepared;
mod privileges;
mod rows;
mod segments;
mod snapshot;
mod start;
mod statements;
mod stream;
mod tables;
mod undecided;
mod wire;
mod words;
mod xa;

pub use check::{check, describe};
pub use error::MysqlError;
pub use fuzz::fuzz;
pub(crate) use page::{plain, select};
pub(crate) use start::missing;

use self::client::Target;
use self::stream::Stream;
use crate::replicate::supervise::{Phase, SourceContext, SourceError, SourceFault};

impl SourceFault for MysqlError {
    fn is_retryable(&self) -> bool {
        self.is_retryable()
    }

    fn remedy(&self) -> String {
        self.remedy()
    }
}

/// The checkpoint of the stream's position.
const STREAM: &str = "stream";

/// The checkpoint that says that an entry's first copy is done.
fn copied_checkpoint(entry: &str) -> String {
    format!("copied/{entry}")
}

/// The checkpoint of an entry's first copy, or of one of its segments.
fn copy_checkpoint(entry: &str, segment: Option<usize>) -> String {
    match segment {
        Some(segment) => format!("copy/{entry}/{segment}"),
        None => format!("copy/{entry}"),
    }
}

/// The checkpoint of a table's columns as of the stream's position; `table` as the mapping
/// names it, since that is what an operator resyncs by.
fn schema_checkpoint(table: &str) -> String {
    format!("schema/{table}")
}

/// The checkpoint that says why an entry is not followed any more.
fn stopped_checkpoint(entry: &str) -> String {
    format!("stopped/{entry}")
}

/// One life of the connector: connect, copy, follow, until told to stop or an error.
///
/// # Errors
///
/// What ended this life; whether another may go better says [`SourceError::is_retryable`].
pub async fn run(context: SourceContext) -> Result<(), SourceError> {
    context.status.phase(Phase::Connecting);
    let target = Target::new(&context.config)?;
    let mut client = target.connect().await?;
    check::settings(&mut client).await?;
    let Some(mut started) = start::start(&context, &target, &mut client).await? else {
        return Ok(());
    };
    context.metrics.connected(true);
    if !snapshot::copy(&context, &target, &mut client, &mut started.tables).await? {
        return Ok(());
    }
    context.status.phase(Phase::Streaming);
    let start::Started {
        applier,
        tables,
        position,
    } = started;
    Stream::new(&context, &target, client, applier, tables, position)
        .run()
        .await
}
