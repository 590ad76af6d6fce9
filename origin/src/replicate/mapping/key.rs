//! Keys: the same text for the same row, whichever connector delivers it.

use std::borrow::Cow;

use compact_str::{CompactString, ToCompactString};
use xxhash_rust::xxh3::xxh3_128;

use super::column::Class;
use super::read::{Fault, id, number, shown, time, truth_of_text};
use super::{BoundTable, Violation};
use crate::ingest::rows::RowKey;
use crate::replicate::value::Value;

/// A key's text for people is cut after this many characters.
const KEY_TEXT_CHARS: usize = 200;

impl BoundTable {
    /// The key of a plan-ordered row; only key columns are looked at.
    ///
    /// # Errors
    ///
    /// A key column is NULL, was not sent or cannot be read.
    pub fn key(&self, row: &[Value<'_>]) -> Result<RowKey, Violation> {
        let bound = &*self.bound;
        if let [column] = bound.key.as_slice() {
            let class = self.row(row).class(*column);
            if let Some(key) = row.get(*column).and_then(|value| int_key(*value, class)) {
                return Ok(RowKey::Int(key));
            }
        }
        let mut bytes = Vec::with_capacity(64);
        for column in &bound.key {
            let class = self.row(row).class(*column);
            let value = row.get(*column).copied().unwrap_or(Value::Unchanged);
            let text = canonical(value, class).map_err(|fault| Violation {
                rule: fault.rule,
                column: bound.columns.get(*column).cloned().unwrap_or_default(),
                reason: format!("the key {}", fault.reason),
            })?;
            // A text is at most 1 GiB at any source, so its length fits.
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        Ok(RowKey::Hash(xxh3_128(&bytes)))
    }

    /// The key for people: `id=7`.
    #[must_use]
    pub fn key_text(&self, row: &[Value<'_>]) -> String {
        let mut out = String::new();
        for column in &self.bound.key {
            let class = self.row(row).class(*column);
            let value = row.get(*column).copied().unwrap_or(Value::Unchanged);
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(self.bound.columns.get(*column).map_or("", String::as_str));
            out.push('=');
            match canonical(value, class) {
                Ok(text) => out.extend(text.chars().take(KEY_TEXT_CHARS)),
                Err(_) => out.push('?'),
            }
        }
        out
    }
}

/// The key that one integer column is.
fn int_key(value: Value<'_>, class: Class) -> Option<i64> {
    match (value, class) {
        (Value::Int(value), Class::Integer | Class::Unknown) => Some(value),
        // Two's complement: an unsigned column has no negative values to clash with.
        (Value::Uint(value), Class::Integer | Class::Unknown) => Some(value as i64),
        (Value::Text(text), Class::Integer) => text
            .parse()
            .ok()
            .or_else(|| text.parse::<u64>().ok().map(|value| value as i64)),
        _ => None,
    }
}

/// The text of a key column.
fn canonical(value: Value<'_>, class: Class) -> Result<Cow<'_, str>, Fault> {
    let owned = |text: CompactString| Cow::Owned(text.into_string());
    Ok(match value {
        Value::Null => {
            return Err(Fault::new(
                "key",
                "is NULL, so the row cannot be told apart; a key needs NOT NULL columns",
            ));
        }
        Value::Unchanged => {
            return Err(Fault::new(
                "unchanged",
                "was not sent; ALTER TABLE … REPLICA IDENTITY DEFAULT with a primary key, or REPLICA IDENTITY FULL",
            ));
        }
        Value::Bool(value) => Cow::Borrowed(if value { "t" } else { "f" }),
        Value::Time(micros) => owned(micros.to_compact_string()),
        Value::Int(value) => match class {
            Class::Bool => Cow::Borrowed(if value == 0 { "f" } else { "t" }),
            Class::Since(unit) => owned(time::of_count(value, unit)?.to_compact_string()),
            _ => owned(value.to_compact_string()),
        },
        Value::Uint(value) => owned(value.to_compact_string()),
        Value::Float(value) => owned(number::finite(value)?.to_compact_string()),
        Value::Bytes(bytes) if class == Class::Bytes => owned(id::hex(bytes)),
        Value::Bytes(bytes) => Cow::Borrowed(super::read::utf8(bytes)?),
        Value::Text(text) => match class {
            Class::Integer => match text.trim().parse::<i128>() {
                Ok(value) => Cow::Owned(value.to_string()),
                Err(_) => {
                    let reason = format!("is {}, which is not a whole number", shown(text));
                    return Err(Fault::new("type", reason));
                }
            },
            Class::Bool => Cow::Borrowed(if truth_of_text(text)? { "t" } else { "f" }),
            Class::Bytes => owned(id::hex_of_text(text)),
            Class::Time | Class::Since(_) => owned(time::parse(text)?.to_compact_string()),
            Class::Float => owned(number::float(text)?.to_compact_string()),
            Class::Decimal => Cow::Borrowed(decimal(text)),
            _ => Cow::Borrowed(text),
        },
    })
}

/// A decimal without the zeros at its end, which sources write or not.
fn decimal(text: &str) -> &str {
    let text = text.trim();
    if text.contains('.') && !text.contains(['e', 'E']) {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}
