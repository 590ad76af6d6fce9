//! What a value says: text of a database's types as numbers, times, ids and lists.

pub(crate) mod decimal;
pub(crate) mod id;
pub(crate) mod list;
pub(crate) mod number;
pub(crate) mod time;

use std::borrow::Cow;

use decimal::Decimal;

use super::column::Class;
use crate::replicate::value::Value;

/// Why a value cannot be what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Which rule.
    pub(crate) rule: &'static str,
    /// The plan's column, where the fault is of one.
    pub(crate) column: Option<usize>,
    /// What is wrong, a sentence after "it" or the column's name.
    pub(crate) reason: String,
}

impl Fault {
    #[cold]
    pub(crate) fn new(rule: &'static str, reason: impl Into<String>) -> Self {
        Self {
            rule,
            column: None,
            reason: reason.into(),
        }
    }

    #[cold]
    pub(crate) fn at(mut self, column: usize) -> Self {
        self.column.get_or_insert(column);
        self
    }
}

/// A value in an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Datum<'a> {
    Null,
    Unchanged,
    Bool(bool),
    Int(i128),
    Decimal(Decimal),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    /// Unix microseconds.
    Time(i64),
    List(Vec<String>),
}

impl Datum<'_> {
    /// What it is, for people.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Unchanged => "unchanged",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Decimal(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "binary",
            Self::Time(_) => "a time",
            Self::List(_) => "a list",
        }
    }
}

/// A text in an error is cut after this many characters.
const SHOWN_CHARS: usize = 60;

/// A text as errors show it: quoted, cut, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN_CHARS).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    format!("{out:?}")
}

/// The value of a column of `class`, as expressions see it.
pub(crate) fn datum<'a>(value: Value<'a>, class: Class) -> Result<Datum<'a>, Fault> {
    Ok(match value {
        Value::Null => Datum::Null,
        Value::Unchanged => Datum::Unchanged,
        Value::Bool(value) => Datum::Bool(value),
        Value::Time(micros) => Datum::Time(micros),
        Value::Float(value) => Datum::Float(number::finite(value)?),
        Value::Uint(value) => number::of_class(i128::from(value), class),
        Value::Int(value) => match class {
            Class::Bool => Datum::Bool(value != 0),
            Class::Since(unit) => Datum::Time(time::of_count(value, unit)?),
            _ => number::of_class(i128::from(value), class),
        },
        Value::Bytes(bytes) => match class {
            Class::Bytes => Datum::Bytes(bytes),
            Class::Bool => Datum::Bool(bytes.iter().any(|byte| *byte != 0)),
            _ => Datum::Text(Cow::Borrowed(utf8(bytes)?)),
        },
        Value::Text(text) => match class {
            Class::Bool => Datum::Bool(truth_of_text(text)?),
            Class::Integer => number::datum(text)?,
            Class::Decimal => Datum::Decimal(Decimal::of_text(text)?),
            Class::Float => Datum::Float(number::float(text)?),
            Class::Time | Class::Since(_) => Datum::Time(time::parse(text)?),
            _ => Datum::Text(Cow::Borrowed(text)),
        },
    })
}

/// Text that came as bytes: some sources do not look.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        Fault::new(
            "utf8",
            format!(
                "is not UTF-8 (byte {} of {}); correct the row's text or map a binary column",
                error.valid_up_to() + 1,
                bytes.len()
            ),
        )
    })
}

/// A truth value from text: `t f true false 1 0 yes no on off`.
pub(crate) fn truth_of_text(text: &str) -> Result<bool, Fault> {
    match text {
        "t" | "true" | "1" => return Ok(true),
        "f" | "false" | "0" => return Ok(false),
        _ => {}
    }
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "true" | "1" | "yes" | "y" | "on" => Ok(true),
        "f" | "false" | "0" | "no" | "n" | "off" => Ok(false),
        _ => Err(Fault::new(
            "type",
            format!("is {}, which is not a truth value", shown(text)),
        )),
    }
}

/// The text of a value that is a label, a title or a link.
pub(crate) fn text<'a>(value: Value<'a>, class: Class) -> Result<Option<Cow<'a, str>>, Fault> {
    Ok(Some(match value {
        Value::Null | Value::Unchanged => return Ok(None),
        Value::Text(text) => Cow::Borrowed(text),
        Value::Int(value) => Cow::Owned(value.to_string()),
        Value::Uint(value) => Cow::Owned(value.to_string()),
        Value::Float(value) => Cow::Owned(value.to_string()),
        Value::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        Value::Bytes(bytes) if class != Class::Bytes => Cow::Borrowed(utf8(bytes)?),
        Value::Bytes(_) => return Err(Fault::new("type", "is binary, but must be text")),
        Value::Time(_) => return Err(Fault::new("type", "is a time, but must be text")),
    }))
}

/// Whether a soft-deletion mark says that the row is gone: any value but NULL, false, 0, the
/// empty text and MySQL's zero date.
pub(crate) fn is_gone(value: Value<'_>, class: Class) -> bool {
    match value {
        Value::Null | Value::Unchanged => false,
        Value::Bool(value) => value,
        Value::Int(value) => value != 0,
        Value::Uint(value) => value != 0,
        Value::Float(value) => value != 0.0,
        Value::Text(text) if class == Class::Time && text.starts_with("0000-00-00") => false,
        Value::Text(text) if matches!(class, Class::Integer | Class::Decimal | Class::Float) => {
            number::float(text) != Ok(0.0)
        }
        Value::Text(text) => !matches!(text, "" | "f" | "false" | "0" | "0.0"),
        Value::Bytes(bytes) => bytes.iter().any(|byte| *byte != 0),
        Value::Time(_) => true,
    }
}

#[cfg(test)]
mod tests;
