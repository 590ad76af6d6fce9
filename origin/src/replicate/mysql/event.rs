//! The binlog events that matter here, parsed from their bodies (header and checksum are off).

use super::wire::{Cursor, Malformed};
use super::words::{Escapes, Word, Words};

/// Event types, as the header's type byte gives them.
pub(crate) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const FORMAT_DESCRIPTION: u8 = 15;
    pub(crate) const HEARTBEAT: u8 = 27;
    pub(crate) const HEARTBEAT_V2: u8 = 41;
    pub(crate) const XID: u8 = 16;
    pub(crate) const EXECUTE_LOAD_QUERY: u8 = 18;
    pub(crate) const TABLE_MAP: u8 = 19;
    pub(crate) const WRITE_ROWS_V1: u8 = 23;
    pub(crate) const UPDATE_ROWS_V1: u8 = 24;
    pub(crate) const DELETE_ROWS_V1: u8 = 25;
    pub(crate) const INCIDENT: u8 = 26;
    pub(crate) const WRITE_ROWS: u8 = 30;
    pub(crate) const UPDATE_ROWS: u8 = 31;
    pub(crate) const DELETE_ROWS: u8 = 32;
    pub(crate) const GTID: u8 = 33;
    pub(crate) const ANONYMOUS_GTID: u8 = 34;
    pub(crate) const XA_PREPARE: u8 = 38;
    pub(crate) const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub(crate) const TRANSACTION_PAYLOAD: u8 = 40;
    pub(crate) const GTID_TAGGED: u8 = 42;
    pub(crate) const MARIADB_GTID: u8 = 162;
    pub(crate) const QUERY_COMPRESSED: u8 = 165;
    pub(crate) const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub(crate) const UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub(crate) const DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub(crate) const WRITE_ROWS_COMPRESSED: u8 = 169;
    pub(crate) const UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub(crate) const DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// The most an event may unpack to (a server's `max_allowed_packet` at most).
pub(crate) const MAX_UNPACKED_BYTES: u64 = 1 << 30;

/// Columns a table may have (a server allows 4,096 and 1,017).
const MAX_COLUMNS: usize = 4_096;

/// What rows of an event say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowsKind {
    /// Rows were inserted.
    Write,
    /// Rows were changed: pairs of images.
    Update,
    /// Rows were deleted.
    Delete,
}

/// How an event of rows is laid out; `None` for other types.
pub(crate) fn rows_format(event_type: u8) -> Option<RowsFormat> {
    let (kind, v2, compressed) = match event_type {
        kind::WRITE_ROWS_V1 => (RowsKind::Write, false, false),
        kind::UPDATE_ROWS_V1 => (RowsKind::Update, false, false),
        kind::DELETE_ROWS_V1 => (RowsKind::Delete, false, false),
        kind::WRITE_ROWS => (RowsKind::Write, true, false),
        kind::UPDATE_ROWS => (RowsKind::Update, true, false),
        kind::DELETE_ROWS => (RowsKind::Delete, true, false),
        kind::WRITE_ROWS_COMPRESSED_V1 => (RowsKind::Write, false, true),
        kind::UPDATE_ROWS_COMPRESSED_V1 => (RowsKind::Update, false, true),
        kind::DELETE_ROWS_COMPRESSED_V1 => (RowsKind::Delete, false, true),
        kind::WRITE_ROWS_COMPRESSED => (RowsKind::Write, true, true),
        kind::UPDATE_ROWS_COMPRESSED => (RowsKind::Update, true, true),
        kind::DELETE_ROWS_COMPRESSED => (RowsKind::Delete, true, true),
        _ => return None,
    };
    Some(RowsFormat {
        kind,
        v2,
        compressed,
    })
}

/// How an event of rows is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowsFormat {
    /// What the rows say.
    pub(crate) kind: RowsKind,
    /// Version 2: extra data in the header.
    pub(crate) v2: bool,
    /// MariaDB's compressed form.
    pub(crate) compressed: bool,
}

/// A column as a table map gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapColumn {
    /// Type code.
    pub(crate) code: u8,
    /// The type's metadata, two bytes at most, in the order of the wire.
    pub(crate) meta: [u8; 2],
    /// Unsigned, where the server says so.
    pub(crate) unsigned: Option<bool>,
    /// Name, where the server says it (`binlog_row_metadata=FULL`).
    pub(crate) name: Option<String>,
}

/// Which table the rows that follow belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableMap {
    /// Number of the table in this binlog.
    pub(crate) table_id: u64,
    /// Database.
    pub(crate) schema: String,
    /// Table.
    pub(crate) table: String,
    /// Columns in the table's order.
    pub(crate) columns: Vec<MapColumn>,
}

/// The table's number only: enough where the map is known.
pub(crate) fn table_id(body: &[u8]) -> Result<u64, Malformed> {
    Cursor::new(body, "table number").little(6)
}

impl TableMap {
    /// Parses a TABLE_MAP event's body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body, "table map");
        let table_id = cursor.little(6)?;
        cursor.take(2)?;
        let schema = cursor.short_text()?;
        cursor.take(1)?;
        let table = cursor.short_text()?;
        cursor.take(1)?;
        let count = cursor.packed_len()?;
        if count > MAX_COLUMNS {
            return Err(cursor.malformed());
        }
        let codes = cursor.take(count)?;
        let meta_len = cursor.packed_len()?;
        let mut meta = Cursor::new(cursor.take(meta_len)?, "column metadata");
        let mut columns = Vec::with_capacity(count);
        for code in codes {
            let mut bytes = [0; 2];
            for byte in bytes.iter_mut().take(meta_width(*code)) {
                *byte = meta.u8()?;
            }
            columns.push(MapColumn {
                code: *code,
                meta: bytes,
                unsigned: None,
                name: None,
            });
        }
        cursor.take(count.div_ceil(8))?;
        while !cursor.is_empty() {
            let (field, len) = (cursor.u8()?, cursor.packed_len()?);
            optional(field, cursor.take(len)?, &mut columns)?;
        }
        Ok(Self {
            table_id,
            schema,
            table,
            columns,
        })
    }
}

/// Bytes of metadata a type has.
fn meta_width(code: u8) -> usize {
    match code {
        4 | 5 | 17..=19 | 140 | 242 | 245 | 249..=252 | 255 => 1,
        15 | 16 | 141 | 246..=248 | 253 | 254 => 2,
        _ => 0,
    }
}

/// Whether signedness is listed for a type.
fn is_numeric(code: u8) -> bool {
    matches!(code, 1..=5 | 8 | 9 | 246)
}

/// A field of the optional metadata: signedness (1) and column names (4) are read.
fn optional(field: u8, bytes: &[u8], columns: &mut [MapColumn]) -> Result<(), Malformed> {
    match field {
        1 => {
            for (index, column) in columns
                .iter_mut()
                .filter(|c| is_numeric(c.code))
                .enumerate()
            {
                let byte = bytes.get(index / 8).ok_or(Malformed("signedness"))?;
                column.unsigned = Some(byte & (0x80 >> (index % 8)) != 0);
            }
        }
        4 => {
            let mut names = Cursor::new(bytes, "column names");
            for column in columns {
                let len = names.packed_len()?;
                column.name = Some(String::from_utf8_lossy(names.take(len)?).into_owned());
            }
        }
        _ => {}
    }
    Ok(())
}

/// An event of rows before its rows are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    /// How many columns the table has.
    pub(crate) columns: usize,
    /// Which columns the first image has.
    pub(crate) first: &'a [u8],
    /// Which columns the second image of an update has.
    pub(crate) second: &'a [u8],
    /// The images.
    pub(crate) data: &'a [u8],
}

impl<'a> Rows<'a> {
    /// Parses the head of a rows event; `data` of a compressed one is still packed.
    pub(crate) fn parse(body: &'a [u8], format: RowsFormat) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body, "rows head");
        cursor.take(8)?;
        if format.v2 {
            let extra = cursor.little(2)? as usize;
            cursor.take(extra.checked_sub(2).ok_or(cursor.malformed())?)?;
        }
        let columns = cursor.packed_len()?;
        if columns > MAX_COLUMNS {
            return Err(cursor.malformed());
        }
        let first = cursor.take(columns.div_ceil(8))?;
        let second = match format.kind {
            RowsKind::Update => cursor.take(columns.div_ceil(8))?,
            RowsKind::Write | RowsKind::Delete => first,
        };
        Ok(Self {
            columns,
            first,
            second,
            data: cursor.rest(),
        })
    }
}

/// Unpacks MariaDB's compressed part of an event.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut cursor = Cursor::new(packed, "compressed part");
    let head = cursor.u8()?;
    let width = usize::from(head & 0x07);
    if head & 0xf0 != 0x80 || !(1..=4).contains(&width) {
        return Err(cursor.malformed());
    }
    let len = cursor.big(width)?;
    if len > MAX_UNPACKED_BYTES {
        return Err(cursor.malformed());
    }
    let mut unpacked = Vec::new();
    let mut reader = std::io::Read::take(flate2::read::ZlibDecoder::new(cursor.rest()), len + 1);
    std::io::Read::read_to_end(&mut reader, &mut unpacked).map_err(|_| cursor.malformed())?;
    if unpacked.len() as u64 == len {
        Ok(unpacked)
    } else {
        Err(cursor.malformed())
    }
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// The database it ran in.
    pub(crate) schema: String,
    /// Its text.
    pub(crate) text: String,
    /// The session's `sql_mode`, as bits.
    pub(crate) sql_mode: u64,
}

/// Bits of `sql_mode`.
mod mode {
    pub(super) const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;
    pub(super) const STRICT_TRANS_TABLES: u64 = 1 << 21;
    pub(super) const STRICT_ALL_TABLES: u64 = 1 << 22;
}

/// Which form a statement's event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryForm {
    /// As it was sent.
    Plain,
    /// MariaDB's compressed form.
    Compressed,
    /// `LOAD DATA`, with what it says of its file.
    Load,
}

impl Query {
    /// Parses the body of an event with a statement.
    pub(crate) fn parse(body: &[u8], form: QueryForm) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body, "statement");
        cursor.take(8)?;
        let schema_len = usize::from(cursor.u8()?);
        cursor.take(2)?;
        let status_len = cursor.little(2)? as usize;
        if form == QueryForm::Load {
            cursor.take(13)?;
        }
        let sql_mode = sql_mode(cursor.take(status_len)?);
        let schema = String::from_utf8_lossy(cursor.take(schema_len)?).into_owned();
        cursor.take(1)?;
        let text = match form {
            QueryForm::Compressed => String::from_utf8_lossy(&unpack(cursor.rest())?).into_owned(),
            _ => String::from_utf8_lossy(cursor.rest()).into_owned(),
        };
        Ok(Self {
            schema,
            text,
            sql_mode,
        })
    }

    /// Its words.
    pub(super) fn words(&self) -> Vec<Word> {
        let escapes = if self.sql_mode & mode::NO_BACKSLASH_ESCAPES == 0 {
            Escapes::Backslash
        } else {
            Escapes::Doubled
        };
        Words::of(&self.text, escapes).collect()
    }

    /// Whether the server refused values that do not fit.
    pub(crate) fn is_strict(&self) -> bool {
        self.sql_mode & (mode::STRICT_TRANS_TABLES | mode::STRICT_ALL_TABLES) != 0
    }
}

/// The session's mode, which stands before the variables of unknown length; 0 where it is not
/// said.
fn sql_mode(status: &[u8]) -> u64 {
    let mut cursor = Cursor::new(status, "status");
    loop {
        match cursor.u8() {
            Ok(0) if cursor.take(4).is_ok() => {}
            Ok(1) => return cursor.little(8).unwrap_or_default(),
            _ => return 0,
        }
    }
}

/// Parses a ROTATE event's body: the next file and the place in it.
pub(crate) fn rotate(body: &[u8]) -> Result<(String, u64), Malformed> {
    let mut cursor = Cursor::new(body, "rotation");
    let position = cursor.little(8)?;
    Ok((
        String::from_utf8_lossy(cursor.rest()).into_owned(),
        position,
    ))
}

/// A MySQL GTID event's source uuid and number.
pub(crate) fn gtid(body: &[u8]) -> Result<([u8; 16], u64), Malformed> {
    let mut cursor = Cursor::new(body, "gtid");
    cursor.take(1)?;
    let uuid = cursor.array()?;
    Ok((uuid, cursor.little(8)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map_bytes() -> Vec<u8> {
        let mut body = vec![7, 0, 0, 0, 0, 0, 1, 0];
        body.extend(b"\x04shop\0\x05posts\0");
        body.extend([3, 8, 15, 246]); // bigint, varchar, decimal
        body.extend([4, 200, 0, 10, 2]); // varchar(200), decimal(10,2)
        body.push(0b110);
        body.extend([1, 1, 0b1000_0000]); // signedness: the bigint is unsigned
        body.extend([4, 12]);
        body.extend(b"\x02id\x05title\x02$$");
        body
    }

    #[test]
    fn a_table_map_tells_its_columns() {
        let map = TableMap::parse(&map_bytes()).unwrap();
        assert_eq!(
            (map.table_id, map.schema.as_str(), map.table.as_str()),
            (7, "shop", "posts")
        );
        let names: Vec<_> = map
            .columns
            .iter()
            .map(|c| c.name.as_deref().unwrap())
            .collect();
        assert_eq!(names, ["id", "title", "$$"]);
        assert_eq!(map.columns[0].unsigned, Some(true));
        assert_eq!(map.columns[1].meta, [200, 0]);
        assert_eq!(map.columns[2].unsigned, Some(false));
        assert_eq!(table_id(&map_bytes()), Ok(7));
    }

    #[test]
    fn a_statement_tells_its_database_and_mode() {
        let mut body = vec![0; 8];
        body.extend([4, 0, 0, 14, 0]); // database of 4 bytes, 14 bytes of variables
        body.extend([0, 0, 0, 0, 0, 1, 0, 0, 0x30, 0, 0, 0, 0, 0]);
        body.extend(b"shop\0SELECT '\\'");
        let query = Query::parse(&body, QueryForm::Plain).unwrap();
        assert_eq!((query.schema.as_str(), query.sql_mode), ("shop", 0x30_0000));
        assert!(query.is_strict());
        assert_eq!(query.words()[1].text, "\\", "a backslash is itself");
        let mut load = body.clone();
        load.splice(13..13, [b'\''; 13]);
        assert_eq!(Query::parse(&load, QueryForm::Load).unwrap(), query);
    }

    #[test]
    fn a_packed_part_is_unpacked_and_checked() {
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, &[7; 300]).unwrap();
        let body = packer.finish().unwrap();
        let with_head = |len: [u8; 2]| [&[0x82, len[0], len[1]][..], &body].concat();
        assert_eq!(unpack(&with_head([1, 44])).unwrap(), vec![7; 300]);
        assert!(unpack(&with_head([1, 43])).is_err(), "longer than it says");
        assert!(unpack(&with_head([1, 45])).is_err(), "shorter than it says");
        assert!(unpack(&[0x05]).is_err());
    }

    proptest! {
        #[test]
        fn cut_events_are_errors(cut in 0usize..40) {
            let body = map_bytes();
            prop_assume!(cut < body.len());
            // A cut between two optional fields is a whole map: everything else must fail.
            let parsed = TableMap::parse(&body[..cut]);
            prop_assert!(parsed.is_err() || matches!(cut, 31 | 34), "{cut}: {parsed:?}");
        }

        #[test]
        fn noise_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = TableMap::parse(&body);
            for form in [QueryForm::Plain, QueryForm::Compressed, QueryForm::Load] {
                let _ = Query::parse(&body, form);
            }
            let _ = unpack(&body);
            let _ = rotate(&body);
            let _ = gtid(&body);
            for event_type in 0..=255 {
                if let Some(format) = rows_format(event_type) {
                    let _ = Rows::parse(&body, format);
                }
            }
        }
    }
}
