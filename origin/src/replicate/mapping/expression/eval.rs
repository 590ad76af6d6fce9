//! Evaluation. Cannot recurse deeper than [`DEPTH_MAX`](super::DEPTH_MAX); allocates only where
//! a text is made.

use super::arithmetic::{arithmetic, negate};
use super::compare::{Truth, compare, equal, truth};
use super::functions::{call, made, text};
use super::{Case, Comparison, Expression, Row};
use crate::replicate::mapping::column::Class;
use crate::replicate::mapping::read::{Datum, Fault};
use crate::replicate::value::Value;

impl Expression {
    /// The value in this row.
    pub(crate) fn eval<'a>(&'a self, row: &Row<'_, 'a>) -> Result<Datum<'a>, Fault> {
        match self {
            Self::Const(value) => Ok(value.datum()),
            Self::Column(column) => row.datum(*column),
            Self::Concat(left, right) => concat(left.eval_text(row)?, right.eval_text(row)?),
            Self::Arithmetic(operator, left, right) => {
                arithmetic(*operator, left.eval(row)?, right.eval(row)?)
            }
            Self::Negate(value) => negate(value.eval(row)?),
            Self::Case(case) => case.eval(row),
            Self::Coalesce(values) => {
                for value in values {
                    match value.eval(row)? {
                        Datum::Null => {}
                        other => return Ok(other),
                    }
                }
                Ok(Datum::Null)
            }
            Self::Nullif(value, other) => {
                let value = value.eval(row)?;
                match equal(&value, &other.eval(row)?)? {
                    Truth::True => Ok(Datum::Null),
                    Truth::Unchanged => Ok(Datum::Unchanged),
                    Truth::False | Truth::Null => Ok(value),
                }
            }
            Self::Call(function, args) => {
                let mut values = Vec::with_capacity(args.len());
                for arg in args {
                    values.push(match function {
                        super::Function::CastText => arg.eval_text(row)?,
                        _ => arg.eval(row)?,
                    });
                }
                if values.contains(&Datum::Null) {
                    return Ok(Datum::Null);
                }
                if values.contains(&Datum::Unchanged) {
                    return Ok(Datum::Unchanged);
                }
                call(*function, values)
            }
            Self::Json(document, name) => json(document.eval_text(row)?, name),
            _ => Ok(self.condition(row)?.datum()),
        }
    }

    /// The value as a condition.
    pub(crate) fn condition<'a>(&'a self, row: &Row<'_, 'a>) -> Result<Truth, Fault> {
        match self {
            Self::And(left, right) => match left.condition(row)? {
                Truth::False => Ok(Truth::False),
                known => Ok(known.and(right.condition(row)?)),
            },
            Self::Or(left, right) => match left.condition(row)? {
                Truth::True => Ok(Truth::True),
                known => Ok(known.or(right.condition(row)?)),
            },
            Self::Not(value) => Ok(value.condition(row)?.not()),
            Self::IsNull(value) => Ok(match value.is_null(row)? {
                Some(null) => null.into(),
                None => Truth::Unchanged,
            }),
            Self::Is(value, wanted) => Ok(match value.condition(row)? {
                Truth::Unchanged => Truth::Unchanged,
                other => (other == Truth::from(*wanted)).into(),
            }),
            Self::Compare(comparison, left, right) => {
                compare(*comparison, &left.eval(row)?, &right.eval(row)?)
            }
            Self::In(value, list) => {
                let value = value.eval(row)?;
                let mut found = Truth::False;
                for candidate in list {
                    found = found.or(equal(&value, &candidate.eval(row)?)?);
                    if found == Truth::True {
                        break;
                    }
                }
                Ok(found)
            }
            Self::Between(value, low, high) => {
                let value = value.eval(row)?;
                let above = compare(Comparison::GreaterOrEqual, &value, &low.eval(row)?)?;
                let below = compare(Comparison::LessOrEqual, &value, &high.eval(row)?)?;
                Ok(above.and(below))
            }
            Self::Like(value, pattern) => Ok(match value.eval_text(row)? {
                Datum::Null => Truth::Null,
                Datum::Unchanged => Truth::Unchanged,
                value => pattern.matches(&text(value)?).into(),
            }),
            other => truth(&other.eval(row)?),
        }
    }

    /// The value where text is wanted: a column's as the source wrote it, not as the number
    /// that it may be.
    fn eval_text<'a>(&'a self, row: &Row<'_, 'a>) -> Result<Datum<'a>, Fault> {
        match self {
            Self::Column(column) => match row.value(*column) {
                // PostgreSQL sends `t` for what its `::text` makes `true`.
                Value::Text(text) if row.class(*column) != Class::Bool => {
                    Ok(Datum::Text(text.into()))
                }
                _ => row.datum(*column),
            },
            other => other.eval(row),
        }
    }

    /// Whether the value is NULL; `None` where it is unchanged. A column needs not be readable.
    fn is_null<'a>(&'a self, row: &Row<'_, 'a>) -> Result<Option<bool>, Fault> {
        let value = match self {
            Self::Column(column) => {
                return Ok(match row.value(*column) {
                    Value::Unchanged => None,
                    value => Some(value == Value::Null),
                });
            }
            other => other.eval(row)?,
        };
        Ok(match value {
            Datum::Unchanged => None,
            value => Some(value == Datum::Null),
        })
    }
}

impl Case {
    fn eval<'a>(&'a self, row: &Row<'_, 'a>) -> Result<Datum<'a>, Fault> {
        let operand = self.operand.as_ref().map(|e| e.eval(row)).transpose()?;
        for (when, then) in &self.arms {
            let holds = match &operand {
                Some(operand) => equal(operand, &when.eval(row)?)?,
                None => when.condition(row)?,
            };
            match holds {
                Truth::True => return then.eval(row),
                Truth::Unchanged => return Ok(Datum::Unchanged),
                Truth::False | Truth::Null => {}
            }
        }
        self.otherwise
            .as_ref()
            .map_or(Ok(Datum::Null), |otherwise| otherwise.eval(row))
    }
}

fn concat<'a>(left: Datum<'a>, right: Datum<'a>) -> Result<Datum<'a>, Fault> {
    match (left, right) {
        (Datum::Null, _) | (_, Datum::Null) => Ok(Datum::Null),
        (Datum::Unchanged, _) | (_, Datum::Unchanged) => Ok(Datum::Unchanged),
        (left, right) => {
            let mut out = text(left)?.into_owned();
            out.push_str(&text(right)?);
            made(out)
        }
    }
}

/// A member of a JSON object as text; NULL where there is none.
fn json<'a>(document: Datum<'a>, name: &str) -> Result<Datum<'a>, Fault> {
    let document = match document {
        Datum::Null => return Ok(Datum::Null),
        Datum::Unchanged => return Ok(Datum::Unchanged),
        other => text(other)?,
    };
    let value: serde_json::Value = serde_json::from_str(&document)
        .map_err(|error| Fault::new("type", format!("is not JSON: {error}")))?;
    Ok(match value.get(name) {
        None | Some(serde_json::Value::Null) => Datum::Null,
        Some(serde_json::Value::String(text)) => made(text.clone())?,
        Some(other) => made(other.to_string())?,
    })
}
