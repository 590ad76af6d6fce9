//! Rules that each row must keep.

use super::config::{ColumnRules, ContractConfig, Scalar};
use crate::replicate::mapping::MappingError;
use crate::replicate::mapping::column::Class;
use crate::replicate::mapping::expression::{Row, Truth, equal};
use crate::replicate::mapping::read::{Datum, Fault, datum, number, shown, time, truth_of_text};
use crate::replicate::value::Value;

/// The rules of a table's columns, by plan column.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<(usize, Rule)>);

#[derive(Debug)]
enum Rule {
    NotNull,
    Kind(Kind),
    Range(f64, f64),
    OneOf(Vec<Scalar>),
    MaxLength(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Number,
    Boolean,
    Text,
    Time,
    Json,
}

impl Kind {
    const ALL: [(&'static str, Self); 6] = [
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("text", Self::Text),
        ("time", Self::Time),
        ("json", Self::Json),
    ];

    fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }
}

impl Rules {
    /// Rules by index of the plan's columns; a rule of no column is left out.
    pub(crate) fn compile(
        table: &str,
        contract: &ContractConfig,
        columns: &[String],
    ) -> Result<Self, MappingError> {
        let mut rules = Vec::new();
        for (column, wanted) in &contract.columns {
            check_column(table, column, wanted)?;
            let Some(at) = columns.iter().position(|known| known == column) else {
                continue;
            };
            let mut rule = |rule| rules.push((at, rule));
            if wanted.not_null {
                rule(Rule::NotNull);
            }
            if let Some(kind) = wanted.kind.as_deref().and_then(Kind::from_name) {
                rule(Rule::Kind(kind));
            }
            if wanted.min.is_some() || wanted.max.is_some() {
                let min = wanted.min.unwrap_or(f64::NEG_INFINITY);
                rule(Rule::Range(min, wanted.max.unwrap_or(f64::INFINITY)));
            }
            if !wanted.one_of.is_empty() {
                rule(Rule::OneOf(wanted.one_of.clone()));
            }
            if let Some(length) = wanted.max_length {
                rule(Rule::MaxLength(
                    usize::try_from(length).unwrap_or(usize::MAX),
                ));
            }
        }
        Ok(Self(rules))
    }

    /// The first rule that the row breaks, and its column. A value that was not sent kept its
    /// rules when it was.
    pub(crate) fn check(&self, row: &Row<'_, '_>) -> Result<(), (usize, Fault)> {
        for (column, rule) in &self.0 {
            let value = row.value(*column);
            let checked = match (value, rule) {
                (Value::Unchanged, _) => Ok(()),
                (Value::Null, Rule::NotNull) => Err(Fault::new(
                    "not_null",
                    "is NULL, but the contract says not_null",
                )),
                (Value::Null, _) | (_, Rule::NotNull) => Ok(()),
                (_, Rule::Kind(kind)) => kind.check(value, row, *column),
                (_, Rule::Range(min, max)) => range(row, *column, *min, *max),
                (_, Rule::OneOf(values)) => one_of(row, *column, values),
                (_, Rule::MaxLength(length)) => max_length(value, *length),
            };
            checked.map_err(|fault| (*column, fault))?;
        }
        Ok(())
    }
}

/// Largest lists of a contract.
pub(super) const ONE_OF_MAX: usize = 256;

/// Whether a column's rules can hold at all.
pub(super) fn check_column(
    table: &str,
    column: &str,
    rules: &ColumnRules,
) -> Result<(), MappingError> {
    let invalid = |key: &str, given: String, allowed: &str| {
        Err(MappingError::Invalid {
            table: table.to_owned(),
            key: format!("contract.columns.{column}.{key}"),
            given,
            allowed: allowed.to_owned(),
        })
    };
    if let Some(kind) = rules.kind.as_deref()
        && Kind::from_name(kind).is_none()
    {
        let names = "integer, number, boolean, text, time or json";
        return invalid("type", format!("{kind:?}"), names);
    }
    let (min, max) = (rules.min.unwrap_or(f64::MIN), rules.max.unwrap_or(f64::MAX));
    if !min.is_finite() || !max.is_finite() || min > max {
        return invalid(
            "min",
            format!("{min} with max {max}"),
            "finite and at most max",
        );
    }
    if rules.one_of.len() > ONE_OF_MAX {
        let given = format!("a list of {}", rules.one_of.len());
        return invalid("one_of", given, &format!("at most {ONE_OF_MAX} values"));
    }
    match rules.max_null_ratio {
        Some(ratio) if !(0.0..=1.0).contains(&ratio) => {
            invalid("max_null_ratio", ratio.to_string(), "0 to 1")
        }
        _ => Ok(()),
    }
}

impl Kind {
    fn check(self, value: Value<'_>, row: &Row<'_, '_>, column: usize) -> Result<(), Fault> {
        let found = match (self, value) {
            (Self::Time, Value::Text(text)) => return time::parse(text).map(drop),
            (Self::Boolean, Value::Text(text)) => return truth_of_text(text).map(drop),
            (Self::Integer | Self::Number, Value::Text(text)) => number::datum(text)?,
            (Self::Json, Value::Text(text)) => return json(text),
            _ => datum(value, row.class(column))?,
        };
        let fits = match self {
            Self::Integer => match found {
                Datum::Int(_) => true,
                Datum::Decimal(value) => value.whole().is_some(),
                Datum::Float(value) => value.fract() == 0.0,
                _ => false,
            },
            Self::Number => {
                matches!(found, Datum::Int(_) | Datum::Decimal(_) | Datum::Float(_))
            }
            Self::Boolean => matches!(found, Datum::Bool(_) | Datum::Int(0 | 1)),
            // Whatever else a source sends as text was text there.
            Self::Text => matches!(found, Datum::Text(_)),
            Self::Time => matches!(found, Datum::Time(_)),
            Self::Json => !matches!(found, Datum::Bytes(_)),
        };
        if fits {
            return Ok(());
        }
        let wanted = Self::ALL.iter().find(|(_, kind)| *kind == self);
        let wanted = wanted.map_or("", |(name, _)| name);
        Err(Fault::new(
            "type",
            format!("is {}, but the contract says {wanted}", found.name()),
        ))
    }
}

fn json(text: &str) -> Result<(), Fault> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(drop)
        .map_err(|error| Fault::new("type", format!("is not JSON: {error}")))
}

fn range(row: &Row<'_, '_>, column: usize, min: f64, max: f64) -> Result<(), Fault> {
    let found = match row.value(column) {
        // A decimal may have more digits than are calculated with.
        Value::Text(text) if row.class(column) == Class::Decimal => {
            Datum::Float(number::float(text)?)
        }
        _ => row.datum(column)?,
    };
    let value = match found {
        Datum::Int(value) => value as f64,
        Datum::Decimal(value) => value.float(),
        Datum::Float(value) => value,
        Datum::Text(text) => number::float(&text)?,
        other => {
            let reason = format!(
                "is {}, but the contract gives a range of numbers",
                other.name()
            );
            return Err(Fault::new("type", reason));
        }
    };
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let allowed = match (min.is_finite(), max.is_finite()) {
        (true, true) => format!("in {min}..{max}"),
        (true, false) => format!("at least {min}"),
        _ => format!("at most {max}"),
    };
    Err(Fault::new(
        "range",
        format!("is {value}, but the contract says {allowed}"),
    ))
}

fn one_of(row: &Row<'_, '_>, column: usize, values: &[Scalar]) -> Result<(), Fault> {
    let found = row.datum(column)?;
    let raw = match row.value(column) {
        Value::Text(text) => Some(text),
        _ => None,
    };
    for value in values {
        let same = match value {
            Scalar::Text(text) => raw == Some(text) || holds(&found, &Datum::Text(text.into())),
            Scalar::Bool(value) => holds(&found, &Datum::Bool(*value)),
            Scalar::Int(value) => holds(&found, &Datum::Int(i128::from(*value))),
            Scalar::Float(value) => holds(&found, &Datum::Float(*value)),
        };
        if same {
            return Ok(());
        }
    }
    let all: Vec<_> = values.iter().take(16).map(ToString::to_string).collect();
    let found = match raw {
        Some(text) => shown(text),
        None => format!("{found:?}"),
    };
    Err(Fault::new(
        "one_of",
        format!(
            "is {found}, but the contract says one of {}",
            all.join(", ")
        ),
    ))
}

fn holds(a: &Datum<'_>, b: &Datum<'_>) -> bool {
    equal(a, b) == Ok(Truth::True)
}

fn max_length(value: Value<'_>, length: usize) -> Result<(), Fault> {
    let found = match value {
        Value::Text(text) if text.len() > length => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        _ => return Ok(()),
    };
    if found <= length {
        return Ok(());
    }
    Err(Fault::new(
        "max_length",
        format!("has {found} characters, but the contract says at most {length}"),
    ))
}
