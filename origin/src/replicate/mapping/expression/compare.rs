//! Comparison and truth.

use std::cmp::Ordering;

use super::Comparison;
use crate::replicate::mapping::read::decimal::Decimal as Exact;
use crate::replicate::mapping::read::{Datum, Fault, number, time, truth_of_text};

/// A truth value with SQL's unknown and the source's unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    True,
    False,
    Null,
    Unchanged,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl Truth {
    pub(super) fn datum(self) -> Datum<'static> {
        match self {
            Self::True => Datum::Bool(true),
            Self::False => Datum::Bool(false),
            Self::Null => Datum::Null,
            Self::Unchanged => Datum::Unchanged,
        }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            other => other,
        }
    }

    /// `and`: false decides alone; unchanged is less known than NULL.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Unchanged, _) | (_, Self::Unchanged) => Self::Unchanged,
            (Self::Null, _) | (_, Self::Null) => Self::Null,
            (Self::True, Self::True) => Self::True,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

/// What a value is as a condition.
pub(super) fn truth(value: &Datum<'_>) -> Result<Truth, Fault> {
    Ok(match value {
        Datum::Null => Truth::Null,
        Datum::Unchanged => Truth::Unchanged,
        Datum::Bool(value) => (*value).into(),
        Datum::Int(value) => (*value != 0).into(),
        Datum::Decimal(value) => (!value.is_zero()).into(),
        Datum::Text(text) => truth_of_text(text)?.into(),
        other => {
            return Err(Fault::new(
                "expression",
                format!("{} is not a condition", other.name()),
            ));
        }
    })
}

/// Whether two values compare so.
pub(super) fn compare(
    comparison: Comparison,
    left: &Datum<'_>,
    right: &Datum<'_>,
) -> Result<Truth, Fault> {
    Ok(match (left, right) {
        (Datum::Null, _) | (_, Datum::Null) => Truth::Null,
        (Datum::Unchanged, _) | (_, Datum::Unchanged) => Truth::Unchanged,
        _ => {
            let order = order(left, right)?;
            match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::Unequal => order.is_ne(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
            }
            .into()
        }
    })
}

/// Whether two values are the same.
pub(crate) fn equal(left: &Datum<'_>, right: &Datum<'_>) -> Result<Truth, Fault> {
    compare(Comparison::Equal, left, right)
}

/// Text beside a number, a time or a truth value is read as one: sources without types send
/// every value as text.
fn order(left: &Datum<'_>, right: &Datum<'_>) -> Result<Ordering, Fault> {
    use Datum::{Bool, Bytes, Decimal, Float, Int, Text, Time};
    Ok(match (left, right) {
        (Int(a), Int(b)) => a.cmp(b),
        (Text(a), Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Bool(a), Bool(b)) => a.cmp(b),
        (Time(a), Time(b)) => a.cmp(b),
        (Bytes(a), Bytes(b)) => a.cmp(b),
        // Adding 0.0 makes -0.0 equal to 0.0; NaN never gets here.
        (Float(a), Float(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
        (Int(a), Float(b)) => (*a as f64).total_cmp(&(b + 0.0)),
        (Float(a), Int(b)) => (a + 0.0).total_cmp(&(*b as f64)),
        (Decimal(a), Decimal(b)) => a.order(*b),
        (Int(a), Decimal(b)) => Exact::from(*a).order(*b),
        (Decimal(a), Int(b)) => a.order(Exact::from(*b)),
        (Decimal(a), Float(b)) => (a.float() + 0.0).total_cmp(&(b + 0.0)),
        (Float(a), Decimal(b)) => (a + 0.0).total_cmp(&(b.float() + 0.0)),
        (Bool(a), Int(b)) => i128::from(*a).cmp(b),
        (Int(a), Bool(b)) => a.cmp(&i128::from(*b)),
        (Int(_) | Decimal(_) | Float(_), Text(text)) => order(left, &number::datum(text)?)?,
        (Text(_), Int(_) | Decimal(_) | Float(_) | Time(_) | Bool(_)) => {
            order(right, left)?.reverse()
        }
        (Time(a), Text(text)) => a.cmp(&time::parse(text)?),
        (Bool(a), Text(text)) => a.cmp(&truth_of_text(text)?),
        _ => {
            return Err(Fault::new(
                "expression",
                format!("{} cannot be compared with {}", left.name(), right.name()),
            ));
        }
    })
}
