//! What is kept of the operator's sources: their tables, and the rows that were refused.

use super::codec::{Decoder, Encoder};
use super::error::StoreError;
use super::record::Record;
use super::table::Table;
use crate::ingest::rows::{DeadLetter, StoredKey};

/// A source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRecord {
    /// Its mapped tables: number and name, ascending by number.
    pub tables: Vec<(u32, String)>,
}

impl SourceRecord {
    /// The name of a table.
    #[must_use]
    pub fn name(&self, table: u32) -> Option<&str> {
        let found = self.tables.iter().find(|(number, _)| *number == table);
        found.map(|(_, name)| name.as_str())
    }
}

impl Record for SourceRecord {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.uint(self.tables.len() as u64);
        for (number, name) in &self.tables {
            out.uint(u64::from(*number)).text(name);
        }
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let mut tables = Vec::new();
        for _ in 0..input.uint()? {
            tables.push((input.uint32()?, input.text()?.to_owned()));
        }
        input.finish()?;
        Ok(Self { tables })
    }
}

/// A checkpoint's bytes, which mean something to the source only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointRecord(pub Vec<u8>);

impl Record for CheckpointRecord {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.raw(&self.0);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        Decoder::record(table, bytes, 1)?;
        Ok(Self(bytes.get(1..).unwrap_or_default().to_vec()))
    }
}

/// How many dead letters there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadCounts {
    /// The next letter's number.
    pub next: u64,
    /// Letters that were dropped because there were too many.
    pub dropped: u64,
    /// Letters by mapped table, none at 0, ascending.
    pub tables: Vec<(u32, u64)>,
}

impl DeadCounts {
    /// All letters.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.tables.iter().map(|(_, count)| count).sum()
    }

    /// Letters of a table.
    #[must_use]
    pub fn of(&self, table: u32) -> u64 {
        let found = self.tables.iter().find(|(number, _)| *number == table);
        found.map_or(0, |(_, count)| *count)
    }

    /// Counts a letter of `table` more or less.
    pub fn add(&mut self, table: u32, by: i64) {
        let place = self
            .tables
            .binary_search_by_key(&table, |(number, _)| *number);
        let index = place.unwrap_or_else(|index| {
            self.tables.insert(index, (table, 0));
            index
        });
        if let Some((_, count)) = self.tables.get_mut(index) {
            *count = count.saturating_add_signed(by);
            if *count == 0 {
                self.tables.remove(index);
            }
        }
    }
}

impl Record for DeadCounts {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.uint(self.next).uint(self.dropped);
        out.uint(self.tables.len() as u64);
        for (number, count) in &self.tables {
            out.uint(u64::from(*number)).uint(*count);
        }
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let mut counts = Self {
            next: input.uint()?,
            dropped: input.uint()?,
            tables: Vec::new(),
        };
        for _ in 0..input.uint()? {
            counts.tables.push((input.uint32()?, input.uint()?));
        }
        input.finish()?;
        Ok(counts)
    }
}

impl Record for DeadLetter {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.text(&self.source)
            .text(&self.table)
            .uint(u64::from(self.table_id))
            .text(&self.key);
        match self.row {
            None => out.byte(0),
            Some(StoredKey::Int(key)) => out.byte(1).int(key),
            Some(StoredKey::Hash(high, low)) => out.byte(2).fixed(high).fixed(low),
        };
        out.text(&self.reason)
            .text(&self.position)
            .text(&self.columns)
            .int(self.at_ms);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let letter = Self {
            source: input.text()?.to_owned(),
            table: input.text()?.to_owned(),
            table_id: input.uint32()?,
            key: input.text()?.to_owned(),
            row: match input.byte()? {
                0 => None,
                1 => Some(StoredKey::Int(input.int()?)),
                2 => Some(StoredKey::Hash(input.fixed()?, input.fixed()?)),
                _ => return Err(input.corrupt("unknown kind of key")),
            },
            reason: input.text()?.to_owned(),
            position: input.text()?.to_owned(),
            columns: input.text()?.to_owned(),
            at_ms: input.int()?,
        };
        input.finish()?;
        Ok(letter)
    }
}
