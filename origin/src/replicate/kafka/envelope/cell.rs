//! A column's value in JSON, read by the kind that the message's schema says.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::replicate::value::Value;

/// What Debezium writes for a value that its source did not send since it did not change.
const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// The same in a column of bytes.
const UNAVAILABLE_BYTES: &str = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
/// The same in a column of a list.
const UNAVAILABLE_LIST: &str = "[\"__debezium_unavailable_value\"]";
/// Bytes of a decimal number at most: more than PostgreSQL's numeric has before the point.
const DECIMAL_BYTES_MAX: usize = 256;
/// Digits that a negative scale may add.
const SCALE_MAX: u32 = 1_000;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// How a column's JSON is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// As JSON says.
    #[default]
    Plain,
    /// Base64 of bytes.
    Bytes,
    /// Base64 of a big-endian two's complement with this many digits after the point.
    Decimal(i32),
    /// `{"scale": s, "value": base64}`.
    VariableDecimal,
    /// Days since 1970.
    Days,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// Nanoseconds since 1970.
    Nanos,
}

/// A value that borrows its text where it can.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::replicate::kafka) enum Cell<'a> {
    /// JSON null.
    Null,
    /// Not sent because it did not change.
    Unchanged,
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer beyond `i64`.
    Uint(u64),
    /// A number with a fraction.
    Float(f64),
    /// Text, and the JSON of lists and objects.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A moment, Unix microseconds.
    Time(i64),
}

impl<'a> Cell<'a> {
    /// Reads a value's JSON.
    pub(super) fn read(
        raw: &'a serde_json::value::RawValue,
        kind: Kind,
    ) -> Result<Self, &'static str> {
        let json = raw.get();
        if json == "null" {
            return Ok(Self::Null);
        }
        let plain = Self::plain(json)?;
        if plain.is_unavailable() {
            return Ok(Self::Unchanged);
        }
        match (kind, &plain) {
            (Kind::Bytes, Self::Text(text)) => bytes_of(text).map(Self::Bytes),
            (Kind::Decimal(scale), Self::Text(text)) => {
                decimal(&bytes_of(text)?, scale).map(|text| Self::Text(Cow::Owned(text)))
            }
            (Kind::VariableDecimal, Self::Text(text)) => variable_decimal(text),
            (Kind::Days, Self::Int(days)) => Ok(Self::Time(days.saturating_mul(DAY_US))),
            (Kind::Millis, Self::Int(ms)) => Ok(Self::Time(ms.saturating_mul(1_000))),
            (Kind::Micros, Self::Int(us)) => Ok(Self::Time(*us)),
            (Kind::Nanos, Self::Int(ns)) => Ok(Self::Time(ns.div_euclid(1_000))),
            _ => Ok(plain),
        }
    }

    fn plain(json: &'a str) -> Result<Self, &'static str> {
        match json.as_bytes().first() {
            Some(b'"') => text(json).map(Self::Text).ok_or("its text cannot be read"),
            Some(b't') => Ok(Self::Bool(true)),
            Some(b'f') => Ok(Self::Bool(false)),
            Some(b'[' | b'{') => Ok(Self::Text(Cow::Borrowed(json))),
            _ => Ok(number(json)),
        }
    }

    fn is_unavailable(&self) -> bool {
        let Self::Text(text) = self else { return false };
        matches!(&**text, UNAVAILABLE | UNAVAILABLE_BYTES | UNAVAILABLE_LIST)
    }

    /// The value as the mapping reads it.
    pub(in crate::replicate::kafka) fn as_value(&self) -> Value<'_> {
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

/// A JSON string's text, borrowed where nothing in it is escaped.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// A JSON number, exact where 64 bits hold it; larger whole numbers stay text.
fn number(json: &str) -> Cell<'_> {
    if let Ok(value) = json.parse() {
        return Cell::Int(value);
    }
    if let Ok(value) = json.parse() {
        return Cell::Uint(value);
    }
    let is_whole = json
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-');
    match json.parse::<f64>() {
        Ok(value) if !is_whole && value.is_finite() => Cell::Float(value),
        _ => Cell::Text(Cow::Borrowed(json)),
    }
}

fn bytes_of(text: &str) -> Result<Vec<u8>, &'static str> {
    STANDARD
        .decode(text)
        .map_err(|_| "its schema says bytes, but it is not base64")
}

fn variable_decimal(json: &str) -> Result<Cell<'static>, &'static str> {
    #[derive(serde::Deserialize)]
    struct Variable {
        scale: i32,
        value: String,
    }
    const BAD: &str = "its schema says a decimal of variable scale, but it has no scale and value";
    let Variable { scale, value } = serde_json::from_str(json).map_err(|_| BAD)?;
    decimal(&bytes_of(&value)?, scale).map(|text| Cell::Text(Cow::Owned(text)))
}

/// The decimal text of an unscaled big-endian two's complement.
pub(super) fn decimal(bytes: &[u8], scale: i32) -> Result<String, &'static str> {
    if bytes.len() > DECIMAL_BYTES_MAX || scale.unsigned_abs() > SCALE_MAX {
        return Err("it is a decimal of more digits than any database has");
    }
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut digits = digits_of(magnitude(bytes, is_negative));
    if scale < 0 {
        digits.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
    } else {
        let scale = scale.unsigned_abs() as usize;
        if digits.len() <= scale {
            digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
        }
        if scale > 0 {
            digits.insert(digits.len() - scale, '.');
        }
    }
    if is_negative {
        digits.insert(0, '-');
    }
    Ok(digits)
}

/// The absolute value of a two's complement, big-endian.
fn magnitude(bytes: &[u8], is_negative: bool) -> Vec<u8> {
    if !is_negative {
        return bytes.to_vec();
    }
    let mut carry = true;
    let mut out = bytes.iter().map(|byte| !byte).collect::<Vec<_>>();
    for byte in out.iter_mut().rev() {
        if carry {
            (*byte, carry) = byte.overflowing_add(1);
        }
    }
    // -(2^(8n - 1)) of n bytes is itself; nothing carries beyond.
    out
}

/// Decimal digits of a big-endian number, by long division.
fn digits_of(mut number: Vec<u8>) -> String {
    const CHUNK: u64 = 1_000_000_000;
    let mut chunks = Vec::new();
    while number.iter().any(|&byte| byte != 0) {
        let mut rest = 0;
        for byte in &mut number {
            let part = rest * 256 + u64::from(*byte);
            // Under 256, since `rest` is under the divisor.
            *byte = u8::try_from(part / CHUNK).unwrap_or(u8::MAX);
            rest = part % CHUNK;
        }
        chunks.push(rest);
    }
    let mut digits = chunks.pop().unwrap_or(0).to_string();
    for chunk in chunks.into_iter().rev() {
        digits.push_str(&format!("{chunk:09}"));
    }
    digits
}
