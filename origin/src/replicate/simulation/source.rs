//! The simulated database and how its protocol delivers what was committed.

use super::chance::Chance;
use super::row::{
    Change, Row, Rows, SLOTS, TABLES, has_title, row_hash, rows_hash, slots_of, table_of,
};
use crate::replicate::apply::Position;

/// Partitions of the simulated topic; the databases have one log.
pub(super) const LANES: usize = 3;

/// The protocols, by what they promise after a reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Whole transactions in commit order; starts anywhere from what was acknowledged, and
    /// keeps nothing before that.
    Postgres,
    /// Events of a few rows by file and position; starts at the event that it is asked for.
    Binlog,
    /// Partitions of messages by offset, each key in one partition; a producer may send the
    /// newest messages once more, a broker may deliver an older offset once more.
    Kafka,
}

/// A place in a log: after `ordinal` changes of transaction `tx`; ordinal 0 is its begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) tx: u32,
    pub(super) ordinal: u32,
}

/// A place in every log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(pub(super) [At; LANES]);

impl Position for Place {
    fn encode(&self) -> Vec<u8> {
        let numbers = self.0.iter().flat_map(|at| [at.tx, at.ordinal]);
        numbers.flat_map(u32::to_le_bytes).collect()
    }
}

impl Place {
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let number = |index: usize| {
            let four = bytes[index * 4..][..4].try_into().expect("four bytes");
            u32::from_le_bytes(four)
        };
        Self(std::array::from_fn(|lane| At {
            tx: number(lane * 2),
            ordinal: number(lane * 2 + 1),
        }))
    }
}

/// What was committed together, with the hash of the log's state after each change.
struct Tx {
    before: u64,
    changes: Vec<(Change, u64)>,
}

struct Lane {
    txs: Vec<Tx>,
    rows: Rows,
    hash: u64,
}

impl Lane {
    fn append(&mut self, changes: impl Iterator<Item = Change>) {
        let before = self.hash;
        let changes = changes.map(|change| {
            match change {
                Change::Put(slot, _) | Change::Patch(slot, _) | Change::Remove(slot) => {
                    let old = self.rows[slot];
                    change.apply(&mut self.rows);
                    self.hash ^= row_hash(slot, old) ^ row_hash(slot, self.rows[slot]);
                }
                Change::Clear(_) => {
                    change.apply(&mut self.rows);
                    self.hash = rows_hash(&self.rows);
                }
            }
            (change, self.hash)
        });
        let changes = changes.collect();
        self.txs.push(Tx { before, changes });
    }
}

pub(super) struct Source {
    pub(super) protocol: Protocol,
    lanes: Vec<Lane>,
    /// The database's rows now.
    pub(super) rows: Rows,
    /// PostgreSQL keeps nothing before this transaction.
    pub(super) acknowledged: u32,
    next_value: u32,
    /// Whether there are rows to copy before the log is followed.
    pub(super) is_copied_first: bool,
}

/// What the server sends next.
pub(super) enum Message {
    /// A change, and the place after it.
    Change(Change, At),
    /// The end of a transaction, and the place after it.
    End(At),
}

impl Source {
    pub(super) fn new(protocol: Protocol, chance: &mut Chance) -> Self {
        let mut source = Self {
            protocol,
            lanes: Vec::new(),
            rows: [None; SLOTS],
            acknowledged: 0,
            next_value: 1,
            is_copied_first: protocol != Protocol::Kafka && chance.one_in(3),
        };
        if source.is_copied_first {
            for slot in 0..SLOTS {
                if chance.one_in(2) {
                    source.rows[slot] = Some(source.row(slot, chance));
                }
            }
        }
        let lanes = if protocol == Protocol::Kafka {
            LANES
        } else {
            1
        };
        for _ in 0..lanes {
            source.lanes.push(Lane {
                txs: Vec::new(),
                rows: source.rows,
                hash: rows_hash(&source.rows),
            });
        }
        source
    }

    /// Somebody writes.
    pub(super) fn write(&mut self, chance: &mut Chance) {
        let changes_max = match self.protocol {
            Protocol::Postgres => [1, 2, 10][chance.below(3)],
            Protocol::Binlog => 3,
            Protocol::Kafka => return self.produce(chance),
        };
        // A transaction without rows: of another table, a rotated file, a heartbeat.
        let count = chance.below(changes_max + 1);
        let mut changes = Vec::with_capacity(count + 1);
        while changes.len() < count {
            let slot = chance.below(SLOTS);
            match (self.rows[slot], chance.below(40)) {
                (_, 0) => self.change(Change::Clear(chance.below(TABLES)), &mut changes),
                // A key that changes is a removal and a new row.
                (Some(row), 1..=5) => {
                    let other = slots_of(table_of(slot)).find(|slot| self.rows[*slot].is_none());
                    if let Some(other) = other {
                        self.change(Change::Remove(slot), &mut changes);
                        self.change(Change::Put(other, row), &mut changes);
                    }
                }
                _ => {
                    let change = self.change_of(slot, chance);
                    self.change(change, &mut changes);
                }
            }
        }
        self.lanes[0].append(changes.into_iter());
    }

    /// A producer sends a message, or the newest of a partition once more.
    fn produce(&mut self, chance: &mut Chance) {
        let slot = chance.below(SLOTS);
        let change = self.change_of(slot, chance);
        let lane = &mut self.lanes[slot % LANES];
        if chance.one_in(6) {
            let from = lane.txs.len().saturating_sub(1 + chance.below(4));
            let again: Vec<Change> = lane.txs[from..]
                .iter()
                .flat_map(|tx| tx.changes.iter().map(|(change, _)| *change))
                .collect();
            for change in again {
                lane.append(std::iter::once(change));
            }
        } else {
            change.apply(&mut self.rows);
            lane.append(std::iter::once(change));
        }
    }

    fn change(&mut self, change: Change, changes: &mut Vec<Change>) {
        change.apply(&mut self.rows);
        changes.push(change);
    }

    fn change_of(&mut self, slot: usize, chance: &mut Chance) -> Change {
        let Some(old) = self.rows[slot] else {
            return Change::Put(slot, self.row(slot, chance));
        };
        let new = self.row(slot, chance);
        match chance.below(10) {
            0..3 => Change::Remove(slot),
            3..6 if has_title(slot) && self.protocol == Protocol::Postgres => {
                let title = old.title;
                Change::Patch(slot, Row { title, ..new })
            }
            _ => Change::Put(slot, new),
        }
    }

    fn row(&mut self, slot: usize, chance: &mut Chance) -> Row {
        self.next_value += 1;
        Row {
            item: chance.below(4) as u8,
            title: if has_title(slot) {
                chance.below(90) as u8
            } else {
                0
            },
            value: self.next_value,
        }
    }

    /// The end of every log.
    pub(super) fn end(&self) -> Place {
        let mut place = Place::default();
        for (at, lane) in place.0.iter_mut().zip(&self.lanes) {
            at.tx = lane.txs.len() as u32;
        }
        place
    }

    /// Where the server starts to send when it is asked for `stored`.
    pub(super) fn start(&self, stored: Place, chance: &mut Chance) -> Result<Place, String> {
        let mut start = stored;
        for at in &mut start.0 {
            at.ordinal = 0;
        }
        if self.protocol == Protocol::Postgres {
            let asked = start.0[0].tx;
            if asked < self.acknowledged {
                return Err(format!(
                    "the server kept nothing before {}, the store stands at {asked}",
                    self.acknowledged
                ));
            }
            let earlier = chance.below((asked - self.acknowledged) as usize + 1);
            start.0[0].tx = asked - earlier as u32;
        }
        Ok(start)
    }

    /// The message at `at` of a log.
    pub(super) fn message(&self, lane: usize, at: At) -> Option<Message> {
        let tx = self.lanes.get(lane)?.txs.get(at.tx as usize)?;
        let next = At {
            tx: at.tx + 1,
            ordinal: 0,
        };
        Some(match tx.changes.get(at.ordinal as usize) {
            // A message is a transaction of its own.
            Some((change, _)) if self.protocol == Protocol::Kafka => Message::Change(*change, next),
            Some((change, _)) => Message::Change(
                *change,
                At {
                    ordinal: at.ordinal + 1,
                    ..at
                },
            ),
            None => Message::End(next),
        })
    }

    /// The hash of the state at a place.
    pub(super) fn hash_at(&self, place: &Place) -> u64 {
        let hashes = self.lanes.iter().zip(&place.0).map(|(lane, at)| {
            let Some(tx) = lane.txs.get(at.tx as usize) else {
                return lane.hash;
            };
            match at.ordinal {
                0 => tx.before,
                ordinal => tx.changes[ordinal as usize - 1].1,
            }
        });
        hashes.fold(0, |hash, lane| hash ^ lane)
    }
}
