//! A connector as simple as can be around the real machine: reads, cuts, skips, acknowledges.

use super::Mutant;
use super::chance::Chance;
use super::row::{Change, Rows, SLOTS, key_of};
use super::source::{At, LANES, Message, Place, Protocol, Source};
use super::store::STREAM;
use crate::ingest::rows::{Move, TableId};
use crate::replicate::apply::ApplierConfig;
use crate::replicate::apply::machine::{Durable, Finished, Machine, Moment};

/// Chunks of a first copy.
pub(super) const CHUNKS: usize = 4;
/// Their checkpoints.
pub(super) const CHUNK_NAMES: [&str; CHUNKS] = ["chunk/0", "chunk/1", "chunk/2", "chunk/3"];
/// Further checkpoints that count their rows.
pub(super) const COUNT_NAMES: [&str; CHUNKS] = ["rows/0", "rows/1", "rows/2", "rows/3"];
/// Rows of a chunk.
const CHUNK_ROWS: usize = SLOTS / CHUNKS;

/// One checkpoint's work: a machine and what feeds it.
pub(super) struct Worker {
    pub(super) machine: Machine<Place>,
    pub(super) task: Task,
    /// The batch that is with the store.
    pub(super) job: Option<u64>,
    pub(super) reply: Option<Finished>,
    /// The newest place that may be acknowledged.
    pub(super) durable: Option<Place>,
    /// The newest place that was read.
    high: Place,
    /// A truncation that waits until everything before it is durable.
    pub(super) clear: Option<(TableId, Place)>,
}

pub(super) enum Task {
    /// Stores where the stream begins, before the first row is copied.
    Begin,
    /// Copies a chunk of rows, from `next` on.
    Copy {
        chunk: usize,
        next: usize,
        /// A further checkpoint that counts the chunk's rows.
        counted: Option<Vec<u8>>,
    },
    /// Follows the logs; where it reads next.
    Follow { cursor: Place },
}

/// What a read did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A message or a row was taken.
    Took,
    /// It came before and was left out.
    Skipped,
    /// There is no room: backpressure.
    Full,
    /// There is nothing.
    Nothing,
}

/// The position of a chunk whose rows before `next` are copied.
fn chunk_place(next: usize) -> Place {
    let mut place = Place::default();
    place.0[0].tx = next as u32;
    place
}

/// Whether a chunk's checkpoint says that it is done.
pub(super) fn is_copied(chunk: usize, stored: Option<&[u8]>) -> bool {
    stored.is_some_and(|bytes| Place::decode(bytes).0[0].tx as usize > (chunk + 1) * CHUNK_ROWS)
}

impl Worker {
    fn new(checkpoint: &str, stored: Option<Vec<u8>>, task: Task, chance: &mut Chance) -> Self {
        let config = ApplierConfig {
            batch_rows: 1 + chance.below(4),
            batch_bytes: [600, 1 << 20][chance.below(2)],
            linger_ms: chance.below(3) as u64 * 5,
            ..ApplierConfig::new("simulated", checkpoint)
        };
        let high = stored.as_deref().map(Place::decode).unwrap_or_default();
        Self {
            machine: Machine::new(config, stored),
            task,
            job: None,
            reply: None,
            durable: None,
            high,
            clear: None,
        }
    }

    /// Stores where the stream begins.
    pub(super) fn begin(place: Place, chance: &mut Chance) -> Self {
        let mut worker = Self::new(STREAM, None, Task::Begin, chance);
        let advanced = worker.machine.advance(place, None, Moment::default());
        assert!(advanced, "a new machine has room");
        worker
    }

    /// Copies a chunk from where its checkpoint stands.
    pub(super) fn copy(
        chunk: usize,
        stored: Option<Vec<u8>>,
        counted: Option<Vec<u8>>,
        chance: &mut Chance,
    ) -> Self {
        let next = stored.as_deref().map_or(chunk * CHUNK_ROWS, |bytes| {
            Place::decode(bytes).0[0].tx as usize
        });
        let task = Task::Copy {
            chunk,
            next,
            counted,
        };
        Self::new(CHUNK_NAMES[chunk], stored, task, chance)
    }

    /// Follows from `stored`.
    pub(super) fn follow(
        source: &Source,
        stored: Option<Vec<u8>>,
        chance: &mut Chance,
    ) -> Result<Self, String> {
        let place = stored.as_deref().map(Place::decode).unwrap_or_default();
        let cursor = source.start(place, chance)?;
        // What is stored is durable: a silent source would else wait for its acknowledgement.
        let durable = stored.is_some().then_some(place);
        let worker = Self::new(STREAM, stored, Task::Follow { cursor }, chance);
        Ok(Self { durable, ..worker })
    }

    /// Whether its work is done and durable.
    pub(super) fn is_done(&self) -> bool {
        let is_over = match self.task {
            Task::Begin => true,
            Task::Copy { chunk, next, .. } => next > (chunk + 1) * CHUNK_ROWS,
            Task::Follow { .. } => false,
        };
        is_over && self.machine.is_clean()
    }

    /// Takes the next row or message, where there is room.
    pub(super) fn read(
        &mut self,
        source: &Source,
        rows: &Rows,
        mutant: Option<Mutant>,
        chance: &mut Chance,
        now: Moment,
    ) -> Read {
        if let Some((table, place)) = self.clear {
            if self.machine.clear(table, place, now.wall_ms) {
                self.clear = None;
                return Read::Took;
            }
            return Read::Full;
        }
        match self.task {
            Task::Begin => Read::Nothing,
            Task::Copy { .. } => self.copy_row(rows, now),
            Task::Follow { cursor } => {
                let first = chance.below(LANES);
                let next = (0..LANES)
                    .map(|lane| (first + lane) % LANES)
                    .find_map(|lane| Some((lane, source.message(lane, cursor.0[lane])?)));
                match next {
                    Some((lane, message)) => self.take(lane, message, source.protocol, mutant, now),
                    None => Read::Nothing,
                }
            }
        }
    }

    fn copy_row(&mut self, rows: &Rows, now: Moment) -> Read {
        let Task::Copy {
            chunk,
            next,
            counted,
        } = &mut self.task
        else {
            return Read::Nothing;
        };
        let end = (*chunk + 1) * CHUNK_ROWS;
        if *next > end {
            return Read::Nothing;
        }
        if !self.machine.has_room() {
            return Read::Full;
        }
        // One past the end says that the chunk is done.
        let row = if *next < end { rows[*next] } else { None };
        let place = chunk_place(*next + 1);
        if let Some(row) = row {
            let to = Some(vec![*next as u8]);
            let further = Move {
                checkpoint: COUNT_NAMES[*chunk].to_owned(),
                from: std::mem::replace(counted, to.clone()),
                to,
            };
            let change = Change::Put(*next, row).deliver();
            assert!(self.machine.also(further, now), "there is room");
            // The further checkpoint may have filled the batch: it belongs to this row's.
            if !self.machine.push(change, None, place, now) {
                unreachable!("a batch of so few moves is not full");
            }
        } else {
            assert!(self.machine.advance(place, None, now), "there is room");
        }
        *next += 1;
        Read::Took
    }

    fn take(
        &mut self,
        lane: usize,
        message: Message,
        protocol: Protocol,
        mutant: Option<Mutant>,
        now: Moment,
    ) -> Read {
        let (Message::Change(_, at) | Message::End(at)) = message;
        let is_old = at <= self.high.0[lane];
        if is_old && (mutant != Some(Mutant::ForgetOverlap) || protocol != Protocol::Kafka) {
            self.moved(lane, at);
            return Read::Skipped;
        }
        if !self.machine.has_room() {
            return Read::Full;
        }
        let mut place = self.high;
        place.0[lane] = at;
        let mut says = place;
        if mutant == Some(Mutant::ForgetOrdinals) && at.ordinal > 0 {
            says.0[lane] = At {
                tx: at.tx + 1,
                ordinal: 0,
            };
        }
        let took = match message {
            Message::Change(Change::Clear(table), _) => {
                let (table, _) = key_of(table * SLOTS / 2);
                self.clear = Some((table, says));
                true
            }
            Message::Change(change, _) => self.machine.push(change.deliver(), None, says, now),
            Message::End(_) => self.machine.advance(says, Some(now.wall_ms), now),
        };
        assert!(took, "there is room");
        self.high = place;
        self.moved(lane, at);
        Read::Took
    }

    fn moved(&mut self, lane: usize, at: At) {
        if let Task::Follow { cursor } = &mut self.task {
            cursor.0[lane] = at;
        }
    }

    /// A broker delivers what it delivered before.
    pub(super) fn deliver_again(&mut self, chance: &mut Chance) {
        if let Task::Follow { cursor } = &mut self.task {
            let at = &mut cursor.0[chance.below(LANES)];
            at.tx = at.tx.saturating_sub(chance.below(4) as u32);
        }
    }

    /// Takes the reply in; false where the machine is broken now.
    pub(super) fn answered(&mut self, how: Finished) -> bool {
        self.job = None;
        let durable: Option<Durable<Place>> = self.machine.finished(how);
        if let Some(place) = durable.and_then(|durable| durable.position) {
            self.durable = Some(place);
        }
        !self.machine.is_broken()
    }
}
