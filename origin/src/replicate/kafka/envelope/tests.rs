use proptest::prelude::*;

use super::*;

fn columns() -> Vec<String> {
    ["id", "author", "at", "price", "body"]
        .map(String::from)
        .to_vec()
}

#[track_caller]
fn read(json: &str) -> Change<'_> {
    debezium(Some(json.as_bytes()), &columns(), &mut Schemas::default()).expect("an envelope")
}

#[track_caller]
fn refused(json: &str, says: &str) {
    let error = debezium(Some(json.as_bytes()), &columns(), &mut Schemas::default())
        .expect_err("is refused")
        .to_string();
    assert!(error.contains(says), "{error}");
}

fn row<'a>(id: i64, author: &'static str) -> Row<'a> {
    let text = Cell::Text(author.into());
    vec![Some(Cell::Int(id)), Some(text), None, None, None]
}

#[test]
fn inserts_updates_reads_and_deletes_are_read_without_a_schema() {
    for op in ["c", "r", "u"] {
        let json = format!(
            r#"{{"before":null,"after":{{"id":7,"author":"a","other":[1]}},"source":{{"ts_ms":5,"db":"x"}},"op":"{op}","ts_ms":9,"transaction":null}}"#
        );
        let expected = Op::Put {
            row: row(7, "a"),
            before: None,
        };
        assert_eq!(
            read(&json),
            Change {
                op: expected,
                source_ms: Some(5)
            }
        );
    }
    let json = r#"{"before":{"id":7,"author":"a"},"after":null,"op":"d","ts_ms":9}"#;
    let expected = Op::Delete {
        before: Some(row(7, "a")),
    };
    assert_eq!(
        read(json),
        Change {
            op: expected,
            source_ms: Some(9)
        }
    );
    assert_eq!(read(r#"{"op":"t"}"#).op, Op::Truncate);
    assert_eq!(
        read(r#"{"op":"m","message":{"prefix":"x"}}"#).op,
        Op::Nothing
    );
    let tombstone = debezium(None, &columns(), &mut Schemas::default()).expect("a tombstone");
    assert_eq!(tombstone.op, Op::Delete { before: None });
}

#[test]
fn a_schema_says_how_times_decimals_and_bytes_are_read() {
    let schema = |at: &str| {
        format!(
            r#"{{"type":"struct","fields":[{{"type":"struct","field":"before","fields":[]}},{{"type":"struct","field":"after","fields":[
            {{"type":"int64","field":"id"}},{{"type":"string","field":"author"}},{{"type":"int64","name":"{at}","field":"at"}},
            {{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"2"}},"field":"price"}},
            {{"type":"bytes","field":"body"}}]}}]}}"#
        )
    };
    let mut schemas = Schemas::default();
    // Before the schema's own `before`, which has no fields here, `after` is looked at.
    for (at, raw, micros) in [
        (
            "io.debezium.time.Timestamp",
            1_700_000_000_123,
            1_700_000_000_123_000,
        ),
        (
            "io.debezium.time.MicroTimestamp",
            1_700_000_000_123_456,
            1_700_000_000_123_456,
        ),
        (
            "io.debezium.time.NanoTimestamp",
            1_700_000_000_123_456_789,
            1_700_000_000_123_456,
        ),
        ("org.apache.kafka.connect.data.Timestamp", 5, 5_000),
        ("io.debezium.time.Date", 1, 86_400_000_000),
        ("io.debezium.time.Timestamp", i64::MAX, i64::MAX),
    ] {
        let json = format!(
            r#"{{"schema":{},"payload":{{"op":"c","after":{{"id":1,"author":null,"at":{raw},"price":"MDk=","body":"AP8="}}}}}}"#,
            schema(at)
        );
        let change = debezium(Some(json.as_bytes()), &columns(), &mut schemas).expect("a change");
        let Op::Put { row, .. } = change.op else {
            panic!("no row");
        };
        let expected = [
            Cell::Int(1),
            Cell::Null,
            Cell::Time(micros),
            Cell::Text("123.45".into()),
            Cell::Bytes(vec![0, 255]),
        ];
        assert_eq!(row, expected.map(Some));
    }
    let json = format!(
        r#"{{"schema":{},"payload":{{"op":"c","after":{{"price":"!"}}}}}}"#,
        schema("x")
    );
    refused(&json, "column price");
    refused(&json, "not base64");
    let json = format!(r#"{{"schema":{},"payload":null}}"#, schema("x"));
    assert_eq!(read(&json).op, Op::Delete { before: None });
    refused(r#"{"schema":null,"payload":{"a":1}}"#, "no op");
}

#[test]
fn decimals_are_exact() {
    for (bytes, scale, text) in [
        (&[][..], 0, "0"),
        (&[0], 2, "0.00"),
        (&[0x30, 0x39], 0, "12345"),
        (&[0x30, 0x39], 5, "0.12345"),
        (&[0x30, 0x39], -2, "1234500"),
        (&[0xff], 1, "-0.1"),
        (&[0x80], 0, "-128"),
        (
            &[0x0d, 0xe0, 0xb6, 0xb3, 0xa7, 0x64, 0x00, 0x00],
            0,
            "1000000000000000000",
        ),
    ] {
        assert_eq!(cell::decimal(bytes, scale).as_deref(), Ok(text));
    }
    assert!(cell::decimal(&[1; 300], 0).is_err());
    assert!(cell::decimal(&[1], i32::MIN).is_err());
}

#[test]
fn what_did_not_change_is_not_null() {
    let unchanged = r#"{"op":"u","after":{"id":1,"author":"__debezium_unavailable_value","at":null,"body":["__debezium_unavailable_value"]}}"#;
    let Op::Put { row, .. } = read(unchanged).op else {
        panic!("no row");
    };
    let expected = vec![
        Some(Cell::Int(1)),
        Some(Cell::Unchanged),
        Some(Cell::Null),
        None,
        Some(Cell::Unchanged),
    ];
    assert_eq!(row, expected);
}

#[test]
fn what_did_not_change_is_as_the_row_before_says() {
    let unchanged = r#"{"op":"u","before":{"id":1,"author":"a","body":null},"after":{"id":1,"author":"__debezium_unavailable_value","body":"__debezium_unavailable_value"}}"#;
    let Op::Put { row, .. } = read(unchanged).op else {
        panic!("no row");
    };
    assert_eq!(row[1], Some(Cell::Text("a".into())));
    assert_eq!(row[4], Some(Cell::Unchanged));
}

#[test]
fn values_are_exact() {
    let json = r#"{"op":"c","after":{"id":18446744073709551615,"author":"a\n\u00e9","at":1.5,"price":123456789012345678901234567890,"body":{"a":[1, 2]}}}"#;
    let Op::Put { row, .. } = read(json).op else {
        panic!("no row");
    };
    let expected = [
        Cell::Uint(u64::MAX),
        Cell::Text("a\né".into()),
        Cell::Float(1.5),
        Cell::Text("123456789012345678901234567890".into()),
        Cell::Text(r#"{"a":[1, 2]}"#.into()),
    ];
    assert_eq!(row, expected.map(Some));
}

#[test]
fn flattened_rows_say_whether_they_are_gone() {
    let read = |json: &'static str| {
        flat(Some(json.as_bytes()), &columns(), &mut Schemas::default()).expect("a row")
    };
    let change = read(r#"{"id":7,"author":"a","__op":"c","__source_ts_ms":5,"__deleted":"false"}"#);
    let expected = Op::Put {
        row: row(7, "a"),
        before: None,
    };
    assert_eq!(
        change,
        Change {
            op: expected,
            source_ms: Some(5)
        }
    );
    let gone = Op::Delete {
        before: Some(row(7, "a")),
    };
    assert_eq!(read(r#"{"id":7,"author":"a","__deleted":"true"}"#).op, gone);
    assert_eq!(read(r#"{"id":7,"author":"a","__deleted":true}"#).op, gone);
    let wrapped = r#"{"schema":{"type":"struct","fields":[]},"payload":{"id":7,"author":"a"}}"#;
    assert_eq!(
        read(wrapped).op,
        Op::Put {
            row: row(7, "a"),
            before: None
        }
    );
    let gone = flat(None, &columns(), &mut Schemas::default()).expect("a tombstone");
    assert_eq!(gone.op, Op::Delete { before: None });
}

#[test]
fn keys_name_their_columns() {
    let plain = br#"{"id":7,"tenant":"x"}"#;
    let wrapped = br#"{"schema":{"type":"struct","fields":[{"type":"int32","field":"id"}]},"payload":{"id":7}}"#;
    assert_eq!(key_names(Some(plain)), ["id", "tenant"]);
    assert_eq!(key_names(Some(wrapped)), ["id"]);
    assert!(key_names(Some(b"7")).is_empty() && key_names(None).is_empty());
    let row = key(Some(wrapped), &columns(), &mut Schemas::default()).expect("a key");
    assert_eq!(row.first(), Some(&Some(Cell::Int(7))));
    assert_eq!(
        key(Some(b"seven"), &columns(), &mut Schemas::default()),
        None
    );
}

#[test]
fn what_is_no_envelope_says_what_to_do() {
    refused("", "not JSON");
    refused("{", "not JSON");
    refused("[1]", "not a JSON object");
    refused(r#"{"id":7}"#, "format = \"flat\"");
    refused(r#"{"op":"c"}"#, "no after");
    refused(r#"{"op":"c","after":[]}"#, "not a JSON object");
    refused(r#"{"op":"x"}"#, "\"x\" is not one of");
    refused(r#"{"op":7}"#, "op is no text");
    let error = debezium(Some(&[0xff]), &columns(), &mut Schemas::default());
    assert_eq!(error, Err(EnvelopeError::NotText));
    let deep = format!(r#"{{"op":"c","after":{{"id":{}"#, "[".repeat(100_000));
    refused(&deep, "not JSON");
}

#[test]
fn the_corpus_is_read() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/kafka_message");
    let mut seeds = 0;
    for seed in std::fs::read_dir(corpus).expect("the corpus") {
        fuzz(&std::fs::read(seed.expect("an entry").path()).expect("a seed"));
        seeds += 1;
    }
    assert!(seeds >= 4);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz(&bytes);
    }

    #[test]
    fn no_text_like_an_envelope_panics(
        op in "[crudtmx]", after in r#"(null|\{("(id|at|price)":([0-9]{1,30}|"[A-Za-z=]{0,9}"|null|\[\]),){0,3}"id":1\}|\[|1)"#,
        kind in r"(io\.debezium\.time\.(Date|Timestamp|NanoTimestamp)|org\.apache\.kafka\.connect\.data\.Decimal|x)",
        scale in "-?[0-9]{0,5}", cut in 0usize..400,
    ) {
        let schema = format!(r#"{{"fields":[{{"field":"after","fields":[{{"field":"id","name":"{kind}","type":"bytes","parameters":{{"scale":"{scale}"}}}}]}}]}}"#);
        let json = format!(r#"{{"schema":{schema},"payload":{{"op":"{op}","after":{after},"source":{{"ts_ms":1}}}}}}"#);
        fuzz(json.as_bytes());
        fuzz(json.get(..cut).unwrap_or(&json).as_bytes());
    }

    #[test]
    fn decimals_are_what_128_bits_say(value in any::<i128>()) {
        prop_assert_eq!(cell::decimal(&value.to_be_bytes(), 0), Ok(value.to_string()));
    }

    #[test]
    fn a_row_is_read_as_it_was_written(id in any::<i64>(), author in ".{0,20}") {
        let json = serde_json::json!({"op": "c", "after": {"id": id, "author": author, "x": 1}}).to_string();
        let change = debezium(Some(json.as_bytes()), &columns(), &mut Schemas::default()).expect("an envelope");
        let Op::Put { row, .. } = change.op else { panic!("no row") };
        prop_assert_eq!(row.first(), Some(&Some(Cell::Int(id))));
        prop_assert_eq!(row.get(1), Some(&Some(Cell::Text(author.into()))));
    }
}
