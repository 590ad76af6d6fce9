//! What the fuzz target calls: any bytes are events, one after the other, as a server that is
//! broken or no server at all would send them. Each is read or an error, never a panic.

use super::catalog::ColumnInfo;
use super::decode::{Image, Slot};
use super::event::{self, Query, QueryForm, Rows, RowsKind, TableMap, kind};
use super::position::BinlogPosition;
use super::wire::{Cursor, Malformed};
use super::xa::{Group, Prepare};
use super::{ddl, definition, layout};
use std::collections::HashMap;

/// Rows of an event at most: an image may have no bytes.
const MAX_ROWS: usize = 1_000;

/// Reads `data` as events: of each its type, the length of its body (2 bytes, little-endian) and
/// its body.
pub fn fuzz(data: &[u8]) {
    let _ = errors(data);
    let _ = BinlogPosition::decode(data);
}

/// How many of the events are errors.
fn errors(data: &[u8]) -> usize {
    let mut errors = 0;
    let mut tables = HashMap::new();
    let mut cursor = Cursor::new(data, "events");
    while let Ok(event_type) = cursor.u8() {
        let len = cursor.little(2).unwrap_or_default() as usize;
        let body = cursor.take(len.min(cursor.rest().len()));
        let read = one(event_type, body.unwrap_or_default(), &mut tables);
        errors += usize::from(read.is_err());
    }
    errors
}

fn one(event_type: u8, body: &[u8], tables: &mut HashMap<u64, Vec<Slot>>) -> Result<(), Malformed> {
    if let Some(format) = event::rows_format(event_type) {
        let head = Rows::parse(body, format)?;
        let unpacked;
        let data = if format.compressed {
            unpacked = event::unpack(head.data)?;
            &unpacked
        } else {
            head.data
        };
        let slots = tables.get(&event::table_id(body)?);
        let slots = slots.filter(|slots| slots.len() == head.columns);
        let slots = slots.ok_or(Malformed("rows of no table"))?;
        let mut cursor = Cursor::new(data, "rows");
        for _ in 0..MAX_ROWS {
            if cursor.is_empty() {
                break;
            }
            image(&mut cursor, slots, head.first)?;
            if format.kind == RowsKind::Update {
                image(&mut cursor, slots, head.second)?;
            }
        }
        return Ok(());
    }
    match event_type {
        kind::TABLE_MAP => {
            let map = TableMap::parse(body)?;
            let slots = slots(&map).ok_or(Malformed("columns"))?;
            tables.insert(map.table_id, slots);
        }
        kind::QUERY => statement(&Query::parse(body, QueryForm::Plain)?),
        kind::QUERY_COMPRESSED => statement(&Query::parse(body, QueryForm::Compressed)?),
        kind::EXECUTE_LOAD_QUERY => statement(&Query::parse(body, QueryForm::Load)?),
        kind::ROTATE => drop(event::rotate(body)?),
        kind::GTID => drop(event::gtid(body)?),
        kind::MARIADB_GTID => drop(Group::parse(body)?),
        kind::XA_PREPARE => drop(Prepare::parse(body)?),
        _ => {}
    }
    Ok(())
}

/// Reads an image, and passes over one: both end at the same byte.
fn image(cursor: &mut Cursor<'_>, slots: &[Slot], present: &[u8]) -> Result<(), Malformed> {
    let skipped = slots.iter().map(|slot| Slot {
        wanted: false,
        ..slot.clone()
    });
    let skipped: Vec<Slot> = skipped.collect();
    let (mut read, mut passed) = (*cursor, *cursor);
    let is_passed = Image::default().read(&mut passed, &skipped, present);
    let mut image = Image::default();
    image.read(&mut read, slots, present)?;
    assert_eq!(is_passed, Ok(()));
    assert_eq!(passed.rest().len(), read.rest().len());
    for index in 0..=slots.len() {
        let _ = image.get(index);
    }
    let len = cursor.rest().len() - read.rest().len();
    cursor.take(len)?;
    Ok(())
}

/// How the columns of a map are read where the catalogue fits it.
fn slots(map: &TableMap) -> Option<Vec<Slot>> {
    let columns = map.columns.iter().enumerate().map(|(index, column)| {
        let name = column.name.clone().unwrap_or_else(|| index.to_string());
        let info = ColumnInfo {
            column_type: "enum('a','it''s')".to_owned(),
            charset: (index % 3 > 0).then(|| "utf8mb4".to_owned()),
            data_type: if index % 3 == 0 { "binary" } else { "" }.to_owned(),
            ..ColumnInfo::gone(&name)
        };
        layout::slot(column, &info, true).ok()
    });
    columns.collect()
}

fn statement(query: &Query) {
    let words = query.words();
    let _ = ddl::classify(&words);
    let _ = ddl::names(&words, "posts");
    let read = definition::read(&words);
    let known = [ColumnInfo::gone("author")];
    let reads = ["author".to_owned()];
    for change in read.altered.into_iter().flat_map(|(_, changes)| changes) {
        let _ = change.harms(&reads, true, &known, query.is_strict());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fuzz_corpus_is_read() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/binlog");
        let mut seeds = 0;
        for seed in std::fs::read_dir(corpus).expect("the corpus") {
            let bytes = std::fs::read(seed.expect("an entry").path()).expect("a seed");
            assert_eq!(errors(&bytes), 0, "a seed is of whole events");
            // Cut short anywhere, and with a byte changed anywhere.
            for at in 0..bytes.len() {
                fuzz(bytes.get(..at).unwrap_or_default());
                let mut changed = bytes.clone();
                changed
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= 0x81);
                fuzz(&changed);
            }
            seeds += 1;
        }
        assert!(seeds >= 8);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            fuzz(&data);
        }
    }
}
