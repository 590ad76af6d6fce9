//! Forgets what is known of a source, so that it is copied anew.

use serde::{Deserialize, Serialize};

use super::{drift, kafka};
use crate::ingest::rows::{ForgetPart, Move, RowBatch, SourceCommand, TableId};
use crate::ingest::{Command, WriteError, Writer};
use crate::store::{Store, StoreError, read};

/// The checkpoint that says what is being forgotten, until it is.
const UNDERWAY: &str = "resync";

/// Why nothing, or not all, was forgotten; doing it again goes on.
#[derive(Debug, thiserror::Error)]
pub enum ResyncError {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// The store takes no writes.
    #[error("the store takes no writes; run resync again when it does")]
    Write(#[from] WriteError),
    /// Somebody moved the positions meanwhile.
    #[error("source {0} is still followed; run resync again")]
    Followed(String),
    /// Neither mapping nor store has it.
    #[error(
        "source {source_name}: neither the mapping file nor the store has it; stored are {known}"
    )]
    Source {
        /// What was asked for.
        source_name: String,
        /// What there is.
        known: String,
    },
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

/// What to do with the slot of a source whose server nobody knows any more.
#[must_use]
pub fn slot_left(slot: &str) -> String {
    format!(
        "its slot was left alone, because the source's url is not known any more, and keeps WAL \
         until it is dropped at its server: SELECT pg_drop_replication_slot('{slot}');"
    )
}

/// Sees that the store has the source, and the table where one is meant.
///
/// # Errors
///
/// It has not, or fails.
pub fn known(store: &dyn Store, source: &str, table: Option<&str>) -> Result<(), ResyncError> {
    let stored = read::sources(&*store.read()?)?;
    if !stored.iter().any(|known| known == source) {
        return Err(ResyncError::Source {
            source_name: source.to_owned(),
            known: match stored.as_slice() {
                [] => "none".to_owned(),
                names => names.join(", "),
            },
        });
    }
    affected(store, source, table).map(drop)
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
/// The store fails; the next start of the source goes on.
pub fn forget(
    store: &dyn Store,
    writer: &Writer,
    source: &str,
    table: Option<&str>,
) -> Result<Resynced, ResyncError> {
    finish(store, writer, source)?;
    let affected = affected(store, source, table)?;
    let underway = Move {
        checkpoint: UNDERWAY.to_owned(),
        from: None,
        to: Some(serde_json::to_vec(&table).expect("a name is JSON")),
    };
    move_on(writer, source, underway)?;
    carry_out(store, writer, source, table.is_some(), &affected)?;
    Ok(Resynced {
        source: source.to_owned(),
        tables: affected.into_iter().map(|(_, entry)| entry).collect(),
        slot: None,
    })
}

/// Goes on with what a resync that was cut off had begun to forget: with some rows gone and the
/// positions still there, those rows would be missing for good. Off the async threads.
///
/// # Errors
///
/// As [`forget`].
pub fn finish(store: &dyn Store, writer: &Writer, source: &str) -> Result<(), ResyncError> {
    let Some(underway) = read::checkpoint(&*store.read()?, source, UNDERWAY)? else {
        return Ok(());
    };
    // What cannot be read is of another version: then all of it.
    let table: Option<String> = serde_json::from_slice(&underway).unwrap_or_default();
    let affected = affected(store, source, table.as_deref())?;
    tracing::info!(source, table, "goes on with a resync that was cut off");
    carry_out(store, writer, source, table.is_some(), &affected)
}

fn carry_out(
    store: &dyn Store,
    writer: &Writer,
    source: &str,
    is_part: bool,
    affected: &[(TableId, String)],
) -> Result<(), ResyncError> {
    if !is_part {
        // What says that it is under way goes with the last rows.
        forget_part(writer, source, ForgetPart::Source)?;
        return Ok(());
    }
    for (id, entry) in affected {
        forget_place(store, writer, source, entry)?;
        forget_part(writer, source, ForgetPart::Rows(*id))?;
    }
    let underway = ForgetPart::Checkpoints(UNDERWAY.to_owned());
    forget_part(writer, source, underway)?;
    Ok(())
}

/// Forgets where the copy of a table stands, and where its topic does.
fn forget_place(
    store: &dyn Store,
    writer: &Writer,
    source: &str,
    entry: &str,
) -> Result<(), ResyncError> {
    let name = entry.split("->").next().unwrap_or(entry);
    if let Some(offsets) = kafka::forget_topic(store, source, name)? {
        move_on(writer, source, offsets)?;
    }
    for checkpoints in [
        format!("copied/{entry}"),
        format!("copy/{entry}"),
        format!("poll/{entry}"),
        format!("stopped/{entry}"),
        format!("schema/{name}"),
        drift::checkpoint(entry),
    ] {
        forget_part(writer, source, ForgetPart::Checkpoints(checkpoints))?;
    }
    Ok(())
}

fn move_on(writer: &Writer, source: &str, moved: Move) -> Result<(), ResyncError> {
    let batch = RowBatch {
        source: source.to_owned(),
        moves: vec![moved],
        ..RowBatch::default()
    };
    let outcome = writer.write(Command::Rows(Box::new(batch)))?;
    if outcome.conflict {
        return Err(ResyncError::Followed(source.to_owned()));
    }
    Ok(())
}

/// Each transaction is bounded; the last one says that there is no more.
fn forget_part(writer: &Writer, source: &str, part: ForgetPart) -> Result<(), WriteError> {
    let source = source.to_owned();
    let command = Command::Source(SourceCommand::Forget { source, part });
    while writer.write(command.clone())?.more {}
    Ok(())
}
