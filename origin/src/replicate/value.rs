//! A column's value as a source delivered it, before it is mapped.

/// A value. Text protocols deliver [`Value::Text`] for every type; the mapping reads what the
/// target field needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL, JSON null, or a missing JSON member.
    Null,
    /// Not sent because it did not change (PostgreSQL's unchanged TOAST). Never NULL.
    Unchanged,
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A floating point number.
    Float(f64),
    /// Text in UTF-8.
    Text(&'a str),
    /// Bytes that are binary, or text that is not UTF-8.
    Bytes(&'a [u8]),
    /// A moment, Unix microseconds.
    Time(i64),
}

/// A value that owns its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum OwnedValue {
    /// See [`Value::Null`].
    #[default]
    Null,
    /// See [`Value::Unchanged`].
    Unchanged,
    /// See [`Value::Bool`].
    Bool(bool),
    /// See [`Value::Int`].
    Int(i64),
    /// See [`Value::Uint`].
    Uint(u64),
    /// See [`Value::Float`].
    Float(f64),
    /// See [`Value::Text`].
    Text(String),
    /// See [`Value::Bytes`].
    Bytes(Vec<u8>),
    /// See [`Value::Time`].
    Time(i64),
}

impl OwnedValue {
    /// The value, borrowed.
    #[must_use]
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Unchanged => Value::Unchanged,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(value) => Value::Text(value),
            Self::Bytes(value) => Value::Bytes(value),
            Self::Time(value) => Value::Time(*value),
        }
    }
}

impl Value<'_> {
    /// The value with its own text.
    #[must_use]
    pub fn to_owned(self) -> OwnedValue {
        match self {
            Self::Null => OwnedValue::Null,
            Self::Unchanged => OwnedValue::Unchanged,
            Self::Bool(value) => OwnedValue::Bool(value),
            Self::Int(value) => OwnedValue::Int(value),
            Self::Uint(value) => OwnedValue::Uint(value),
            Self::Float(value) => OwnedValue::Float(value),
            Self::Text(value) => OwnedValue::Text(value.into()),
            Self::Bytes(value) => OwnedValue::Bytes(value.into()),
            Self::Time(value) => OwnedValue::Time(value),
        }
    }
}
