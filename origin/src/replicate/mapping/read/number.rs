//! Numbers.

use super::decimal::Decimal;
use super::{Datum, Fault, shown};
use crate::replicate::mapping::column::Class;
use crate::replicate::value::Value;

/// Whole doubles beyond this are not exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A number from text, exact where its digits are no more than are calculated with.
pub(crate) fn datum(text: &str) -> Result<Datum<'static>, Fault> {
    if let Ok(value) = text.parse::<i64>() {
        return Ok(Datum::Int(i128::from(value)));
    }
    let text = text.trim();
    match text.parse::<i128>() {
        Ok(value) => Ok(Datum::Int(value)),
        Err(_) => match Decimal::parse(text) {
            Some(value) => Ok(Datum::Decimal(value)),
            None => float(text).map(Datum::Float),
        },
    }
}

/// A whole number of a column of `class`.
pub(crate) fn of_class(value: i128, class: Class) -> Datum<'static> {
    match class {
        Class::Decimal => Datum::Decimal(Decimal::from(value)),
        Class::Float => Datum::Float(value as f64),
        _ => Datum::Int(value),
    }
}

/// A finite number from text.
pub(crate) fn float(text: &str) -> Result<f64, Fault> {
    // Rust also reads `inf` and `infinity`, which `finite` refuses.
    let value = text
        .trim()
        .parse::<f64>()
        .map_err(|_| Fault::new("type", format!("is {}, which is not a number", shown(text))))?;
    finite(value)
}

/// Refuses NaN and the infinities, which databases store and sums do not survive.
pub(crate) fn finite(value: f64) -> Result<f64, Fault> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(Fault::new(
            "range",
            format!(
                "is {value}, but must be a finite number; correct the row, or filter it by cast(column as text) in `where`"
            ),
        ))
    }
}

/// A whole number as a double, where it is one exactly.
pub(crate) fn whole(value: f64) -> Option<i128> {
    (value.abs() <= EXACT && value.fract() == 0.0).then_some(value as i128)
}

/// A whole number in `0..=max`.
pub(crate) fn count(value: Value<'_>, class: Class, max: u32) -> Result<Option<u32>, Fault> {
    if let Value::Text(text) = value
        && let Ok(value) = text.parse::<u32>()
        && value <= max
    {
        return Ok(Some(value));
    }
    let found = match value {
        Value::Null | Value::Unchanged => return Ok(None),
        Value::Int(value) => i128::from(value),
        Value::Uint(value) => i128::from(value),
        _ => match plain(value, class)? {
            Datum::Int(value) => value,
            Datum::Decimal(value) => value.whole().ok_or_else(|| not_whole(&value))?,
            Datum::Float(value) => whole(value).ok_or_else(|| not_whole(&value))?,
            other => return Err(not_a_number(&other)),
        },
    };
    match u32::try_from(found) {
        Ok(value) if value <= max => Ok(Some(value)),
        _ => Err(Fault::new(
            "range",
            format!("is {found}, but must be in 0..{max}; correct the row or its unit"),
        )),
    }
}

/// A finite number.
pub(crate) fn real(value: Value<'_>, class: Class) -> Result<Option<f64>, Fault> {
    match value {
        Value::Null | Value::Unchanged => Ok(None),
        Value::Text(text) => float(text).map(Some),
        _ => match plain(value, class)? {
            Datum::Int(value) => Ok(Some(value as f64)),
            Datum::Decimal(value) => Ok(Some(value.float())),
            Datum::Float(value) => Ok(Some(value)),
            other => Err(not_a_number(&other)),
        },
    }
}

/// The number that a value is; text is read as one.
fn plain<'a>(value: Value<'a>, class: Class) -> Result<Datum<'a>, Fault> {
    match super::datum(value, class)? {
        Datum::Text(text) => datum(&text),
        other => Ok(other),
    }
}

#[cold]
fn not_whole(value: &dyn std::fmt::Display) -> Fault {
    let remedy = "round it with cast(… as int)";
    Fault::new(
        "type",
        format!("is {value}, but must be a whole number; {remedy}"),
    )
}

fn not_a_number(found: &Datum<'_>) -> Fault {
    Fault::new("type", format!("is {}, but must be a number", found.name()))
}
