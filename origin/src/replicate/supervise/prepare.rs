//! What happens once, before a source is connected for the first time.

use std::sync::Arc;
use std::time::Duration;

use super::super::config::SourceConfig;
use super::super::mapping::TablePlan;
use super::super::{drift, resync};
use super::{SourceError, StatusBoard};
use crate::ingest::rows::{Move, RowBatch, SourceCommand, TableId};
use crate::ingest::{Command, SubmitError, WriteError, Writer};
use crate::store::{Store, StoreError, read};

/// Pause before a full write queue is tried again.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(20);

/// Compiles the source's tables and has the store number them.
pub(super) async fn prepare(
    config: &SourceConfig,
    store: &Arc<dyn Store>,
    writer: &Writer,
    status: &StatusBoard,
) -> Result<Vec<(TableId, TablePlan)>, SourceError> {
    let mut plans = Vec::with_capacity(config.tables.len());
    for table in &config.tables {
        plans.push(TablePlan::compile(table)?);
    }
    finish_resync(config, store, writer).await?;
    let source = config.name.clone();
    let tables = plans.iter().map(|plan| plan.name().to_owned()).collect();
    let register = SourceCommand::Register { source, tables };
    write(writer, Command::Source(register)).await?;
    let known = tables_of(store, &config.name).await?;
    remember_mapping(config, store, writer, status, &known).await?;
    plans
        .into_iter()
        .map(|plan| {
            let id = known.iter().find(|(_, name)| name == plan.name());
            id.map(|(id, _)| (*id, plan.clone())).ok_or_else(|| {
                let name = plan.name();
                SourceError::fatal(
                    format!("the store gave {name} of source {} no number", config.name),
                    "start again; where it stays so, `edgewise verify` names what is wrong",
                )
            })
        })
        .collect()
}

/// Remembers how rows are mapped from now on, and says loudly where others were mapped otherwise.
async fn remember_mapping(
    config: &SourceConfig,
    store: &Arc<dyn Store>,
    writer: &Writer,
    status: &StatusBoard,
    known: &[(TableId, String)],
) -> Result<(), SourceError> {
    let mut moves = Vec::new();
    for table in &config.tables {
        let entry = table.entry_name();
        let Some((id, _)) = known.iter().find(|(_, name)| *name == entry) else {
            continue;
        };
        // A few small records for each entry, once.
        let remembered = drift::remember(&*store.read()?, &config.name, *id, table)?;
        if let Some((how, remedy)) = remembered.change {
            tracing::error!(source = config.name, table = entry, remedy, "{how}");
            status.table_changed(&entry, &format!("{how}; {remedy}"));
        }
        if remembered.to.is_some() {
            moves.push(Move {
                checkpoint: drift::checkpoint(&entry),
                from: remembered.from,
                to: remembered.to,
            });
        }
    }
    if moves.is_empty() {
        return Ok(());
    }
    let batch = RowBatch {
        source: config.name.clone(),
        moves,
        ..RowBatch::default()
    };
    write(writer, Command::Rows(Box::new(batch))).await
}

/// A resync that was cut off is gone on with.
async fn finish_resync(
    config: &SourceConfig,
    store: &Arc<dyn Store>,
    writer: &Writer,
) -> Result<(), SourceError> {
    let (store, writer, source) = (Arc::clone(store), writer.clone(), config.name.clone());
    let work = move || resync::finish(&*store, &writer, &source);
    let done = tokio::task::spawn_blocking(work).await;
    let reason = match done {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(SourceError::fatal(
        format!("a resync that was cut off cannot be gone on with: {reason}"),
        "see that the store's disk has room and works, then start again",
    ))
}

async fn write(writer: &Writer, command: Command) -> Result<(), SourceError> {
    loop {
        let reply = match writer.submit(command.clone()) {
            Ok(reply) => reply,
            Err(SubmitError::Overloaded) => {
                tokio::time::sleep(OVERLOADED_PAUSE).await;
                continue;
            }
            Err(error) => return Err(refused(&error.into())),
        };
        let result = reply.await.unwrap_or(Err(WriteError::Stopped));
        return result.map(drop).map_err(|error| refused(&error));
    }
}

fn refused(error: &WriteError) -> SourceError {
    SourceError::fatal(
        format!("the store does not take the source's tables: {error}"),
        "see that its disk has room and works, then start again",
    )
}

async fn tables_of(
    store: &Arc<dyn Store>,
    source: &str,
) -> Result<Vec<(TableId, String)>, SourceError> {
    let (store, source) = (Arc::clone(store), source.to_owned());
    // Reading may touch the disk.
    let read = tokio::task::spawn_blocking(move || read::tables(&*store.read()?, &source));
    let tables: Result<_, StoreError> = read.await.map_err(|error| {
        SourceError::fatal(
            format!("the store's tables cannot be read: {error}"),
            "start again",
        )
    })?;
    Ok(tables?)
}
