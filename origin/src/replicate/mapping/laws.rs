//! What holds of every table and row: keys, dead letters, no panic; and how fast it is.

use expect_test::expect;
use proptest::prelude::*;

use super::tests::{EVENT_COLUMNS, EVENTS, POST_COLUMNS, POSTS, bound, columns, plan, post, row};
use super::*;
use crate::ingest::rows::{RowKey, RowOp, TableId};
use crate::replicate::contract::TableQuality;
use crate::replicate::value::Value::{self, Bytes, Float, Int, Null, Text, Unchanged};

#[test]
fn keys_are_the_same_whoever_delivers_them() {
    let key = |types: &str, values: &[(&str, Value<'_>)]| {
        let bound = bound("table='t'\nto='users'\nid=\"'x'\"", types);
        bound
            .key(&row(&bound, values))
            .map_err(|violation| violation.reason)
    };
    let one = |type_name: &str, value: Value<'_>| key(&format!("k:{type_name}!"), &[("k", value)]);
    assert_eq!(one("int8", Text("7")), Ok(RowKey::Int(7)));
    assert_eq!(one("bigint", Int(7)), Ok(RowKey::Int(7)));
    assert_eq!(one("", Int(7)), Ok(RowKey::Int(7)));
    assert_eq!(
        one("bigint~unsigned", Value::Uint(u64::MAX)),
        Ok(RowKey::Int(-1))
    );
    assert_eq!(
        one("bigint", Text("18446744073709551615")),
        Ok(RowKey::Int(-1))
    );
    assert!(matches!(one("text", Text("7")), Ok(RowKey::Hash(_))));
    for (type_name, a, b) in [
        ("bytea", Text("\\x00ff"), Bytes(b"\x00\xff")),
        ("bool", Text("t"), Int(1)),
        ("bool", Text("false"), Value::Bool(false)),
        (
            "timestamptz",
            Text("2026-11-21 13:40:00+00"),
            Value::Time(1_795_268_400_000_000),
        ),
        ("numeric", Text("1.50"), Text("1.5")),
        ("float8", Text("2"), Float(2.0)),
        ("text", Text("a"), Bytes(b"a")),
    ] {
        assert_eq!(one(type_name, a), one(type_name, b), "{type_name}");
        assert!(one(type_name, a).is_ok());
    }
    let two = |a, b| key("b:text! a:int8!", &[("a", a), ("b", b)]);
    assert_eq!(
        two(Text("1"), Text("x")),
        key("a:int8! b:text!", &[("a", Int(1)), ("b", Text("x"))])
    );
    assert_ne!(two(Text("1"), Text("1x")), two(Text("11"), Text("x")));
    assert!(one("int8", Null).unwrap_err().contains("NOT NULL"));
    assert!(
        one("int8", Unchanged)
            .unwrap_err()
            .contains("REPLICA IDENTITY")
    );
    assert!(one("int8", Text("x")).is_err());
    assert!(one("timestamptz", Text("infinity")).is_err());
}

#[test]
fn a_refused_row_is_a_removal_and_a_letter_that_can_be_replayed() {
    let bound = bound(POSTS, POST_COLUMNS);
    let mut quality = TableQuality::new("main", &bound, 0);
    let bad = post(&bound, &[("region", Text("xx")), ("picture", Unchanged)]);
    let (change, letter) = deliver(&bound, TableId(3), &bad, "0/16B3748", &mut quality, 5);
    assert_eq!((change.key, change.op), (RowKey::Int(7), RowOp::Remove));
    let letter = letter.unwrap();
    assert_eq!(
        (letter.key.as_str(), letter.table.as_str()),
        ("id=7", "public.posts->items")
    );
    expect![[r#"one_of: column region is "xx", but the contract says one of de, fr"#]]
        .assert_eq(&letter.reason);
    let again = row_of_letter(&bound, &letter.columns).unwrap();
    let again: Vec<_> = again.iter().map(|value| value.as_value()).collect();
    assert_eq!(again, bad);

    let long = "x".repeat(20_000);
    let bad = post(&bound, &[("title", Text(&long))]);
    let (_, letter) = deliver(&bound, TableId(3), &bad, "0/16B3748", &mut quality, 5);
    let letter = letter.unwrap();
    assert!(letter.columns.len() <= LETTER_BYTES_MAX);
    let reason = row_of_letter(&bound, &letter.columns)
        .unwrap_err()
        .to_string();
    assert!(reason.contains("too long to keep"), "{reason}");

    let bad = post(&bound, &[("id", Null)]);
    let (change, letter) = deliver(&bound, TableId(3), &bad, "0/16B3748", &mut quality, 5);
    assert_eq!((change.key, letter.unwrap().row), (NO_ROW, None));

    let (change, letter) = deliver(&bound, TableId(3), &post(&bound, &[]), "", &mut quality, 5);
    assert!(matches!(change.op, RowOp::Put(Fact::Item(_))) && letter.is_none());
}

#[test]
fn mapping_an_event_is_fast() {
    let bound = bound(EVENTS, EVENT_COLUMNS);
    let row = row(
        &bound,
        &[
            ("kind", Text("2")),
            ("user_id", Text("123456")),
            ("post_id", Text("7654321")),
            ("at", Text("2026-11-21 13:40:00.250123+00")),
            ("watched", Text("15000")),
            ("id", Text("99")),
        ],
    );
    let mut quality = TableQuality::new("main", &bound, 0);
    let map = best(&mut || {
        assert!(matches!(
            bound.map(std::hint::black_box(&row)),
            Mapped::Put(_)
        ));
    });
    let mut at_ms = 0;
    let delivered = best(&mut || {
        at_ms += 1;
        std::hint::black_box(deliver(&bound, TableId(1), &row, "", &mut quality, at_ms));
    });
    println!("an event row: mapped in {map:?}, delivered in {delivered:?}");
}

/// The time of one call in the best of 20 rounds: other processes disturb the others.
fn best(call: &mut dyn FnMut()) -> std::time::Duration {
    let round = |_| {
        let clock = crate::clock::Stopwatch::start();
        (0..500).for_each(|_| call());
        clock.elapsed() / 500
    };
    (0..20).map(round).min().unwrap()
}

fn value() -> impl Strategy<Value = crate::replicate::value::OwnedValue> {
    use crate::replicate::value::OwnedValue as V;
    prop_oneof![
        Just(V::Null),
        Just(V::Unchanged),
        any::<bool>().prop_map(V::Bool),
        any::<i64>().prop_map(V::Int),
        any::<u64>().prop_map(V::Uint),
        any::<f64>().prop_map(V::Float),
        any::<i64>().prop_map(V::Time),
        "\\PC{0,12}".prop_map(V::Text),
        "(-?[0-9]{1,20}|[tf]|2026-11-21 13:40:00|\\{a,b\\}|\\[1\\])".prop_map(V::Text),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(V::Bytes),
    ]
}

/// The table as JSON describes it: by names.
fn untyped(toml: &str, text: &str) -> BoundTable {
    let mut columns = columns(text);
    columns
        .iter_mut()
        .for_each(|column| column.type_name.clear());
    plan(toml).bind(&columns).unwrap()
}

fn as_values(owned: &[crate::replicate::value::OwnedValue]) -> Vec<Value<'_>> {
    owned.iter().map(|value| value.as_value()).collect()
}

proptest! {
    #[test]
    fn no_values_panic_and_each_delivery_is_a_change(owned in prop::collection::vec(value(), 0..14)) {
        let values = as_values(&owned);
        for bound in [bound(POSTS, POST_COLUMNS), bound(EVENTS, EVENT_COLUMNS),
            untyped(POSTS, POST_COLUMNS)] {
            let mut quality = TableQuality::new("main", &bound, 0);
            let (change, letter) = deliver(&bound, TableId(1), &values, "p", &mut quality, 1);
            prop_assert!(letter.is_none() || change.op == RowOp::Remove);
            if let RowOp::Put(Fact::Item(item)) = &change.op {
                prop_assert!(edgewise_wire::items::check(item).is_ok());
            }
            let _ = (quality.report(2), bound.key_text(&values));
        }
    }

    #[test]
    fn letters_bring_values_back(owned in prop::collection::vec(value(), 10)) {
        let bound = bound(EVENTS, EVENT_COLUMNS);
        let names = bound.columns().len();
        let values = as_values(&owned);
        let json = letter::columns_json(&bound, values.get(..names).unwrap());
        let again = row_of_letter(&bound, &json).unwrap();
        for (before, after) in owned.iter().zip(&again) {
            // JSON has one kind of numbers: what is positive comes back signed.
            let same = format!("{before:?}") == format!("{after:?}")
                || format!("{:?}", before).replace("Uint", "Int") == format!("{after:?}");
            prop_assert!(same, "{before:?} {after:?}");
        }
    }

    #[test]
    fn an_integer_key_is_the_same_as_text_and_number(key in any::<i64>()) {
        let text = key.to_string();
        for type_name in ["int8", "bigint", "int4"] {
            let bound = bound("table='t'\nto='users'\nid='k'", &format!("k:{type_name}!"));
            prop_assert_eq!(bound.key(&[Int(key)]), Ok(RowKey::Int(key)));
            prop_assert_eq!(bound.key(&[Text(&text)]), Ok(RowKey::Int(key)));
        }
    }
}
