//! `+ - * /`: whole numbers and decimals exactly, quotients of decimals rounded as PostgreSQL
//! does, with a double as doubles.

use super::Operator;
use crate::replicate::mapping::read::decimal::Decimal;
use crate::replicate::mapping::read::{Datum, Fault, number};

/// `left operator right`.
pub(super) fn arithmetic(
    operator: Operator,
    left: Datum<'_>,
    right: Datum<'_>,
) -> Result<Datum<'static>, Fault> {
    match (&left, &right) {
        (Datum::Null, _) | (_, Datum::Null) => return Ok(Datum::Null),
        (Datum::Unchanged, _) | (_, Datum::Unchanged) => return Ok(Datum::Unchanged),
        _ => {}
    }
    match (number(left)?, number(right)?) {
        (Number::Int(a), Number::Int(b)) => whole(operator, a, b).map(Datum::Int),
        (a, b) => match (a.decimal(), b.decimal()) {
            (Some(a), Some(b)) => exact(operator, a, b).map(Datum::Decimal),
            _ => real(operator, a.real(), b.real()).map(Datum::Float),
        },
    }
}

/// `-value`.
pub(super) fn negate(value: Datum<'_>) -> Result<Datum<'static>, Fault> {
    arithmetic(Operator::Subtract, Datum::Int(0), value)
}

enum Number {
    Int(i128),
    Decimal(Decimal),
    Float(f64),
}

impl Number {
    fn real(&self) -> f64 {
        match self {
            Self::Int(value) => *value as f64,
            Self::Decimal(value) => value.float(),
            Self::Float(value) => *value,
        }
    }

    /// Exactly; a double is not.
    fn decimal(&self) -> Option<Decimal> {
        match self {
            Self::Int(value) => Some(Decimal::from(*value)),
            Self::Decimal(value) => Some(*value),
            Self::Float(_) => None,
        }
    }
}

fn number(value: Datum<'_>) -> Result<Number, Fault> {
    match value {
        Datum::Int(value) => Ok(Number::Int(value)),
        Datum::Decimal(value) => Ok(Number::Decimal(value)),
        Datum::Float(value) => Ok(Number::Float(value)),
        Datum::Text(text) => match number::datum(&text)? {
            Datum::Int(value) => Ok(Number::Int(value)),
            Datum::Decimal(value) => Ok(Number::Decimal(value)),
            Datum::Float(value) => Ok(Number::Float(value)),
            _ => Err(Fault::new("expression", "is not a number")),
        },
        other => Err(Fault::new(
            "expression",
            format!("{} cannot be calculated with", other.name()),
        )),
    }
}

/// Division cuts off the decimals, as PostgreSQL's does.
fn whole(operator: Operator, a: i128, b: i128) -> Result<i128, Fault> {
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide if b == 0 => return Err(by_zero()),
        Operator::Divide => a.checked_div(b),
    };
    result.ok_or_else(|| Fault::new("range", "a calculation is out of range"))
}

fn exact(operator: Operator, a: Decimal, b: Decimal) -> Result<Decimal, Fault> {
    match operator {
        Operator::Add => a.add(b),
        Operator::Subtract => a.subtract(b),
        Operator::Multiply => a.multiply(b),
        Operator::Divide if b.is_zero() => Err(by_zero()),
        Operator::Divide => a.divide(b),
    }
}

fn real(operator: Operator, a: f64, b: f64) -> Result<f64, Fault> {
    number::finite(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide if b == 0.0 => return Err(by_zero()),
        Operator::Divide => a / b,
    })
}

fn by_zero() -> Fault {
    Fault::new(
        "expression",
        "a division by zero; write nullif(divisor, 0) to get NULL instead",
    )
}
