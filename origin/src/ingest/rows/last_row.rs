//! What several rows say exists is there until the last of them goes.
//!
//! Two sources may have the same items and users: one that is forgotten takes none of the other's.

use super::{Fact, RowBatch, RowChange, RowKey, RowOp, SourceCommand, TableId};
use crate::ingest::Command;
use crate::ingest::testing::{Rig, item};
use crate::store::read;
use crate::store::record::{Record, UserRecord};
use crate::store::table::Table;

fn rig() -> Rig {
    let rig = Rig::new();
    rig.write(Command::Source(SourceCommand::Register {
        source: "db".to_owned(),
        tables: ["one", "other"].map(str::to_owned).to_vec(),
    }));
    rig
}

/// Rows of two tables say that `x` exists; `fact` is what a row of an id says.
#[track_caller]
fn check(fact: impl Fn(&str) -> Fact, is_there: impl Fn(&Rig) -> bool) {
    let mut rig = rig();
    let change = |table, key, op| RowChange {
        table: TableId(table),
        key: RowKey::Int(key),
        op,
    };
    let says = |table, key, id: &str| change(table, key, RowOp::Put(fact(id)));
    let ends = |table, key| change(table, key, RowOp::Remove);
    let write = |rig: &Rig, changes: Vec<RowChange>| {
        rig.write(Command::Rows(Box::new(RowBatch {
            source: "db".to_owned(),
            changes: changes.into(),
            ..RowBatch::default()
        })))
    };
    write(
        &rig,
        vec![says(1, 1, "x"), says(2, 7, "x"), says(2, 7, "x")],
    );
    write(&rig, vec![ends(1, 1)]);
    assert!(is_there(&rig), "the other row says so");
    rig.restart();
    // The row becomes another's and comes back.
    write(&rig, vec![says(2, 7, "y")]);
    assert!(!is_there(&rig));
    write(&rig, vec![says(2, 7, "x"), says(1, 1, "x"), ends(2, 7)]);
    assert!(is_there(&rig));
    write(&rig, vec![ends(1, 1)]);
    assert!(!is_there(&rig));
    rig.check();
}

#[test]
fn an_item_is_there_until_its_last_row_goes() {
    let fact = |id: &str| Fact::Item(Box::new(item(id, "a")));
    check(fact, |rig| {
        let found = read::item(&*rig.read(), "x").unwrap().unwrap();
        found.deleted_at_ms.is_none()
    });
}

#[test]
fn a_user_s_data_is_there_until_the_last_row_goes() {
    let fact = |id: &str| Fact::User { id: id.into() };
    check(fact, |rig| {
        read::user_number(&*rig.read(), "x").unwrap().is_some()
    });
}

#[test]
fn a_user_of_before_rows_were_counted_is_read() {
    let mut user = UserRecord {
        number: 300,
        id: "ann".to_owned(),
        rows: 0,
    };
    assert_eq!(user.encode(), b"\x01\xac\x02\x03ann");
    for rows in [0, 1, 1_000] {
        user.rows = rows;
        let read = UserRecord::decode(Table::Users, &user.encode()).unwrap();
        assert_eq!(read, user);
    }
}
