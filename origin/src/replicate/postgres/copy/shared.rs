//! What the sessions of a copy share: the chunks that are left, the pace and the progress.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::checkpoints::{Checkpoints, Copied, CopyPlan};
use super::super::chunks::Chunk;
use super::super::client::Server;
use super::super::error::PgError;
use super::Source;
use crate::clock::Stopwatch;
use crate::replicate::apply::RateLimiter;
use crate::replicate::config::Target;
use crate::replicate::supervise::SourceContext;

/// What the tasks of a copy share.
pub(super) struct Shared {
    pub(super) context: SourceContext,
    pub(super) server: Arc<Server>,
    pub(super) sources: BTreeMap<String, Source>,
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

pub(super) fn share(
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

impl Shared {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<(Chunk, Option<Vec<u8>>)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn left_len(&self) -> usize {
        self.queue().len()
    }

    fn target_of(&self, chunk: &Chunk) -> Option<Target> {
        self.sources.get(&chunk.entry).map(|source| source.target)
    }

    pub(super) fn next_target(&self) -> Option<Target> {
        let queue = self.queue();
        queue.front().and_then(|(chunk, _)| self.target_of(chunk))
    }

    pub(super) fn take(&self, target: Target) -> Option<(Chunk, Option<Vec<u8>>)> {
        let mut queue = self.queue();
        let (chunk, _) = queue.front()?;
        if self.target_of(chunk) != Some(target) {
            return None;
        }
        queue.pop_front()
    }

    pub(super) async fn pace(&self, rows: u32) {
        let pause = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.take(rows, self.clock.elapsed())
        };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    pub(super) fn done(&self, entry: &str, rows: u64) {
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
