//! The simulated store: checkpoints by compare and set, row memory, aggregates.

use super::Mutant;
use super::row::{Row, Rows, SLOTS, row_hash, row_of, row_of_item, slot_of};
use super::source::Place;
use crate::ingest::rows::{RowBatch, RowChange, RowOp};
use crate::replicate::apply::machine::Finished;

/// Rows that a clearing batch removes at most.
const CLEARED_MAX: usize = 2;

/// The stream's checkpoint.
pub(super) const STREAM: &str = "stream";

/// Rows and the sum of their values, by what they count on.
pub(super) type Aggregates = [(i64, i64); 4];

/// What the world needs of a store.
pub(super) trait Ledger {
    /// Applies a batch in a transaction; how many dead letters it wrote beside.
    fn commit(&mut self, batch: &RowBatch) -> (Finished, u32);
    /// A checkpoint's bytes.
    fn checkpoint(&self, name: &str) -> Option<Vec<u8>>;
    /// The hash of the remembered rows where it is cheap to tell.
    fn hash(&self) -> Option<u64>;
    /// What is wrong, where the source has these rows now.
    fn compare(&self, rows: &Rows) -> Result<(), String>;

    /// Where the stream stands.
    fn stream(&self) -> Option<Place> {
        self.checkpoint(STREAM).map(|bytes| Place::decode(&bytes))
    }
}

pub(super) struct Model {
    mutant: Option<Mutant>,
    checkpoints: Vec<(String, Vec<u8>)>,
    rows: Rows,
    hash: u64,
    aggregates: Aggregates,
}

impl Model {
    pub(super) fn new(mutant: Option<Mutant>) -> Self {
        Self {
            mutant,
            checkpoints: Vec::new(),
            rows: [None; SLOTS],
            hash: 0,
            aggregates: Aggregates::default(),
        }
    }

    fn bytes(&self, name: &str) -> Option<&Vec<u8>> {
        let known = self.checkpoints.iter().find(|(known, _)| known == name);
        known.map(|(_, value)| value)
    }

    fn set(&mut self, name: &str, value: Option<&Vec<u8>>) {
        self.checkpoints.retain(|(known, _)| known != name);
        let value = value.map(|value| (name.to_owned(), value.clone()));
        self.checkpoints.extend(value);
    }

    /// Applies the difference between what was remembered and what is now.
    fn remember(&mut self, slot: usize, new: Option<Row>) {
        let old = std::mem::replace(&mut self.rows[slot], new);
        self.hash ^= row_hash(slot, old) ^ row_hash(slot, new);
        let forgets = self.mutant == Some(Mutant::ForgetRowMemory);
        for (row, sign) in [(old, -1), (new, 1)] {
            // Without a row memory an update is taken for another row.
            if let Some(row) = row.filter(|_| !(forgets && sign < 0 && new.is_some())) {
                let (count, sum) = &mut self.aggregates[row.item as usize];
                *count += sign;
                *sum += sign * i64::from(row.value);
            }
        }
    }

    /// Whether it was applied; a patch of an unknown row is a dead letter.
    fn apply(&mut self, change: &RowChange) -> bool {
        let slot = slot_of(change.table, change.key);
        match &change.op {
            RowOp::Put(fact) => self.remember(slot, Some(row_of(fact))),
            RowOp::Remove => self.remember(slot, None),
            RowOp::Patch(item, _) => {
                let Some(old) = self.rows[slot] else {
                    return false;
                };
                let title = old.title;
                let new = row_of_item(item);
                self.remember(slot, Some(Row { title, ..new }));
            }
            RowOp::Clear => unreachable!("clearing has its own way"),
        }
        true
    }

    /// Whether there is more to clear.
    fn clear(&mut self, first: usize) -> bool {
        let table = super::row::slots_of(super::row::table_of(first));
        let full: Vec<usize> = table.filter(|slot| self.rows[*slot].is_some()).collect();
        for slot in full.iter().take(CLEARED_MAX) {
            self.remember(*slot, None);
        }
        full.len() > CLEARED_MAX
    }
}

impl Ledger for Model {
    fn commit(&mut self, batch: &RowBatch) -> (Finished, u32) {
        let expected = |part: &crate::ingest::rows::Move| {
            self.mutant == Some(Mutant::SkipCompareAndSet)
                || self.bytes(&part.checkpoint) == part.from.as_ref()
        };
        if !batch.moves.iter().all(expected) {
            return (Finished::Conflict, 0);
        }
        let clear = batch
            .changes
            .iter()
            .next()
            .filter(|change| change.is_clear());
        if let Some(change) = clear
            && self.clear(slot_of(change.table, change.key))
        {
            return (Finished::More, 0);
        }
        let mut dead = 0;
        for change in batch.changes.iter() {
            if !change.is_clear() && !self.apply(&change) {
                dead += 1;
            }
        }
        for part in &batch.moves {
            self.set(&part.checkpoint, part.to.as_ref());
        }
        (Finished::Durable, dead)
    }

    fn checkpoint(&self, name: &str) -> Option<Vec<u8>> {
        self.bytes(name).cloned()
    }

    fn hash(&self) -> Option<u64> {
        Some(self.hash)
    }

    fn stream(&self) -> Option<Place> {
        self.bytes(STREAM).map(|bytes| Place::decode(bytes))
    }

    fn compare(&self, rows: &Rows) -> Result<(), String> {
        if self.rows != *rows {
            return Err(format!(
                "remembered {:?}\nthe source has {rows:?}",
                self.rows
            ));
        }
        let aggregates = aggregates(rows);
        if self.aggregates != aggregates {
            return Err(format!(
                "counted {:?}, SQL says {aggregates:?}",
                self.aggregates
            ));
        }
        Ok(())
    }
}

/// `SELECT item, count(*), sum(value) … GROUP BY item`.
pub(super) fn aggregates(rows: &Rows) -> Aggregates {
    let mut aggregates = Aggregates::default();
    for row in rows.iter().flatten() {
        let (count, sum) = &mut aggregates[row.item as usize];
        *count += 1;
        *sum += i64::from(row.value);
    }
    aggregates
}
