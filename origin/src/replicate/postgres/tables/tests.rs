use super::super::decode::{Relation, RelationColumn};
use super::super::identity::Identity;
use super::{Entry, Relations, Signature, is_padded, unpadded};
use crate::ingest::rows::TableId;
use crate::replicate::mapping::TablePlan;
use crate::replicate::value::Value;

/// An entry of `public.posts` whose copied table had the OID 1.
fn entry() -> Entry {
    let config = "table = \"public.posts\"\nto = \"users\"\nid = \"id\"";
    let plan = TablePlan::compile(&toml::from_str(config).unwrap()).unwrap();
    let columns = vec![("id".to_owned(), "int8".to_owned())];
    let identity = Identity {
        oid: 1,
        ..Identity::default()
    };
    let mut entry = Entry::new(TableId(1), plan);
    entry.signature = Some(Signature {
        key: vec!["id".to_owned()],
        columns,
        identity: Some(identity),
    });
    entry
}

/// What becomes of the entry when the stream describes a table: `bound`, `ignored` or why it
/// is stopped.
fn learn(oid: u32, name: &str, is_catching_up: bool) -> String {
    let column = RelationColumn {
        is_identity: true,
        name: b"id",
        type_oid: 20,
    };
    let relation = Relation {
        oid,
        schema: b"public",
        name: name.as_bytes(),
        replica_identity: b'd',
        columns: vec![column],
    };
    let mut relations = Relations::default();
    let stops = relations.learn(&relation, &[entry()], is_catching_up);
    match stops.first() {
        Some(stop) => stop.reason.clone(),
        None if relations.get(oid).is_some_and(|bound| bound.len() == 1) => "bound".to_owned(),
        None => "ignored".to_owned(),
    }
}

#[test]
fn a_table_is_known_by_its_number_and_its_name() {
    assert_eq!(learn(1, "posts", false), "bound");
    assert_eq!(learn(2, "likes", false), "ignored");
    let renamed = "table public.posts was renamed to public.posts_old";
    assert_eq!(learn(1, "posts_old", false), renamed);
    assert!(learn(2, "posts", false).contains("is another table now"));
}

#[test]
fn blanks_that_fill_up_a_value_are_dropped() {
    assert!(is_padded("bpchar") && !is_padded("text") && !is_padded("varchar"));
    assert_eq!(unpadded(Value::Text(" u5   ")), Value::Text(" u5"));
    assert_eq!(unpadded(Value::Text("tab\t")), Value::Text("tab\t"));
    assert_eq!(unpadded(Value::Unchanged), Value::Unchanged);
}

#[test]
fn what_a_newer_copy_has_seen_goes_by_number_alone() {
    assert_eq!(learn(1, "posts", true), "bound");
    assert_eq!(learn(1, "posts_new", true), "bound");
    assert_eq!(learn(2, "posts", true), "ignored");
    assert_eq!(learn(2, "likes", true), "ignored");
}
