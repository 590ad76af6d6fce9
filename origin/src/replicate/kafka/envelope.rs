//! Messages about rows: Debezium's envelope, with and without its schema, and flattened rows.
//!
//! Pure: bytes in, a [`Change`] or a named error out; never panics (see [`fuzz`]).

mod cell;
mod schema;
#[cfg(test)]
mod tests;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(super) use cell::Cell;
pub(super) use schema::Schemas;
use schema::{Kinds, kind_of};

/// Member of a flattened row that says whether the row was deleted.
const DELETED: &str = "__deleted";
/// Members of a flattened row that hold the source's commit time, Unix ms.
const FLAT_TIMES: [&str; 2] = ["__source_ts_ms", "__ts_ms"];
/// Columns of a message's key at most; PostgreSQL's limit is 32, MySQL's 16.
const KEY_COLUMNS_MAX: usize = 64;

/// Why a message is not a change of a row; it becomes a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Its bytes are not UTF-8.
    #[error("the message is not UTF-8 text; the connector must write JSON (JsonConverter)")]
    NotText,
    /// It is no JSON.
    #[error("the message is not JSON: {0}")]
    NotJson(String),
    /// It is JSON of another shape.
    #[error(
        "the message is not a Debezium envelope ({0}); for rows without an envelope set format = \"flat\", for events format = \"edgewise\""
    )]
    NotEnvelope(&'static str),
    /// It is JSON, but no object.
    #[error("the message is not a JSON object")]
    NotRow,
    /// An operation that is not known.
    #[error("the operation {0:?} is not one of c, r, u, d, t, m")]
    Operation(String),
    /// The schema cannot be read.
    #[error("the message's schema cannot be read: {0}")]
    Schema(String),
    /// A value does not fit its schema.
    #[error("column {column}: {reason}")]
    Value {
        /// The column.
        column: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Values of the wanted columns, in their order; `None` where the message has no such member.
pub(super) type Row<'a> = Vec<Option<Cell<'a>>>;

/// What a message says about its row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Op<'a> {
    /// The row is so now; `before` where the source says how it was.
    Put {
        /// How it is.
        row: Row<'a>,
        /// How it was.
        before: Option<Row<'a>>,
    },
    /// The row is gone; `before` holds at least its key, where the message has it.
    Delete {
        /// How it was.
        before: Option<Row<'a>>,
    },
    /// Every row is gone.
    Truncate,
    /// Nothing about rows.
    Nothing,
}

/// A message, read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change<'a> {
    /// What happened.
    pub(super) op: Op<'a>,
    /// When the source committed it, Unix ms, where the message says so.
    pub(super) source_ms: Option<i64>,
}

/// Reads a message of Debezium's envelope. No value is a tombstone: the row is gone.
///
/// # Errors
/// Where it is none.
pub(super) fn debezium<'a>(
    value: Option<&'a [u8]>,
    columns: &[String],
    schemas: &mut Schemas,
) -> Result<Change<'a>, EnvelopeError> {
    let Some(value) = value else {
        return Ok(tombstone());
    };
    let mut top = Top::read(text_of(value)?)?;
    let kinds = schemas.kinds(top.schema, columns)?;
    match top.wrapped() {
        Some("null") => return Ok(tombstone()),
        Some(payload) => top = Top::read(payload)?,
        None => {}
    }
    let Some(op) = top.op else {
        return Err(EnvelopeError::NotEnvelope("it has no op"));
    };
    let op = cell::text(op.get()).ok_or(EnvelopeError::NotEnvelope("its op is no text"))?;
    let committed_ms = top.source.and_then(commit_ms);
    let source_ms = committed_ms.or_else(|| top.ts_ms?.get().parse().ok());
    let row = |raw: Option<&'a RawValue>| row_of(raw, columns, &kinds);
    let op = match &*op {
        "c" | "r" | "u" => {
            let after = row(top.after)?.ok_or(EnvelopeError::NotEnvelope("it has no after"))?;
            let before = row(top.before)?;
            Op::Put {
                row: filled(after, before.as_ref()),
                before,
            }
        }
        "d" => Op::Delete {
            before: row(top.before)?,
        },
        "t" => Op::Truncate,
        "m" => Op::Nothing,
        other => return Err(EnvelopeError::Operation(other.chars().take(16).collect())),
    };
    Ok(Change { op, source_ms })
}

/// Reads a message that is a row (Debezium's `ExtractNewRecordState`, or any producer of
/// rows). `__deleted` or no value means that it is gone.
///
/// # Errors
/// Where it is no row.
pub(super) fn flat<'a>(
    value: Option<&'a [u8]>,
    columns: &[String],
    schemas: &mut Schemas,
) -> Result<Change<'a>, EnvelopeError> {
    let Some(value) = value else {
        return Ok(tombstone());
    };
    let text = text_of(value)?;
    let top = Top::read(text)?;
    let kinds = schemas.kinds(top.schema, columns)?;
    let text = match top.wrapped() {
        Some("null") => return Ok(tombstone()),
        Some(payload) => payload,
        None => text,
    };
    let mut extra = Extra::default();
    let row = read_row(text, columns, &kinds, &mut extra)?;
    let op = if extra.deleted {
        Op::Delete { before: Some(row) }
    } else {
        Op::Put { row, before: None }
    };
    Ok(Change {
        op,
        source_ms: extra.source_ms,
    })
}

/// Reads a message's key: the row's key columns by name. `None` where it has no key, or one
/// that is no object.
pub(super) fn key<'a>(
    key: Option<&'a [u8]>,
    columns: &[String],
    schemas: &mut Schemas,
) -> Option<Row<'a>> {
    let text = text_of(key?).ok()?;
    let top = Top::read(text).ok()?;
    let kinds = schemas.kinds(top.schema, columns).ok()?;
    let text = top.wrapped().unwrap_or(text);
    read_row(text, columns, &kinds, &mut Extra::default()).ok()
}

/// The names of a message key's columns, in order; empty where it names none.
pub(super) fn key_names(key: Option<&[u8]>) -> Vec<String> {
    let Some(text) = key.and_then(|key| text_of(key).ok()) else {
        return Vec::new();
    };
    let Ok(top) = Top::read(text) else {
        return Vec::new();
    };
    let names = serde_json::from_str(top.wrapped().unwrap_or(text));
    names
        .map(|Names(names)| names)
        .ok()
        .filter(|names| names.len() <= KEY_COLUMNS_MAX)
        .unwrap_or_default()
}

/// Calls every reader with any bytes, for the fuzz target: nothing may panic.
pub fn fuzz(data: &[u8]) {
    let columns = ["id", "author", "created_at", "deleted"].map(String::from);
    let mut schemas = Schemas::default();
    // A message of two parts, as a broker delivers it: key and value.
    let split = data.iter().position(|&byte| byte == 0);
    let (first, second) = split.map_or((data, data), |at| data.split_at(at));
    for bytes in [data, first, second.get(1..).unwrap_or_default()] {
        for _ in 0..2 {
            let once = debezium(Some(bytes), &columns, &mut schemas);
            assert_eq!(
                once,
                debezium(Some(bytes), &columns, &mut Schemas::default())
            );
            let _ = flat(Some(bytes), &columns, &mut schemas);
            let _ = key(Some(bytes), &columns, &mut schemas);
            let _ = key_names(Some(bytes));
        }
    }
}

fn tombstone<'a>() -> Change<'a> {
    Change {
        op: Op::Delete { before: None },
        source_ms: None,
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, EnvelopeError> {
    std::str::from_utf8(bytes).map_err(|_| EnvelopeError::NotText)
}

fn not_json(error: &serde_json::Error) -> EnvelopeError {
    if error.is_data() {
        EnvelopeError::NotRow
    } else {
        EnvelopeError::NotJson(error.to_string())
    }
}

fn row_of<'a>(
    raw: Option<&'a RawValue>,
    columns: &[String],
    kinds: &Kinds,
) -> Result<Option<Row<'a>>, EnvelopeError> {
    match raw.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(text) => read_row(text, columns, kinds, &mut Extra::default()).map(Some),
    }
}

/// What was not sent since it did not change is as it was before, where the message says how. A
/// NULL there says nothing: it may stand for a column that is not of the replica identity.
fn filled<'a>(mut row: Row<'a>, before: Option<&Row<'a>>) -> Row<'a> {
    for (cell, was) in row.iter_mut().zip(before.into_iter().flatten()) {
        let is_known = !matches!(was, None | Some(Cell::Null | Cell::Unchanged));
        if *cell == Some(Cell::Unchanged) && is_known {
            cell.clone_from(was);
        }
    }
    row
}

/// What a flattened row says beside its columns.
#[derive(Default)]
struct Extra {
    deleted: bool,
    source_ms: Option<i64>,
}

fn read_row<'a>(
    text: &'a str,
    columns: &[String],
    kinds: &Kinds,
    extra: &mut Extra,
) -> Result<Row<'a>, EnvelopeError> {
    let mut raw = vec![None; columns.len()];
    let seed = RowSeed {
        columns,
        cells: &mut raw,
        extra,
    };
    let mut input = serde_json::Deserializer::from_str(text);
    seed.deserialize(&mut input)
        .and_then(|()| input.end())
        .map_err(|error| not_json(&error))?;
    let cells = raw.into_iter().enumerate().map(|(at, raw)| {
        let Some(raw) = raw else { return Ok(None) };
        let cell = Cell::read(raw, kind_of(kinds, at));
        cell.map(Some).map_err(|reason| EnvelopeError::Value {
            column: columns.get(at).cloned().unwrap_or_default(),
            reason,
        })
    });
    cells.collect()
}

/// The raw values of the wanted columns; of one that is there twice, the last.
struct RowSeed<'c, 'r, 'a> {
    columns: &'c [String],
    cells: &'r mut [Option<&'a RawValue>],
    extra: &'r mut Extra,
}

impl<'a> DeserializeSeed<'a> for RowSeed<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for RowSeed<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a row")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key_seed(MemberSeed(self.columns))? {
            match member {
                Member::Column(at) => {
                    let raw = map.next_value::<&'a RawValue>()?;
                    if let Some(cell) = self.cells.get_mut(at) {
                        *cell = Some(raw);
                    }
                }
                Member::Deleted => {
                    let raw = map.next_value::<&RawValue>()?.get();
                    self.extra.deleted = matches!(raw, "true" | "\"true\"");
                }
                Member::Time => {
                    let raw = map.next_value::<&RawValue>()?.get();
                    self.extra.source_ms = raw.parse().ok().or(self.extra.source_ms);
                }
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

enum Member {
    Column(usize),
    Deleted,
    Time,
    Other,
}

/// Which member a name is, without keeping the name.
struct MemberSeed<'c>(&'c [String]);

impl<'a> DeserializeSeed<'a> for MemberSeed<'_> {
    type Value = Member;

    fn deserialize<D: Deserializer<'a>>(self, input: D) -> Result<Member, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberSeed<'_> {
    type Value = Member;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a column's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Member, E> {
        let column = self.0.iter().position(|column| column == name);
        Ok(match column {
            Some(at) => Member::Column(at),
            None if name == DELETED => Member::Deleted,
            None if FLAT_TIMES.contains(&name) => Member::Time,
            None => Member::Other,
        })
    }
}

/// The members of an envelope, unread.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Top<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    op: Option<&'a RawValue>,
    #[serde(borrow)]
    ts_ms: Option<&'a RawValue>,
}

impl<'a> Top<'a> {
    fn read(text: &'a str) -> Result<Self, EnvelopeError> {
        // Derived readers also take arrays.
        if !text.trim_ascii_start().starts_with('{') {
            return match serde_json::from_str::<IgnoredAny>(text) {
                Ok(_) => Err(EnvelopeError::NotRow),
                Err(error) => Err(EnvelopeError::NotJson(error.to_string())),
            };
        }
        serde_json::from_str(text).map_err(|error| EnvelopeError::NotJson(error.to_string()))
    }

    /// The inner text where the message is `{"schema": …, "payload": …}`.
    fn wrapped(&self) -> Option<&'a str> {
        match (self.schema, self.payload) {
            (Some(schema), payload) if schema.get().starts_with('{') => {
                Some(payload.map_or("null", RawValue::get))
            }
            (None, Some(payload)) if payload.get().starts_with('{') && self.op.is_none() => {
                Some(payload.get())
            }
            _ => None,
        }
    }
}

/// The commit time in an envelope's `source` block, Unix ms.
fn commit_ms(source: &RawValue) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Source {
        ts_ms: Option<i64>,
    }
    serde_json::from_str::<Source>(source.get()).ok()?.ts_ms
}

/// The names of an object's members, in order.
struct Names(Vec<String>);

impl<'a> serde::Deserialize<'a> for Names {
    fn deserialize<D: Deserializer<'a>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'a> Visitor<'a> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a key of columns")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
            // Beyond the limit it is counted, not kept.
            if names.len() <= KEY_COLUMNS_MAX {
                names.push(name);
            }
        }
        Ok(Names(names))
    }
}
