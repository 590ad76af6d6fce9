//! Verification goes red for every kind of damage.

use edgewise_ranking::id_hash;
use edgewise_wire::api::{Event, EventType};
use edgewise_wire::counters::Counters;

use crate::ingest::packed::Packed;
use crate::ingest::testing::{NOW_MS, Rig, event, item};
use crate::ingest::{Command, ImportRow, SourceHash};
use crate::store::reaction::Reaction;
use crate::store::record::{DedupeRecord, ItemTotals, Record, UserRecord};
use crate::store::{Snapshot, Store, StoreError, Table, Transaction, keys, read};
use crate::verify::{MISMATCHES_MAX, verify};

/// A store with a little of everything.
fn rig() -> Rig {
    let rig = Rig::new();
    rig.write(Command::UpsertItems(vec![item("i", "a"), item("j", "b")]));
    let watched = Event {
        watch_ms: Some(9_500),
        ..event("1", EventType::View, "u", "i")
    };
    rig.events(vec![
        watched,
        event("2", EventType::Like, "u", "i"),
        event("3", EventType::Follow, "u", "i"),
        event("4", EventType::Hide, "v", "j"),
        event("5", EventType::Click, "v", "i"),
    ]);
    rig.write(Command::Follows {
        add: true,
        pairs: vec![("v".to_owned(), "b".to_owned())],
    });
    let rows = vec![ImportRow {
        ordinal: 0,
        events: vec![event("", EventType::Share, "w", "k")],
    }];
    rig.write(Command::Import {
        source: SourceHash([3; 32]),
        rows,
    });
    rig.write(Command::DeleteUser("w".to_owned()));
    rig
}

/// Changes the store behind the writer's back and returns what verification says first.
#[track_caller]
fn damage(work: impl Fn(&mut dyn Transaction) -> Result<(), StoreError>) -> String {
    let rig = rig();
    rig.check();
    rig.store.write(&mut |tx| work(tx)).unwrap();
    let report = verify(&*rig.store).unwrap();
    assert!(!report.ok, "the damage was not seen");
    assert!(report.mismatch_count > 0);
    report.mismatches.into_iter().next().unwrap()
}

fn change<R: Record>(
    tx: &mut dyn Transaction,
    table: Table,
    key: &[u8],
    change: impl Fn(&mut R),
) -> Result<(), StoreError> {
    let mut record = read::get::<R>(&*tx, table, key)?.expect("the row is there");
    change(&mut record);
    tx.put(table, key, &record.encode())
}

fn number(tx: &dyn Snapshot, user: &str) -> Result<u64, StoreError> {
    Ok(read::user_number(tx, user)?.expect("the user is there"))
}

#[test]
fn the_report_counts_what_it_looked_at() {
    let report = rig().check();
    assert_eq!(
        (
            report.events,
            report.log_records,
            report.position,
            report.items
        ),
        (6, 10, 10, 3)
    );
}

#[test]
fn a_counter_hot_sum_or_hour_that_is_off_by_one() {
    let key = keys::number(id_hash("i"));
    let said = damage(|tx| {
        change::<ItemTotals>(tx, Table::Totals, &key, |totals| totals.counters.likes += 1)
    });
    assert!(said.starts_with("totals: item \"i\""), "{said}");
    let said = damage(|tx| {
        change::<ItemTotals>(tx, Table::Totals, &key, |totals| {
            totals.hot[1].sum *= 1.000_001
        })
    });
    assert!(said.starts_with("totals: item \"i\""), "{said}");
    let hour = keys::number_slot(id_hash("i"), keys::hour_of(NOW_MS));
    let said =
        damage(|tx| change::<Counters>(tx, Table::Hourly, &hour, |counters| counters.clicks = 0));
    assert!(said.starts_with("hourly: item \"i\" in hour"), "{said}");
}

#[test]
fn a_row_of_a_user_that_is_missing_changed_or_too_many() {
    let said = damage(|tx| {
        let user = number(&*tx, "u")?;
        tx.delete(Table::Follows, &keys::pair(user, id_hash("a")))
    });
    assert!(
        said.starts_with("follows:") && said.contains("is missing"),
        "{said}"
    );
    let said = damage(|tx| {
        let user = number(&*tx, "u")?;
        let day = keys::number_slot(user, keys::day_of(NOW_MS));
        let mut affinity = Packed::<12, u64>::new(Table::Affinity, 0);
        *affinity.entry(&*tx, day, id_hash("a"))? += 1;
        affinity.flush(tx)
    });
    assert!(said.starts_with("affinity_blocks:"), "{said}");
    let said = damage(|tx| {
        let mut seen = Packed::<12, i64>::new(Table::Seen, 0);
        seen.entry_or(&*tx, keys::number_slot(99, 1), 2, 5)?;
        seen.flush(tx)
    });
    assert!(
        said.starts_with("seen_blocks:") && said.contains("gives nothing"),
        "{said}"
    );
    let said = damage(|tx| {
        let user = number(&*tx, "u")?;
        let mut reactions = Packed::<8, Reaction>::new(Table::Reactions, 0);
        let reaction = reactions.entry(&*tx, keys::number(user), id_hash("i"))?;
        reaction.shared = true;
        reactions.flush(tx)
    });
    assert!(said.starts_with("reaction_blocks:"), "{said}");
    let said = damage(|tx| {
        let user = UserRecord {
            number: 3,
            id: "w".to_owned(),
            rows: 0,
        };
        tx.put(Table::UserIds, &keys::number(3), &user.id.encode())?;
        tx.put(Table::Users, &keys::number(id_hash("w")), &user.encode())
    });
    assert!(said.contains("was deleted and is there"), "{said}");
}

#[test]
fn a_log_that_lost_or_repeats_a_record() {
    let said = damage(|tx| tx.delete(Table::Log, &keys::number(4)));
    assert_eq!(said, "log: record 3 is followed by 5");
    let said = damage(|tx| {
        let record = tx
            .get(Table::Log, &keys::number(4))?
            .expect("the record is there");
        tx.put(Table::Log, &keys::number(11), &record)
    });
    assert!(said.starts_with("log: "), "{said}");
}

#[test]
fn an_event_id_that_would_count_again() {
    let id = xxhash_rust::xxh3::xxh3_128(b"2").to_be_bytes();
    let said = damage(|tx| tx.delete(Table::Dedupe, &id));
    assert!(said.starts_with("dedupe:"), "{said}");
    let said =
        damage(|tx| change::<DedupeRecord>(tx, Table::Dedupe, &id, |record| record.seq += 1));
    assert!(said.starts_with("dedupe:"), "{said}");
    let said = damage(|tx| tx.put(Table::Imports, &[3; 32], &0_u64.encode()));
    assert!(said.starts_with("imports:"), "{said}");
    let said = damage(|tx| tx.put(Table::Meta, keys::POSITION, &3_u64.encode()));
    assert!(said.starts_with("position is 3"), "{said}");
}

#[test]
fn only_the_first_mismatches_are_described() {
    let rig = rig();
    rig.store
        .write(&mut |tx| {
            (0..50)
                .try_for_each(|row| tx.put(Table::Recent, &keys::number(1_000 + row), &[1, 0, 0]))
        })
        .unwrap();
    let report = verify(&*rig.store).unwrap();
    assert_eq!(
        (report.mismatch_count, report.mismatches.len()),
        (50, MISMATCHES_MAX)
    );
}

#[test]
fn bytes_that_do_not_decode_are_an_error() {
    let rig = rig();
    rig.store
        .write(&mut |tx| tx.put(Table::Recent, &keys::number(1), &[9, 9]))
        .unwrap();
    let error = verify(&*rig.store).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a record of table recent is corrupt: unknown version"
    );
}
