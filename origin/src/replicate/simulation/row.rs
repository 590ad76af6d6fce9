//! The rows of the simulated database: a table of events and a table of items, six rows each.

use edgewise_wire::api::{EventType, Item};

use super::chance::mix;
use crate::ingest::rows::{
    EventFact, Fact, Id, ItemField, Kept, RowChange, RowKey, RowOp, TableId,
};

pub(super) const SLOTS: usize = 12;
pub(super) const TABLES: usize = 2;
const SLOTS_OF_TABLE: usize = SLOTS / TABLES;

/// Domain time of every row, Unix ms.
const NOW_MS: i64 = 1_700_000_000_000;

/// A row: what it counts on, a column that PostgreSQL would keep out of line, and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) item: u8,
    pub(super) title: u8,
    pub(super) value: u32,
}

/// Every row that there may be.
pub(super) type Rows = [Option<Row>; SLOTS];

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Put(usize, Row),
    /// Everything but the title is sent.
    Patch(usize, Row),
    Remove(usize),
    Clear(usize),
}

impl Change {
    /// As a connector delivers it.
    pub(super) fn deliver(self) -> RowChange {
        let (slot, op) = match self {
            Self::Put(slot, row) => (slot, RowOp::Put(fact(slot, row))),
            Self::Patch(slot, row) => {
                let item = Item {
                    title: String::new(),
                    ..item(slot, row)
                };
                let kept = Kept(ItemField::Title as u16);
                (slot, RowOp::Patch(Box::new(item), kept))
            }
            Self::Remove(slot) => (slot, RowOp::Remove),
            Self::Clear(table) => (table * SLOTS_OF_TABLE, RowOp::Clear),
        };
        let (table, key) = key_of(slot);
        RowChange { table, key, op }
    }

    /// What it makes of the rows.
    pub(super) fn apply(self, rows: &mut Rows) {
        match self {
            Self::Put(slot, row) => rows[slot] = Some(row),
            Self::Patch(slot, row) => {
                let title = rows[slot].map_or(row.title, |old| old.title);
                rows[slot] = Some(Row { title, ..row });
            }
            Self::Remove(slot) => rows[slot] = None,
            Self::Clear(table) => rows[slots_of(table)].fill(None),
        }
    }
}

pub(super) fn slots_of(table: usize) -> std::ops::Range<usize> {
    table * SLOTS_OF_TABLE..(table + 1) * SLOTS_OF_TABLE
}

pub(super) fn table_of(slot: usize) -> usize {
    slot / SLOTS_OF_TABLE
}

pub(super) fn key_of(slot: usize) -> (TableId, RowKey) {
    let table = TableId(table_of(slot) as u32 + 1);
    (table, RowKey::Int((slot % SLOTS_OF_TABLE) as i64))
}

pub(super) fn slot_of(table: TableId, key: RowKey) -> usize {
    let RowKey::Int(key) = key else {
        panic!("rows of the simulation have integer keys")
    };
    (table.0 as usize - 1) * SLOTS_OF_TABLE + key as usize
}

pub(super) fn has_title(slot: usize) -> bool {
    table_of(slot) == 1
}

/// Of a row where it is; a state's hash is the exclusive or of its rows'.
pub(super) fn row_hash(slot: usize, row: Option<Row>) -> u64 {
    row.map_or(0, |row| {
        let low = slot as u64 | u64::from(row.item) << 8 | u64::from(row.title) << 16;
        mix(low | u64::from(row.value) << 32 | 1 << 31)
    })
}

pub(super) fn rows_hash(rows: &Rows) -> u64 {
    let hashes = rows.iter().enumerate();
    hashes.fold(0, |hash, (slot, row)| hash ^ row_hash(slot, *row))
}

fn fact(slot: usize, row: Row) -> Fact {
    if has_title(slot) {
        return Fact::Item(Box::new(item(slot, row)));
    }
    Fact::Event(EventFact {
        kind: EventType::View,
        user: name(b'u', slot),
        item: Some(name(b'i', row.item as usize)),
        author: None,
        ts_ms: NOW_MS,
        watch_ms: Some(row.value),
        duration_ms: None,
        value: None,
    })
}

fn item(slot: usize, row: Row) -> Item {
    Item {
        id: name(b'p', slot).into(),
        author: name(b'a', row.item as usize).into(),
        created_at_ms: NOW_MS,
        duration_ms: Some(row.value),
        title: name(b't', row.title as usize).into(),
        ..Item::default()
    }
}

/// The row that a delivered fact stands for.
pub(super) fn row_of(fact: &Fact) -> Row {
    match fact {
        Fact::Item(item) => row_of_item(item),
        Fact::Event(event) => Row {
            item: number(event.item.as_deref()),
            title: 0,
            value: event.watch_ms.unwrap_or(0),
        },
        other => panic!("not a fact of the simulation: {other:?}"),
    }
}

pub(super) fn row_of_item(item: &Item) -> Row {
    Row {
        item: number(Some(&item.author)),
        title: number(Some(&item.title)),
        value: item.duration_ms.unwrap_or(0),
    }
}

/// A letter and a number up to 99.
pub(super) fn name(letter: u8, number: usize) -> Id {
    let digits = [
        letter,
        b'0' + (number / 10) as u8,
        b'0' + (number % 10) as u8,
    ];
    let text = std::str::from_utf8(&digits).expect("ASCII");
    Id::new(text)
}

fn number(name: Option<&str>) -> u8 {
    match name.map(str::as_bytes) {
        Some([_, tens, ones]) => (tens - b'0') * 10 + (ones - b'0'),
        _ => 0,
    }
}
