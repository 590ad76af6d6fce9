//! What happens once, before a source is connected for the first time.

use std::sync::Arc;
use std::time::Duration;

use super::super::config::SourceConfig;
use super::super::mapping::TablePlan;
use super::super::resync;
use super::SourceError;
use crate::ingest::rows::{SourceCommand, TableId};
use crate::ingest::{Command, SubmitError, WriteError, Writer};
use crate::store::{Store, StoreError, read};

/// Pause before a full write queue is tried again.
const OVERLOADED_PAUSE: Duration = Duration::from_millis(20);

/// Compiles the source's tables and has the store number them.
pub(super) async fn prepare(
    config: &SourceConfig,
    store: &Arc<dyn Store>,
    writer: &Writer,
) -> Result<Vec<(TableId, TablePlan)>, SourceError> {
    let mut plans = Vec::with_capacity(config.tables.len());
    for table in &config.tables {
        plans.push(TablePlan::compile(table)?);
    }
    finish_resync(config, store, writer).await?;
    let source = config.name.clone();
    let tables = plans.iter().map(|plan| plan.name().to_owned()).collect();
    write(writer, SourceCommand::Register { source, tables }).await?;
    let known = tables_of(store, &config.name).await?;
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

async fn write(writer: &Writer, command: SourceCommand) -> Result<(), SourceError> {
    loop {
        let reply = match writer.submit(Command::Source(command.clone())) {
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
