//! Values of the first copy's pages: asked for, taken over and compared with.

use super::catalog::{ColumnInfo, quote};
use super::decode;
use crate::replicate::value::Value;
use mysql_async::Value as Sql;
use serde::{Deserialize, Serialize};

/// A key column's value, as statements take it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Key {
    Int(i64),
    Uint(u64),
    Bytes(Vec<u8>),
    Text(String),
}

/// `(a > ?) OR (a = ? AND b > ?)`: servers use an index for this, not for `(a, b) > (?, ?)`.
pub(crate) fn after(key: &[String], marks: &[&str]) -> String {
    ordered(key, marks, ">", ">")
}

/// `(a < ?) OR (a = ? AND b <= ?)`: the keys that [`after`] leaves out.
pub(crate) fn up_to(key: &[String], marks: &[&str]) -> String {
    ordered(key, marks, "<", "<=")
}

/// Each column beside its mark; `last` is the sign where all before are equal.
fn ordered(key: &[String], marks: &[&str], sign: &str, last: &str) -> String {
    let columns: Vec<(&String, &&str)> = key.iter().zip(marks).collect();
    let alternatives = (0..columns.len()).map(|upto| {
        let terms = columns
            .iter()
            .take(upto + 1)
            .enumerate()
            .map(|(index, (column, mark))| {
                let sign = match index {
                    _ if index < upto => "=",
                    _ if upto + 1 == columns.len() => last,
                    _ => sign,
                };
                format!("{column} {sign} {mark}")
            });
        format!("({})", terms.collect::<Vec<_>>().join(" AND "))
    });
    format!("({})", alternatives.collect::<Vec<_>>().join(" OR "))
}

/// The parameters of [`after`] and [`up_to`], in the order of their marks.
pub(crate) fn parameters(key: &[Key]) -> impl Iterator<Item = Sql> {
    (0..key.len()).flat_map(|upto| key.iter().take(upto + 1).map(Key::to_sql))
}

/// A parameter that compares as the column does.
pub(crate) fn placeholder(column: &ColumnInfo) -> &'static str {
    match column.data_type.as_str() {
        // Text against a decimal compares as floating point.
        "decimal" => "CAST(? AS DECIMAL(65,30))",
        "time" => "CAST(? AS TIME(6))",
        _ => "?",
    }
}

/// A column as it is asked for: TIME has no value of its own in the mapping, so it is text, as
/// the binlog's is made.
pub(crate) fn select(name: &str, info: Option<&ColumnInfo>) -> String {
    let is_time = info.is_some_and(|info| info.data_type == "time");
    if is_time {
        format!("CAST({} AS CHAR)", quote(name))
    } else {
        quote(name)
    }
}

/// A key column as a page gives it back: ENUM and SET are in the order of their numbers, and
/// compared with text they would be in another.
pub(crate) fn key_column(info: &ColumnInfo) -> String {
    let name = quote(&info.name);
    match info.data_type.as_str() {
        "enum" | "set" => format!("CAST({name} AS UNSIGNED)"),
        _ => name,
    }
}

/// A key column's value to be stored.
pub(crate) fn key(value: &Sql, info: &ColumnInfo) -> Key {
    match value {
        Sql::Int(number) => Key::Int(*number),
        Sql::UInt(number) => Key::Uint(*number),
        // All digits: a shorter text would be another number than the column's.
        Sql::Float(number) => Key::Text(f64::from(*number).to_string()),
        Sql::Double(number) => Key::Text(number.to_string()),
        Sql::Bytes(bytes) if info.data_type == "bit" => Key::Uint(bits(bytes)),
        Sql::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Key::Text(text.to_owned()),
            Err(_) => Key::Bytes(bytes.clone()),
        },
        other => Key::Text(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

impl Key {
    /// As a parameter.
    pub(crate) fn to_sql(&self) -> Sql {
        match self {
            Self::Int(number) => Sql::Int(*number),
            Self::Uint(number) => Sql::UInt(*number),
            Self::Bytes(bytes) => Sql::Bytes(bytes.clone()),
            Self::Text(text) => Sql::Bytes(text.clone().into_bytes()),
        }
    }
}

/// A value of a query, as the binlog would give it.
pub(crate) fn plain<'a>(value: &'a Sql, info: &ColumnInfo) -> Value<'a> {
    match value {
        Sql::NULL => Value::Null,
        Sql::Int(number) => match u64::try_from(*number) {
            Ok(number) if info.is_unsigned() => Value::Uint(number),
            _ => Value::Int(*number),
        },
        Sql::UInt(number) => match i64::try_from(*number) {
            Ok(number) if !info.is_unsigned() => Value::Int(number),
            _ => Value::Uint(*number),
        },
        Sql::Float(number) => Value::Float(f64::from(*number)),
        Sql::Double(number) => Value::Float(*number),
        Sql::Bytes(bytes) if info.data_type == "bit" => Value::Uint(bits(bytes)),
        Sql::Bytes(bytes) if is_binary(info) => Value::Bytes(bytes),
        Sql::Bytes(bytes) if info.data_type == "decimal" => {
            std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), |text| Value::Text(digits(text)))
        }
        Sql::Bytes(bytes) => std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text),
        Sql::Date(year, month, day, hour, minute, second, micros) => {
            let day = [u64::from(*year), u64::from(*month), u64::from(*day)];
            let time = [u64::from(*hour), u64::from(*minute), u64::from(*second)];
            let [[year, month, day], [hour, minute, second]] = [day, time];
            decode::moment([year, month, day, hour, minute, second], i64::from(*micros))
        }
        Sql::Time(..) => Value::Null,
    }
}

/// ZEROFILL shows a decimal with zeros before it, which the binlog's value does not have.
fn digits(text: &str) -> &str {
    let filled = text.bytes().take_while(|byte| *byte == b'0').count();
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    // A zero that stands alone before the point, or is the number, stays.
    let zeros = if is_digit(filled) {
        filled
    } else {
        filled.saturating_sub(1)
    };
    text.get(zeros..).unwrap_or(text)
}

/// A BIT's number, whose bytes are in big-endian order.
fn bits(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().take(8);
    bytes.fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// Whether a column holds bytes that are no text.
pub(crate) fn is_binary(info: &ColumnInfo) -> bool {
    matches!(info.data_type.as_str(), "binary" | "varbinary") || info.data_type.ends_with("blob")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_as_the_binlog_has_it() {
        let info = ColumnInfo {
            data_type: "decimal".to_owned(),
            ..ColumnInfo::gone("price")
        };
        for (shown, value) in [
            ("001.50", "1.50"),
            ("000.50", "0.50"),
            ("00000", "0"),
            ("00010", "10"),
            ("0.00", "0.00"),
            ("-0.50", "-0.50"),
            ("12.30", "12.30"),
        ] {
            let sql = Sql::Bytes(shown.as_bytes().to_vec());
            assert_eq!(plain(&sql, &info), Value::Text(value), "{shown}");
        }
    }

    #[test]
    fn a_page_begins_after_the_last_key() {
        let key = ["`a`".to_owned(), "`b`".to_owned()];
        assert_eq!(
            after(&key, &["?", "?"]),
            "((`a` > ?) OR (`a` = ? AND `b` > ?))"
        );
        assert_eq!(
            up_to(&key, &["?", "?"]),
            "((`a` < ?) OR (`a` = ? AND `b` <= ?))"
        );
        let last = [Key::Int(1), Key::Int(2)];
        let [one, two] = [Sql::Int(1), Sql::Int(2)];
        let expected = [one.clone(), one, two];
        assert_eq!(parameters(&last).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_key_compares_as_it_is_ordered() {
        let column = |data_type: &str| ColumnInfo {
            data_type: data_type.to_owned(),
            ..ColumnInfo::gone("k")
        };
        assert_eq!(key(&Sql::Bytes(vec![1, 0]), &column("bit")), Key::Uint(256));
        let binary = key(&Sql::Bytes(vec![0xff]), &column("binary"));
        assert_eq!(binary, Key::Bytes(vec![0xff]));
        let float = key(&Sql::Float(0.1), &column("float"));
        assert_eq!(float, Key::Text("0.10000000149011612".to_owned()));
        assert_eq!(key_column(&column("enum")), "CAST(`k` AS UNSIGNED)");
    }
}
