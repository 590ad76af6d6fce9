//! PostgreSQL 14 and newer, by logical replication.
//!
//! A life of the connector: [`start`] makes sure that this is the server and that publication and
//! slot are there, [`copy`] reads the tables in the slot's snapshot, [`stream`] follows from
//! there. [`watch`] beats and looks after the slot meanwhile.
//!
//! Checkpoints of a source: `slot` (which slot is ours), `copied/<entry>` (the entry is copied,
//! and what its columns were), `stopped/<entry>` (it is not followed any more, and why),
//! `copy-plan` and `copy/<entry>/<chunk>` while a copy runs, `catch-up`, `stream` (the position).
//! Removing `copied/<entry>` and `stopped/<entry>` makes the next life copy the entry anew.

pub mod catalog;
pub mod check;
pub mod checkpoints;
pub mod chunks;
pub mod client;
pub mod copy;
pub mod decode;
#[cfg(test)]
mod decode_tests;
mod describe;
mod drop;
pub mod error;
mod ident;
pub mod identity;
pub mod pool;
pub mod position;
pub mod publication;
mod reread;
pub mod start;
pub mod stream;
pub mod tables;
mod tls;
pub mod watch;

use std::sync::Arc;

use tokio::task::JoinSet;

use self::check::Catalogue;
use self::checkpoints::{Checkpoints, CopyPlan, PLAN};
use self::client::{Replication, Server, answer};
use self::error::PgError;
use self::pool::Pool;
use self::position::PgPosition;
use self::stream::{Progress, Stream, is_stopped};
use self::tables::{Entry, Signature};
use self::watch::{Followed, Watch};
use super::status::Phase;
use super::supervise::{SourceContext, SourceError};
pub use check::check;
pub use describe::{TableDescription, describe};
pub use drop::drop_slot;

/// One life: connects, takes the first copy where it is missing, follows until told to stop.
///
/// # Errors
///
/// What ended it; where it is retryable the next life goes on without loss.
pub async fn run(context: SourceContext) -> Result<(), SourceError> {
    context.status.phase(Phase::Connecting);
    let mut stop = context.stop.clone();
    let ended = async {
        let ready = tokio::select! {
            biased;
            () = is_stopped(&mut stop) => return Ok(()),
            ready = Box::pin(prepare(&context)) => ready?,
        };
        follow(&context, ready).await
    };
    let ended = Box::pin(ended).await;
    context.metrics.connected(false);
    Ok(ended?)
}

/// What a stream needs.
struct Ready {
    server: Arc<Server>,
    pool: Pool,
    entries: Vec<Entry>,
    checkpoints: Checkpoints,
    position: PgPosition,
    replication: Replication,
    is_replica: bool,
}

/// Everything before the stream.
async fn prepare(context: &SourceContext) -> Result<Ready, PgError> {
    let server = Arc::new(Server::new(&context.config)?);
    let pool = Pool::new(server.clone());
    let mut checkpoints = Checkpoints::read(context)?;
    let mut entries = entries(context, &checkpoints)?;
    // Not from the pool: that would say that none is free instead of why there is none.
    let session = server.connect().await?;
    context.metrics.connected(true);
    let plans: Vec<_> = entries.iter().map(|entry| &entry.plan).collect();
    let mut catalogue = answer(Catalogue::read(&server, &session, &plans)).await?;
    stop_altered(context, &server, &mut checkpoints, &mut entries, &catalogue).await?;
    start::demand(&catalogue, &server, &entries)?;
    let publishing =
        start::ensure_publication(&server, &session, &catalogue, &checkpoints, &entries);
    if answer(publishing).await? {
        catalogue.publication = answer(catalog::publication(&server, &session)).await?;
    }
    let begin = start::begin(context, &server, &session, &mut checkpoints, &entries);
    let mut start = Box::pin(begin).await?;
    note_identities(context, &mut checkpoints, &mut entries, &catalogue).await?;
    let copying = copy::copy(
        context,
        &server,
        &mut checkpoints,
        &mut entries,
        &catalogue,
        &mut start,
    );
    Box::pin(copying).await?;
    let mut replication = server.connect_replication(start.position.lsn).await?;
    let verifying = start::verify(&server, &session, &mut replication, &start.position);
    let position = answer(verifying).await?;
    drop(session);
    Ok(Ready {
        is_replica: catalogue.facts.is_replica,
        server,
        pool,
        entries,
        checkpoints,
        position,
        replication,
    })
}

/// The mapped entries with what the store knows of them.
fn entries(context: &SourceContext, checkpoints: &Checkpoints) -> Result<Vec<Entry>, PgError> {
    let mut entries = Vec::with_capacity(context.tables.len());
    for (id, plan) in &context.tables {
        let mut entry = Entry::new(*id, plan.clone());
        entry.signature = checkpoints.get::<Signature>(&checkpoints::copied(entry.name()))?;
        let reason = checkpoints.bytes(&checkpoints::stopped(entry.name()));
        entry.stopped = reason.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        if let Some(reason) = &entry.stopped {
            stream::say_stopped(context, entry.name(), reason);
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Stops the entries whose tables are not what was copied any more, or what is being copied.
async fn stop_altered(
    context: &SourceContext,
    server: &Server,
    checkpoints: &mut Checkpoints,
    entries: &mut [Entry],
    catalogue: &Catalogue,
) -> Result<(), PgError> {
    let Some(publication) = &catalogue.publication else {
        return Ok(());
    };
    let plan = checkpoints.get::<CopyPlan>(PLAN)?.unwrap_or_default();
    let mut is_verified = false;
    for entry in entries.iter_mut().filter(|entry| entry.stopped.is_none()) {
        let Some(signature) = entry.signature.as_ref().or(plan.tables.get(entry.name())) else {
            continue;
        };
        let table = catalogue.tables.get(&entry.table);
        let altered = identity::altered(
            &entry.table,
            &server.publication,
            signature,
            table,
            publication.tables.get(&entry.table),
        );
        // Of a table that is copied the watch asks, once the stream is up to date.
        let is_copied = entry.signature.is_some();
        let emptied = table.filter(|_| !is_copied);
        let emptied = emptied.and_then(|table| signature.emptied(&entry.table, table));
        let Some(reason) = altered.or(emptied) else {
            continue;
        };
        // Another server has other numbers, which says nothing about the tables.
        if !is_verified {
            start::same_server(server, checkpoints).await?;
            is_verified = true;
        }
        let name = checkpoints::stopped(entry.name());
        let moved = checkpoints.change(&name, Some(reason.clone().into_bytes()));
        checkpoints::commit(context, checkpoints, vec![moved], None).await?;
        stream::say_stopped(context, entry.name(), &reason);
        entry.stopped = Some(reason);
    }
    Ok(())
}

/// Keeps what the catalogue knows the copied tables by from now on: harmless changes add up, and
/// older versions kept nothing.
async fn note_identities(
    context: &SourceContext,
    checkpoints: &mut Checkpoints,
    entries: &mut [Entry],
    catalogue: &Catalogue,
) -> Result<(), PgError> {
    let mut moves = Vec::new();
    for entry in entries.iter_mut().filter(|entry| entry.stopped.is_none()) {
        let name = checkpoints::copied(entry.name());
        let table = catalogue.tables.get(&entry.table);
        let publication = catalogue.publication.as_ref();
        let published = publication.and_then(|p| p.tables.get(&entry.table));
        if let (Some(signature), Some(table)) = (&mut entry.signature, table)
            && signature.emptied(&entry.table, table).is_none()
            && signature.note(table, published)
        {
            moves.push(checkpoints.change(&name, Some(position::encode(signature))));
        }
    }
    if !moves.is_empty() {
        checkpoints::commit(context, checkpoints, moves, None).await?;
    }
    Ok(())
}

/// Streams, with the watch beside it.
async fn follow(context: &SourceContext, ready: Ready) -> Result<(), PgError> {
    let Ready {
        server,
        pool,
        entries,
        checkpoints,
        position,
        mut replication,
        is_replica,
    } = ready;
    let place = server.place(&replication.host);
    let wrong = |error| PgError::from_wire(&error, &place);
    replication.client.start().await.map_err(wrong)?;
    let started = replication.client.wait_started();
    match tokio::time::timeout(client::STATEMENT_MAX, started).await {
        Ok(started) => started.map_err(wrong)?,
        Err(_) => return Err(PgError::Timeout("the stream does not start".to_owned())),
    }
    context.status.phase(Phase::Streaming);
    for entry in entries.iter().filter(|entry| entry.stopped.is_none()) {
        context.status.table_follows(entry.name());
    }
    tracing::info!(
        source = %context.config.name, slot = %server.slot, position = %position,
        "following the server's changes"
    );
    let progress = Arc::new(Progress::default());
    let watch = Watch {
        context: context.clone(),
        server: server.clone(),
        pool: pool.clone(),
        progress: progress.clone(),
        qualities: entries.iter().map(Entry::quality).collect(),
        tables: entries
            .iter()
            .filter(|entry| entry.stopped.is_none())
            .filter_map(Followed::of)
            .collect(),
        is_replica,
    };
    // It ends with the set.
    let mut beside = JoinSet::new();
    beside.spawn(watch.run());
    let server = server.clone();
    let stream = Stream::new(
        context,
        server,
        pool,
        entries,
        checkpoints,
        position,
        progress,
    )?;
    Box::pin(stream.run(replication)).await
}
