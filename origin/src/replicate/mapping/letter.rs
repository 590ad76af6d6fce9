//! A row's columns as JSON in a dead letter, and back.
//!
//! NULL, truth values, numbers and text are JSON's own; what JSON cannot tell apart is an
//! object: `{"bytes": "00ff"}`, `{"time": 1700000000000000}` (Unix µs), `{"float": "NaN"}` and
//! `{"unchanged": true}`.

use serde_json::{Map, Number, Value as Json, json};

use super::read::id::hex;
use super::{BoundTable, MappingError};
use crate::replicate::value::{OwnedValue, Value};

/// Longest JSON of a dead letter's columns, bytes.
pub const LETTER_BYTES_MAX: usize = 16 * 1024;
/// What a text that was cut ends with.
const CUT: &str = "… (cut)";
/// Texts are cut to this where the whole is too long, bytes.
const CUT_BYTES: usize = 128;

/// The row's columns as JSON; cut, and then of no use to replay, where they are too long.
pub(super) fn columns_json(bound: &BoundTable, row: &[Value<'_>]) -> String {
    let size: usize = row.iter().map(|value| size(*value)).sum();
    if size <= LETTER_BYTES_MAX {
        let whole = object(bound, row, usize::MAX);
        if whole.len() <= LETTER_BYTES_MAX {
            return whole;
        }
    }
    let mut limit = CUT_BYTES;
    loop {
        let cut = object(bound, row, limit);
        if cut.len() <= LETTER_BYTES_MAX {
            return cut;
        }
        if limit == 0 {
            return json!({ "cut": CUT }).to_string();
        }
        limit /= 2;
    }
}

fn size(value: Value<'_>) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 8,
    }
}

fn object(bound: &BoundTable, row: &[Value<'_>], limit: usize) -> String {
    let columns = bound.columns().iter().zip(row);
    let object: Map<String, Json> = columns
        .map(|(column, value)| (column.clone(), encode(*value, limit)))
        .collect();
    Json::Object(object).to_string()
}

fn encode(value: Value<'_>, limit: usize) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Unchanged => json!({ "unchanged": true }),
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        // A number that is positive is read back as signed.
        Value::Uint(value) => json!(value),
        Value::Float(value) => match Number::from_f64(value) {
            Some(value) => Json::Number(value),
            None => json!({ "float": value.to_string() }),
        },
        Value::Text(text) if text.len() > limit => {
            let end = text.floor_char_boundary(limit);
            json!(format!("{}{CUT}", text.get(..end).unwrap_or("")))
        }
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) if bytes.len() > limit => json!(CUT),
        Value::Bytes(bytes) => json!({ "bytes": hex(bytes).as_str() }),
        Value::Time(micros) => json!({ "time": micros }),
    }
}

/// The plan-ordered row of a dead letter's `columns`, for replay. A column that the letter does
/// not have is NULL.
///
/// # Errors
///
/// The letter was cut, or is not what [`deliver`](super::deliver()) wrote.
pub fn row_of_letter(bound: &BoundTable, columns: &str) -> Result<Vec<OwnedValue>, MappingError> {
    let refused = |reason: String| MappingError::Letter {
        table: bound.plan().name().to_owned(),
        reason,
    };
    let object: Map<String, Json> = serde_json::from_str(columns)
        .map_err(|error| refused(format!("its columns are not a JSON object ({error})")))?;
    let is_cut = |value: &Json| value.as_str().is_some_and(|text| text.ends_with(CUT));
    if object.values().any(is_cut) {
        let remedy = "touch the row at the source instead (UPDATE … SET … = itself)";
        return Err(refused(format!(
            "its columns were too long to keep; {remedy}"
        )));
    }
    let names = bound.columns().iter();
    names
        .map(|name| match object.get(name) {
            None => Ok(OwnedValue::Null),
            Some(value) => decode(value)
                .ok_or_else(|| refused(format!("column {name} is not a value that was written"))),
        })
        .collect()
}

fn decode(value: &Json) -> Option<OwnedValue> {
    Some(match value {
        Json::Null => OwnedValue::Null,
        Json::Bool(value) => OwnedValue::Bool(*value),
        Json::String(text) => OwnedValue::Text(text.clone()),
        Json::Number(value) => match (value.as_i64(), value.as_u64(), value.as_f64()) {
            (Some(value), _, _) => OwnedValue::Int(value),
            (_, Some(value), _) => OwnedValue::Uint(value),
            (_, _, Some(value)) => OwnedValue::Float(value),
            _ => return None,
        },
        Json::Array(_) => return None,
        Json::Object(object) => {
            let (kind, value) = object.iter().next()?;
            match kind.as_str() {
                "unchanged" => OwnedValue::Unchanged,
                "time" => OwnedValue::Time(value.as_i64()?),
                "float" => OwnedValue::Float(value.as_str()?.parse().ok()?),
                "bytes" => OwnedValue::Bytes(unhex(value.as_str()?)?),
                _ => return None,
            }
        }
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect()
}
