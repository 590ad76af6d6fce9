//! A line a value.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::replicate::mapping::column::Unit;

#[track_caller]
fn check<T: std::fmt::Debug>(
    read: impl Fn(Value<'_>, Class) -> Result<Option<T>, Fault>,
    cases: &[(Value<'_>, Class)],
    expect: Expect,
) {
    let results: Vec<String> = cases
        .iter()
        .map(|(value, class)| match read(*value, *class) {
            Ok(Some(found)) => format!("{value:?} {class:?} => {found:?}\n"),
            Ok(None) => format!("{value:?} {class:?} => NULL\n"),
            Err(fault) => format!("{value:?} {class:?} !! {}: {}\n", fault.rule, fault.reason),
        })
        .collect();
    expect.assert_eq(&results.concat());
}

#[test]
fn times() {
    use Class::{Integer, Since, Time, Unknown};
    use Value::{Bool, Float, Int, Null, Text};
    check(
        time::ms,
        &[
            (Text("2026-11-21 13:40:00.123+00"), Time),
            (Text("2026-11-21 13:40:00.123456"), Time),
            (Text("2026-11-21 13:40:00+05:30"), Time),
            (Text("2026-11-21 13:40:00-0330"), Time),
            (Text("2026-11-21T13:40:00Z"), Time),
            (Text("2026-11-21 13:40"), Time),
            (Text("2026-11-21"), Time),
            (Text("2024-02-29 23:59:60"), Time),
            (Text("10000-01-01 00:00:00"), Time),
            (Value::Time(1_700_000_000_123_456), Unknown),
            (Int(1_700_000_000_123), Since(Unit::Millis)),
            (Int(1_700_000_000_123_456), Since(Unit::Micros)),
            (Int(1_700_000_000_123_456_789), Since(Unit::Nanos)),
            (Int(20_000), Since(Unit::Days)),
            (Text("2026-11-21T13:40:00.5Z"), Since(Unit::Micros)),
            (Null, Time),
            (Text("infinity"), Time),
            (Text("-infinity"), Time),
            (Text("0044-03-15 12:00:00 BC"), Time),
            (Text("0000-00-00 00:00:00"), Time),
            (Text("2026-02-30"), Time),
            (Text("2026-00-10"), Time),
            (Text("2026-11-21 25:00:00"), Time),
            (Text("2026-11-21 13:40:00+"), Time),
            (Text("soon"), Time),
            (Text(""), Time),
            (Text("1969-12-31 23:59:59"), Time),
            (Text("294276-12-31 23:59:59"), Time),
            (Text("999999-12-31"), Time),
            (Int(1_700_000_000), Integer),
            (Float(1.7e9), Unknown),
            (Bool(true), Unknown),
            (Int(i64::MAX), Since(Unit::Days)),
        ],
        expect![[r#"
            Text("2026-11-21 13:40:00.123+00") Time => 1795268400123
            Text("2026-11-21 13:40:00.123456") Time => 1795268400123
            Text("2026-11-21 13:40:00+05:30") Time => 1795248600000
            Text("2026-11-21 13:40:00-0330") Time => 1795281000000
            Text("2026-11-21T13:40:00Z") Time => 1795268400000
            Text("2026-11-21 13:40") Time => 1795268400000
            Text("2026-11-21") Time => 1795219200000
            Text("2024-02-29 23:59:60") Time => 1709251200000
            Text("10000-01-01 00:00:00") Time => 253402300800000
            Time(1700000000123456) Unknown => 1700000000123
            Int(1700000000123) Since(Millis) => 1700000000123
            Int(1700000000123456) Since(Micros) => 1700000000123
            Int(1700000000123456789) Since(Nanos) => 1700000000123
            Int(20000) Since(Days) => 1728000000000
            Text("2026-11-21T13:40:00.5Z") Since(Micros) => 1795268400500
            Null Time => NULL
            Text("infinity") Time !! time: is "infinity", which no clock reaches; correct the row, or filter it by cast(column as text) in `where`
            Text("-infinity") Time !! time: is "-infinity", which no clock reaches; correct the row, or filter it by cast(column as text) in `where`
            Text("0044-03-15 12:00:00 BC") Time !! time: is "0044-03-15 12:00:00 BC", which is before year 1; correct the row, or filter it by cast(column as text) in `where`
            Text("0000-00-00 00:00:00") Time !! time: is "0000-00-00 00:00:00", MySQL's zero date, which is no day; correct the row, or filter it by cast(column as text) in `where`
            Text("2026-02-30") Time !! time: is "2026-02-30", which is not a date or a time; correct the row, or filter it by cast(column as text) in `where`
            Text("2026-00-10") Time !! time: is "2026-00-10", which is not a date or a time; correct the row, or filter it by cast(column as text) in `where`
            Text("2026-11-21 25:00:00") Time !! time: is "2026-11-21 25:00:00", which is not a date or a time; correct the row, or filter it by cast(column as text) in `where`
            Text("2026-11-21 13:40:00+") Time !! time: is "2026-11-21 13:40:00+", which is not a date or a time; correct the row, or filter it by cast(column as text) in `where`
            Text("soon") Time !! time: is "soon", which is not a date or a time; correct the row, or filter it by cast(column as text) in `where`
            Text("") Time !! time: is "", which is not a date or a time; correct the row, or filter it by cast(column as text) in `where`
            Text("1969-12-31 23:59:59") Time !! range: is -1000 ms since 1970, but must be in 0..9000000000000000; correct the row or filter it with `where`
            Text("294276-12-31 23:59:59") Time !! time: is "294276-12-31 23:59:59", which is not a date or a time; correct the row, or filter it by cast(column as text) in `where`
            Text("999999-12-31") Time !! time: is "999999-12-31", which is not a date or a time; correct the row, or filter it by cast(column as text) in `where`
            Int(1700000000) Integer !! time: is a number, but must be a time: write epoch_ms(column) or epoch_s(column) in the mapping
            Float(1700000000.0) Unknown !! time: is a number, but must be a time: write epoch_ms(column) or epoch_s(column) in the mapping
            Bool(true) Unknown !! type: is a truth value, but must be a time
            Int(9223372036854775807) Since(Days) !! range: is 9223372036854775807, which is out of range for a time
        "#]],
    );
}

#[test]
fn ids() {
    use Value::{Bool, Bytes, Float, Int, Text, Uint};
    let long = "x".repeat(65);
    check(
        id::id,
        &[
            (Text("7"), Class::Integer),
            (Int(-7), Class::Integer),
            (Uint(u64::MAX), Class::Integer),
            (Text("0b4f8e8e-7d0e-4f4e-9b5b-1f2f3f4f5f6f"), Class::Text),
            (Text("日本"), Class::Text),
            (Bytes(b"\x00\xff"), Class::Bytes),
            (Text("\\x00FF"), Class::Bytes),
            (Float(12.0), Class::Unknown),
            (Value::Null, Class::Text),
            (Float(1.5), Class::Unknown),
            (Bool(true), Class::Unknown),
            (Text(""), Class::Text),
            (Text("a\nb"), Class::Text),
            (Text(&long), Class::Text),
            (Bytes(b"ab\xff"), Class::Text),
            (Bytes(b"ab"), Class::Text),
        ],
        expect![[r#"
            Text("7") Integer => "7"
            Int(-7) Integer => "-7"
            Uint(18446744073709551615) Integer => "18446744073709551615"
            Text("0b4f8e8e-7d0e-4f4e-9b5b-1f2f3f4f5f6f") Text => "0b4f8e8e-7d0e-4f4e-9b5b-1f2f3f4f5f6f"
            Text("日本") Text => "日本"
            Bytes([0, 255]) Bytes => "00ff"
            Text("\\x00FF") Bytes => "00ff"
            Float(12.0) Unknown => "12"
            Null Text => NULL
            Float(1.5) Unknown !! id: is 1.5, a number with decimals, but must be an id: map a column of whole numbers or text
            Bool(true) Unknown !! id: is a truth value, but must be an id: map a column of whole numbers or text
            Text("") Text !! id: is "", which is empty; an id has 1 to 64 bytes without control characters: map a shorter column
            Text("a\nb") Text !! id: is "a\nb", which has a control character; an id has 1 to 64 bytes without control characters: map a shorter column
            Text("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") Text !! id: is "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…", which has 65 bytes, more than 64; an id has 1 to 64 bytes without control characters: map a shorter column
            Bytes([97, 98, 255]) Text !! utf8: is not UTF-8 (byte 3 of 3); correct the row's text or map a binary column
            Bytes([97, 98]) Text => "ab"
        "#]],
    );
}

#[test]
fn numbers() {
    use Value::{Bool, Float, Int, Text, Uint};
    let cases = [
        (Text("1500"), Class::Integer),
        (Text("1500.000"), Class::Decimal),
        (Float(1500.0), Class::Float),
        (Uint(4_294_967_295), Class::Integer),
        (Value::Null, Class::Integer),
        (Text("12.5"), Class::Decimal),
        (Int(-1), Class::Integer),
        (Int(4_294_967_296), Class::Integer),
        (Text("99999999999999999999999999"), Class::Decimal),
        (Text("NaN"), Class::Float),
        (Text("Infinity"), Class::Float),
        (Text("1e3"), Class::Float),
        (Text("many"), Class::Text),
        (Bool(true), Class::Bool),
    ];
    check(
        |v, c| number::count(v, c, u32::MAX),
        &cases,
        expect![[r#"
        Text("1500") Integer => 1500
        Text("1500.000") Decimal => 1500
        Float(1500.0) Float => 1500
        Uint(4294967295) Integer => 4294967295
        Null Integer => NULL
        Text("12.5") Decimal !! type: is 12.5, but must be a whole number; round it with cast(… as int)
        Int(-1) Integer !! range: is -1, but must be in 0..4294967295; correct the row or its unit
        Int(4294967296) Integer !! range: is 4294967296, but must be in 0..4294967295; correct the row or its unit
        Text("99999999999999999999999999") Decimal !! range: is 99999999999999999999999999, but must be in 0..4294967295; correct the row or its unit
        Text("NaN") Float !! range: is NaN, but must be a finite number; correct the row, or filter it by cast(column as text) in `where`
        Text("Infinity") Float !! range: is inf, but must be a finite number; correct the row, or filter it by cast(column as text) in `where`
        Text("1e3") Float => 1000
        Text("many") Text !! type: is "many", which is not a number
        Bool(true) Bool !! type: is a truth value, but must be a number
    "#]],
    );
    check(
        number::real,
        &cases,
        expect![[r#"
        Text("1500") Integer => 1500.0
        Text("1500.000") Decimal => 1500.0
        Float(1500.0) Float => 1500.0
        Uint(4294967295) Integer => 4294967295.0
        Null Integer => NULL
        Text("12.5") Decimal => 12.5
        Int(-1) Integer => -1.0
        Int(4294967296) Integer => 4294967296.0
        Text("99999999999999999999999999") Decimal => 1e26
        Text("NaN") Float !! range: is NaN, but must be a finite number; correct the row, or filter it by cast(column as text) in `where`
        Text("Infinity") Float !! range: is inf, but must be a finite number; correct the row, or filter it by cast(column as text) in `where`
        Text("1e3") Float => 1000.0
        Text("many") Text !! type: is "many", which is not a number
        Bool(true) Bool !! type: is a truth value, but must be a number
    "#]],
    );
}

#[test]
fn lists() {
    use Class::{Array, Json, Text as Plain};
    use Value::Text;
    check(
        list::list,
        &[
            (Text("{a,b}"), Array),
            (Text(r#"{"a b","c,d","e\"f",NULL,"NULL",g}"#), Array),
            (Text("{}"), Array),
            (Text("[2:3]={a,b}"), Array),
            (Text("{{a},{b}}"), Array),
            (Text(r#"{"a}"#), Array),
            (Text("a,b"), Array),
            (Text(r#"["a", 1, null, true, "b,c"]"#), Json),
            (Text("null"), Json),
            (Text(r#"{"a":1}"#), Json),
            (Text(r#"[["a"]]"#), Json),
            (Text("["), Json),
            (Text(" a, b ,,c"), Plain),
            (Text(""), Plain),
            (Text("{a,b}"), Class::Unknown),
            (Text("[\"a\"]"), Class::Unknown),
            (Value::Null, Array),
        ],
        expect![[r#"
            Text("{a,b}") Array => ["a", "b"]
            Text("{\"a b\",\"c,d\",\"e\\\"f\",NULL,\"NULL\",g}") Array => ["a b", "c,d", "e\"f", "NULL", "g"]
            Text("{}") Array => []
            Text("[2:3]={a,b}") Array => ["a", "b"]
            Text("{{a},{b}}") Array !! type: is "{{a},{b}}", which is not a list: it has more dimensions
            Text("{\"a}") Array !! type: is "{\"a}", which is not a list: a quote is not closed
            Text("a,b") Array !! type: is "a,b", which is not a list: it has no braces
            Text("[\"a\", 1, null, true, \"b,c\"]") Json => ["a", "1", "true", "b,c"]
            Text("null") Json => []
            Text("{\"a\":1}") Json !! type: is "{\"a\":1}", which is not a JSON list: it is no array
            Text("[[\"a\"]]") Json !! type: is "[[\"a\"]]", which is not a JSON list: an entry is a list or an object
            Text("[") Json !! type: is "[", which is not a JSON list: EOF while parsing a list at line 1 column 1
            Text(" a, b ,,c") Text => ["a", "b", "c"]
            Text("") Text => []
            Text("{a,b}") Unknown => ["a", "b"]
            Text("[\"a\"]") Unknown => ["a"]
            Null Array => NULL
        "#]],
    );
}

#[test]
fn soft_deletion_marks() {
    for (value, class, gone) in [
        (Value::Null, Class::Time, false),
        (Value::Text("2026-11-21"), Class::Time, true),
        (Value::Text("0000-00-00 00:00:00"), Class::Time, false),
        (Value::Time(0), Class::Unknown, true),
        (Value::Text("f"), Class::Bool, false),
        (Value::Text("t"), Class::Bool, true),
        (Value::Int(0), Class::Integer, false),
        (Value::Int(1), Class::Integer, true),
        (Value::Text("0"), Class::Integer, false),
        (Value::Text("false"), Class::Unknown, false),
        (Value::Text("true"), Class::Unknown, true),
        (Value::Bytes(&[0]), Class::Bool, false),
        (Value::Bytes(&[1]), Class::Bool, true),
    ] {
        assert_eq!(is_gone(value, class), gone, "{value:?} {class:?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_time_a_number_a_list_or_refused(text in "\\PC{0,40}") {
        let value = Value::Text(&text);
        for class in [Class::Array, Class::Json, Class::Text, Class::Time, Class::Integer, Class::Bytes] {
            let _ = (list::list(value, class), id::id(value, class), datum(value, class));
            let _ = (time::ms(value, class), number::count(value, class, 9), number::real(value, class));
        }
    }

    #[test]
    fn any_digits_are_a_time_or_refused(text in "[0-9]{1,7}-[0-9]{2}-[0-9]{2} [0-9:.+ZBC-]{0,20}") {
        let _ = time::parse(&text);
    }

    #[test]
    fn arrays_come_back(entries in prop::collection::vec("[a-z,{}\"\\\\ ]{1,8}", 0..10)) {
        let quoted: Vec<String> = entries
            .iter()
            .map(|entry| format!("\"{}\"", entry.replace('\\', "\\\\").replace('"', "\\\"")))
            .collect();
        let text = format!("{{{}}}", quoted.join(","));
        let entries: Vec<String> = entries.into_iter().filter(|entry| !entry.trim().is_empty()).collect();
        prop_assert_eq!(list::list(Value::Text(&text), Class::Array), Ok(Some(entries)));
    }
}
