use std::ops::ControlFlow;
use std::path::Path;

use super::{FILE_NAME, RedbStore};
use crate::store::{Range, Store, StoreError, Table, Transaction};

#[test]
fn a_second_process_is_told_who_has_the_data() {
    let directory = tempfile::tempdir().unwrap();
    let _first = RedbStore::open(directory.path()).unwrap();
    let error = RedbStore::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }));
    assert!(
        error
            .to_string()
            .contains("is in use by another edgewise process")
    );
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(directory.path()).unwrap();
    let mode = store.path().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_is_no_database_is_never_taken_for_an_empty_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    for bytes in [&b""[..], b"redb", &[0; 8_192]] {
        std::fs::write(&path, bytes).unwrap();
        let error = RedbStore::open(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        let remedy = "the database is damaged; restore a backup with `edgewise restore`";
        assert!(error.to_string().contains(remedy));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

/// Opens, reads and checks everything.
fn used(path: &Path) -> Result<(), StoreError> {
    let mut store = RedbStore::open_file(path)?;
    for table in Table::ALL {
        let rows = &mut |_: &[u8], _: &[u8]| Ok(ControlFlow::Continue(()));
        store.read()?.scan(table, &Range::all(), rows)?;
    }
    store.write(&mut |tx| tx.put(Table::Authors, b"more", b"1"))?;
    store.check_integrity()
}

#[test]
fn damage_is_named_and_never_panics() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    let store = RedbStore::open(directory.path()).unwrap();
    let rows = |tx: &mut dyn Transaction| {
        (0..5_000_u32).try_for_each(|n| tx.put(Table::Authors, &n.to_be_bytes(), &[7; 100]))
    };
    store.write(&mut |tx| rows(tx)).unwrap();
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    used(&path).unwrap();
    let mut refused = 0;
    let mut check = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        match used(&path) {
            Ok(()) => {}
            Err(StoreError::Damaged { .. }) => refused += 1,
            Err(other) => panic!("{what}: {other:?}"),
        }
    };
    for part in 0..16 {
        let end = whole.len() * part / 16;
        check(&whole[..end], &format!("cut at {end}"));
    }
    for from in (4_096..whole.len()).step_by(whole.len() / 24) {
        let mut bytes = whole.clone();
        let to = bytes.len().min(from + 40_000);
        bytes[from..to].fill(0xa5);
        check(&bytes, &format!("overwritten from {from}"));
    }
    assert!(refused > 16, "{refused}");
}

#[test]
fn failed_work_changes_nothing() {
    let store = RedbStore::in_memory().unwrap();
    let failed = store.write(&mut |tx| {
        tx.put(Table::Meta, b"x", b"1")?;
        Err(StoreError::Corrupt {
            table: Table::Meta,
            reason: "for the test",
        })
    });
    assert!(failed.is_err());
    assert_eq!(store.read().unwrap().get(Table::Meta, b"x").unwrap(), None);
}

#[test]
fn scans_run_both_ways_within_their_bounds() {
    let store = RedbStore::in_memory().unwrap();
    store
        .write(&mut |tx| {
            for key in [b"a1", b"a2", b"b1"] {
                tx.put(Table::Authors, key, b"")?;
            }
            Ok(())
        })
        .unwrap();
    let read = store.read().unwrap();
    let keys = |range: Range| {
        let mut keys = Vec::new();
        read.scan(Table::Authors, &range, &mut |key, _| {
            keys.push(String::from_utf8(key.to_vec()).unwrap());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        keys
    };
    assert_eq!(keys(Range::prefix(b"a")), ["a1", "a2"]);
    assert_eq!(keys(Range::all().reversed()), ["b1", "a2", "a1"]);
    assert_eq!(keys(Range::between(b"a2", b"b1")), ["a2"]);
    assert!(keys(Range::between(b"b", b"a")).is_empty());
}
