//! The fallback where the log is not allowed: asks again and again for rows over a watermark.
//!
//! Pages are read in the order of watermark and key, so memory is one page whatever the table's
//! size, and the first copy is the same loop from the start. A transaction may commit late with
//! an older watermark: the last minute is read again now and then, which the row memory makes
//! harmless. Deletions are not seen unless they are soft; `edgewise reconcile` finds them.

mod check;
mod cursor;
mod error;
mod mysql;
mod postgres;
mod source;

pub use check::check;
pub use error::PollError;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use self::cursor::{Cursor, From};
use self::source::{AHEAD_HOURS, Page, PollTable, Sort, Source};
use crate::clock::Stopwatch;
use crate::ingest::rows::{Move, TableId};
use crate::replicate::apply::{Applier, ApplierConfig, Backoff, CircuitBreaker, RateLimiter};
use crate::replicate::config::Target;
use crate::replicate::contract::TableQuality;
use crate::replicate::mapping::{self, TablePlan, Violation};
use crate::replicate::supervise::{Phase, SourceContext, SourceError};
use crate::replicate::value::{OwnedValue, Value};
use crate::store::read;
use tokio::sync::watch;

/// How often the time before the watermark is read again.
const OVERLAP_EVERY: Duration = Duration::from_secs(10);

/// Rows of one table that are refused because of their watermark, and remembered as such.
const AHEAD_MAX: u32 = 1_000;

/// Pages of a table before the next table has its turn.
const PAGES_PER_TURN: u32 = 20;

/// Pauses between tries after a failure.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Failures in a row after which the server is left alone for a while.
const FAILURES_MAX: u32 = 5;
const BREAKER_PAUSE: Duration = Duration::from_secs(30);

/// An entry that is polled.
struct Entry {
    id: TableId,
    plan: TablePlan,
    table: PollTable,
    applier: Applier<Cursor>,
    /// The last row that was read.
    cursor: Option<Cursor>,
    /// The last one whose watermark the clock had reached: what is durable never gets past it.
    reached: Option<Cursor>,
    /// Rows that were refused because of their watermark, so that each is refused once.
    refused: HashSet<Cursor>,
    /// When the time before the watermark was last read again.
    swept: Stopwatch,
    quality: TableQuality,
    /// Rows of the first copy so far; `None` once it is done.
    copied: Option<u64>,
}

/// One life: asks until told to stop, trying again on its own where that may help.
///
/// # Errors
///
/// Somebody has to do something, or the store takes nothing.
pub async fn run(context: SourceContext) -> Result<(), SourceError> {
    let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
    let mut breaker = CircuitBreaker::new(FAILURES_MAX, BREAKER_PAUSE);
    let since = Stopwatch::start();
    let mut stop = context.stop.clone();
    loop {
        let mut asked = false;
        let failed = if breaker.allows(since.elapsed()) {
            let mut went_well = || {
                asked = true;
                breaker.succeeded();
                backoff.reset();
            };
            match follow(&context, &mut went_well).await {
                Ok(()) => return Ok(()),
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) => Some(error),
            }
        } else {
            None
        };
        if let Some(error) = failed {
            breaker.failed(since.elapsed());
            context.metrics.retried();
            context.metrics.connected(false);
            context
                .status
                .failed(&error.to_string(), error.remedy(), true);
            tracing::warn!(
                source = context.config.name, %error, asked, circuit = ?breaker.circuit(),
                "asking for rows failed; trying again"
            );
        }
        let pause = backoff.next().max(breaker.wait(since.elapsed()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = told(&mut stop) => return Ok(()),
        }
    }
}

/// Ends when the source is told to stop, or nobody is left who could tell it.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Connects and asks until something fails or it is told to stop.
async fn follow(context: &SourceContext, went_well: &mut impl FnMut()) -> Result<(), SourceError> {
    context.status.phase(Phase::Connecting);
    let mut source = Source::connect(&context.config).await?;
    let mut entries = entries(context, &mut source).await?;
    context.metrics.connected(true);
    context.metrics.pool(1, 1, 0);
    let every = Duration::from_millis(context.config.poll.every_ms.max(1));
    let mut rate = RateLimiter::new(context.config.snapshot.rows_per_s);
    let since = Stopwatch::start();
    let mut stop = context.stop.clone();
    loop {
        let mut is_done = true;
        for entry in &mut entries {
            let asked_at_ms = context.clock.wall_ms();
            let complete = turn(context, &mut source, entry, &mut rate, since).await?;
            if complete {
                context.metrics.applied_up_to(asked_at_ms);
            }
            is_done &= complete;
            went_well();
            if *stop.borrow() {
                break;
            }
            // Items, users and follows are copied before the events that name them.
            if !complete && entry.copied.is_some() {
                break;
            }
        }
        let copying = entries.iter().any(|entry| entry.copied.is_some());
        context.status.phase(if copying {
            Phase::Copying
        } else {
            Phase::Streaming
        });
        if *stop.borrow() {
            for entry in &mut entries {
                entry.applier.flush().await?;
            }
            return Ok(());
        }
        if is_done {
            for entry in &mut entries {
                entry.quality.publish(context.clock.wall_ms());
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = told(&mut stop) => {}
            }
        }
    }
}

/// The entries in the order in which they are copied, each where it stands.
async fn entries(context: &SourceContext, source: &mut Source) -> Result<Vec<Entry>, SourceError> {
    let name = &context.config.name;
    let mut entries = Vec::with_capacity(context.tables.len());
    for (id, plan) in &context.tables {
        let table = source.table(plan).await?;
        let checkpoint = format!("poll/{}", plan.name());
        let (stored, is_copied) = {
            let snapshot = context.store.read()?;
            let copied = read::checkpoint(&*snapshot, name, &copied_checkpoint(plan))?;
            (
                read::checkpoint(&*snapshot, name, &checkpoint)?,
                copied.is_some(),
            )
        };
        let cursor = stored
            .as_deref()
            .map(|bytes| Cursor::decode(bytes, &table))
            .transpose()?;
        // Nothing says what was written behind it meanwhile.
        let cursor = cursor.filter(|cursor| !cursor.is_ahead(&table, context.clock.wall_ms()));
        let metrics = Arc::clone(&context.metrics);
        let config = ApplierConfig::new(name, &checkpoint);
        entries.push(Entry {
            id: *id,
            plan: plan.clone(),
            quality: TableQuality::new(name, &table.bound, context.clock.wall_ms()),
            applier: Applier::new(context.writer.clone(), config, stored, metrics),
            table,
            reached: cursor.clone(),
            refused: HashSet::new(),
            cursor,
            swept: Stopwatch::start(),
            copied: (!is_copied).then_some(0),
        });
        context.status.table_follows(plan.name());
    }
    entries.sort_by_key(|entry| match entry.plan.target() {
        Target::Items => 0,
        Target::Users => 1,
        Target::Follows => 2,
        Target::Events => 3,
    });
    Ok(entries)
}

fn copied_checkpoint(plan: &TablePlan) -> String {
    format!("copied/{}", plan.name())
}

/// Reads some pages of an entry; true when its end was reached.
async fn turn(
    context: &SourceContext,
    source: &mut Source,
    entry: &mut Entry,
    rate: &mut RateLimiter,
    since: Stopwatch,
) -> Result<bool, SourceError> {
    let limit = context.config.poll.page_rows.max(1);
    let is_due = entry.copied.is_none() && entry.swept.elapsed() >= OVERLAP_EVERY;
    if is_due {
        entry.swept = Stopwatch::start();
        refuse_ahead(context, source, entry).await?;
    }
    let mut from = match (&entry.cursor, &entry.reached) {
        (None, _) => From::Start,
        (Some(_), Some(reached)) if is_due => From::Before(reached.clone()),
        (Some(_), None) if is_due => From::Start,
        (Some(cursor), _) => From::After(cursor.clone()),
    };
    for _ in 0..PAGES_PER_TURN {
        let page = source.page(&entry.table, &from, limit).await?;
        let rows = page.rows.len() as u32;
        let is_end = rows < limit;
        deliver(context, entry, page).await?;
        let wait = rate.take(rows, since.elapsed());
        if is_end {
            finish_copy(context, entry).await?;
            // What is pushed must become durable while nothing else comes.
            entry.applier.flush().await?;
            return Ok(true);
        }
        if *context.stop.borrow() {
            return Ok(false);
        }
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        // A sweep goes on from what it has read, to the end.
        if let Some(cursor) = &entry.cursor {
            from = From::After(cursor.clone());
        }
    }
    Ok(false)
}

async fn deliver(
    context: &SourceContext,
    entry: &mut Entry,
    page: Page,
) -> Result<(), SourceError> {
    let at_ms = context.clock.wall_ms();
    let count = page.rows.len() as u64;
    for (values, cursor) in page.rows {
        let row: Vec<Value<'_>> = values.iter().map(OwnedValue::as_value).collect();
        let bound = &entry.table.bound;
        let (change, dead) =
            mapping::deliver(bound, entry.id, &row, &cursor, &mut entry.quality, at_ms);
        if !cursor.is_ahead(&entry.table, at_ms) {
            entry.reached = Some(cursor.clone());
        }
        let durable = entry.reached.as_ref().unwrap_or(&cursor).clone();
        entry.applier.push(change, dead, durable).await?;
        entry.cursor = Some(cursor);
    }
    if let Some(cursor) = &entry.cursor {
        context
            .status
            .position(&format!("{} {cursor}", entry.plan.name()));
    }
    if let Some(copied) = &mut entry.copied {
        *copied += count;
        context.status.copied(entry.plan.name(), *copied, 0, 0);
        if let Some(metrics) = context.metrics.table(entry.id) {
            metrics.copied(*copied, 0, 0);
        }
    }
    Ok(())
}

/// Refuses the rows whose watermark is `infinity` or so late that it must be wrong: to go on
/// after one would hide everything that is written until then.
async fn refuse_ahead(
    context: &SourceContext,
    source: &mut Source,
    entry: &mut Entry,
) -> Result<(), SourceError> {
    let is_time = entry.table.order.first().map(|column| column.sort) == Some(Sort::Time);
    if !is_time {
        return Ok(());
    }
    let page = source.page(&entry.table, &From::Ahead, AHEAD_MAX).await?;
    let place = entry.reached.clone().or_else(|| entry.cursor.clone());
    let at_ms = context.clock.wall_ms();
    for (values, cursor) in page.rows {
        if entry.refused.len() >= AHEAD_MAX as usize || !entry.refused.insert(cursor.clone()) {
            continue;
        }
        let row: Vec<Value<'_>> = values.iter().map(OwnedValue::as_value).collect();
        let violation = too_late(entry.plan.watermark().unwrap_or_default(), &cursor);
        let (change, dead) = mapping::refuse(
            &entry.table.bound,
            entry.id,
            &row,
            &cursor,
            &mut entry.quality,
            at_ms,
            violation,
        );
        // The durable place does not move; where there is none, the next start begins anew.
        let place = place.clone().unwrap_or(cursor);
        entry.applier.push(change, dead, place).await?;
    }
    Ok(())
}

fn too_late(column: &str, cursor: &Cursor) -> Violation {
    let shown = cursor.0.first().map_or("", String::as_str);
    Violation {
        rule: "time",
        column: column.to_owned(),
        reason: format!(
            "the watermark {column} is {shown}, more than {AHEAD_HOURS} hours after the server's \
             clock: going on after it would hide every later row; correct it at the source"
        ),
    }
}

/// The end was reached for the first time.
async fn finish_copy(context: &SourceContext, entry: &mut Entry) -> Result<(), SourceError> {
    let Some(rows) = entry.copied.take() else {
        return Ok(());
    };
    tracing::info!(
        source = context.config.name,
        table = entry.plan.name(),
        rows,
        "first copy is done"
    );
    let checkpoint = copied_checkpoint(&entry.plan);
    entry
        .applier
        .also(Move {
            checkpoint,
            from: None,
            to: Some(b"1".to_vec()),
        })
        .await;
    Ok(())
}
