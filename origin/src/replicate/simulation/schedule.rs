//! A schedule: who does what next, what goes wrong, and what must hold meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use super::Mutant;
use super::chance::Chance;
use super::consumer::{CHUNK_NAMES, CHUNKS, COUNT_NAMES, Read, Task, Worker, is_copied};
use super::row::Rows;
use super::seen::Seen;
use super::source::{Place, Protocol, Source};
use super::store::{Ledger, STREAM};
use crate::ingest::rows::{RowBatch, RowChanges};
use crate::replicate::apply::machine::{Finished, Moment};

/// Rounds after the last fault by which everything has to be durable.
const ROUNDS_MAX: usize = 400;

/// A batch on its way to the store.
struct Job {
    id: u64,
    batch: RowBatch,
}

/// A process that follows the source; one connection.
#[derive(Default)]
struct Consumer {
    workers: Vec<Worker>,
    /// The rows of the snapshot that the slot exported, while its connection lives.
    exported: Option<Rows>,
}

pub(super) struct World<L> {
    chance: Chance,
    mutant: Option<Mutant>,
    source: Source,
    pub(super) store: L,
    queue: VecDeque<Job>,
    consumers: [Option<Consumer>; 2],
    now: Moment,
    next_job: u64,
    stalled: usize,
    writes: usize,
    /// Rows were copied that are newer than the stream: until here the state is a mixture.
    mixed_until: u32,
    is_mid_clear: bool,
    /// Every chunk is done.
    is_copied: bool,
    /// Something happened since the last check that it may not have allowed.
    has_changed: bool,
    /// What a mutant goes on from.
    remembered: Option<Vec<u8>>,
    pub(super) seen: Seen,
}

impl<L: Ledger> World<L> {
    pub(super) fn new(seed: u64, protocol: Protocol, mutant: Option<Mutant>, store: L) -> Self {
        let mut chance = Chance::new(seed);
        Self {
            source: Source::new(protocol, &mut chance),
            writes: 5 + chance.below(30),
            chance,
            mutant,
            store,
            queue: VecDeque::new(),
            consumers: [None, None],
            now: Moment::default(),
            next_job: 0,
            stalled: 0,
            mixed_until: 0,
            is_mid_clear: false,
            is_copied: false,
            has_changed: true,
            remembered: None,
            seen: Seen::default(),
        }
    }

    /// Runs the whole schedule.
    pub(super) fn run(&mut self) -> Result<(), String> {
        for _ in 0..80 + self.chance.below(160) {
            self.step()?;
            if self.has_changed {
                self.check()?;
            }
        }
        self.settle()?;
        self.store.compare(&self.source.rows)
    }

    fn step(&mut self) -> Result<(), String> {
        match self.chance.below(100) {
            0..15 => self.write(),
            15..45 => self.read(),
            45..52 => {
                let ms = self.chance_ms();
                self.pass(ms);
            }
            52..66 => self.submit(),
            66..78 => self.commit(true),
            78..88 => self.answer(),
            88..92 => self.acknowledge(true),
            92..94 => self.disconnect(),
            94 => self.kill(),
            95 => self.stalled = self.chance.below(20),
            96 => self.trouble()?,
            _ => self.connect(0)?,
        }
        if self.consumers[0].is_none() && self.chance.one_in(4) {
            self.connect(0)?;
        }
        Ok(())
    }

    fn chance_ms(&mut self) -> u64 {
        [0, 3, 20, 150][self.chance.below(4)]
    }

    fn write(&mut self) {
        if self.writes > 0 {
            self.writes -= 1;
            self.source.write(&mut self.chance);
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.elapsed += Duration::from_millis(ms);
        self.now.wall_ms += ms as i64;
    }

    /// A worker of some consumer.
    fn pick(&mut self) -> Option<(usize, usize)> {
        let which = self.chance.below(2);
        let which = if self.consumers[which].is_some() {
            which
        } else {
            1 - which
        };
        let workers = self.consumers[which].as_ref()?.workers.len();
        (workers > 0).then(|| (which, self.chance.below(workers)))
    }

    fn read(&mut self) {
        if let Some((which, index)) = self.pick() {
            self.read_one(which, index);
        }
    }

    fn read_one(&mut self, which: usize, index: usize) -> Option<Read> {
        let end = self.source.end().0[0].tx;
        let consumer = self.consumers[which].as_mut()?;
        let exported = consumer.exported;
        let worker = consumer.workers.get_mut(index)?;
        let rows = exported.unwrap_or(self.source.rows);
        let read = worker.read(&self.source, &rows, self.mutant, &mut self.chance, self.now);
        if matches!(worker.task, Task::Copy { .. }) && exported.is_none() {
            self.mixed_until = self.mixed_until.max(end);
        }
        match read {
            Read::Skipped => self.seen.skipped += 1,
            Read::Full => self.seen.full += 1,
            Read::Took | Read::Nothing => {}
        }
        Some(read)
    }

    fn submit(&mut self) {
        if let Some((which, index)) = self.pick() {
            let at_once = self.chance.one_in(4);
            self.submit_one(which, index, at_once);
        }
    }

    fn submit_one(&mut self, which: usize, index: usize, at_once: bool) {
        self.has_changed = true;
        let Some(worker) = self.consumers[which]
            .as_mut()
            .and_then(|consumer| consumer.workers.get_mut(index))
        else {
            return;
        };
        let at_once = at_once || worker.clear.is_some();
        let Some(batch) = worker.machine.take_batch(self.now.elapsed, at_once) else {
            return;
        };
        let id = self.next_job;
        self.next_job += 1;
        worker.job = Some(id);
        let own = batch.moves.last().and_then(|part| part.to.clone());
        if matches!(worker.task, Task::Follow { .. }) {
            if self.mutant == Some(Mutant::AcknowledgeAtSubmit) {
                worker.durable = own.as_deref().map(Place::decode);
            }
            self.remembered = own;
        }
        self.queue.push_back(Job { id, batch });
    }

    /// The store takes the oldest batch.
    fn commit(&mut self, may_fail: bool) {
        self.has_changed = true;
        if self.stalled > 0 && may_fail {
            self.stalled -= 1;
            return;
        }
        let Some(job) = self.queue.pop_front() else {
            return;
        };
        let fault = if may_fail {
            self.chance.below(16)
        } else {
            usize::MAX
        };
        let mut how = Finished::Failed;
        if fault == 0 {
            // It did not happen; a mutant's checkpoint had its own transaction.
            self.seen.failed_commits += 1;
            if self.mutant == Some(Mutant::CheckpointApart) {
                let changes = RowChanges::default();
                self.store.commit(&RowBatch {
                    changes,
                    ..job.batch
                });
            }
        } else {
            let is_mixed = self.is_mixed();
            let (done, dead) = self.store.commit(&job.batch);
            if done == Finished::Durable && !is_mixed {
                self.seen.dead += u64::from(dead);
            }
            self.count(&job.batch, done);
            how = done;
            if fault == 1 {
                // It happened and nobody hears of it.
                self.seen.lost_replies += 1;
                how = Finished::Failed;
            }
        }
        let mut workers = self
            .consumers
            .iter_mut()
            .flatten()
            .flat_map(|consumer| &mut consumer.workers);
        match workers.find(|worker| worker.job == Some(job.id)) {
            Some(worker) => worker.reply = Some(how),
            None => self.seen.late_commits += 1,
        }
    }

    fn count(&mut self, batch: &RowBatch, done: Finished) {
        match done {
            Finished::Durable => {
                self.seen.commits += 1;
                if batch.changes.iter().any(|change| change.is_clear()) {
                    self.is_mid_clear = false;
                }
            }
            Finished::More => {
                self.seen.clears_in_steps += 1;
                self.is_mid_clear = true;
            }
            Finished::Conflict => self.seen.conflicts += 1,
            Finished::Failed => {}
        }
    }

    /// Replies arrive; a consumer whose machine broke connects again.
    fn answer(&mut self) {
        self.has_changed = true;
        for which in 0..self.consumers.len() {
            let Some(consumer) = &mut self.consumers[which] else {
                continue;
            };
            let mut is_broken = false;
            for worker in &mut consumer.workers {
                if let Some(how) = worker.reply.take() {
                    is_broken |= !worker.answered(how);
                }
            }
            if is_broken {
                self.consumers[which] = None;
            } else {
                consumer.workers.retain(|worker| !worker.is_done());
            }
        }
    }

    fn acknowledge(&mut self, may_be_lost: bool) {
        self.has_changed = true;
        if self.source.protocol != Protocol::Postgres {
            return;
        }
        let durable = self.consumers[0]
            .iter()
            .flat_map(|consumer| &consumer.workers);
        let durable = durable
            .filter(|worker| matches!(worker.task, Task::Follow { .. }))
            .find_map(|worker| worker.durable);
        if let Some(place) = durable {
            if may_be_lost && self.chance.one_in(5) {
                self.seen.lost_acknowledgements += 1;
            } else {
                self.source.acknowledged = self.source.acknowledged.max(place.0[0].tx);
            }
        }
    }

    /// The connection is cut; what was submitted may still be committed.
    fn disconnect(&mut self) {
        let which = self.chance.below(2);
        if self.consumers[which].take().is_some() {
            self.seen.disconnects += 1;
        }
    }

    /// The process dies, and with it what the store has not committed.
    fn kill(&mut self) {
        self.seen.kills += 1;
        self.queue.clear();
        self.consumers = [None, None];
        self.stalled = 0;
    }

    /// A second consumer, where the protocol lets two in, or an old message once more.
    fn trouble(&mut self) -> Result<(), String> {
        if self.source.protocol == Protocol::Kafka && self.chance.one_in(2) {
            let workers = self.consumers.iter_mut().flatten();
            for worker in workers.flat_map(|consumer| &mut consumer.workers) {
                worker.deliver_again(&mut self.chance);
            }
        } else if self.source.protocol != Protocol::Postgres && self.consumers[1].is_none() {
            self.seen.second_consumers += 1;
            self.connect(1)?;
        }
        Ok(())
    }

    /// Connects, or gives the next chunk or the stream to a consumer that has room for it.
    fn connect(&mut self, which: usize) -> Result<(), String> {
        let mut consumer = self.consumers[which].take().unwrap_or_default();
        let result = self.assign(&mut consumer);
        self.consumers[which] = Some(consumer);
        result
    }

    fn assign(&mut self, consumer: &mut Consumer) -> Result<(), String> {
        let stored = self.store.checkpoint(STREAM);
        if self.source.is_copied_first {
            if stored.is_none() {
                return self.begin(consumer);
            }
            let chunks = (0..CHUNKS).filter(|chunk| {
                let stored = self.store.checkpoint(CHUNK_NAMES[*chunk]);
                !is_copied(*chunk, stored.as_deref())
            });
            let open: Vec<usize> = chunks.collect();
            if !open.is_empty() {
                self.copy(consumer, &open);
                return Ok(());
            }
        }
        if !consumer.workers.is_empty() {
            return Ok(());
        }
        let mut from = stored;
        if self.mutant == Some(Mutant::ResumeFromMemory) && self.remembered.is_some() {
            from.clone_from(&self.remembered);
        }
        if from
            .as_deref()
            .is_some_and(|bytes| Place::decode(bytes).0[0].ordinal > 0)
        {
            self.seen.resumed_inside += 1;
        }
        let worker = Worker::follow(&self.source, from, &mut self.chance)?;
        consumer.workers.push(worker);
        Ok(())
    }

    /// Makes the slot, or takes the log's end for the begin.
    fn begin(&mut self, consumer: &mut Consumer) -> Result<(), String> {
        if !consumer.workers.is_empty() {
            return Ok(());
        }
        // Supervision lets the writer finish before it connects: a begin that was submitted by
        // a lost connection is durable or gone.
        while !self.queue.is_empty() {
            self.commit(false);
        }
        if self.store.checkpoint(STREAM).is_some() {
            return Ok(());
        }
        let place = self.source.end();
        if self.source.protocol == Protocol::Postgres {
            self.source.acknowledged = place.0[0].tx;
            consumer.exported = Some(self.source.rows);
        }
        consumer
            .workers
            .push(Worker::begin(place, &mut self.chance));
        Ok(())
    }

    /// Two chunks at once, in any order.
    fn copy(&mut self, consumer: &mut Consumer, open: &[usize]) {
        let busy = |chunk: usize, consumer: &Consumer| {
            consumer.workers.iter().any(|worker| match worker.task {
                Task::Copy { chunk: other, .. } => other == chunk,
                Task::Begin | Task::Follow { .. } => true,
            })
        };
        let first = self.chance.below(open.len());
        for index in 0..open.len() {
            let chunk = open[(first + index) % open.len()];
            if consumer.workers.len() >= 2 || busy(chunk, consumer) {
                continue;
            }
            let stored = self.store.checkpoint(CHUNK_NAMES[chunk]);
            self.seen.resumed_copies += u64::from(stored.is_some());
            let counted = self.store.checkpoint(COUNT_NAMES[chunk]);
            let worker = Worker::copy(chunk, stored, counted, &mut self.chance);
            consumer.workers.push(worker);
        }
    }

    fn is_mixed(&self) -> bool {
        let stream = self.store.stream();
        self.source.is_copied_first && stream.is_none_or(|place| place.0[0].tx < self.mixed_until)
    }

    /// What holds at every moment.
    fn check(&mut self) -> Result<(), String> {
        self.has_changed = false;
        self.is_copied = self.is_copied || self.are_chunks_copied();
        let stream = self.store.stream().unwrap_or_default();
        let claims = self
            .consumers
            .iter()
            .flatten()
            .flat_map(|consumer| &consumer.workers);
        for worker in claims.filter(|worker| matches!(worker.task, Task::Follow { .. })) {
            let claim = worker.durable.unwrap_or_default();
            if claim
                .0
                .iter()
                .zip(&stream.0)
                .any(|(claim, stored)| claim > stored)
            {
                return Err(format!("{claim:?} is called durable, stored is {stream:?}"));
            }
        }
        if self.store.stream().is_some() && self.source.acknowledged > stream.0[0].tx {
            return Err(format!(
                "transaction {} is acknowledged, stored is {stream:?}",
                self.source.acknowledged
            ));
        }
        if self.seen.dead > 0 {
            return Err("a row became a dead letter that is none".to_owned());
        }
        let is_whole = !self.is_mixed() && !self.is_mid_clear && self.is_copied;
        if is_whole
            && let Some(hash) = self.store.hash()
            && hash != self.source.hash_at(&stream)
        {
            return Err(format!("the rows at {stream:?} are not the source's"));
        }
        Ok(())
    }

    fn are_chunks_copied(&self) -> bool {
        !self.source.is_copied_first
            || (0..CHUNKS).all(|chunk| {
                let stored = self.store.checkpoint(CHUNK_NAMES[chunk]);
                is_copied(chunk, stored.as_deref())
            })
    }

    /// No more faults: everything has to become durable and acknowledged.
    fn settle(&mut self) -> Result<(), String> {
        self.stalled = 0;
        self.consumers[1] = None;
        for _ in 0..ROUNDS_MAX {
            self.connect(0)?;
            let workers = self.consumers[0]
                .as_ref()
                .map_or(0, |consumer| consumer.workers.len());
            let mut took = false;
            for index in 0..workers {
                while let Some(Read::Took | Read::Skipped) = self.read_one(0, index) {
                    took = true;
                }
                self.submit_one(0, index, false);
            }
            while !self.queue.is_empty() {
                took = true;
                self.commit(false);
                self.check()?;
            }
            self.answer();
            self.acknowledge(false);
            self.check()?;
            self.pass(50);
            if !took && self.is_settled() {
                return Ok(());
            }
        }
        Err(format!(
            "it is stuck at {:?} of {:?}",
            self.store.stream(),
            self.source.end()
        ))
    }

    fn is_settled(&self) -> bool {
        let is_clean = self.consumers[0].as_ref().is_some_and(|consumer| {
            let mut workers = consumer.workers.iter();
            workers.all(|worker| worker.machine.is_clean() && worker.clear.is_none())
        });
        let is_acknowledged = self.source.protocol != Protocol::Postgres
            || self.source.acknowledged == self.source.end().0[0].tx;
        is_clean
            && is_acknowledged
            && self.is_copied
            && self.store.stream() == Some(self.source.end())
    }
}
