//! The first copy: chunks of tables, read side by side in one snapshot.
//!
//! Why a copy that was interrupted is exact although the rest is read in a later snapshot: the
//! slot stays, so the stream afterwards begins at its creation and repeats every change that the
//! later snapshot already shows. The store applies a row as the difference to what it remembers
//! of the same key, so a repeated change has no effect in the end, and the last change of every
//! row is the last that is applied. A row that left its chunk between two snapshots did so by a
//! change, which is in the stream. Only a row whose unchanged columns are not sent could be
//! unknown meanwhile: until the stream has passed the snapshot (`catch-up`), such rows are read
//! from the table again. The same holds for tables that are added or copied anew later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt, StreamExt};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::catalog::{self, File, Table};
use super::check::Catalogue;
use super::checkpoints::{
    self, CATCH_UP, CatchUp, Checkpoints, Copied, CopyPlan, PLAN, STREAM, copied,
};
use super::chunks::{self, Chunk, Range};
use super::client::{Server, answer};
use super::error::PgError;
use super::ident::ident;
use super::position::{self, Lsn};
use super::start::{Exported, Start, export};
use super::tables::{At, Entry, Quality, Signature, is_padded, measured, text_value, unpadded};
use crate::clock::Stopwatch;
use crate::ingest::rows::{DeadLetter, RowChange, TableId};
use crate::replicate::apply::{Applier, ApplierConfig, RateLimiter};
use crate::replicate::config::Target;
use crate::replicate::mapping::{BoundTable, deliver};
use crate::replicate::status::Phase;
use crate::replicate::supervise::SourceContext;
use crate::replicate::value::Value;

/// Sessions that copy at once, at most.
const PARALLEL_MAX: usize = 16;
/// Rows between two looks at the rate.
const PACE_ROWS: u32 = 256;
/// Longest line of a row that is read, bytes: the most that a server can send. The mapping refuses
/// a value that is too long, and only its row.
const LINE_BYTES_MAX: usize = 1 << 30;

/// An entry that is copied.
struct Source {
    id: TableId,
    name: String,
    target: Target,
    table: Table,
    bound: BoundTable,
    signature: Signature,
    quality: Quality,
}

/// What the tasks of a copy share.
struct Shared {
    context: SourceContext,
    server: Arc<Server>,
    sources: BTreeMap<String, Source>,
    queue: Mutex<VecDeque<(Chunk, Option<Vec<u8>>)>>,
    progress: Mutex<BTreeMap<String, Progress>>,
    pace: Mutex<RateLimiter>,
    clock: Stopwatch,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    rows: u64,
    done: u64,
    total: u64,
}

/// Copies what is not copied yet, and stores where the stream begins.
///
/// # Errors
///
/// A session or the store failed: the next life goes on with what is left.
pub async fn copy(
    context: &SourceContext,
    server: &Arc<Server>,
    checkpoints: &mut Checkpoints,
    entries: &mut [Entry],
    catalogue: &Catalogue,
    start: &mut Start,
) -> Result<(), PgError> {
    let mut sources = sources(entries, catalogue)?;
    let mut signatures = signatures(&sources);
    let mut catch_up = checkpoints.get::<CatchUp>(CATCH_UP)?.unwrap_or_default();
    if !sources.is_empty() && context.config.snapshot.enabled {
        context.status.phase(Phase::Copying);
        let exported = match start.snapshot.take() {
            Some(exported) => exported,
            None => {
                let (exported, end) = export(server, entries).await?;
                catch_up.until = catch_up.until.max(end);
                exported
            }
        };
        let plan = plan(context, server, checkpoints, &mut sources, &exported).await?;
        signatures = self::signatures(&sources);
        let shared = share(context, server, checkpoints, sources, plan)?;
        run(&shared, &exported).await?;
    }
    start.snapshot = None;
    finish(context, checkpoints, entries, signatures, catch_up, start).await
}

fn signatures(sources: &BTreeMap<String, Source>) -> Vec<(String, Signature)> {
    let signature = |source: &Source| (source.name.clone(), source.signature.clone());
    sources.values().map(signature).collect()
}

fn sources(entries: &[Entry], catalogue: &Catalogue) -> Result<BTreeMap<String, Source>, PgError> {
    let mut sources = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|e| e.signature.is_none() && e.stopped.is_none())
    {
        let table = catalogue.tables.get(&entry.table);
        let table = table.ok_or_else(|| PgError::Catalogue {
            object: format!("table {}", entry.table),
            problem: "it does not exist".to_owned(),
            fix: "correct `table` in the mapping (schema.name)".to_owned(),
        })?;
        let publication = catalogue.publication.as_ref();
        let published = publication.and_then(|p| p.tables.get(&entry.table));
        let (bound, signature) = entry.bind(table, published)?;
        let source = Source {
            id: entry.id,
            name: entry.name().to_owned(),
            target: entry.plan.target(),
            table: table.clone(),
            bound,
            signature,
            quality: entry.quality(),
        };
        sources.insert(source.name.clone(), source);
    }
    Ok(sources)
}

/// The chunks: those of an interrupted copy, and those of entries it does not know or whose rows
/// are elsewhere since: blocks of a file say nothing about the file that replaced it.
async fn plan(
    context: &SourceContext,
    server: &Server,
    checkpoints: &mut Checkpoints,
    sources: &mut BTreeMap<String, Source>,
    exported: &Exported,
) -> Result<CopyPlan, PgError> {
    let before = checkpoints.get::<CopyPlan>(PLAN)?.unwrap_or_default();
    let mut plan = CopyPlan::default();
    for source in sources.values_mut() {
        let of_entry = |chunk: &&Chunk| chunk.entry == source.name;
        let chunks: Vec<Chunk> = before.chunks.iter().filter(of_entry).cloned().collect();
        // The table is locked now, so its files stay.
        let asking = catalog::files(server, &exported.keeper, source.table.oid);
        source.moved_to(answer(asking).await?);
        let was = before.tables.get(&source.name);
        let chunks = if chunks.is_empty() {
            cut(context, server, checkpoints, source, exported).await?
        } else if was.is_some_and(|was| was.files() == source.signature.files()) {
            chunks
        } else {
            tracing::warn!(
                table = source.name,
                "the table was rewritten or truncated while its first copy was interrupted: it is copied from the start"
            );
            clear(context, checkpoints, source).await?;
            cut(context, server, checkpoints, source, exported).await?
        };
        plan.chunks.extend(chunks);
        let signature = source.signature.clone();
        plan.tables.insert(source.name.clone(), signature);
    }
    if plan != before {
        let moved = checkpoints.change(PLAN, Some(position::encode(&plan)));
        checkpoints::commit(context, checkpoints, vec![moved], None).await?;
    }
    Ok(plan)
}

/// Cuts a table whose copy begins.
async fn cut(
    context: &SourceContext,
    server: &Server,
    checkpoints: &mut Checkpoints,
    source: &Source,
    exported: &Exported,
) -> Result<Vec<Chunk>, PgError> {
    // Chunks of an earlier plan of this entry say nothing about the new one.
    checkpoints::tidy(context, checkpoints, &format!("copy/{}/", source.name)).await?;
    let chunk_rows = context.config.snapshot.chunk_rows;
    let ranges = ranges(server, &exported.keeper, source, chunk_rows).await?;
    let chunk = |(number, range): (usize, Range)| Chunk {
        entry: source.name.clone(),
        number: u32::try_from(number).unwrap_or(u32::MAX),
        range,
    };
    Ok(ranges.into_iter().enumerate().map(chunk).collect())
}

/// Takes back what was copied of an entry: rows that are gone since may be among them.
async fn clear(
    context: &SourceContext,
    checkpoints: &mut Checkpoints,
    source: &Source,
) -> Result<(), PgError> {
    let name = format!("copy/{}/cleared", source.name);
    let stored = checkpoints.bytes(&name).map(<[u8]>::to_vec);
    let config = ApplierConfig::new(&context.config.name, &name);
    let (writer, metrics) = (context.writer.clone(), context.metrics.clone());
    let mut applier = Applier::new(writer, config, stored, metrics);
    let cleared = Copied::default();
    applier.clear(source.id, cleared, None).await?;
    checkpoints.note(name, position::encode(&cleared));
    Ok(())
}

async fn ranges(
    server: &Server,
    keeper: &Client,
    source: &Source,
    chunk_rows: u32,
) -> Result<Vec<Range>, PgError> {
    let table = &source.table;
    let key = source.bound.key_columns();
    let is_integer = |name: &String| {
        let mut columns = table.columns.iter();
        columns.any(|c| &c.name == name && matches!(c.type_name.as_str(), "int2" | "int4" | "int8"))
    };
    // The primary key has an index, so both ends are found at once.
    if let [column] = key
        && is_integer(column)
        && table.primary_key.as_slice() == key
    {
        let name = ident(column);
        let from = chunks::from_clause(table);
        let sql = format!("SELECT min({name})::int8, max({name})::int8 FROM {from}");
        let asking = keeper.query_one(&sql, &[]);
        let row = answer(async { Ok(asking.await) }).await?;
        let ends = row.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        return match ends.map_err(|error| server.error(&error))? {
            (Some(min), Some(max)) => Ok(chunks::by_keys(column, min, max, table.rows, chunk_rows)),
            _ => Ok(vec![Range::All]),
        };
    }
    Ok(chunks::by_blocks(table.blocks, table.rows, chunk_rows))
}

fn share(
    context: &SourceContext,
    server: &Arc<Server>,
    checkpoints: &Checkpoints,
    sources: BTreeMap<String, Source>,
    plan: CopyPlan,
) -> Result<Arc<Shared>, PgError> {
    let mut progress: BTreeMap<String, Progress> = BTreeMap::new();
    let mut queue = Vec::new();
    for chunk in plan.chunks {
        let name = chunk.checkpoint();
        let done = checkpoints.get::<Copied>(&name)?.unwrap_or_default();
        let entry = progress.entry(chunk.entry.clone()).or_default();
        entry.total += 1;
        if done.is_done {
            entry.done += 1;
            entry.rows += done.rows;
        } else {
            queue.push((chunk, checkpoints.bytes(&name).map(<[u8]>::to_vec)));
        }
    }
    // What others refer to comes first.
    let order = |target: Target| match target {
        Target::Items => 0,
        Target::Users => 1,
        Target::Follows => 2,
        Target::Events => 3,
    };
    let rank = |chunk: &Chunk| {
        sources
            .get(&chunk.entry)
            .map_or(0, |source| order(source.target))
    };
    queue.sort_by_key(|(chunk, _)| rank(chunk));
    let shared = Arc::new(Shared {
        context: context.clone(),
        server: server.clone(),
        sources,
        queue: Mutex::new(queue.into()),
        progress: Mutex::new(progress),
        pace: Mutex::new(RateLimiter::new(context.config.snapshot.rows_per_s)),
        clock: Stopwatch::start(),
    });
    shared.publish();
    Ok(shared)
}

async fn run(shared: &Arc<Shared>, exported: &Exported) -> Result<(), PgError> {
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

impl Source {
    /// Its rows are in these files.
    fn moved_to(&mut self, files: Vec<File>) {
        if let Some(identity) = &mut self.signature.identity {
            identity.files = files;
        }
    }

    fn map(
        &self,
        context: &SourceContext,
        line: &[u8],
        position: &str,
    ) -> Result<(RowChange, Option<DeadLetter>), PgError> {
        let fields: Vec<_> = chunks::fields(line).collect();
        if fields.len() != self.bound.columns().len() {
            return Err(PgError::Protocol(format!(
                "a copied row of table {} has {} columns instead of {}",
                self.table.name,
                fields.len(),
                self.bound.columns().len()
            )));
        }
        let values = fields
            .iter()
            .map(|field| field.as_deref().map_or(Value::Null, text_value));
        // The signature has the columns in the order in which they are read.
        let columns = self.signature.columns.iter();
        let value = |(value, (_, type_name)): (_, &(String, String))| {
            if is_padded(type_name) {
                unpadded(value)
            } else {
                value
            }
        };
        let row: Vec<_> = values.zip(columns).map(value).collect();
        let at = At {
            source: &context.config.name,
            position,
            now_ms: context.clock.wall_ms(),
            is_catching_up: false,
        };
        let mut quality = measured(&self.quality, at.source, &self.bound, at.now_ms);
        Ok(deliver(
            &self.bound,
            self.id,
            &row,
            at.position,
            quality.get(),
            at.now_ms,
        ))
    }
}

impl Shared {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<(Chunk, Option<Vec<u8>>)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left_len(&self) -> usize {
        self.queue().len()
    }

    fn target_of(&self, chunk: &Chunk) -> Option<Target> {
        self.sources.get(&chunk.entry).map(|source| source.target)
    }

    fn next_target(&self) -> Option<Target> {
        let queue = self.queue();
        queue.front().and_then(|(chunk, _)| self.target_of(chunk))
    }

    fn take(&self, target: Target) -> Option<(Chunk, Option<Vec<u8>>)> {
        let mut queue = self.queue();
        let (chunk, _) = queue.front()?;
        if self.target_of(chunk) != Some(target) {
            return None;
        }
        queue.pop_front()
    }

    async fn pace(&self, rows: u32) {
        let pause = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.take(rows, self.clock.elapsed())
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    fn done(&self, entry: &str, rows: u64) {
        {
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            let progress = progress.entry(entry.to_owned()).or_default();
            progress.done += 1;
            progress.rows += rows;
            tracing::info!(
                table = entry,
                rows = progress.rows,
                chunk = progress.done,
                of = progress.total,
                "chunk copied"
            );
        }
        self.publish();
    }

    fn publish(&self) {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        for (entry, progress) in progress.iter() {
            let Progress { rows, done, total } = *progress;
            self.context.status.copied(entry, rows, done, total);
            let id = self.sources.get(entry).map(|source| source.id);
            if let Some(table) = id.and_then(|id| self.context.metrics.table(id)) {
                table.copied(rows, done, total);
            }
        }
    }
}

/// Stores in one transaction that the entries are copied, what they were, and where the stream
/// begins.
async fn finish(
    context: &SourceContext,
    checkpoints: &mut Checkpoints,
    entries: &mut [Entry],
    signatures: Vec<(String, Signature)>,
    catch_up: CatchUp,
    start: &Start,
) -> Result<(), PgError> {
    let is_first = checkpoints.bytes(STREAM).is_none();
    if signatures.is_empty() && !is_first {
        return Ok(());
    }
    let mut moves = Vec::new();
    for (name, signature) in signatures {
        let bytes = position::encode(&signature);
        moves.push(checkpoints.change(&copied(&name), Some(bytes)));
        if let Some(entry) = entries.iter_mut().find(|entry| entry.name() == name) {
            entry.signature = Some(signature);
        }
    }
    if catch_up.until > Lsn(0) {
        moves.push(checkpoints.change(CATCH_UP, Some(position::encode(&catch_up))));
    }
    if checkpoints.bytes(PLAN).is_some() {
        moves.push(checkpoints.change(PLAN, None));
    }
    let stream = is_first.then(|| start.position.clone());
    checkpoints::commit(context, checkpoints, moves, stream).await?;
    *checkpoints = Checkpoints::read(context)?;
    checkpoints::tidy(context, checkpoints, "copy/").await
}
