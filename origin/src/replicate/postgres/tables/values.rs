//! Columns of the server as values that a mapping reads.

use super::super::decode::Datum;
use crate::replicate::value::Value;

/// A column's value as the mapping reads it; text that is not UTF-8 (a database in SQL_ASCII)
/// stays bytes.
#[must_use]
pub(super) fn value_of(datum: Datum<'_>) -> Value<'_> {
    match datum {
        Datum::Null => Value::Null,
        Datum::Unchanged => Value::Unchanged,
        Datum::Text(bytes) => text_value(bytes),
        Datum::Binary(bytes) => Value::Bytes(bytes),
    }
}

/// Whether the type is `char(n)`: its values are filled up with blanks that mean nothing, and that
/// SQL drops in comparisons and casts.
#[must_use]
pub fn is_padded(type_name: &str) -> bool {
    type_name == "bpchar"
}

/// A value without the blanks that fill it up.
#[must_use]
pub fn unpadded(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Text(text) => Value::Text(text.trim_end_matches(' ')),
        value => value,
    }
}

/// Text in a server's encoding.
#[must_use]
pub fn text_value(bytes: &[u8]) -> Value<'_> {
    std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text)
}
