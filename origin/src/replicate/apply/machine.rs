//! The apply loop as a state machine without I/O: changes and time go in, batches come out.
//!
//! One batch is in flight and one accumulates, so memory is bounded. Every batch moves the
//! checkpoint from where the one before left it; a position is durable only once the commit
//! that holds it was answered. After an error the machine takes nothing any more: its owner
//! connects again with a new machine that starts from the stored checkpoint.

use std::time::Duration;

use super::counts::Counts;
use super::{ApplierConfig, Position};
use crate::ingest::rows::{
    DeadLetter, Move, RowBatch, RowChange, RowChanges, RowKey, RowOp, TableId,
};

/// A batch that only moves the checkpoint waits this long for rows: acknowledging a silent
/// source may not cost a durable commit for each of its messages.
pub(super) const ADVANCE_LINGER: Duration = Duration::from_millis(100);

/// How long a batch waits for more for each row that it has: where rows come faster than this, it
/// goes on growing, as a small batch costs a multiple of a large one for each row. Slower ones are
/// not held up.
pub(super) const LINGER_PER_ROW: Duration = Duration::from_micros(50);
/// How long it waits so at most, since its first row.
pub(super) const LINGER_MAX: Duration = Duration::from_millis(250);

/// A batch with this many further checkpoints is full.
pub(super) const MOVES_MAX: usize = 1_024;

/// A moment as the machine needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic, since the machine was made.
    pub elapsed: Duration,
    /// Wall time, Unix ms.
    pub wall_ms: i64,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It is durable.
    Durable,
    /// A `Clear` has more rows to remove; nothing moved.
    More,
    /// A checkpoint was not what the batch expected; nothing was changed.
    Conflict,
    /// The commit failed, or nobody knows whether it happened.
    Failed,
}

/// What a finished batch brought.
#[derive(Clone, Debug)]
pub struct Durable<P> {
    /// The position that is durable now; `None` where the batch moved other checkpoints only.
    pub position: Option<P>,
    /// Changes of rows that are durable now.
    pub counts: Counts,
    /// The newest commit time that the source named, Unix ms.
    pub committed_at_ms: Option<i64>,
}

/// What is put together for the next batch.
struct Building<P> {
    changes: RowChanges,
    dead: Vec<DeadLetter>,
    moves: Vec<Move>,
    dead_bytes: usize,
    position: Option<P>,
    counts: Counts,
    /// When the first part came.
    since: Duration,
    /// When the first row came.
    rows_since: Option<Duration>,
    /// When the oldest change came, or was committed at the source where that is known.
    oldest_ms: Option<i64>,
    committed_at_ms: Option<i64>,
}

impl<P> Building<P> {
    fn new(rows: usize) -> Self {
        Self {
            changes: RowChanges::with_capacity(rows),
            dead: Vec::new(),
            moves: Vec::new(),
            dead_bytes: 0,
            position: None,
            counts: Counts::default(),
            since: Duration::ZERO,
            rows_since: None,
            oldest_ms: None,
            committed_at_ms: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.moves.is_empty() && self.position.is_none()
    }

    /// Bytes that its changes hold, about.
    fn bytes(&self) -> usize {
        self.changes.size_bytes() + self.dead_bytes
    }

    fn touch(&mut self, now: Moment) {
        if self.is_empty() {
            self.since = now.elapsed;
        }
    }

    fn older(&mut self, ms: i64) {
        self.oldest_ms = Some(self.oldest_ms.map_or(ms, |oldest| oldest.min(ms)));
    }
}

/// What was handed out and not answered.
struct Flight<P> {
    durable: Durable<P>,
    bytes: usize,
    oldest_ms: Option<i64>,
    /// The checkpoint's bytes before and after.
    from: Option<Vec<u8>>,
    to: Option<Vec<u8>>,
    /// The table that it clears.
    clears: Option<TableId>,
}

/// A table that is being cleared, which may take many batches.
struct Clearing<P> {
    table: TableId,
    /// The position after it.
    position: P,
    /// When it came, or was committed at the source where that is known.
    since_ms: i64,
}

/// See the [module](self).
pub struct Machine<P> {
    config: ApplierConfig,
    linger: Duration,
    /// What the checkpoint is once everything that was handed out is durable.
    chain: Option<Vec<u8>>,
    building: Building<P>,
    flight: Option<Flight<P>>,
    /// A table to be cleared; nothing else goes on meanwhile.
    clear: Option<Clearing<P>>,
    is_broken: bool,
}

impl<P: Position> Machine<P> {
    /// A machine whose checkpoint is `stored` now.
    #[must_use]
    pub fn new(config: ApplierConfig, stored: Option<Vec<u8>>) -> Self {
        Self {
            linger: Duration::from_millis(config.linger_ms),
            config,
            chain: stored,
            building: Building::new(0),
            flight: None,
            clear: None,
            is_broken: false,
        }
    }

    /// Whether a change may be pushed; otherwise a batch has to finish first.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.is_broken && self.clear.is_none() && !self.is_full()
    }

    /// Whether the next batch has rows.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        self.building.rows_since.is_some()
    }

    /// Whether an error ended it.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether everything that came in is durable.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.flight.is_none() && self.clear.is_none() && self.building.is_empty()
    }

    /// Whether a batch was handed out and not answered.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether a table is being cleared.
    #[must_use]
    pub fn is_clearing(&self) -> bool {
        self.clear.is_some()
    }

    /// Bytes of changes that are not durable, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.building.bytes() + self.flight.as_ref().map_or(0, |flight| flight.bytes)
    }

    /// When the oldest change that is not durable came, or was committed at the source.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        let flight = self.flight.as_ref().and_then(|flight| flight.oldest_ms);
        let clear = self.clear.as_ref().map(|clear| clear.since_ms);
        let received = self.building.oldest_ms.into_iter().chain(clear);
        flight.into_iter().chain(received).min()
    }

    /// Adds a change after which the source stands at `position`. False, and nothing happened,
    /// where there is no room.
    #[must_use]
    pub fn push(
        &mut self,
        change: RowChange,
        dead: Option<DeadLetter>,
        position: P,
        now: Moment,
    ) -> bool {
        if !self.has_room() {
            return false;
        }
        let building = &mut self.building;
        building.touch(now);
        if building.rows_since.is_none() {
            building.rows_since = Some(now.elapsed);
            building.older(now.wall_ms);
        }
        building.dead_bytes += dead.as_ref().map_or(0, DeadLetter::size_bytes);
        building.counts.add(change.table, &change.op);
        building.changes.push(change);
        building.dead.extend(dead);
        building.position = Some(position);
        true
    }

    /// The source stands at `position`, with nothing to apply since the last change. False, and
    /// nothing happened, where there is no room.
    #[must_use]
    pub fn advance(&mut self, position: P, committed_at_ms: Option<i64>, now: Moment) -> bool {
        if self.is_broken || self.clear.is_some() {
            return false;
        }
        if let Some(at) = committed_at_ms {
            let newest = &mut self.building.committed_at_ms;
            *newest = Some(newest.map_or(at, |newest| newest.max(at)));
            if self.building.rows_since.is_some() {
                self.building.older(at);
            }
        }
        self.building.touch(now);
        self.building.position = Some(position);
        true
    }

    /// Moves a further checkpoint with the next batch; moves of one checkpoint that follow each
    /// other become one. False, and nothing happened, where there is no room.
    #[must_use]
    pub fn also(&mut self, further: Move, now: Moment) -> bool {
        if !self.has_room() {
            return false;
        }
        self.building.touch(now);
        let moves = &mut self.building.moves;
        match moves
            .iter_mut()
            .find(|earlier| earlier.checkpoint == further.checkpoint)
        {
            Some(earlier) if earlier.to == further.from => earlier.to = further.to,
            _ => moves.push(further),
        }
        true
    }

    /// Clears `table`, after which the source stands at `position`; it came, or was committed at
    /// the source, at `since_ms`. False, and nothing happened, unless the machine is clean.
    #[must_use]
    pub fn clear(&mut self, table: TableId, position: P, since_ms: i64) -> bool {
        if self.is_broken || !self.is_clean() {
            return false;
        }
        self.clear = Some(Clearing {
            table,
            position,
            since_ms,
        });
        true
    }

    /// The next batch to submit, if one is due: `now_or_never` makes every batch due. Where one is
    /// in flight none is due.
    pub fn take_batch(&mut self, now: Duration, at_once: bool) -> Option<RowBatch> {
        if self.is_broken || self.flight.is_some() {
            return None;
        }
        if let Some(clear) = &self.clear {
            let (table, position) = (clear.table, clear.position.clone());
            return Some(self.take_clear(table, position));
        }
        let is_due = at_once || self.due().is_some_and(|due| due <= now);
        if self.building.is_empty() || !is_due {
            return None;
        }
        let rows = self.building.changes.len().min(self.config.batch_rows);
        let built = std::mem::replace(&mut self.building, Building::new(rows));
        let bytes = built.bytes();
        let mut moves = built.moves;
        let from = self.chain.clone();
        if let Some(position) = &built.position {
            let to = Some(position.encode());
            moves.push(self.own_move(to.clone()));
            self.chain = to;
        }
        self.flight = Some(Flight {
            durable: Durable {
                position: built.position,
                counts: built.counts,
                committed_at_ms: built.committed_at_ms,
            },
            bytes,
            oldest_ms: built.oldest_ms,
            from,
            to: self.chain.clone(),
            clears: None,
        });
        Some(RowBatch {
            source: self.config.source.clone(),
            moves,
            changes: built.changes,
            dead: built.dead,
        })
    }

    /// When the next batch is due, if nothing else comes; `None` where one is in flight or there
    /// is nothing to submit.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        if self.flight.is_some() || self.is_broken {
            return None;
        }
        if self.clear.is_some() || self.is_full() {
            return Some(Duration::ZERO);
        }
        if self.building.is_empty() {
            return None;
        }
        let lone = self.building.since + self.linger.max(ADVANCE_LINGER);
        let rows = u32::try_from(self.building.changes.len()).unwrap_or(u32::MAX);
        let more = LINGER_PER_ROW.saturating_mul(rows).min(LINGER_MAX);
        let linger = self.linger.max(more);
        let rows = self.building.rows_since.map(|since| since + linger);
        let further = (!self.building.moves.is_empty()).then(|| self.building.since + self.linger);
        Some(rows.into_iter().chain(further).min().unwrap_or(lone))
    }

    /// The batch in flight has ended; what is durable now. After [`Finished::Conflict`] and
    /// [`Finished::Failed`] the machine takes nothing any more.
    pub fn finished(&mut self, how: Finished) -> Option<Durable<P>> {
        let flight = self.flight.take()?;
        match how {
            Finished::Durable => {
                if flight.clears.is_some() {
                    self.clear = None;
                }
                self.chain = flight.to;
                Some(flight.durable)
            }
            // The same batch is due again.
            Finished::More if flight.clears.is_some() => {
                self.chain = flight.from;
                None
            }
            Finished::More | Finished::Conflict | Finished::Failed => {
                self.is_broken = true;
                self.building = Building::new(0);
                self.clear = None;
                None
            }
        }
    }

    fn take_clear(&mut self, table: TableId, position: P) -> RowBatch {
        let change = RowChange {
            table,
            key: RowKey::Int(0),
            op: RowOp::Clear,
        };
        let from = self.chain.clone();
        let to = Some(position.encode());
        let own = self.own_move(to.clone());
        let mut counts = Counts::default();
        counts.add(table, &change.op);
        let changes = RowChanges::from(vec![change]);
        self.flight = Some(Flight {
            durable: Durable {
                position: Some(position),
                counts,
                committed_at_ms: None,
            },
            bytes: changes.size_bytes(),
            oldest_ms: None,
            from,
            to,
            clears: Some(table),
        });
        RowBatch {
            source: self.config.source.clone(),
            moves: vec![own],
            changes,
            dead: Vec::new(),
        }
    }

    fn own_move(&self, to: Option<Vec<u8>>) -> Move {
        Move {
            checkpoint: self.config.checkpoint.clone(),
            from: self.chain.clone(),
            to,
        }
    }

    fn is_full(&self) -> bool {
        self.building.changes.len() >= self.config.batch_rows
            || self.building.bytes() >= self.config.batch_bytes
            || self.building.moves.len() >= MOVES_MAX
    }
}
