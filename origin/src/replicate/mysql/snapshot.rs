//! The first copy: every row that is there, in key order, in segments side by side.
//!
//! Each segment has a checkpoint with the last key that is durable, so a copy goes on where it
//! was killed. Pages are short queries; nothing is locked or held open at the source.

use super::catalog::{self, ColumnInfo, Table, quote};
use super::client::{Client, Target};
use super::error::MysqlError;
use super::page::{Key, after, key, key_column, parameters as of_key, placeholder, plain, select};
use super::segments::{MAX_SEGMENTS, Segment, segments};
use super::start::{checkpoint, missing};
use super::tables::{Entry, Tables};
use super::{copied_checkpoint, copy_checkpoint};
use crate::clock::Stopwatch;
use crate::ingest::rows::{Move, TableId};
use crate::replicate::apply::{Applier, ApplierConfig, Position, RateLimiter};
use crate::replicate::config::Target as Means;
use crate::replicate::contract::TableQuality;
use crate::replicate::mapping::{self, BoundTable, Column, TablePlan};
use crate::replicate::supervise::{Phase, SourceContext, SourceError};
use crate::replicate::value::Value;
use futures_util::StreamExt;
use mysql_async::Value as Sql;
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows between two looks at the rate and at the stop signal.
const STRIDE_ROWS: u32 = 1_000;

/// How far a segment is; cheap to clone, since every row has one.
#[derive(Clone, Debug, Default, PartialEq)]
struct Progress {
    /// The last key that is applied.
    last: Arc<[Key]>,
    rows: u64,
    done: bool,
}

/// [`Progress`] as its checkpoint holds it.
#[derive(Serialize, Deserialize)]
struct StoredProgress {
    last: Vec<Key>,
    rows: u64,
    done: bool,
}

impl From<StoredProgress> for Progress {
    fn from(StoredProgress { last, rows, done }: StoredProgress) -> Self {
        let last = last.into();
        Self { last, rows, done }
    }
}

impl Position for Progress {
    fn encode(&self) -> Vec<u8> {
        let Self { last, rows, done } = self.clone();
        let last = last.to_vec();
        serde_json::to_vec(&StoredProgress { last, rows, done }).expect("progress is plain data")
    }
}

/// What the workers of one entry share.
struct Copy {
    context: SourceContext,
    target: Target,
    id: TableId,
    plan: TablePlan,
    table: Table,
    bound: BoundTable,
    key: Vec<ColumnInfo>,
    segments: Vec<Segment>,
    rate: Arc<Mutex<RateLimiter>>,
    since: Stopwatch,
    rows: AtomicU64,
    done: AtomicU64,
    quality: Mutex<TableQuality>,
}

/// Copies what was not copied yet; false when it was told to stop.
pub(super) async fn copy(
    context: &SourceContext,
    target: &Target,
    client: &mut Client,
    tables: &mut Tables,
) -> Result<bool, SourceError> {
    let rate = Arc::new(Mutex::new(RateLimiter::new(
        context.config.snapshot.rows_per_s,
    )));
    for means in [Means::Items, Means::Users, Means::Follows, Means::Events] {
        for table in &mut tables.followed {
            for entry in &mut table.entries {
                if entry.plan.target() != means || entry.stopped.is_some() {
                    continue;
                }
                if checkpoint(context, &copied_checkpoint(entry.plan.name()))?.is_some() {
                    continue;
                }
                if context.config.snapshot.enabled {
                    context.status.phase(Phase::Copying);
                    let read = catalog::read(client, &table.name).await?;
                    let read = read.ok_or_else(|| missing(&table.name))?;
                    let copy = plan(context, target, client, entry, read, &rate).await?;
                    if !run(&Arc::new(copy), entry).await? {
                        return Ok(false);
                    }
                }
                finish(context, entry.plan.name()).await?;
            }
        }
    }
    Ok(true)
}

/// Lays the segments out, or reads how they were laid out before.
async fn plan(
    context: &SourceContext,
    target: &Target,
    client: &mut Client,
    entry: &mut Entry,
    table: Table,
    rate: &Arc<Mutex<RateLimiter>>,
) -> Result<Copy, SourceError> {
    let described: Vec<Column> = table.mapping_columns();
    let bound = entry.plan.bind(&described).map_err(|errors| {
        refused(
            &table,
            errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        )
    })?;
    let key: Vec<ColumnInfo> = bound
        .key_columns()
        .iter()
        .filter_map(|name| table.column(name))
        .cloned()
        .collect();
    if key.is_empty() {
        return Err(refused(&table, "it has no key".to_owned()).into());
    }
    let name = copy_checkpoint(entry.plan.name(), None);
    let segments = match checkpoint(context, &name)? {
        Some(stored) => serde_json::from_slice(&stored)
            .map_err(|_| refused(&table, format!("the checkpoint {name} cannot be read")))?,
        None => {
            let segments = segments(context, client, &table, &key).await?;
            let to = serde_json::to_vec(&segments).expect("segments are plain data");
            moves(
                context,
                vec![Move {
                    checkpoint: name,
                    from: None,
                    to: Some(to),
                }],
            )
            .await?;
            segments
        }
    };
    let now_ms = context.clock.wall_ms();
    Ok(Copy {
        context: context.clone(),
        target: target.clone(),
        id: entry.id,
        plan: entry.plan.clone(),
        quality: Mutex::new(TableQuality::new(&context.config.name, &bound, now_ms)),
        bound,
        table,
        key,
        segments,
        rate: Arc::clone(rate),
        since: Stopwatch::start(),
        rows: AtomicU64::new(0),
        done: AtomicU64::new(0),
    })
}

fn refused(table: &Table, problem: String) -> MysqlError {
    MysqlError::Table {
        table: table.name.to_string(),
        problem,
        remedy: "correct the mapping; `edgewise replicate check` names everything".to_owned(),
    }
}

/// Copies the segments, some at once; false when it was told to stop.
async fn run(copy: &Arc<Copy>, entry: &mut Entry) -> Result<bool, SourceError> {
    let parallel = copy.context.config.snapshot.parallel.clamp(1, 16);
    let name = entry.plan.name();
    tracing::info!(
        source = copy.context.config.name,
        table = name,
        segments = copy.segments.len(),
        "first copy"
    );
    let workers = (0..copy.segments.len()).map(|index| {
        let copy = Arc::clone(copy);
        async move {
            let worker = tokio::spawn(async move { copy.segment(index).await });
            let abort = AbortOnDrop(worker.abort_handle());
            let joined = worker.await;
            drop(abort);
            joined.unwrap_or_else(|_| {
                Err(SourceError::retryable(
                    format!("the copy of segment {index} broke off"),
                    "nothing, if it passes: it goes on after its last page",
                ))
            })
        }
    });
    let mut workers = futures_util::stream::iter(workers).buffer_unordered(parallel);
    let mut complete = true;
    while let Some(done) = workers.next().await {
        complete &= done?;
    }
    if complete {
        let rows = copy.rows.load(Ordering::Relaxed);
        let seconds = copy.since.elapsed().as_secs_f64();
        tracing::info!(
            source = copy.context.config.name,
            table = name,
            rows,
            seconds,
            "first copy is done"
        );
    }
    Ok(complete)
}

/// A task ends with what it belongs to.
pub(super) struct AbortOnDrop(pub(super) tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Copy {
    /// Copies a segment from where it stands; false when it was told to stop.
    async fn segment(&self, index: usize) -> Result<bool, SourceError> {
        let name = copy_checkpoint(self.plan.name(), Some(index));
        let stored = checkpoint(&self.context, &name)?;
        let mut progress: Progress = match &stored {
            Some(bytes) => serde_json::from_slice::<StoredProgress>(bytes)
                .map(Progress::from)
                .map_err(|_| MysqlError::Table {
                    table: self.table.name.to_string(),
                    problem: format!("the checkpoint {name} cannot be read"),
                    remedy: "run `edgewise replicate resync --table` for it".to_owned(),
                })?,
            None => Progress::default(),
        };
        self.rows.fetch_add(progress.rows, Ordering::Relaxed);
        if !progress.done {
            let config = ApplierConfig::new(&self.context.config.name, &name);
            let writer = self.context.writer.clone();
            let mut applier =
                Applier::new(writer, config, stored, Arc::clone(&self.context.metrics));
            let mut client = self.target.connect().await?;
            let segment = self.segments.get(index).cloned().unwrap_or_default();
            while !progress.done {
                if *self.context.stop.borrow() {
                    applier.flush().await?;
                    return Ok(false);
                }
                self.page(&mut client, &mut applier, &segment, &mut progress)
                    .await?;
            }
            applier.flush().await?;
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        self.report();
        Ok(true)
    }

    fn report(&self) {
        let rows = self.rows.load(Ordering::Relaxed);
        let (done, all) = (
            self.done.load(Ordering::Relaxed),
            self.segments.len() as u64,
        );
        self.context
            .status
            .copied(self.plan.name(), rows, done, all);
        if let Some(metrics) = self.context.metrics.table(self.id) {
            metrics.copied(rows, done, all);
        }
    }

    /// Reads one page and pushes its rows.
    async fn page(
        &self,
        client: &mut Client,
        applier: &mut Applier<Progress>,
        segment: &Segment,
        progress: &mut Progress,
    ) -> Result<(), SourceError> {
        let limit = self.context.config.snapshot.chunk_rows.max(1);
        let (sql, parameters) = self.statement(segment, &progress.last, limit);
        let mut rows = client
            .conn
            .exec_iter(sql, parameters)
            .await
            .map_err(|error| self.failed(error))?;
        let at_ms = self.context.clock.wall_ms();
        let width = self.bound.columns().len();
        let mut count = 0_u32;
        while let Some(row) = rows.next().await.map_err(|error| self.failed(error))? {
            let row = super::client::TextRow::from(row);
            let values = row.values();
            let infos = self
                .bound
                .columns()
                .iter()
                .map(|name| self.table.column(name));
            let plain: Vec<Value<'_>> = values
                .iter()
                .zip(infos)
                .map(|(value, info)| info.map_or(Value::Null, |info| plain(value, info)))
                .collect();
            let last = values.iter().skip(width).zip(&self.key);
            progress.last = last.map(|(value, info)| key(value, info)).collect();
            progress.rows += 1;
            count += 1;
            let (change, dead) = {
                let quality = self.quality.lock();
                let mut quality = quality.unwrap_or_else(PoisonError::into_inner);
                mapping::deliver(
                    &self.bound,
                    self.id,
                    &plain,
                    "first copy",
                    &mut quality,
                    at_ms,
                )
            };
            applier.push(change, dead, progress.clone()).await?;
            if count.is_multiple_of(STRIDE_ROWS) {
                self.pace(STRIDE_ROWS).await;
            }
        }
        self.pace(count % STRIDE_ROWS).await;
        progress.done = count < limit;
        applier.advance(progress.clone(), None).await?;
        Ok(())
    }

    fn failed(&self, error: mysql_async::Error) -> MysqlError {
        self.target.error("copying", error)
    }

    /// Waits as the rate asks for.
    async fn pace(&self, rows: u32) {
        self.rows.fetch_add(u64::from(rows), Ordering::Relaxed);
        self.report();
        let wait = {
            let rate = self.rate.lock();
            rate.unwrap_or_else(PoisonError::into_inner)
                .take(rows, self.since.elapsed())
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// The page after `last`: the mapped columns, then the key's.
    fn statement(&self, segment: &Segment, last: &[Key], limit: u32) -> (String, Vec<Sql>) {
        let key: Vec<String> = self.key.iter().map(|column| quote(&column.name)).collect();
        let columns = self.bound.columns().iter();
        let columns = columns.map(|name| select(name, self.table.column(name)));
        let columns: Vec<String> = columns.chain(self.key.iter().map(key_column)).collect();
        let mut conditions = Vec::new();
        let mut parameters = Vec::new();
        if let (Some(first), Some(from)) = (key.first(), &segment.from) {
            conditions.push(format!("{first} > {from}"));
        }
        if let (Some(first), Some(to)) = (key.first(), &segment.to) {
            conditions.push(format!("{first} <= {to}"));
        }
        if last.len() == key.len() {
            let marks: Vec<&str> = self.key.iter().map(placeholder).collect();
            conditions.push(after(&key, &marks));
            parameters.extend(of_key(last));
        }
        let filter = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let sql = format!(
            "SELECT {} FROM {}{filter} ORDER BY {} LIMIT {limit}",
            columns.join(", "),
            self.table.name.quoted(),
            key.join(", ")
        );
        (sql, parameters)
    }
}

/// The entry's copy is done: one checkpoint says so, those of its segments go.
async fn finish(context: &SourceContext, entry: &str) -> Result<(), SourceError> {
    let plan = copy_checkpoint(entry, None);
    let mut all = vec![Move {
        checkpoint: copied_checkpoint(entry),
        from: None,
        to: Some(b"1".to_vec()),
    }];
    let segments = (0..MAX_SEGMENTS).map(|segment| copy_checkpoint(entry, Some(segment)));
    for name in std::iter::once(plan).chain(segments) {
        if let Some(from) = checkpoint(context, &name)? {
            all.push(Move {
                checkpoint: name,
                from: Some(from),
                to: None,
            });
        }
    }
    moves(context, all).await
}

/// Moves checkpoints without rows.
async fn moves(context: &SourceContext, moves: Vec<Move>) -> Result<(), SourceError> {
    let config = ApplierConfig::new(&context.config.name, "copied");
    let metrics = Arc::clone(&context.metrics);
    let mut applier = Applier::<Progress>::new(context.writer.clone(), config, None, metrics);
    for further in moves {
        applier.also(further).await;
    }
    applier.flush().await?;
    Ok(())
}
