//! The sessions that copy, each a chunk at a time.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::super::checkpoints::Copied;
use super::super::chunks::Chunk;
use super::super::client::answer;
use super::super::error::PgError;
use super::super::start::Exported;
use super::shared::Shared;
use crate::replicate::apply::{Applier, ApplierConfig};

/// Sessions that copy at once, at most.
const PARALLEL_MAX: usize = 16;
/// Rows between two looks at the rate.
const PACE_ROWS: u32 = 256;
/// Longest line of a row that is read, bytes: the most that a server can send. The mapping refuses
/// a value that is too long, and only its row.
const LINE_BYTES_MAX: usize = 1 << 30;

pub(super) async fn run(shared: &Arc<Shared>, exported: &Exported) -> Result<(), PgError> {
    let server = &shared.server;
    let snapshot = exported.name.replace('\'', "''");
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{snapshot}'; \
         SET LOCAL statement_timeout = 0"
    );
    let parallel = shared
        .context
        .config
        .snapshot
        .parallel
        .clamp(1, PARALLEL_MAX);
    let parallel = parallel.min(shared.left_len()).max(1);
    let mut sessions = Vec::with_capacity(parallel);
    for _ in 0..parallel {
        let client = server.connect().await?;
        let beginning = client.batch_execute(&begin);
        answer(async { beginning.await.map_err(|error| server.error(&error)) }).await?;
        sessions.push(client);
    }
    // One kind of rows after the other: events find their items.
    while let Some(target) = shared.next_target() {
        let mut workers = JoinSet::new();
        for client in sessions.drain(..) {
            let shared = shared.clone();
            workers.spawn(async move {
                while let Some((chunk, stored)) = shared.take(target) {
                    copy_chunk(&shared, &client, &chunk, stored).await?;
                }
                Ok::<_, PgError>(client)
            });
        }
        while let Some(worker) = workers.join_next().await {
            match worker {
                Ok(client) => sessions.push(client?),
                Err(error) => return Err(PgError::Lost(format!("a copy ended: {error}"))),
            }
        }
    }
    Ok(())
}

/// Reads a chunk into batches of its own; it is done when its checkpoint says so.
async fn copy_chunk(
    shared: &Shared,
    client: &Client,
    chunk: &Chunk,
    stored: Option<Vec<u8>>,
) -> Result<(), PgError> {
    let Some(source) = shared.sources.get(&chunk.entry) else {
        return Ok(());
    };
    let server = &shared.server;
    let config = ApplierConfig::new(&shared.context.config.name, &chunk.checkpoint());
    let context = &shared.context;
    let mut applier = Applier::new(
        context.writer.clone(),
        config,
        stored,
        context.metrics.clone(),
    );
    let position = format!("copy {} {}", chunk.entry, chunk.number);
    let sql = chunk.sql(&source.table, source.bound.columns());
    let lines = client.copy_out(&sql);
    let lines = answer(async { lines.await.map_err(|error| server.error(&error)) }).await?;
    let mut lines = std::pin::pin!(lines);
    let mut rest: Vec<u8> = Vec::new();
    let mut rows = 0_u64;
    loop {
        // Most lines are here already: a timer for each would cost more than reading it.
        let next = match lines.next().now_or_never() {
            Some(next) => next,
            None => answer(async { Ok(lines.next().await) }).await?,
        };
        let Some(bytes) = next else { break };
        let bytes = bytes.map_err(|error| server.error(&error))?;
        let mut left = &bytes[..];
        // The server sends a line at a time; the protocol does not promise it.
        while let Some(end) = left.iter().position(|byte| *byte == b'\n') {
            let (line, next) = left.split_at(end);
            left = next.get(1..).unwrap_or_default();
            let (change, dead) = if rest.is_empty() {
                source.map(context, line, &position)?
            } else {
                rest.extend_from_slice(line);
                let mapped = source.map(context, &rest, &position)?;
                rest.clear();
                mapped
            };
            rows += 1;
            applier
                .push(
                    change,
                    dead,
                    Copied {
                        rows,
                        is_done: false,
                    },
                )
                .await?;
            if rows.is_multiple_of(u64::from(PACE_ROWS)) {
                shared.pace(PACE_ROWS).await;
            }
        }
        rest.extend_from_slice(left);
        if rest.len() > LINE_BYTES_MAX {
            return Err(PgError::TooLarge {
                bytes: rest.len(),
                limit: LINE_BYTES_MAX,
            });
        }
    }
    applier
        .advance(
            Copied {
                rows,
                is_done: true,
            },
            None,
        )
        .await?;
    applier.flush().await?;
    shared.done(&chunk.entry, rows);
    Ok(())
}
