//! Columns as the source's catalogue describes them, and what their types mean to a mapping.

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The source's own name of its type, lower case; empty where it is not known.
    pub type_name: String,
    /// Whether it belongs to the primary key (or the replica identity's index).
    pub is_key: bool,
    /// Whether it may be NULL, where that is known.
    pub nullable: Option<bool>,
}

/// How the values of a type are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Not known (JSON): each value tells.
    Unknown,
    /// A truth value.
    Bool,
    /// A whole number.
    Integer,
    /// An exact number with decimals.
    Decimal,
    /// A floating point number.
    Float,
    /// Text, and every type that is none of the others: its text counts.
    Text,
    /// JSON as text.
    Json,
    /// A PostgreSQL array.
    Array,
    /// Binary.
    Bytes,
    /// A date or a moment, as text or [`Value::Time`](crate::replicate::value::Value::Time).
    Time,
    /// A date or a moment as a number of these since 1970, or as text.
    Since(Unit),
}

/// Unit of a number that is a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Days,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// Unix microseconds of `count` units.
    pub(crate) fn micros(self, count: i64) -> Option<i64> {
        match self {
            Self::Days => count.checked_mul(86_400_000_000),
            Self::Millis => count.checked_mul(1_000),
            Self::Micros => Some(count),
            Self::Nanos => Some(count.div_euclid(1_000)),
        }
    }
}

impl Class {
    /// The class of a type by the name that PostgreSQL, MySQL, Debezium or Kafka Connect give it.
    pub(crate) fn of(type_name: &str) -> Self {
        let name = type_name.trim();
        if name.ends_with("[]") || name.starts_with('_') || name == "array" {
            return Self::Array;
        }
        if let Some(class) = logical(name) {
            return class;
        }
        if name == "bit(1)" || name == "bit" {
            return Self::Bool;
        }
        // `bigint(20) unsigned`, `timestamp(3) with time zone`: the first word says it.
        let base = name.split(['(', ' ']).next().unwrap_or("");
        match base {
            "" => Self::Unknown,
            "bool" | "boolean" => Self::Bool,
            "int" | "integer" | "int2" | "int4" | "int8" | "int16" | "int32" | "int64"
            | "smallint" | "bigint" | "tinyint" | "mediumint" | "serial" | "smallserial"
            | "bigserial" | "serial2" | "serial4" | "serial8" | "oid" | "year" => Self::Integer,
            "numeric" | "decimal" | "dec" | "fixed" => Self::Decimal,
            "float" | "float4" | "float8" | "float32" | "float64" | "real" | "double" => {
                Self::Float
            }
            "timestamp" | "timestamptz" | "datetime" | "date" => Self::Time,
            "json" | "jsonb" | "struct" | "map" => Self::Json,
            "bytea" | "binary" | "varbinary" | "blob" | "tinyblob" | "mediumblob" | "longblob"
            | "bytes" => Self::Bytes,
            _ => Self::Text,
        }
    }

    /// What it is, for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "of an unknown type",
            Self::Bool => "a truth value",
            Self::Integer => "a whole number",
            Self::Decimal | Self::Float => "a number",
            Self::Text => "text",
            Self::Json => "JSON",
            Self::Array => "an array",
            Self::Bytes => "binary",
            Self::Time | Self::Since(_) => "a time",
        }
    }
}

/// Logical types of Debezium and Kafka Connect.
fn logical(name: &str) -> Option<Class> {
    Some(match name {
        "io.debezium.time.timestamp" | "org.apache.kafka.connect.data.timestamp" => {
            Class::Since(Unit::Millis)
        }
        "io.debezium.time.microtimestamp" => Class::Since(Unit::Micros),
        "io.debezium.time.nanotimestamp" => Class::Since(Unit::Nanos),
        "io.debezium.time.date" | "org.apache.kafka.connect.data.date" => Class::Since(Unit::Days),
        "io.debezium.time.zonedtimestamp" => Class::Time,
        "io.debezium.time.year" => Class::Integer,
        "io.debezium.data.json" => Class::Json,
        "org.apache.kafka.connect.data.decimal" | "io.debezium.data.variablescaledecimal" => {
            Class::Decimal
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_every_source_have_a_class() {
        for (types, expected) in [
            (
                "int4 bigint tinyint(1) serial bigint(20)_unsigned year",
                Class::Integer,
            ),
            ("bool boolean bit(1)", Class::Bool),
            (
                "numeric numeric(10,2) decimal(10,2)_unsigned",
                Class::Decimal,
            ),
            ("float8 double double_precision real float", Class::Float),
            (
                "text varchar(20) character_varying uuid enum('a','b') citext time",
                Class::Text,
            ),
            (
                "timestamptz timestamp(3)_with_time_zone datetime(6) date io.debezium.time.zonedtimestamp",
                Class::Time,
            ),
            ("_text text[] integer[]", Class::Array),
            ("bytea varbinary(16) longblob", Class::Bytes),
            ("jsonb json io.debezium.data.json", Class::Json),
            (
                "io.debezium.time.microtimestamp",
                Class::Since(Unit::Micros),
            ),
            ("io.debezium.time.timestamp", Class::Since(Unit::Millis)),
            ("io.debezium.time.date", Class::Since(Unit::Days)),
        ] {
            for name in types.split(' ') {
                assert_eq!(
                    Class::of(&name.replace('_', " ").replace(" text", "_text")),
                    expected,
                    "{name}"
                );
            }
        }
        assert_eq!(Class::of(""), Class::Unknown);
    }
}
