//! Functions of expressions.

use std::borrow::Cow;

use super::arithmetic::arithmetic;
use super::{Function, MADE_BYTES_MAX, Operator};
use crate::replicate::mapping::read::decimal::Decimal;
use crate::replicate::mapping::read::{Datum, Fault, list, number, shown};

/// Calls a function; NULL and unchanged arguments were dealt with.
pub(super) fn call<'a>(function: Function, args: Vec<Datum<'a>>) -> Result<Datum<'a>, Fault> {
    let mut args = args.into_iter();
    let first = args.next().unwrap_or(Datum::Null);
    Ok(match function {
        Function::Lower => made(text(first)?.to_lowercase())?,
        Function::Upper => made(text(first)?.to_uppercase())?,
        Function::Trim => part(text(first)?, |text| text.trim_matches(' ')),
        Function::TrimStart => part(text(first)?, |text| text.trim_start_matches(' ')),
        Function::TrimEnd => part(text(first)?, |text| text.trim_end_matches(' ')),
        Function::Left => {
            let len = whole(args.next())?;
            if len < 0 {
                return Err(Fault::new("expression", "left needs a length of 0 or more"));
            }
            part(text(first)?, |text| characters(text, 1, Some(len)))
        }
        Function::Substring => {
            let from = whole(args.next())?;
            let len = args.next().map(|len| whole(Some(len))).transpose()?;
            if len.is_some_and(|len| len < 0) {
                return Err(Fault::new(
                    "expression",
                    "substring needs a length of 0 or more",
                ));
            }
            part(text(first)?, |text| characters(text, from, len))
        }
        Function::CastInt => Datum::Int(to_int(first)?),
        Function::CastFloat => match first {
            Datum::Bool(value) => Datum::Float(f64::from(u8::from(value))),
            Datum::Int(value) => Datum::Float(value as f64),
            Datum::Decimal(value) => Datum::Float(value.float()),
            Datum::Float(value) => Datum::Float(value),
            Datum::Text(text) => Datum::Float(number::float(&text)?),
            other => return Err(no_cast(&other, "float")),
        },
        Function::CastDecimal => Datum::Decimal(to_decimal(&first)?),
        Function::CastText => Datum::Text(text(first)?),
        Function::EpochMs => moment(first, 1_000)?,
        Function::EpochS => moment(first, 1_000_000)?,
        Function::Split => {
            let separator = text(args.next().unwrap_or(Datum::Null))?;
            Datum::List(list::split(&text(first)?, &separator))
        }
    })
}

/// The text of a value, as `||` and `cast(… as text)` make it.
pub(super) fn text(value: Datum<'_>) -> Result<Cow<'_, str>, Fault> {
    Ok(match value {
        Datum::Text(text) => text,
        Datum::Int(value) => Cow::Owned(value.to_string()),
        Datum::Decimal(value) => Cow::Owned(value.to_string()),
        Datum::Float(value) => Cow::Owned(value.to_string()),
        Datum::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        other => return Err(no_cast(&other, "text")),
    })
}

/// A text that was made; bounded, so that no row can take the memory.
pub(super) fn made(text: String) -> Result<Datum<'static>, Fault> {
    if text.len() > MADE_BYTES_MAX {
        return Err(Fault::new(
            "limit",
            format!("an expression makes a text of more than {MADE_BYTES_MAX} bytes"),
        ));
    }
    Ok(Datum::Text(Cow::Owned(text)))
}

fn part<'a>(text: Cow<'a, str>, cut: impl Fn(&str) -> &str) -> Datum<'a> {
    Datum::Text(match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
        Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
    })
}

/// `len` characters from the 1-based `from`; places before the text count, as in PostgreSQL.
fn characters(text: &str, from: i128, len: Option<i128>) -> &str {
    let start = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
    let end = match len {
        None => usize::MAX,
        Some(len) => usize::try_from(from.saturating_add(len).max(1) - 1).unwrap_or(usize::MAX),
    };
    let at = |index: usize| {
        text.char_indices()
            .nth(index)
            .map_or(text.len(), |(byte, _)| byte)
    };
    // A character takes at least a byte, so no index beyond the length is counted up to.
    let start = at(start.min(text.len()));
    let end = at(end.min(text.len()));
    text.get(start..end).unwrap_or("")
}

fn whole(value: Option<Datum<'_>>) -> Result<i128, Fault> {
    to_int(value.unwrap_or(Datum::Null))
}

/// `cast(… as int)`: halves round away from zero.
fn to_int(value: Datum<'_>) -> Result<i128, Fault> {
    match value {
        Datum::Bool(value) => Ok(i128::from(value)),
        Datum::Int(value) => Ok(value),
        Datum::Decimal(value) => Ok(value.round()),
        Datum::Float(value) => Ok(number::finite(value)?.round() as i128),
        Datum::Text(text) => match text.trim().parse() {
            Ok(value) => Ok(value),
            Err(_) => Err(Fault::new(
                "type",
                format!("{} is not a whole number", shown(&text)),
            )),
        },
        other => Err(no_cast(&other, "int")),
    }
}

/// `cast(… as numeric)`.
fn to_decimal(value: &Datum<'_>) -> Result<Decimal, Fault> {
    match value {
        Datum::Bool(value) => Ok(Decimal::from(i128::from(*value))),
        Datum::Int(value) => Ok(Decimal::from(*value)),
        Datum::Decimal(value) => Ok(*value),
        Datum::Float(value) => Decimal::of_float(*value),
        Datum::Text(text) => Decimal::of_text(text),
        other => Err(no_cast(other, "numeric")),
    }
}

/// A number of units of `micros` as a moment; a time stays what it is.
fn moment(value: Datum<'_>, micros: i128) -> Result<Datum<'static>, Fault> {
    let micros = match value {
        Datum::Time(at) => return Ok(Datum::Time(at)),
        value => match arithmetic(Operator::Multiply, value, Datum::Int(micros))? {
            Datum::Int(value) => value,
            Datum::Decimal(value) => value.round(),
            Datum::Float(value) => value.round() as i128,
            other => return Err(no_cast(&other, "time")),
        },
    };
    i64::try_from(micros)
        .map(Datum::Time)
        .map_err(|_| Fault::new("range", format!("{micros} µs since 1970 is out of range")))
}

fn no_cast(found: &Datum<'_>, wanted: &str) -> Fault {
    Fault::new(
        "expression",
        format!("{} cannot become {wanted}", found.name()),
    )
}
