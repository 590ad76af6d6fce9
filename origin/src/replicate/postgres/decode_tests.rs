//! Laws of the decoder: what a server sends is read, anything else is an error.

use proptest::prelude::*;

use super::decode::{Datum, DecodeError, Message, Old};

/// A column for [`tuple`].
#[derive(Clone, Debug)]
enum Column {
    Null,
    Unchanged,
    Text(Vec<u8>),
}

fn tuple(columns: &[Column]) -> Vec<u8> {
    let mut bytes = (columns.len() as u16).to_be_bytes().to_vec();
    for column in columns {
        match column {
            Column::Null => bytes.push(b'n'),
            Column::Unchanged => bytes.push(b'u'),
            Column::Text(text) => {
                bytes.push(b't');
                bytes.extend((text.len() as u32).to_be_bytes());
                bytes.extend(text);
            }
        }
    }
    bytes
}

fn update(relation: u32, old: Option<(u8, &[Column])>, new: &[Column]) -> Vec<u8> {
    let mut bytes = vec![b'U'];
    bytes.extend(relation.to_be_bytes());
    if let Some((kind, columns)) = old {
        bytes.push(kind);
        bytes.extend(tuple(columns));
    }
    bytes.push(b'N');
    bytes.extend(tuple(new));
    bytes
}

fn relation(name: &str, columns: &[(&str, u32, bool)]) -> Vec<u8> {
    let mut bytes = vec![b'R'];
    bytes.extend(16_384_u32.to_be_bytes());
    bytes.extend(b"public\0");
    bytes.extend(name.as_bytes());
    bytes.extend(b"\0d");
    bytes.extend((columns.len() as u16).to_be_bytes());
    for (name, oid, key) in columns {
        bytes.push(u8::from(*key));
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.extend(oid.to_be_bytes());
        bytes.extend((-1_i32).to_be_bytes());
    }
    bytes
}

fn matches(datum: Datum<'_>, column: &Column) -> bool {
    match (datum, column) {
        (Datum::Null, Column::Null) | (Datum::Unchanged, Column::Unchanged) => true,
        (Datum::Text(text), Column::Text(expected)) => text == expected.as_slice(),
        _ => false,
    }
}

#[test]
fn a_relation_names_its_columns() {
    let bytes = relation("posts", &[("id", 20, true), ("title", 25, false)]);
    let Ok(Message::Relation(relation)) = Message::decode(&bytes) else {
        panic!("not a relation");
    };
    assert_eq!(
        (relation.schema, relation.name),
        (&b"public"[..], &b"posts"[..])
    );
    assert_eq!(relation.replica_identity, b'd');
    let columns = relation
        .columns
        .iter()
        .map(|c| (c.name, c.type_oid, c.is_identity));
    assert_eq!(
        columns.collect::<Vec<_>>(),
        [(&b"id"[..], 20, true), (&b"title"[..], 25, false)]
    );
}

#[test]
fn transactions_are_framed() {
    let mut begin = vec![b'B'];
    begin.extend(7_u64.to_be_bytes());
    begin.extend((-5_i64).to_be_bytes());
    begin.extend(9_u32.to_be_bytes());
    let expected = Message::Begin {
        final_lsn: 7,
        commit_time: -5,
        xid: 9,
    };
    assert_eq!(Message::decode(&begin), Ok(expected));
    begin.push(0);
    assert_eq!(Message::decode(&begin), Err(DecodeError::Trailing(1)));
}

#[test]
fn a_truncate_names_its_tables_and_cannot_reserve_more_than_it_brings() {
    let mut bytes = vec![b'T', 0, 0, 0, 2, 1, 0, 0, 0, 5, 0, 0, 0, 6];
    let expected = Message::Truncate {
        relations: vec![5, 6],
    };
    assert_eq!(Message::decode(&bytes), Ok(expected));
    bytes[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(
        Message::decode(&bytes),
        Err(DecodeError::Invalid("number of tables"))
    );
}

#[test]
fn kinds_that_protocol_1_does_not_have_are_refused() {
    for kind in [0, b'S', b'A', b'b', 255] {
        assert_eq!(
            Message::decode(&[kind]),
            Err(DecodeError::UnknownKind(kind))
        );
    }
    assert_eq!(
        Message::decode(&[]),
        Err(DecodeError::Truncated("its kind"))
    );
    let insert = [b'I', 0, 0, 0, 1, b'K', 0, 0];
    assert_eq!(
        Message::decode(&insert),
        Err(DecodeError::Invalid("tuple kind"))
    );
}

fn columns() -> impl Strategy<Value = Vec<Column>> {
    let column = prop_oneof![
        Just(Column::Null),
        Just(Column::Unchanged),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Column::Text),
    ];
    prop::collection::vec(column, 0..12)
}

proptest! {
    #[test]
    fn an_update_reads_back(
        oid in any::<u32>(),
        old in prop::option::of((prop::bool::ANY, columns())),
        new in columns(),
    ) {
        let kind = |row: bool| if row { b'O' } else { b'K' };
        let bytes = update(oid, old.as_ref().map(|(row, c)| (kind(*row), c.as_slice())), &new);
        let Ok(Message::Update { relation, old: read_old, new: read_new }) =
            Message::decode(&bytes) else { panic!("not an update") };
        prop_assert_eq!(relation, oid);
        prop_assert_eq!(read_new.len(), new.len());
        prop_assert!(read_new.iter().zip(&new).all(|(datum, column)| matches(datum, column)));
        prop_assert_eq!(read_old.is_some(), old.is_some());
        if let (Some(read), Some((row, expected))) = (read_old, &old) {
            prop_assert_eq!(matches!(read, Old::Row(_)), *row);
            let tuple = read.tuple();
            prop_assert_eq!(tuple.iter().count(), expected.len());
            prop_assert!(tuple.iter().zip(expected).all(|(datum, column)| matches(datum, column)));
        }
    }

    #[test]
    fn a_message_that_was_cut_is_an_error(new in columns(), old in columns(), cut in any::<prop::sample::Index>()) {
        let whole = update(1, Some((b'O', &old)), &new);
        let len = cut.index(whole.len());
        prop_assert!(Message::decode(&whole[..len]).is_err());
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..10_usize) {
        let _ = Message::decode(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = b"BCOYRIUDTM"[kind];
        }
        if let Ok(Message::Insert { new, .. }) = Message::decode(&bytes) {
            prop_assert_eq!(new.iter().count(), new.len());
        }
    }

    #[test]
    fn one_wrong_byte_never_panics(new in columns(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = update(1, None, &new);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(Message::Update { new, .. }) = Message::decode(&bytes) {
            prop_assert_eq!(new.iter().count(), new.len());
        }
    }
}

#[test]
fn the_fuzz_corpus_is_read() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/pgoutput");
    let mut seeds = 0;
    for file in std::fs::read_dir(corpus).expect("the corpus") {
        let bytes = std::fs::read(file.expect("a seed").path()).expect("a seed");
        super::decode::fuzz(&bytes);
        seeds += 1;
    }
    assert!(seeds >= 10);
}
