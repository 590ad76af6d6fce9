//! Forgets what is known of a source, so that it is copied anew.

use serde::{Deserialize, Serialize};

use crate::ingest::rows::{ForgetPart, SourceCommand, TableId};
use crate::ingest::{Command, WriteError, Writer};
use crate::store::{Store, StoreError, read};

/// Why nothing, or not all, was forgotten; doing it again goes on.
#[derive(Debug, thiserror::Error)]
pub enum ResyncError {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// The store takes no writes.
    #[error("the store takes no writes; run resync again when it does")]
    Write(#[from] WriteError),
    /// There is nothing under this name.
    #[error("nothing is stored of table {table} of source {source_name}; it has {known}")]
    Table {
        /// The source.
        source_name: String,
        /// What was asked for.
        table: String,
        /// What there is.
        known: String,
    },
}

/// What a resync did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resynced {
    /// The source.
    pub source: String,
    /// The mapped tables whose rows do not count any more until they are copied.
    pub tables: Vec<String>,
    /// What became of the slot at the server, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub slot: Option<String>,
}

impl std::fmt::Display for Resynced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tables = match self.tables.as_slice() {
            [] => "nothing was stored".to_owned(),
            tables => format!("forgot {}", tables.join(", ")),
        };
        write!(f, "{}: {tables}", self.source)?;
        match &self.slot {
            Some(slot) => write!(f, "; {slot}"),
            None => Ok(()),
        }
    }
}

/// The tables that a resync is about: all, or those of this table or entry.
///
/// # Errors
///
/// The store fails, or there is no such table.
pub fn affected(
    store: &dyn Store,
    source: &str,
    table: Option<&str>,
) -> Result<Vec<(TableId, String)>, ResyncError> {
    let known = read::tables(&*store.read()?, source)?;
    let Some(wanted) = table else {
        return Ok(known);
    };
    let is_meant = |entry: &str| entry == wanted || entry.split("->").next() == Some(wanted);
    let found: Vec<_> = known
        .iter()
        .filter(|(_, entry)| is_meant(entry))
        .cloned()
        .collect();
    if found.is_empty() {
        let names: Vec<&str> = known.iter().map(|(_, entry)| entry.as_str()).collect();
        let known = match names.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        return Err(ResyncError::Table {
            source_name: source.to_owned(),
            table: wanted.to_owned(),
            known,
        });
    }
    Ok(found)
}

/// Takes back what the rows of the source (or of one of its tables) counted and forgets its
/// positions. Nothing may follow the source meanwhile. Off the async threads.
///
/// # Errors
///
/// The store fails; what was forgotten until then stays forgotten.
pub fn forget(
    store: &dyn Store,
    writer: &Writer,
    source: &str,
    table: Option<&str>,
) -> Result<Resynced, ResyncError> {
    let affected = affected(store, source, table)?;
    let part = |part: ForgetPart| {
        forget_part(
            writer,
            SourceCommand::Forget {
                source: source.to_owned(),
                part,
            },
        )
    };
    if table.is_none() {
        part(ForgetPart::Source)?;
    } else {
        for (id, entry) in &affected {
            // What says that the table is copied goes first: cut off here, it is copied again.
            let name = entry.split("->").next().unwrap_or(entry);
            for checkpoints in [
                format!("copied/{entry}"),
                format!("copy/{entry}"),
                format!("poll/{entry}"),
                format!("stopped/{entry}"),
                format!("schema/{name}"),
            ] {
                part(ForgetPart::Checkpoints(checkpoints))?;
            }
            part(ForgetPart::Rows(*id))?;
        }
    }
    Ok(Resynced {
        source: source.to_owned(),
        tables: affected.into_iter().map(|(_, entry)| entry).collect(),
        slot: None,
    })
}

/// Each transaction is bounded; the last one says that there is no more.
fn forget_part(writer: &Writer, command: SourceCommand) -> Result<(), WriteError> {
    while writer.write(Command::Source(command.clone()))?.more {}
    Ok(())
}
