//! Values of a row image: binlog bytes to [`Value`]s, without an allocation where the bytes
//! already say it. What needs text of its own (decimals, sets, times) shares one buffer a row.

use super::wire::{Cursor, Malformed, bit};
use crate::replicate::value::Value;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

/// Labels of an ENUM or a SET in the catalogue's order.
pub(crate) type Labels = Arc<[Box<str>]>;

/// How a column's bytes are read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// An integer of so many bytes.
    Int { bytes: usize, unsigned: bool },
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// DECIMAL.
    Decimal { precision: usize, scale: usize },
    /// YEAR.
    Year,
    /// DATE.
    Date,
    /// TIME of before MySQL 5.6.
    OldTime,
    /// TIME with fraction digits.
    Time { digits: u8 },
    /// DATETIME of before MySQL 5.6.
    OldDatetime,
    /// DATETIME with fraction digits, read as UTC.
    Datetime { digits: u8 },
    /// TIMESTAMP of before MySQL 5.6.
    OldTimestamp,
    /// TIMESTAMP with fraction digits.
    Timestamp { digits: u8 },
    /// BIT.
    Bit { bytes: usize },
    /// Text whose length stands in so many bytes before it.
    Text { prefix: usize, charset: Charset },
    /// Bytes; BINARY(n) is filled up with zeros to n.
    Bytes { prefix: usize, pad: usize },
    /// ENUM.
    Enum { bytes: usize, labels: Labels },
    /// SET.
    Set { bytes: usize, labels: Labels },
    /// MySQL's binary JSON.
    Json { prefix: usize },
}

/// How a column's text is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    /// UTF-8 or ASCII.
    Utf8,
    /// MySQL's latin1, which is Windows-1252.
    Latin1,
    /// One that is not read: delivered as bytes.
    Other,
}

/// A column of a row image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    /// How it is read, or how far to skip.
    pub(crate) kind: Kind,
    /// Whether a plan reads it.
    pub(crate) wanted: bool,
}

/// A decoded column: a value, or a place in the row's text buffer.
#[derive(Clone, Debug, PartialEq)]
enum Cell<'a> {
    Ready(Value<'a>),
    Text(Range<usize>),
    Padded(Range<usize>),
}

/// A row image; reused from row to row.
#[derive(Debug, Default)]
pub(crate) struct Image<'a> {
    cells: Vec<Cell<'a>>,
    text: String,
    bytes: Vec<u8>,
}

impl<'a> Image<'a> {
    /// Reads the next image. Columns the image does not have become [`Value::Unchanged`].
    pub(crate) fn read(
        &mut self,
        cursor: &mut Cursor<'a>,
        slots: &'a [Slot],
        present: &[u8],
    ) -> Result<(), Malformed> {
        self.cells.clear();
        self.text.clear();
        self.bytes.clear();
        let sent = (0..slots.len())
            .filter(|index| bit(present, *index))
            .count();
        let nulls = cursor.take(sent.div_ceil(8))?;
        let mut position = 0;
        for (index, slot) in slots.iter().enumerate() {
            if !bit(present, index) {
                self.cells.push(Cell::Ready(Value::Unchanged));
                continue;
            }
            let is_null = bit(nulls, position);
            position += 1;
            let cell = if is_null {
                Cell::Ready(Value::Null)
            } else if slot.wanted {
                self.value(cursor, &slot.kind)?
            } else {
                skip(cursor, &slot.kind)?;
                Cell::Ready(Value::Unchanged)
            };
            self.cells.push(cell);
        }
        Ok(())
    }

    /// The value of a column; [`Value::Unchanged`] where the image or the plan does not have it.
    pub(crate) fn get(&self, index: usize) -> Value<'_> {
        match self.cells.get(index) {
            Some(Cell::Ready(value)) => *value,
            Some(Cell::Text(range)) => self
                .text
                .get(range.clone())
                .map_or(Value::Unchanged, Value::Text),
            Some(Cell::Padded(range)) => self
                .bytes
                .get(range.clone())
                .map_or(Value::Unchanged, Value::Bytes),
            None => Value::Unchanged,
        }
    }

    fn value(&mut self, cursor: &mut Cursor<'a>, kind: &'a Kind) -> Result<Cell<'a>, Malformed> {
        let value = match kind {
            Kind::Int { bytes, unsigned } => integer(cursor, *bytes, *unsigned)?,
            Kind::Float => Value::Float(f64::from(f32::from_le_bytes(cursor.array()?))),
            Kind::Double => Value::Float(f64::from_le_bytes(cursor.array()?)),
            Kind::Year => match cursor.u8()? {
                0 => Value::Int(0),
                year => Value::Int(1900 + i64::from(year)),
            },
            Kind::OldTimestamp => match cursor.little(4)? {
                0 => Value::Text(ZERO_DATE),
                seconds => Value::Time(seconds as i64 * 1_000_000),
            },
            Kind::Timestamp { digits } => match (cursor.big(4)?, fraction(cursor, *digits)?) {
                (0, 0) => Value::Text(ZERO_DATE),
                (seconds, micros) => Value::Time(seconds as i64 * 1_000_000 + micros),
            },
            Kind::Date => date(cursor.little(3)?),
            Kind::OldDatetime => old_datetime(cursor.little(8)?),
            Kind::Datetime { digits } => {
                let packed = cursor.big(5)?;
                packed_datetime(packed, fraction(cursor, *digits)?)
            }
            Kind::Bit { bytes } => Value::Uint(cursor.big(*bytes)?),
            Kind::Text { prefix, charset } => return self.text(cursor, *prefix, *charset),
            Kind::Bytes { prefix, pad } => return self.bytes(cursor, *prefix, *pad),
            Kind::Enum { bytes, labels } => {
                let index = cursor.little(*bytes)? as usize;
                // 0 is the empty label of a value that was invalid when it was stored.
                let label = index.checked_sub(1).and_then(|index| labels.get(index));
                Value::Text(label.map_or("", |label| label))
            }
            Kind::Set { .. }
            | Kind::Decimal { .. }
            | Kind::Time { .. }
            | Kind::OldTime
            | Kind::Json { .. } => return self.written(cursor, kind),
        };
        Ok(Cell::Ready(value))
    }

    /// A value whose text is written into the row's buffer.
    fn written(&mut self, cursor: &mut Cursor<'a>, kind: &Kind) -> Result<Cell<'a>, Malformed> {
        let start = self.text.len();
        match kind {
            Kind::Set { bytes, labels } => {
                write_set(cursor.little(*bytes)?, labels, &mut self.text)
            }
            Kind::Decimal { precision, scale } => {
                write_decimal(cursor, *precision, *scale, &mut self.text)?;
            }
            Kind::Time { digits } => write_time(cursor, *digits, &mut self.text)?,
            Kind::Json { prefix } => {
                let len = cursor.little(*prefix)? as usize;
                super::json::write(cursor.take(len)?, &mut self.text)?;
            }
            _ => {
                let packed = cursor.little(3)?;
                let (hours, minutes) = (packed / 10_000, packed / 100 % 100);
                // Writing to a String cannot fail.
                let _ = write!(self.text, "{hours:02}:{minutes:02}:{:02}", packed % 100);
            }
        }
        Ok(Cell::Text(start..self.text.len()))
    }

    fn text(
        &mut self,
        cursor: &mut Cursor<'a>,
        prefix: usize,
        charset: Charset,
    ) -> Result<Cell<'a>, Malformed> {
        let len = cursor.little(prefix)? as usize;
        let bytes = cursor.take(len)?;
        let ready = match charset {
            Charset::Utf8 => std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text),
            Charset::Latin1 if bytes.is_ascii() => {
                std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text)
            }
            Charset::Latin1 => {
                let start = self.text.len();
                self.text.extend(bytes.iter().map(|byte| latin1(*byte)));
                return Ok(Cell::Text(start..self.text.len()));
            }
            Charset::Other => Value::Bytes(bytes),
        };
        Ok(Cell::Ready(ready))
    }

    fn bytes(
        &mut self,
        cursor: &mut Cursor<'a>,
        prefix: usize,
        pad: usize,
    ) -> Result<Cell<'a>, Malformed> {
        let len = cursor.little(prefix)? as usize;
        let bytes = cursor.take(len)?;
        if bytes.len() >= pad {
            return Ok(Cell::Ready(Value::Bytes(bytes)));
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(start + pad, 0);
        Ok(Cell::Padded(start..start + pad))
    }
}

/// A zero date or timestamp: no moment. The mapping refuses it as one that cannot be read.
const ZERO_DATE: &str = "0000-00-00";

/// Passes over a column that no plan reads.
fn skip(cursor: &mut Cursor<'_>, kind: &Kind) -> Result<(), Malformed> {
    let bytes = match kind {
        Kind::Int { bytes, .. } | Kind::Bit { bytes } => *bytes,
        Kind::Enum { bytes, .. } | Kind::Set { bytes, .. } => *bytes,
        Kind::Year => 1,
        Kind::Date | Kind::OldTime => 3,
        Kind::Float | Kind::OldTimestamp => 4,
        Kind::Double | Kind::OldDatetime => 8,
        Kind::Time { digits } => 3 + fraction_bytes(*digits),
        Kind::Timestamp { digits } => 4 + fraction_bytes(*digits),
        Kind::Datetime { digits } => 5 + fraction_bytes(*digits),
        Kind::Decimal { precision, scale } => decimal_bytes(*precision, *scale),
        Kind::Text { prefix, .. } | Kind::Bytes { prefix, .. } | Kind::Json { prefix } => {
            cursor.little(*prefix)? as usize
        }
    };
    cursor.take(bytes).map(|_| ())
}

fn integer<'a>(
    cursor: &mut Cursor<'_>,
    bytes: usize,
    unsigned: bool,
) -> Result<Value<'a>, Malformed> {
    let raw = cursor.little(bytes)?;
    if unsigned {
        return Ok(Value::Uint(raw));
    }
    let unused = 64 - 8 * bytes as u32;
    Ok(Value::Int(((raw << unused) as i64) >> unused))
}

/// Bytes that a fraction of so many digits takes.
fn fraction_bytes(digits: u8) -> usize {
    usize::from(digits.min(6)).div_ceil(2)
}

/// A fraction of a second in microseconds.
fn fraction(cursor: &mut Cursor<'_>, digits: u8) -> Result<i64, Malformed> {
    let bytes = fraction_bytes(digits);
    let scale = [0, 10_000, 100, 1].get(bytes).copied().unwrap_or(1);
    Ok(cursor.big(bytes)? as i64 * scale)
}

fn date<'a>(packed: u64) -> Value<'a> {
    moment([packed >> 9, packed >> 5 & 15, packed & 31, 0, 0, 0], 0)
}

fn old_datetime<'a>(packed: u64) -> Value<'a> {
    let (day, time) = (packed / 1_000_000, packed % 1_000_000);
    moment(
        [
            day / 10_000,
            day / 100 % 100,
            day % 100,
            time / 10_000,
            time / 100 % 100,
            time % 100,
        ],
        0,
    )
}

fn packed_datetime<'a>(packed: u64, micros: i64) -> Value<'a> {
    // One sign bit (always set), 17 bits of year * 13 + month, 5 day, 5 hour, 6 minute, 6 second.
    let packed = packed & 0x7f_ffff_ffff;
    let months = packed >> 22;
    let (hour, minute) = (packed >> 12 & 31, packed >> 6 & 63);
    moment(
        [
            months / 13,
            months % 13,
            packed >> 17 & 31,
            hour,
            minute,
            packed & 63,
        ],
        micros,
    )
}

/// A moment in UTC of year, month, day, hour, minute and second; a date that does not exist is
/// the zero date.
pub(crate) fn moment<'a>(parts: [u64; 6], micros: i64) -> Value<'a> {
    let [year, month, day, hour, minute, second] = parts.map(|part| part as i64);
    if !(0..=9_999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Value::Text(ZERO_DATE);
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Value::Time(seconds * 1_000_000 + micros)
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn write_set(bits: u64, labels: &Labels, text: &mut String) {
    let mut first = true;
    for (index, label) in labels.iter().enumerate().take(64) {
        if bits >> index & 1 == 1 {
            if !first {
                text.push(',');
            }
            first = false;
            text.push_str(label);
        }
    }
}

fn write_time(cursor: &mut Cursor<'_>, digits: u8, text: &mut String) -> Result<(), Malformed> {
    // The whole is a number with an offset, so that bytes sort; negative times count from it.
    let bytes = fraction_bytes(digits);
    let raw = cursor.big(3 + bytes)? as i64;
    let packed = raw - (0x80_0000_i64 << (8 * bytes));
    let scale = [0, 10_000, 100, 1].get(bytes).copied().unwrap_or(1);
    let (sign, whole) = if packed < 0 {
        ("-", -packed)
    } else {
        ("", packed)
    };
    let (time, part) = (whole >> (8 * bytes), whole & ((1 << (8 * bytes)) - 1));
    let (hours, minutes, seconds) = (time >> 12 & 0x3ff, time >> 6 & 63, time & 63);
    // Writing to a String cannot fail.
    let _ = write!(text, "{sign}{hours:02}:{minutes:02}:{seconds:02}");
    if bytes > 0 {
        let micros = format!("{:06}", part * scale);
        text.push('.');
        text.push_str(micros.get(..usize::from(digits.min(6))).unwrap_or_default());
    }
    Ok(())
}

/// Bytes that so many decimal digits take when they are fewer than nine.
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

fn decimal_bytes(precision: usize, scale: usize) -> usize {
    let whole = precision.saturating_sub(scale);
    let of = |digits: usize| digits / 9 * 4 + DIGIT_BYTES.get(digits % 9).copied().unwrap_or(0);
    of(whole) + of(scale)
}

/// The most bytes of a decimal: 65 digits in two parts.
const MAX_DECIMAL_BYTES: usize = 40;

/// Writes a decimal's canonical text.
pub(super) fn write_decimal(
    cursor: &mut Cursor<'_>,
    precision: usize,
    scale: usize,
    text: &mut String,
) -> Result<(), Malformed> {
    let len = decimal_bytes(precision, scale);
    let raw = cursor.take(len)?;
    let mut buffer = [0_u8; MAX_DECIMAL_BYTES];
    let bytes = buffer.get_mut(..len).ok_or(Malformed("decimal"))?;
    bytes.copy_from_slice(raw);
    let first = bytes.first_mut().ok_or(Malformed("decimal"))?;
    // The sign bit is inverted; a negative number has every other bit inverted too.
    let negative = *first & 0x80 == 0;
    *first ^= 0x80;
    if negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        text.push('-');
    }
    let mut digits = Cursor::new(bytes, "decimal");
    let whole = precision.saturating_sub(scale);
    let start = text.len();
    write_digits(&mut digits, whole % 9, text)?;
    for _ in 0..whole / 9 {
        write_digits(&mut digits, 9, text)?;
    }
    let zeros = text
        .get(start..)
        .map_or(0, |t| t.bytes().take_while(|byte| *byte == b'0').count());
    text.replace_range(
        start..start + zeros,
        if zeros == text.len() - start { "0" } else { "" },
    );
    if scale > 0 {
        text.push('.');
        for _ in 0..scale / 9 {
            write_digits(&mut digits, 9, text)?;
        }
        write_digits(&mut digits, scale % 9, text)?;
    }
    Ok(())
}

fn write_digits(
    cursor: &mut Cursor<'_>,
    digits: usize,
    text: &mut String,
) -> Result<(), Malformed> {
    if digits == 0 {
        return Ok(());
    }
    let value = cursor.big(DIGIT_BYTES.get(digits).copied().unwrap_or(4))?;
    // Writing to a String cannot fail.
    let _ = write!(text, "{value:0digits$}");
    Ok(())
}

/// What MySQL's latin1 (Windows-1252) byte stands for.
fn latin1(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH
            .get(usize::from(byte - 0x80))
            .copied()
            .unwrap_or('\u{fffd}'),
        _ => char::from(byte),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
