//! Expressions of a mapping: SQL, compiled to a small tree that is evaluated row by row.
//!
//! NULL is as in SQL. A value that the source did not send ([`Value::Unchanged`]) makes the
//! result unchanged, unless the other operands decide it alone.

mod arithmetic;
mod compare;
mod eval;
mod functions;
mod like;
mod parse;
mod sql;

use like::Pattern;

use super::column::Class;
use super::read::{Datum, Fault, datum};
use crate::replicate::mapping::read::decimal::Decimal;
use crate::replicate::value::Value;

pub(crate) use compare::{Truth, equal};
pub(crate) use parse::{Names, compile};
pub(crate) use sql::Sql;

/// Longest text of an expression, bytes.
pub(crate) const EXPRESSION_BYTES_MAX: usize = 4_096;
/// Most tokens of an expression.
pub(crate) const TOKENS_MAX: usize = 600;
/// Deepest nesting of an expression.
pub(crate) const DEPTH_MAX: usize = 64;
/// Longest text that an expression may make, bytes.
pub(crate) const MADE_BYTES_MAX: usize = 1 << 20;

/// A compiled expression; columns are indexes into the plan's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Const(Const),
    Column(usize),
    Concat(Box<Self>, Box<Self>),
    Arithmetic(Operator, Box<Self>, Box<Self>),
    Negate(Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    IsNull(Box<Self>),
    /// `is true`, `is false`.
    Is(Box<Self>, bool),
    In(Box<Self>, Vec<Self>),
    Between(Box<Self>, Box<Self>, Box<Self>),
    Like(Box<Self>, Pattern),
    Case(Box<Case>),
    Coalesce(Vec<Self>),
    Nullif(Box<Self>, Box<Self>),
    Call(Function, Vec<Self>),
    /// `document ->> 'name'`.
    Json(Box<Self>, Box<str>),
}

/// `case [operand] when … then … else … end`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) operand: Option<Expression>,
    pub(crate) arms: Vec<(Expression, Expression)>,
    pub(crate) otherwise: Option<Expression>,
}

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Const {
    Null,
    Bool(bool),
    Int(i128),
    Decimal(Decimal),
    Text(Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Lower,
    Upper,
    Trim,
    TrimStart,
    TrimEnd,
    Left,
    Substring,
    CastInt,
    CastDecimal,
    CastFloat,
    CastText,
    EpochMs,
    EpochS,
    Split,
}

/// A row as expressions see it: plan-ordered values and their columns' classes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'r, 'v> {
    pub(crate) values: &'r [Value<'v>],
    pub(crate) classes: &'r [Class],
}

impl<'v> Row<'_, 'v> {
    /// A column's value; a row that is too short is refused before.
    pub(crate) fn value(&self, column: usize) -> Value<'v> {
        self.values.get(column).copied().unwrap_or(Value::Null)
    }

    pub(crate) fn class(&self, column: usize) -> Class {
        self.classes.get(column).copied().unwrap_or(Class::Unknown)
    }

    pub(crate) fn datum(&self, column: usize) -> Result<Datum<'v>, Fault> {
        datum(self.value(column), self.class(column)).map_err(|fault| fault.at(column))
    }
}

impl Const {
    pub(crate) fn datum(&self) -> Datum<'_> {
        match self {
            Self::Null => Datum::Null,
            Self::Bool(value) => Datum::Bool(*value),
            Self::Int(value) => Datum::Int(*value),
            Self::Decimal(value) => Datum::Decimal(*value),
            Self::Text(text) => Datum::Text(std::borrow::Cow::Borrowed(text)),
        }
    }
}

#[cfg(test)]
mod tests;
