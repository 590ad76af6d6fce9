//! Brings a file of an older format up to date, in one transaction: killed at any moment, this
//! leaves the file as it was.

use std::ops::ControlFlow;

use redb::{TableDefinition, WriteTransaction};

use super::views::{Bytes, WriteView, scan};
use super::{FORMAT, engine};
use crate::store::activity::ActivityBlock;
use crate::store::block::{self, BlockKey, Packable};
use crate::store::reaction::Reaction;
use crate::store::record::{Record, UserRecord};
use crate::store::{Encoder, Range, Snapshot, StoreError, Table, Transaction, keys};

/// The format before rows of an operator's database were counted.
const FORMAT_WITHOUT_ROWS: u64 = 1;
/// The format in which every entry of what is packed now was a record.
const FORMAT_WITHOUT_BLOCKS: u64 = 2;

/// The format in which each user's events of a day were a record.
const FORMAT_WITHOUT_ACTIVITY_BLOCKS: u64 = 3;

/// Users held in memory at a time.
const CHUNK: usize = 10_000;

/// Whether [`upgrade`] knows this format.
pub(super) const fn is_known(format: u64) -> bool {
    matches!(
        format,
        FORMAT_WITHOUT_ROWS | FORMAT_WITHOUT_BLOCKS | FORMAT_WITHOUT_ACTIVITY_BLOCKS
    )
}

/// Brings everything that format `from` had otherwise up to date.
pub(super) fn upgrade(
    transaction: &WriteTransaction,
    view: &mut WriteView<'_, '_>,
    from: u64,
) -> Result<(), StoreError> {
    if from <= FORMAT_WITHOUT_ROWS {
        number_users(view)?;
    }
    if from <= FORMAT_WITHOUT_BLOCKS {
        pack::<12, i64>(transaction, view, "seen", Table::Seen)?;
        pack::<12, u64>(transaction, view, "affinity", Table::Affinity)?;
        pack::<8, Reaction>(transaction, view, "reactions", Table::Reactions)?;
    }
    pack_activity(transaction, view)?;
    view.put(Table::Meta, keys::FORMAT, &FORMAT.encode())
}

/// Users are found by number too since format 2.
fn number_users(view: &mut WriteView<'_, '_>) -> Result<(), StoreError> {
    let mut from = Vec::new();
    loop {
        let mut users = Vec::new();
        let mut next = None;
        view.scan(Table::Users, &Range::from_key(&from), &mut |key, value| {
            if users.len() == CHUNK {
                next = Some(key.to_vec());
                return Ok(ControlFlow::Break(()));
            }
            users.push(UserRecord::decode(Table::Users, value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        for user in users {
            view.put(
                Table::UserIds,
                &keys::number(user.number),
                &user.id.encode(),
            )?;
        }
        match next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

/// Puts the records of the table `old`, at (prefix, hash), as entries into the blocks of `table`;
/// one prefix's are in memory at a time.
fn pack<const PREFIX: usize, V: Record + Packable>(
    transaction: &WriteTransaction,
    view: &mut WriteView<'_, '_>,
    old: &'static str,
    table: Table,
) -> Result<(), StoreError> {
    let path = view.path;
    let definition = TableDefinition::<Bytes, Bytes>::new(old);
    let records = engine(path, || transaction.open_table(definition))?;
    let mut at = [0; PREFIX];
    let mut entries = Encoder::default();
    scan(path, &records, &Range::all(), &mut |key, value| {
        let (prefix, hash) = split(table, key)?;
        if prefix != at {
            put_blocks::<PREFIX, V>(view, table, &at, entries.bytes())?;
            entries.clear();
            at = prefix;
        }
        entries.fixed(hash);
        V::decode(table, value)?.put(&prefix, &mut entries);
        Ok(ControlFlow::Continue(()))
    })?;
    put_blocks::<PREFIX, V>(view, table, &at, entries.bytes())?;
    drop(records);
    engine(path, || transaction.delete_table(definition))?;
    Ok(())
}

/// Counts of events were records at (day, user number).
fn pack_activity(
    transaction: &WriteTransaction,
    view: &mut WriteView<'_, '_>,
) -> Result<(), StoreError> {
    let path = view.path;
    let definition = TableDefinition::<Bytes, Bytes>::new("activity");
    let records = engine(path, || transaction.open_table(definition))?;
    let mut at = (0, 0);
    let mut block = ActivityBlock::default();
    scan(path, &records, &Range::all(), &mut |key, value| {
        let (day, user) = split(Table::Activity, key)?;
        let day = u32::from_be_bytes(day);
        if (day, ActivityBlock::of(user)) != at {
            put_activity(view, at, &block)?;
            block = ActivityBlock::default();
            at = (day, ActivityBlock::of(user));
        }
        let count = u64::decode(Table::Activity, value)?;
        *block.count_mut(user) = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(ControlFlow::Continue(()))
    })?;
    put_activity(view, at, &block)?;
    drop(records);
    engine(path, || transaction.delete_table(definition))?;
    Ok(())
}

fn put_activity(
    view: &mut WriteView<'_, '_>,
    (day, number): (u32, u64),
    block: &ActivityBlock,
) -> Result<(), StoreError> {
    if *block == ActivityBlock::default() {
        return Ok(());
    }
    let key = keys::slot_number(day, number);
    view.put(Table::Activity, &key, &block.encode())
}

fn split<const PREFIX: usize>(table: Table, key: &[u8]) -> Result<([u8; PREFIX], u64), StoreError> {
    let parts = key.split_last_chunk().and_then(|(prefix, hash)| {
        let prefix = prefix.try_into().ok()?;
        Some((prefix, u64::from_be_bytes(*hash)))
    });
    parts.ok_or(StoreError::Corrupt {
        table,
        reason: "a key has another length",
    })
}

fn put_blocks<const PREFIX: usize, V: Packable>(
    view: &mut WriteView<'_, '_>,
    table: Table,
    prefix: &[u8; PREFIX],
    entries: &[u8],
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    for (bucket, block) in block::cut::<V>(table, entries, 0)?.blocks {
        view.put(table, BlockKey::new(prefix, bucket).bytes(), &block)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use proptest::prelude::*;
    use redb::{Database, TableHandle};

    use super::super::{FILE_NAME, RedbStore, definition};
    use super::*;
    use crate::store::reaction::Standing;
    use crate::store::record::Hide;
    use crate::store::{Store, read};

    const OLD: [&str; 4] = ["seen", "affinity", "reactions", "activity"];

    /// What a file of an older format has of users.
    #[derive(Clone, Debug, Default)]
    struct Old {
        seen: BTreeMap<(u64, u32, u64), i64>,
        affinity: BTreeMap<(u64, u32, u64), u64>,
        reactions: BTreeMap<(u64, u64), Reaction>,
        activity: BTreeMap<(u32, u64), u32>,
    }

    fn old() -> impl Strategy<Value = Old> {
        // Some users have a lot, whose hashes agree in their first bits or do not.
        let hash = prop_oneof![4 => any::<u64>(), 1 => 0..400_u64];
        let by_day = (0..4_u64, 0..3_u32, hash.clone());
        let seen = prop::collection::btree_map(by_day.clone(), any::<i64>(), 0..600);
        let affinity = prop::collection::btree_map(by_day, any::<u64>(), 0..600);
        let reaction = (any::<i64>(), any::<u16>(), 0..40_u32).prop_map(|(last_ms, kinds, n)| {
            let mut likes = Standing::default();
            (0..n).for_each(|hour| likes.push(hour));
            Reaction {
                last_ms,
                kinds,
                likes,
                ..Reaction::default()
            }
        });
        let reactions = prop::collection::btree_map((0..4_u64, hash), reaction, 0..300);
        let on_day = (0..3_u32, prop_oneof![0..200_u64, any::<u64>()]);
        let activity = prop::collection::btree_map(on_day, 1..9_u32, 0..200);
        let all = (seen, affinity, reactions, activity);
        all.prop_map(|(seen, affinity, reactions, activity)| Old {
            seen,
            affinity,
            reactions,
            activity,
        })
    }

    /// Writes the file that a program of format `format` would have.
    fn write(path: &Path, format: u64, old: &Old) {
        let file = Database::create(path).unwrap();
        let transaction = file.begin_write().unwrap();
        let put = |name: &str, key: &[u8], value: &[u8]| {
            let definition = TableDefinition::<Bytes, Bytes>::new(name);
            let mut table = transaction.open_table(definition).unwrap();
            table.insert(key, value).unwrap();
        };
        let tables = if format == 1 { 17 } else { Table::ALL.len() };
        for table in &Table::ALL[..tables] {
            if !table.name().ends_with("_blocks") {
                transaction.open_table(definition(*table)).unwrap();
            }
        }
        for name in OLD {
            if format < 3 || name == "activity" {
                let definition = TableDefinition::<Bytes, Bytes>::new(name);
                transaction.open_table(definition).unwrap();
            }
        }
        put("meta", keys::FORMAT, &format.encode());
        let user = UserRecord {
            number: 7,
            id: "ann".to_owned(),
            rows: 0,
        };
        put("users", b"12345678", &user.encode());
        if format > 1 {
            put("user_ids", &keys::number(7), &user.id.encode());
        }
        // A hide as format 1 wrote it: a time.
        let key = keys::hide(7, keys::HIDDEN_ITEM, 9);
        put("hides", &key, &55_i64.encode());
        for (&(user, day, item), at_ms) in &old.seen {
            put("seen", &keys::by_day(user, day, item), &at_ms.encode());
        }
        for (&(user, day, author), count) in &old.affinity {
            let key = keys::by_day(user, day, author);
            put("affinity", &key, &count.encode());
        }
        for (&(user, item), reaction) in &old.reactions {
            put("reactions", &keys::pair(user, item), &reaction.encode());
        }
        for (&(day, user), &count) in &old.activity {
            let key = keys::slot_number(day, user);
            put("activity", &key, &u64::from(count).encode());
        }
        transaction.commit().unwrap();
    }

    fn entries<V: Packable>(store: &RedbStore, table: Table) -> Vec<(Vec<u8>, V)> {
        let mut found = Vec::new();
        let all = Range::all();
        read::entries(
            &*store.read().unwrap(),
            table,
            &all,
            &mut |prefix, hash, value| {
                found.push(([prefix, &hash.to_be_bytes()].concat(), value));
                Ok(())
            },
        )
        .unwrap();
        found
    }

    #[track_caller]
    fn check(store: &RedbStore, old: &Old) {
        assert_eq!(store.format().unwrap(), Some(FORMAT));
        let snapshot = store.read().unwrap();
        assert_eq!(
            read::user_id(&*snapshot, 7).unwrap(),
            Some("ann".to_owned())
        );
        let key = keys::hide(7, keys::HIDDEN_ITEM, 9);
        let hide = read::get::<Hide>(&*snapshot, Table::Hides, &key)
            .unwrap()
            .unwrap();
        assert_eq!((hide.at_ms, hide.called, hide.rows), (55, true, 0));
        let by_day = |&(user, day, hash): &(u64, u32, u64)| keys::by_day(user, day, hash).to_vec();
        let seen = old.seen.iter().map(|(key, at_ms)| (by_day(key), *at_ms));
        assert!(entries::<i64>(store, Table::Seen).into_iter().eq(seen));
        let counts = old.affinity.iter();
        let counts = counts.map(|(key, count)| (by_day(key), *count));
        let affinity = entries::<u64>(store, Table::Affinity);
        assert!(affinity.into_iter().eq(counts));
        let expected = old.reactions.iter();
        let expected = expected
            .map(|(&(user, item), reaction)| (keys::pair(user, item).to_vec(), reaction.clone()));
        let reactions = entries::<Reaction>(store, Table::Reactions);
        assert!(reactions.into_iter().eq(expected));
        let mut activity = BTreeMap::new();
        read::activity(&*snapshot, 0, u32::MAX, &mut |day, user, count| {
            activity.insert((day, user), count);
        })
        .unwrap();
        assert_eq!(activity, old.activity);
        for table in Table::ALL {
            snapshot
                .scan(table, &Range::all(), &mut |_, _| {
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
        }
        let raw = store.database().begin_write().unwrap();
        let mut names = raw.list_tables().unwrap();
        assert!(names.all(|table| !OLD.contains(&table.name())));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn files_of_older_formats_are_brought_up_to_date(format in 1..=3_u64, old in old()) {
            let directory = tempfile::tempdir().unwrap();
            let old = match format {
                // Its blocks are read as they are.
                3 => Old { activity: old.activity, ..Old::default() },
                _ => old,
            };
            write(&directory.path().join(FILE_NAME), format, &old);
            for _ in 0..2 {
                check(&RedbStore::open_with(directory.path(), 8 << 20).unwrap(), &old);
            }
        }
    }

    #[test]
    fn an_upgrade_that_fails_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let mut old = Old::default();
        for item in 0..500 {
            old.seen.insert((7, 1, item), 5);
            old.affinity.insert((7, 1, item), 5);
            old.reactions.insert((7, item), Reaction::default());
        }
        write(&path, 2, &old);
        let change = |value: &[u8]| {
            let file = Database::open(&path).unwrap();
            let transaction = file.begin_write().unwrap();
            let definition = TableDefinition::<Bytes, Bytes>::new("reactions");
            let mut table = transaction.open_table(definition).unwrap();
            table.insert(&keys::pair(7, 499)[..], value).unwrap();
            drop(table);
            transaction.commit().unwrap();
        };
        // The last record of the last table: all the rest was packed before it.
        change(&[9]);
        for _ in 0..2 {
            let error = RedbStore::open(directory.path()).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        }
        change(&Reaction::default().encode());
        check(&RedbStore::open(directory.path()).unwrap(), &old);
    }
}
