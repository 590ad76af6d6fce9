//! Ids: 1 to 64 bytes without control characters.

use compact_str::{CompactString, ToCompactString};
use edgewise_wire::ids::check_id;
use edgewise_wire::limits::ID_BYTES_MAX;

use super::{Fault, number, shown};
use crate::ingest::rows::Id;
use crate::replicate::mapping::column::Class;
use crate::replicate::value::Value;

/// The id that a value is; `None` where it is NULL.
pub(crate) fn id(value: Value<'_>, class: Class) -> Result<Option<Id>, Fault> {
    let id = match value {
        Value::Null | Value::Unchanged => return Ok(None),
        Value::Text(text) if class == Class::Bytes => hex_of_text(text),
        Value::Text(text) => return checked(text).map(|text| Some(CompactString::from(text))),
        Value::Int(value) => value.to_compact_string(),
        Value::Uint(value) => value.to_compact_string(),
        Value::Float(value) => match number::whole(value) {
            Some(value) => value.to_compact_string(),
            None => return Err(refused(&format!("is {value}, a number with decimals"))),
        },
        Value::Bytes(bytes) if class == Class::Bytes => hex(bytes),
        Value::Bytes(bytes) => CompactString::from(super::utf8(bytes)?),
        Value::Bool(_) => return Err(refused("is a truth value")),
        Value::Time(_) => return Err(refused("is a time")),
    };
    checked(&id)?;
    Ok(Some(id))
}

fn checked(text: &str) -> Result<&str, Fault> {
    // Printable ASCII is by far the most, and checked in a few nanoseconds.
    let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if plain && !text.is_empty() && text.len() <= ID_BYTES_MAX {
        return Ok(text);
    }
    match check_id(text) {
        Ok(()) => Ok(text),
        Err(error) => Err(Fault::new(
            "id",
            format!(
                "is {}, which {error}; an id has 1 to {ID_BYTES_MAX} bytes without control \
                 characters: map a shorter column",
                shown(text)
            ),
        )),
    }
}

fn refused(found: &str) -> Fault {
    Fault::new(
        "id",
        format!("{found}, but must be an id: map a column of whole numbers or text"),
    )
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> CompactString {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// A binary value as text: PostgreSQL writes `\x` and digits.
pub(crate) fn hex_of_text(text: &str) -> CompactString {
    match text.strip_prefix("\\x") {
        Some(digits) => digits.to_ascii_lowercase().into(),
        None => hex(text.as_bytes()),
    }
}
