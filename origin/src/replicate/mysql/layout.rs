//! Brings a table map and the catalogue together: how each column of a row image is read.

use super::catalog::ColumnInfo;
use super::decode::{Charset, Kind, Slot};
use super::event::{MapColumn, TableMap};

/// Type codes of the binlog.
mod code {
    pub(super) const TINY: u8 = 1;
    pub(super) const SHORT: u8 = 2;
    pub(super) const LONG: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const LONGLONG: u8 = 8;
    pub(super) const INT24: u8 = 9;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const YEAR: u8 = 13;
    pub(super) const NEW_DATE: u8 = 14;
    pub(super) const VARCHAR: u8 = 15;
    pub(super) const BIT: u8 = 16;
    pub(super) const TIMESTAMP2: u8 = 17;
    pub(super) const DATETIME2: u8 = 18;
    pub(super) const TIME2: u8 = 19;
    pub(super) const BLOB_COMPRESSED: u8 = 140;
    pub(super) const VARCHAR_COMPRESSED: u8 = 141;
    pub(super) const VECTOR: u8 = 242;
    pub(super) const JSON: u8 = 245;
    pub(super) const NEW_DECIMAL: u8 = 246;
    pub(super) const ENUM: u8 = 247;
    pub(super) const SET: u8 = 248;
    pub(super) const TINY_BLOB: u8 = 249;
    pub(super) const BLOB: u8 = 252;
    pub(super) const VAR_STRING: u8 = 253;
    pub(super) const STRING: u8 = 254;
    pub(super) const GEOMETRY: u8 = 255;
}

/// A table map does not fit the columns that are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch(pub(crate) String);

/// Names the columns of a map: by the names it carries, else by their order in the catalogue,
/// which must then have the same number of columns of the same types.
pub(crate) fn columns(map: &TableMap, known: &[ColumnInfo]) -> Result<Vec<ColumnInfo>, Mismatch> {
    let named = map.columns.iter().all(|column| column.name.is_some());
    if !named && map.columns.len() != known.len() {
        return Err(Mismatch(format!(
            "its events have {} columns, the catalogue has {}",
            map.columns.len(),
            known.len()
        )));
    }
    map.columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let info = match &column.name {
                Some(name) => known.iter().find(|info| info.name == *name),
                None => known.get(index),
            };
            match (info, &column.name) {
                (Some(info), _) => fits(column, info)
                    .then(|| info.clone())
                    .ok_or_else(|| not_that_type(info)),
                // A column that the catalogue does not have any more: nobody reads it.
                (None, Some(name)) => Ok(ColumnInfo::gone(name)),
                (None, None) => Err(Mismatch("its columns are not known".to_owned())),
            }
        })
        .collect()
}

/// Columns that may be new for [`between`] to try: 924 ways at most.
const MAX_NEW_COLUMNS: usize = 12;

/// The columns of a map that lies between what was known and what the catalogue says now, where
/// columns were only added meanwhile: those that were known and some of the new ones. `None`
/// where that is not so, or a known column could stand at more than one place.
pub(crate) fn between(
    map: &TableMap,
    known: &[ColumnInfo],
    now: &[ColumnInfo],
) -> Option<Vec<ColumnInfo>> {
    let is_known = |column: &ColumnInfo| known.iter().any(|old| old.name == column.name);
    let kept: Vec<&str> = now
        .iter()
        .filter(|c| is_known(c))
        .map(|c| c.name.as_str())
        .collect();
    let in_order = kept.iter().eq(known.iter().map(|column| &column.name));
    let new: Vec<usize> = (0..now.len())
        .filter(|index| now.get(*index).is_some_and(|column| !is_known(column)))
        .collect();
    let missing = map.columns.len().checked_sub(known.len())?;
    if !in_order || new.len() > MAX_NEW_COLUMNS || missing > new.len() {
        return None;
    }
    let mut found: Option<Vec<ColumnInfo>> = None;
    for chosen in 0_u32..1 << new.len() {
        if chosen.count_ones() as usize != missing {
            continue;
        }
        let is_there = |index: &usize| {
            let place = new.iter().position(|new| new == index);
            place.is_none_or(|place| chosen >> place & 1 == 1)
        };
        let columns = (0..now.len())
            .filter(is_there)
            .filter_map(|index| now.get(index));
        let columns: Vec<ColumnInfo> = columns.cloned().collect();
        if !map
            .columns
            .iter()
            .zip(&columns)
            .all(|(column, info)| fits(column, info))
        {
            continue;
        }
        let place = |of: &[ColumnInfo], name: &str| of.iter().position(|c| c.name == name);
        let same = |other: &Vec<ColumnInfo>| {
            known
                .iter()
                .all(|old| place(other, &old.name) == place(&columns, &old.name))
        };
        match &found {
            Some(other) if !same(other) => return None,
            Some(_) => {}
            None => found = Some(columns),
        }
    }
    found
}

fn not_that_type(info: &ColumnInfo) -> Mismatch {
    Mismatch(format!(
        "column {} is {} in the catalogue but had another type when the event was written",
        info.name, info.column_type
    ))
}

/// Whether the events' type can be that of the catalogue.
fn fits(column: &MapColumn, info: &ColumnInfo) -> bool {
    let (real, octets) = real_type(column);
    let same_len = |len: u64| info.octets.is_none_or(|known| known == len);
    match info.data_type.as_str() {
        "tinyint" => real == code::TINY,
        "smallint" => real == code::SHORT,
        "mediumint" => real == code::INT24,
        "int" => real == code::LONG,
        "bigint" => real == code::LONGLONG,
        "float" => real == code::FLOAT,
        "double" => real == code::DOUBLE,
        "decimal" => {
            let meta = column.meta.map(u64::from);
            real == code::NEW_DECIMAL
                && info.precision.is_none_or(|precision| precision == meta[0])
                && info.scale.is_none_or(|scale| scale == meta[1])
        }
        "date" => matches!(real, code::DATE | code::NEW_DATE),
        "datetime" => matches!(real, code::DATETIME | code::DATETIME2),
        "timestamp" => matches!(real, code::TIMESTAMP | code::TIMESTAMP2),
        "time" => matches!(real, code::TIME | code::TIME2),
        "year" => real == code::YEAR,
        "bit" => real == code::BIT,
        "varchar" | "varbinary" => match real {
            code::VARCHAR | code::VAR_STRING => same_len(octets),
            real => real == code::VARCHAR_COMPRESSED,
        },
        "char" | "binary" => real == code::STRING && same_len(octets),
        "enum" => real == code::ENUM,
        "set" => real == code::SET,
        "json" => matches!(real, code::JSON | code::BLOB),
        text if text.ends_with("text") || text.ends_with("blob") => {
            matches!(real, code::TINY_BLOB..=code::BLOB | code::BLOB_COMPRESSED)
        }
        // Types of their own (geometry, uuid, inet6): nobody reads them.
        _ => true,
    }
}

/// A STRING column may hide an ENUM or a SET, and its length is spread over its metadata.
fn real_type(column: &MapColumn) -> (u8, u64) {
    let [first, second] = column.meta;
    match column.code {
        code::STRING if first & 0x30 != 0x30 => (
            first | 0x30,
            u64::from(second) | u64::from((first & 0x30) ^ 0x30) << 4,
        ),
        code::STRING => (first, u64::from(second)),
        other => (other, u64::from(u16::from_le_bytes(column.meta))),
    }
}

/// How a column is read.
pub(crate) fn slot(column: &MapColumn, info: &ColumnInfo, wanted: bool) -> Result<Slot, Mismatch> {
    let (real, octets) = real_type(column);
    let [first, second] = column.meta;
    let int = |bytes| Kind::Int {
        bytes,
        unsigned: column.unsigned.unwrap_or(info.is_unsigned()),
    };
    let kind = match real {
        code::TINY => int(1),
        code::SHORT => int(2),
        code::INT24 => int(3),
        code::LONG => int(4),
        code::LONGLONG => int(8),
        code::FLOAT => Kind::Float,
        code::DOUBLE => Kind::Double,
        code::NEW_DECIMAL => Kind::Decimal {
            precision: first.into(),
            scale: second.into(),
        },
        code::YEAR => Kind::Year,
        code::DATE | code::NEW_DATE => Kind::Date,
        code::TIME => Kind::OldTime,
        code::TIME2 => Kind::Time { digits: first },
        code::DATETIME => Kind::OldDatetime,
        code::DATETIME2 => Kind::Datetime { digits: first },
        code::TIMESTAMP => Kind::OldTimestamp,
        code::TIMESTAMP2 => Kind::Timestamp { digits: first },
        code::BIT => Kind::Bit {
            bytes: (usize::from(second) + usize::from(first > 0)).min(8),
        },
        code::ENUM => Kind::Enum {
            bytes: width(second, 2)?,
            labels: info.labels().into(),
        },
        code::SET => Kind::Set {
            bytes: width(second, 8)?,
            labels: info.labels().into(),
        },
        code::VARCHAR | code::VAR_STRING | code::STRING => {
            characters(if octets < 256 { 1 } else { 2 }, info, octets)
        }
        code::VARCHAR_COMPRESSED => Kind::Bytes {
            prefix: if octets < 256 { 1 } else { 2 },
            pad: 0,
        },
        code::TINY_BLOB..=code::BLOB => characters(width(first, 4)?, info, 0),
        code::BLOB_COMPRESSED | code::GEOMETRY | code::VECTOR => Kind::Bytes {
            prefix: width(first, 4)?,
            pad: 0,
        },
        code::JSON => Kind::Json {
            prefix: width(first, 4)?,
        },
        other => return Err(Mismatch(format!("column {} has type {other}", info.name))),
    };
    Ok(Slot { kind, wanted })
}

fn width(bytes: u8, most: u8) -> Result<usize, Mismatch> {
    if (1..=most).contains(&bytes) {
        Ok(bytes.into())
    } else {
        Err(Mismatch(format!("a column has lengths of {bytes} bytes")))
    }
}

fn characters(prefix: usize, info: &ColumnInfo, octets: u64) -> Kind {
    match info.charset.as_deref() {
        // Trailing zeros of BINARY(n) are not sent.
        None if info.data_type == "binary" => Kind::Bytes {
            prefix,
            pad: octets as usize,
        },
        None => Kind::Bytes { prefix, pad: 0 },
        Some(charset) => Kind::Text {
            prefix,
            charset: charset_of(charset),
        },
    }
}

/// How a character set is read.
pub(crate) fn charset_of(name: &str) -> Charset {
    match name {
        "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Charset::Utf8,
        "latin1" => Charset::Latin1,
        _ => Charset::Other,
    }
}

/// Why a column of this type cannot be read from the binlog; `None` where it can.
pub(crate) fn unreadable(info: &ColumnInfo) -> Option<String> {
    let column_type = info.column_type.to_ascii_lowercase();
    if column_type.contains("compressed") {
        return Some("is COMPRESSED, which is not read".to_owned());
    }
    if let Some(charset) = &info.charset
        && charset_of(charset) == Charset::Other
    {
        return Some(format!("has character set {charset}, which is not read"));
    }
    let known = [
        "tinyint",
        "smallint",
        "mediumint",
        "int",
        "bigint",
        "float",
        "double",
        "decimal",
        "date",
        "datetime",
        "timestamp",
        "time",
        "year",
        "bit",
        "char",
        "varchar",
        "binary",
        "varbinary",
        "enum",
        "set",
        "json",
    ];
    let name = info.data_type.as_str();
    let readable = known.contains(&name) || name.ends_with("text") || name.ends_with("blob");
    (!readable).then(|| format!("has type {name}, which is not read"))
}

impl ColumnInfo {
    /// A column that only events of the past have.
    pub(super) fn gone(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            data_type: String::new(),
            column_type: String::new(),
            nullable: true,
            charset: None,
            octets: None,
            precision: None,
            scale: None,
            is_key: false,
            is_stale: false,
        }
    }

    /// A column that only a statement has told of yet.
    pub(super) fn new_by_statement(name: &str) -> Self {
        Self {
            is_stale: true,
            ..Self::gone(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, data_type: &str) -> ColumnInfo {
        ColumnInfo {
            data_type: data_type.to_owned(),
            column_type: data_type.to_owned(),
            ..ColumnInfo::gone(name)
        }
    }

    /// A map without names, of these types.
    fn map(codes: &[u8]) -> TableMap {
        let column = |code: &u8| MapColumn {
            code: *code,
            meta: [0; 2],
            unsigned: None,
            name: None,
        };
        TableMap {
            table_id: 1,
            schema: "shop".to_owned(),
            table: "likes".to_owned(),
            columns: codes.iter().map(column).collect(),
        }
    }

    const BIGINT: u8 = code::LONGLONG;
    const INT: u8 = code::LONG;
    const TEXT: u8 = code::BLOB;

    #[test]
    fn a_map_without_names_must_fit_the_catalogue_column_by_column() {
        let known = [info("id", "bigint"), info("kind", "int")];
        assert!(columns(&map(&[BIGINT, INT]), &known).is_ok());
        let other = columns(&map(&[INT, BIGINT]), &known).unwrap_err();
        assert!(other.0.contains("column id is bigint"), "{}", other.0);
        let more = columns(&map(&[BIGINT, INT, TEXT]), &known).unwrap_err();
        assert!(more.0.contains("have 3 columns"), "{}", more.0);
    }

    #[test]
    fn a_map_with_names_needs_no_order() {
        let known = [info("id", "bigint"), info("kind", "int")];
        let mut named = map(&[INT, TEXT, BIGINT]);
        for (column, name) in named.columns.iter_mut().zip(["kind", "gone", "id"]) {
            column.name = Some(name.to_owned());
        }
        let columns = columns(&named, &known).unwrap();
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["kind", "gone", "id"]);
    }

    #[track_caller]
    fn check_between(codes: &[u8], now: &[(&str, &str)], expected: Option<&[&str]>) {
        let known = [info("id", "bigint"), info("user", "bigint")];
        let now: Vec<_> = now.iter().map(|(name, of)| info(name, of)).collect();
        let found = between(&map(codes), &known, &now);
        let names = found.map(|found| found.iter().map(|c| c.name.clone()).collect::<Vec<_>>());
        let expected = expected.map(|names| names.iter().map(ToString::to_string).collect());
        assert_eq!(names, expected);
    }

    #[test]
    fn columns_that_were_added_one_after_the_other_are_told_apart() {
        let now = [
            ("first", "int"),
            ("id", "bigint"),
            ("user", "bigint"),
            ("note", "text"),
        ];
        check_between(&[BIGINT, BIGINT, TEXT], &now, Some(&["id", "user", "note"]));
        check_between(&[INT, BIGINT, BIGINT], &now, Some(&["first", "id", "user"]));
        // Which of the two new ones it is does not matter to those that were known.
        let now = [
            ("id", "bigint"),
            ("user", "bigint"),
            ("a", "int"),
            ("b", "int"),
        ];
        check_between(&[BIGINT, BIGINT, INT], &now, Some(&["id", "user", "a"]));
    }

    #[test]
    fn what_could_be_two_columns_is_none() {
        let now = [
            ("first", "bigint"),
            ("id", "bigint"),
            ("user", "bigint"),
            ("x", "bigint"),
        ];
        check_between(&[BIGINT, BIGINT, BIGINT], &now, None);
        // One was dropped, or moved.
        check_between(
            &[BIGINT, BIGINT],
            &[("id", "bigint"), ("a", "bigint")],
            None,
        );
        let moved = [("user", "bigint"), ("id", "bigint"), ("a", "int")];
        check_between(&[BIGINT, BIGINT], &moved, None);
    }
}
